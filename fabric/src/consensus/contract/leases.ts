// What the contract says of leases.
import {
	bytes,
	eventually,
	keysOf,
	monotonicMs,
	one,
	otherOf,
	passing,
	put,
	refused,
	type Statement,
	WatchRecord,
	write,
} from './cluster.js';

export const leases: readonly Statement[] = [
	{
		title: 'a lease is granted for what was asked or longer; its end deletes its keys, and ending it again succeeds',
		run: async (t, cluster) => {
			const [engine] = cluster.engines;
			const lease = await engine.grantLease(30_000);
			t.true(lease.ttlMs >= 30_000);
			const other = await engine.grantLease(30_000);
			t.true(other.id !== lease.id);
			await put(engine, 'l/a', 'x', lease.id);
			await put(engine, 'l/b', 'x', lease.id);
			const from = await put(engine, 'l/c', 'x', other.id);
			t.is((await one(engine, 'l/a'))?.lease, lease.id);
			const left = await otherOf(cluster).keepAlive(lease.id);
			t.true(left > 0 && left <= lease.ttlMs, `${left} ms`);
			const record = new WatchRecord(engine, { prefix: 'l/' }, from);
			await otherOf(cluster).revokeLease(lease.id);
			t.deepEqual(await keysOf(engine, 'l/'), ['l/c']);
			await eventually('both deletions', () => record.told.length === 2);
			t.deepEqual(record.told.map((told) => told.replace(/@.*/, '')).sort(), ['l/a', 'l/b']);
			await engine.revokeLease(lease.id);
			await engine.revokeLease(lease.id);
			await engine.revokeLease(other.id);
			record.cancel();
		},
	},
	{
		title: 'nothing can be done under a lease that has ended, nor under one that never was',
		run: async (t, { engines: [engine] }) => {
			const { id } = await engine.grantLease(30_000);
			await engine.revokeLease(id);
			for (const gone of [id, '0', 'no lease', '7'.repeat(40)]) {
				await refused(t, 'IM_CONSENSUS_LEASE_LOST', () => engine.keepAlive(gone));
				await refused(t, 'IM_CONSENSUS_LEASE_LOST', () => put(engine, 'k', 'x', gone));
			}
			t.deepEqual(await keysOf(engine), []);
			await engine.revokeLease('no lease');
		},
	},
	{
		title: 'a lease that nobody keeps ends, not before its time, and its keys with it',
		run: async (t, cluster) => {
			const [engine] = cluster.engines;
			const { id, ttlMs } = await engine.grantLease(cluster.leaseMinMs);
			const from = await put(engine, 'k', 'x', id);
			const record = new WatchRecord(engine, { key: 'k' }, from);
			const keptMs = monotonicMs();
			const left = await engine.keepAlive(id);
			await eventually('the end', () => record.told.length > 0);
			const livedMs = monotonicMs() - keptMs;
			t.true(livedMs >= left, `ended after ${livedMs} of ${left} ms`);
			t.true(livedMs < ttlMs + 10_000, `ended after ${livedMs} of ${ttlMs} ms`);
			t.is(await one(engine, 'k'), undefined);
			await refused(t, 'IM_CONSENSUS_LEASE_LOST', () => engine.keepAlive(id));
		},
	},
	{
		title: 'a lease that is kept lives on past its time, through whichever engine it is kept',
		run: async (t, cluster) => {
			const [engine] = cluster.engines;
			const { id, ttlMs } = await engine.grantLease(cluster.leaseMinMs);
			await put(engine, 'k', 'x', id);
			const beganMs = monotonicMs();
			for (let at = 0; monotonicMs() - beganMs < ttlMs * 2.5; at++) {
				await (cluster.engines[at % cluster.engines.length] ?? engine).keepAlive(id);
				await passing(ttlMs / 5);
			}
			t.is((await one(engine, 'k'))?.lease, id);
			await engine.revokeLease(id);
		},
	},
	{
		title: 'a key written anew under another lease, or none, does not end with the first',
		run: async (t, { engines: [engine] }) => {
			const [first, second] = [await engine.grantLease(30_000), await engine.grantLease(30_000)];
			for (const key of ['freed', 'gone', 'moved']) await put(engine, key, 'x', first.id);
			await put(engine, 'moved', 'x', second.id);
			await put(engine, 'freed');
			await engine.revokeLease(first.id);
			t.deepEqual(await keysOf(engine), ['freed', 'moved']);
			await engine.revokeLease(second.id);
			t.deepEqual(await keysOf(engine), ['freed']);
		},
	},
	{
		title: 'of many who create a key one succeeds, and each later holder has a higher fencing token',
		run: async (t, cluster) => {
			const { engines } = cluster;
			let token = 0;
			for (let round = 0; round < 5; round++) {
				const attempts = await Promise.all(
					Array.from({ length: 6 }, async (_, at) => {
						const engine = engines[at % engines.length] ?? engines[0];
						const { id } = await engine.grantLease(30_000);
						const { held, revision } = await engine.transact({
							when: [{ key: 'lock', exists: false }],
							then: [{ put: 'lock', value: bytes(`${at}`), lease: id }],
						});
						return { held, revision, id };
					}),
				);
				const winners = attempts.filter(({ held }) => held);
				t.is(winners.length, 1);
				const holder = await one(engines[0], 'lock');
				t.is(holder?.modRevision, winners[0]?.revision);
				t.is(holder?.lease, winners[0]?.id);
				t.true((holder?.modRevision ?? 0) > token);
				token = holder?.modRevision ?? 0;
				if (round % 2 === 0) await Promise.all(attempts.map(({ id }) => engines[0].revokeLease(id)));
				else await write(engines[0], { delete: { key: 'lock' } });
			}
		},
	},
];
