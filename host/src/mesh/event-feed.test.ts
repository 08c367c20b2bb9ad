import { type ConsensusEngine, createLocalEngine } from '@infermesh/fabric';
import test from 'ava';
import { systemClock, systemRandom } from '../main/clock.js';
import { recordKinds } from '../records/kinds.js';
import { encodeRecord, keyOf, Records } from '../records/records.js';
import { EventFeed } from './event-feed.js';
import type { MeshEvent } from './events.js';
import { nodeRecord, SELF } from './testing.js';

function open() {
	const engine = createLocalEngine({
		clock: systemClock,
		random: systemRandom(),
		fault: (error) => {
			throw error;
		},
	});
	return { engine, records: new Records(engine), feed: new EventFeed(engine) };
}

/** Events until there are `count`, then the stream is left. */
async function take(feed: EventFeed, after: number, count: number): Promise<MeshEvent[]> {
	const taken: MeshEvent[] = [];
	const stop = new AbortController();
	for await (const { events } of feed.follow(after, stop.signal)) {
		taken.push(...events);
		if (taken.length >= count) break;
	}
	stop.abort();
	return taken;
}

const route = (n: number) => ({ alias: `model-${n}` });

test('changes come in order with their records, and resuming after any of them misses none', async (t) => {
	const { records, feed } = open();
	const begin = await records.put(recordKinds.routes, 'r0', route(0));
	for (let n = 1; n <= 6; n++) await records.put(recordKinds.routes, `r${n}`, route(n));
	await records.remove(recordKinds.routes, 'r3');
	await records.put(recordKinds.nodes, SELF, nodeRecord(SELF, 'one'));
	const all = await take(feed, begin, 8);
	t.deepEqual(
		all.map(({ kind, id, change }) => `${kind} ${change} ${id}`),
		[...[1, 2, 3, 4, 5, 6].map((n) => `policy put route/r${n}`), 'policy delete route/r3', `node put ${SELF}`],
	);
	t.deepEqual(all[0]?.value, route(1));
	t.is(all[6]?.value, null);
	for (const [at, event] of all.entries())
		if (at < all.length - 1) t.deepEqual(await take(feed, event.revision, all.length - at - 1), all.slice(at + 1));
});

test('secrets are left out: API keys of targets, digests of keys; records of the mesh’s own work are not told', async (t) => {
	const { engine, records, feed } = open();
	const begin = await records.put(recordKinds.routes, 'first', route(0));
	await engine.transact({ when: [], then: [{ put: 'identity/tokens/x', value: Buffer.from('secret-token') }] });
	await records.put(recordKinds.routers, SELF, { loaded: [], refused: {}, stagingRevision: 0 });
	await records.put(recordKinds.targets, 'gpu', {
		spec: {
			id: 'gpu',
			url: 'http://gpu:8000',
			models: ['m'],
			runtime: 'vllm',
			apiKey: 'engine-secret',
			weight: 1,
			role: 'both',
			node: 'n',
			zone: 'z',
			region: 'r',
			costPerHour: 0,
			metricsPath: '',
			healthPath: '',
		},
		draining: false,
	});
	await records.put(recordKinds.apiKeys, 'ci', {
		sha256: 'ab'.repeat(32),
		tenant: 'default',
		trusted: false,
		createdAtMs: 1,
	});
	const told = await take(feed, begin, 2);
	t.deepEqual(
		told.map(({ kind, id }) => `${kind} ${id}`),
		['target gpu', 'key ci'],
	);
	const text = JSON.stringify(told);
	for (const secret of ['engine-secret', 'ab'.repeat(32), 'secret-token']) t.false(text.includes(secret), secret);
	t.like(told[0], { value: { spec: { url: 'http://gpu:8000' } } });
});

test('events of one revision are marked until the last, so that nobody resumes in their middle', async (t) => {
	const { engine, records, feed } = open();
	const begin = await records.put(recordKinds.routes, 'first', route(0));
	await engine.transact({
		when: [],
		then: ['a', 'b', 'c'].map((id) => ({ put: keyOf(recordKinds.routes, id), value: encodeRecord(route(1)) })),
	});
	const told = await take(feed, begin, 3);
	t.is(new Set(told.map(({ revision }) => revision)).size, 1);
	t.deepEqual(
		told.map(({ more }) => more),
		[true, true, false],
	);
});

test('a subscriber too slow for what happens is told everything all the same, from the history', async (t) => {
	const { records, feed } = open();
	const begin = await records.put(recordKinds.routes, 'first', route(0));
	const stop = new AbortController();
	const told: number[] = [];
	const total = 10_000;
	let resume: () => void = () => undefined;
	const held = new Promise<void>((resolve) => {
		resume = resolve;
	});
	const reading = (async () => {
		for await (const { events } of feed.follow(begin, stop.signal)) {
			if (events.length > 0 && told.length === 0) await held;
			told.push(...events.map(({ revision }) => revision));
			if (told.length >= total) break;
		}
	})();
	for (let n = 0; n < total; n++) await records.put(recordKinds.routes, `r${n % 10}`, route(n));
	resume();
	await reading;
	stop.abort();
	t.deepEqual(
		told,
		Array.from({ length: total }, (_, at) => begin + 1 + at),
	);
});

test('history that is gone is said by name, at the start and to who falls behind', async (t) => {
	const { engine, records, feed } = open();
	const begin = await records.put(recordKinds.routes, 'first', route(0));
	for (let n = 0; n < 5; n++) await records.put(recordKinds.routes, 'r', route(n));
	await engine.compact(begin + 4);
	await t.throwsAsync(feed.check(begin), { message: /changes after \d+ are gone/ });
	await t.notThrowsAsync(feed.check(0));
	await t.throwsAsync(take(feed, begin, 1), { message: /changes after \d+ are gone/ });
	t.is((await take(feed, begin + 4, 1)).length, 1);
});

test('from now on: what was before is not told, and leaving ends the watch', async (t) => {
	const { records, feed } = open();
	const before = await records.put(recordKinds.routes, 'before', route(0));
	const stop = new AbortController();
	const stream = feed.follow(0, stop.signal);
	const { value: begin } = await stream.next();
	t.deepEqual(begin, { events: [], revision: before }, 'the first batch says where it begins');
	const after = await records.put(recordKinds.routes, 'after', route(1));
	const { value } = await stream.next();
	t.is(value?.revision, after);
	t.deepEqual(
		value?.events.map(({ id }) => id),
		['route/after'],
	);
	stop.abort();
	t.true((await stream.next()).done);
});

test('however many subscribe, level or far behind, the node has few watches open, and none when all have left', async (t) => {
	const { engine, records } = open();
	let watching = 0;
	let watchingMost = 0;
	const counted: ConsensusEngine = {
		read: (selection, options) => engine.read(selection, options),
		transact: (transaction, options) => engine.transact(transaction, options),
		watch(selection, from, handlers) {
			watchingMost = Math.max(watchingMost, ++watching);
			const watch = engine.watch(selection, from, handlers);
			let cancelled = false;
			return {
				cancel() {
					if (!cancelled) watching--;
					cancelled = true;
					watch.cancel();
				},
			};
		},
		grantLease: (ttlMs) => engine.grantLease(ttlMs),
		keepAlive: (id) => engine.keepAlive(id),
		revokeLease: (id) => engine.revokeLease(id),
		compact: (revision) => engine.compact(revision),
		status: () => engine.status(),
		close: () => engine.close(),
	};
	const feed = new EventFeed(counted);
	const begin = await records.put(recordKinds.routes, 'first', route(0));
	for (let n = 1; n <= 2000; n++) await records.put(recordKinds.routes, `r${n}`, route(n));
	const stop = new AbortController();
	const subscribed = Array.from({ length: 300 }, async (_, at) => {
		const wanted = at % 2 === 0 ? 2001 : 1;
		const told: number[] = [];
		for await (const { events } of feed.follow(wanted === 1 ? 0 : begin, stop.signal)) {
			told.push(...events.map(({ revision }) => revision));
			if (told.length >= wanted) return told;
		}
		return told;
	});
	await engine.read({ prefix: '' });
	const last = await records.put(recordKinds.routes, 'last', route(0));
	for (const [at, told] of (await Promise.all(subscribed)).entries()) {
		t.is(told.at(-1), last);
		if (at % 2 === 0)
			t.deepEqual(
				told,
				Array.from({ length: 2001 }, (_, n) => begin + 1 + n),
			);
	}
	t.true(watchingMost <= 5, `${watchingMost} watches`);
	t.is(watching, 0);
	// Whoever waits for its turn at the history leaves at once when it is wanted no more.
	const waiting = Array.from({ length: 20 }, async () => {
		for await (const _ of feed.follow(begin, stop.signal)) stop.abort();
	});
	await Promise.all(waiting);
	t.is(watching, 0);
});
