// What the contract says of status, compaction, quorum and the end.
import { hasCode } from '../errors.js';
import { eventually, monotonicMs, one, passing, put, refused, type Statement, textOf, WatchRecord } from './cluster.js';

export const life: readonly Statement[] = [
	{
		title: 'status names the cluster, its leader, term and members, and where the store stands',
		run: async (t, { engines }) => {
			const revision = await put(engines[0], 'k');
			const all = await Promise.all(engines.map((engine) => engine.status()));
			t.is(new Set(all.map(({ clusterId }) => clusterId)).size, 1);
			for (const status of all) {
				t.true(status.clusterId !== '' && status.term > 0);
				t.true(
					status.members.some(({ id }) => id === status.leader),
					'the leader is a member',
				);
				t.true(status.quorum && !status.noSpace);
				t.true(status.compactedRevision <= status.revision);
			}
			t.true((all[0]?.revision ?? 0) >= revision);
		},
	},
	{
		title: 'compaction of what is compacted succeeds, of what is to come is refused',
		run: async (t, { engines: [engine] }) => {
			const first = await put(engine, 'k');
			const second = await put(engine, 'k');
			await engine.compact(second);
			await engine.compact(second);
			await engine.compact(first);
			await refused(t, 'IM_CONSENSUS_FUTURE_REVISION', () => engine.compact(second + 1_000_000));
			t.is((await one(engine, 'k'))?.version, 2);
		},
	},
	{
		title:
			'without quorum writes and linearizable reads are refused in time, serializable reads answered; then all goes on',
		needs: 'cutQuorum',
		run: async (t, cluster) => {
			const [engine] = cluster.engines;
			const from = await put(engine, 'k', 'before');
			const record = new WatchRecord(engine, { prefix: '' }, from);
			const heal = await cluster.cutQuorum?.();
			const beganMs = monotonicMs();
			let certain = false;
			try {
				await engine.transact({ when: [], then: [{ put: 'cut', value: new Uint8Array(0) }] }, { timeoutMs: 2_000 });
				t.fail('a write without quorum');
			} catch (error) {
				certain = hasCode(error, 'IM_CONSENSUS_NO_QUORUM');
				t.true(certain || hasCode(error, 'IM_CONSENSUS_TIMEOUT'), String(error));
			}
			t.true(monotonicMs() - beganMs < 10_000);
			try {
				await engine.read({ key: 'k' });
				t.fail('a linearizable read without quorum');
			} catch (error) {
				t.true(hasCode(error, 'IM_CONSENSUS_NO_QUORUM') || hasCode(error, 'IM_CONSENSUS_TIMEOUT'), String(error));
			}
			t.is(textOf((await engine.read({ key: 'k' }, { consistency: 'serializable' })).items[0]), 'before');
			await heal?.();
			await eventually('a write after the quorum is back', () =>
				put(engine, 'k', 'after').then(
					() => true,
					() => false,
				),
			);
			if (certain) t.is(await one(engine, 'cut'), undefined, 'refused with NO_QUORUM means that it never takes effect');
			await eventually('the watch goes on', () => record.told.some((told) => told.startsWith('k=after')));
			record.cancel();
		},
	},
	{
		title: 'a closed engine refuses calls, tells its watches nothing more, and may be closed again',
		run: async (t, { engines }) => {
			const engine = engines.at(-1) ?? engines[0];
			const from = await put(engine, 'k');
			const record = new WatchRecord(engine, { key: 'k' }, from);
			await engine.close();
			await engine.close();
			await refused(t, 'IM_CONSENSUS_CLOSED', () => engine.read({ key: 'k' }));
			await refused(t, 'IM_CONSENSUS_CLOSED', () => put(engine, 'k'));
			await refused(t, 'IM_CONSENSUS_CLOSED', () => engine.grantLease(1_000));
			await refused(t, 'IM_CONSENSUS_CLOSED', () => engine.keepAlive('1'));
			await passing(50);
			t.deepEqual([record.told, record.compacted], [[], []]);
			record.cancel();
		},
	},
];
