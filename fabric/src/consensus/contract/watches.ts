// What the contract says of watches.
import type { ConsensusEngine } from '../engine.js';
import { hasCode } from '../errors.js';
import {
	bytes,
	type ContractAssertions,
	type ContractCluster,
	eventually,
	otherOf,
	put,
	refused,
	type Statement,
	WatchRecord,
	write,
} from './cluster.js';

export const watches: readonly Statement[] = [
	{
		title: 'a watch tells what came after its revision, then what comes, each once and in order',
		run: async (t, { engines: [engine] }) => {
			const first = await put(engine, 'w/a', '1');
			const second = await put(engine, 'w/b', '2');
			const third = await write(engine, { delete: { key: 'w/a' } });
			const record = new WatchRecord(engine, { prefix: 'w/' }, first);
			await eventually('the past', () => record.told.length === 2);
			await put(engine, 'elsewhere');
			const fourth = await put(engine, 'w/c', '4');
			await eventually('the present', () => record.told.length === 3);
			t.deepEqual(record.told, [`w/b=2@${second}`, `w/a@${third}`, `w/c=4@${fourth}`]);
			t.is(record.batches.at(-1)?.revision, fourth);
			record.cancel();
		},
	},
	{
		title: 'the events of one revision come together',
		run: async (t, { engines: [engine] }) => {
			const from = await put(engine, 'old');
			const record = new WatchRecord(engine, { prefix: '' }, from);
			const value = bytes('x');
			const revision = await write(engine, { put: 'b', value }, { delete: { key: 'old' } }, { put: 'a', value });
			await eventually('the transaction', () => record.told.length > 0);
			t.deepEqual(record.told.sort(), [`a=x@${revision}`, `b=x@${revision}`, `old@${revision}`]);
			t.is(record.batches.length, 1);
			record.cancel();
		},
	},
	{
		title: 'a watch on a key hears of that key only; one on a later revision waits for it',
		run: async (t, { engines: [engine] }) => {
			const from = await put(engine, 'k', 'before');
			const record = new WatchRecord(engine, { key: 'k' }, from);
			const later = new WatchRecord(engine, { key: 'k' }, from + 2);
			await put(engine, 'k/child');
			const skipped = await put(engine, 'k', 'first');
			const told = await put(engine, 'k', 'second');
			await eventually('both writes', () => record.told.length === 2 && later.told.length === 1);
			t.deepEqual(record.told, [`k=first@${skipped}`, `k=second@${told}`]);
			t.deepEqual(later.told, [`k=second@${told}`]);
			record.cancel();
			later.cancel();
		},
	},
	{
		title: 'many writers, watches from many points: every event once, in the order of revisions, no revision split',
		run: (t, cluster) => manyWriters(t, cluster, async () => undefined),
	},
	{
		title: 'connections that break leave no gap and repeat nothing',
		needs: 'breakConnections',
		run: (t, cluster) => manyWriters(t, cluster, async () => cluster.breakConnections?.()),
	},
	{
		title: 'what is compacted away is told, and reading anew and watching from there misses nothing',
		run: async (t, { engines: [engine] }) => {
			const first = await put(engine, 'k', '1');
			await put(engine, 'k', '2');
			const third = await put(engine, 'k', '3');
			await engine.compact(third);
			const late = new WatchRecord(engine, { key: 'k' }, first);
			const edge = new WatchRecord(engine, { key: 'k' }, third);
			await eventually('compacted', () => late.compacted.length > 0);
			t.deepEqual(late.told, []);
			t.true((late.compacted[0] as number) >= third);
			const { items, revision } = await engine.read({ key: 'k' });
			t.is(items[0]?.modRevision, third);
			const again = new WatchRecord(engine, { key: 'k' }, revision);
			const fourth = await put(engine, 'k', '4');
			await eventually('the next write', () => again.told.length + edge.told.length === 2);
			t.deepEqual([again.told, edge.told], [[`k=4@${fourth}`], [`k=4@${fourth}`]]);
			t.deepEqual([late.told, late.compacted.length, edge.compacted.length], [[], 1, 0], 'it has ended');
			for (const record of [late, edge, again]) record.cancel();
		},
	},
	{
		title: 'a deletion right at the compacted revision is not lost to one who had seen up to there',
		run: async (t, { engines: [engine] }) => {
			const created = await put(engine, 'k', '1');
			const deleted = await write(engine, { delete: { key: 'k' } });
			await put(engine, 'other');
			await engine.compact(deleted);
			const record = new WatchRecord(engine, { key: 'k' }, created);
			await eventually('told of it or of the compaction', () => record.told.length + record.compacted.length > 0);
			if (record.compacted.length === 0) t.deepEqual(record.told, [`k@${deleted}`]);
			else t.deepEqual(record.told, []);
			record.cancel();
		},
	},
	{
		title: 'a cancelled watch hears no more',
		run: async (t, { engines: [engine] }) => {
			const from = await put(engine, 'k');
			const [cancelled, other] = [
				new WatchRecord(engine, { key: 'k' }, from),
				new WatchRecord(engine, { key: 'k' }, from),
			];
			await put(engine, 'k');
			await eventually('the first write', () => cancelled.told.length === 1);
			cancelled.cancel();
			cancelled.cancel();
			await put(engine, 'k');
			await eventually('the second write', () => other.told.length === 2);
			t.is(cancelled.told.length, 1);
			other.cancel();
		},
	},
	{
		title: 'a watch with nothing to tell says where it stands',
		run: async (t, cluster) => {
			const [engine] = cluster.engines;
			const from = await put(engine, 'k');
			const record = new WatchRecord(otherOf(cluster), { key: 'quiet' }, from);
			const revision = await put(engine, 'k');
			await eventually('progress', () => record.progress.some((one) => one >= revision));
			t.deepEqual(
				record.progress,
				record.progress.toSorted((a, b) => a - b),
			);
			t.deepEqual(record.told, []);
			record.cancel();
		},
	},
	{
		title: 'a watch of a key that may not be is refused',
		run: async (t, { engines: [engine] }) => {
			const handlers = { onEvents: () => undefined, onCompacted: () => undefined };
			await refused(t, 'IM_STORE_KEY_INVALID', async () => engine.watch({ key: '' }, 1, handlers));
			await refused(t, 'IM_STORE_KEY_INVALID', async () => engine.watch({ prefix: 'a b' }, 1, handlers));
		},
	},
];

async function manyWriters(
	t: ContractAssertions,
	cluster: ContractCluster,
	disturb: () => Promise<unknown>,
): Promise<void> {
	const { engines } = cluster;
	const writes = new Map<number, string>();
	/** Writes whose outcome nobody knows: they may be told, once. */
	const unknown = new Set<string>();
	const records: { readonly record: WatchRecord; readonly from: number }[] = [];
	const begin = await put(engines[0], 'm/begin');
	const watchFrom = (from: number) =>
		records.push({ record: new WatchRecord(otherOf(cluster), { prefix: 'm/' }, from), from });
	watchFrom(begin);
	const writer = async (engine: ConsensusEngine, name: string): Promise<void> => {
		for (let round = 0; round < 25; round++) {
			const key = `m/${round % 3}`;
			const text = `${name}.${round}`;
			try {
				const revision = await put(engine, key, text);
				writes.set(revision, `${key}=${text}@${revision}`);
				if (round === 8) watchFrom(revision);
			} catch (error) {
				if (!hasCode(error, 'IM_CONSENSUS_TIMEOUT')) throw error;
				unknown.add(`${key}=${text}`);
			}
		}
	};
	const writing = Promise.all(
		Array.from({ length: 4 }, (_, at) => writer(engines[at % engines.length] ?? engines[0], `w${at}`)),
	);
	await eventually('writes under way', () => writes.size > 20);
	await disturb();
	await writing;
	watchFrom(begin);
	t.is(writes.size + unknown.size, 100);
	const known = (told: string) => !unknown.has(told.replace(/@.*/, ''));
	for (const { record, from } of records) {
		const expected = [...writes].filter(([revision]) => revision > from).sort(([a], [b]) => a - b);
		await eventually(`${expected.length} events`, () => record.told.filter(known).length >= expected.length);
		t.deepEqual(
			record.told.filter(known),
			expected.map(([, told]) => told),
		);
		t.is(new Set(record.told).size, record.told.length);
		const revisions = record.batches.map(({ revision }) => revision);
		t.deepEqual(
			revisions,
			[...new Set(revisions)].sort((a, b) => a - b),
		);
		t.deepEqual(record.compacted, []);
		record.cancel();
	}
}
