// The lease of a node over real sessions and a real store: what is written while one ends lies under the next.
import { createLocalEngine } from '@infermesh/fabric';
import test, { type ExecutionContext } from 'ava';
import { HandClock } from '../../fleet/testing.js';
import { claimName } from '../../mesh/claim-name.js';
import { KeptRecord } from '../../mesh/kept-record.js';
import { nodeRecord, SELF } from '../../mesh/testing.js';
import { type NodeRecord, recordKinds } from '../../records/kinds.js';
import { Records } from '../../records/records.js';
import { systemClock, systemRandom } from '../clock.js';
import { LeaseKeeper } from './lease-keeper.js';

const TTL_MS = 60_000;

async function open(t: ExecutionContext) {
	const engine = createLocalEngine({
		clock: systemClock,
		random: systemRandom(),
		fault: (error) => {
			throw error;
		},
	});
	const clock = new HandClock();
	const leases = new LeaseKeeper({ engine, clock, ttlMs: TTL_MS, failed: () => undefined });
	await leases.start();
	t.teardown(async () => {
		await leases.close();
		await engine.close();
	});
	const renewed = (): Promise<void> =>
		new Promise((resolve) => {
			const stop = leases.onRenewed(() => {
				stop();
				resolve();
			});
		});
	return { engine, clock, leases, records: new Records(engine), renewed };
}

test('a lease that was ended by others is noticed with the next renewal, and taken anew', async (t) => {
	const { engine, clock, leases, renewed } = await open(t);
	const first = leases.id;
	const again = renewed();
	await engine.revokeLease(first);
	clock.advance(TTL_MS / 4);
	await again;
	t.not(leases.id, first);
	t.true((await engine.keepAlive(leases.id)) > 0);
});

test('between two leases nothing can be written without one', async (t) => {
	const { clock, leases, renewed } = await open(t);
	const again = renewed();
	// No renewal was answered for nearly as long as the lease lives: it counts as lost before anything else is done.
	clock.advance(TTL_MS * 0.95);
	t.throws(() => leases.id, { code: 'IM_CONSENSUS_LEASE_LOST' });
	await again;
	t.notThrows(() => leases.id);
});

test('a node whose lease ends while it starts is registered under the next one', async (t) => {
	const { engine, clock, leases, records, renewed } = await open(t);
	const failures: unknown[] = [];
	const kept = new KeptRecord<NodeRecord>({
		clock,
		write: (record) => claimName(records, record, leases.id),
		passing: (error) => (error as { code?: string }).code === 'IM_CONSENSUS_LEASE_LOST',
		present: () => true,
		failed: (error) => failures.push(error),
	});
	leases.onRenewed(() => kept.again());
	const again = renewed();
	await engine.revokeLease(leases.id);
	await kept.set(nodeRecord(SELF, 'one'));
	t.is(failures.length, 1, 'the record met the ended lease');
	t.is(await records.get(recordKinds.nodes, SELF), undefined);
	clock.advance(TTL_MS / 4);
	await again;
	const written = async () => (await engine.read({ prefix: recordKinds.nodes.prefix })).items[0];
	while ((await written()) === undefined) await new Promise((resolve) => setImmediate(resolve));
	t.is((await written())?.lease, leases.id, 'it lies under the lease that is held now');
});

test('closing ends the lease at once, and no other is taken', async (t) => {
	const { engine, leases } = await open(t);
	const last = leases.id;
	await leases.close();
	t.throws(() => leases.id, { code: 'IM_CONSENSUS_LEASE_LOST' });
	await t.throwsAsync(engine.keepAlive(last), { code: 'IM_CONSENSUS_LEASE_LOST' });
});
