// Watches over random histories tell every event once and in order; those too far behind are told so.
import test from 'ava';
import * as fc from 'fast-check';
import type { StoreEvent, WatchHandlers } from '../consensus/engine.js';
import { Store } from './store.js';
import { selection, transaction } from './testing/arbitraries.js';
import { ModelStore, matches } from './testing/model.js';
import { put, restored, run, write } from './testing/run.js';
import { WatchHub } from './watch-hub.js';

class Recorder implements WatchHandlers {
	readonly events: StoreEvent[] = [];
	readonly revisions: number[] = [];
	readonly progress: number[] = [];
	readonly compacted: number[] = [];
	onEvents = (events: readonly StoreEvent[], revision: number) => {
		this.events.push(...events);
		this.revisions.push(revision);
	};
	onProgress = (revision: number) => void this.progress.push(revision);
	onCompacted = (revision: number) => void this.compacted.push(revision);
}

const noFault = (error: unknown) => {
	throw error;
};

function drain(hub: WatchHub): void {
	while (hub.pump());
}

test('random histories, watches from anywhere, pumps at any time: no event lost, repeated or out of order', (t) => {
	const step = fc.oneof(
		{ weight: 6, arbitrary: transaction.map((transaction) => ({ kind: 'write' as const, transaction })) },
		{ weight: 2, arbitrary: fc.constant({ kind: 'pump' as const }) },
		{
			weight: 2,
			arbitrary: fc
				.tuple(selection, fc.nat(20))
				.map(([selection, back]) => ({ kind: 'watch' as const, selection, back })),
		},
		{ weight: 1, arbitrary: fc.nat(5).map((which) => ({ kind: 'cancel' as const, which })) },
	);
	let told = 0;
	fc.assert(
		fc.property(fc.array(step, { minLength: 5, maxLength: 60, size: 'max' }), (steps) => {
			const store = new Store();
			const model = new ModelStore();
			const hub = new WatchHub(store, noFault);
			const watches: {
				recorder: Recorder;
				from: number;
				selection: Parameters<typeof matches>[0];
				cancel: () => void;
			}[] = [];
			const cancelled: { recorder: Recorder; count: number }[] = [];
			for (const step of steps) {
				if (step.kind === 'write') {
					model.transact(step.transaction);
					run(store, { kind: 'transact', transaction: step.transaction });
				} else if (step.kind === 'pump') hub.pump();
				else if (step.kind === 'watch') {
					const recorder = new Recorder();
					const from = Math.max(0, store.revision + 3 - step.back);
					const watch = hub.watch(step.selection, from, recorder);
					watches.push({ recorder, from, selection: step.selection, cancel: () => watch.cancel() });
				} else {
					const [watch] = watches.splice(step.which, 1);
					watch?.cancel();
					if (watch !== undefined) cancelled.push({ recorder: watch.recorder, count: watch.recorder.events.length });
				}
			}
			drain(hub);
			for (const { recorder, from, selection } of watches) {
				const expected = model.events
					.slice(from + 1)
					.flat()
					.filter((event) => matches(selection, event.kind === 'put' ? event.current.key : event.key));
				t.deepEqual(recorder.events, expected);
				t.deepEqual(
					recorder.revisions,
					[...new Set(recorder.revisions)].sort((a, b) => a - b),
				);
				told += expected.length;
			}
			for (const { recorder, count } of cancelled) t.is(recorder.events.length, count);
			t.is(hub.size, watches.length);
		}),
		{ numRuns: 300 },
	);
	t.true(told > 500, `${told} events`);
});

test('one who wants what is compacted away is told from where to read, and hears no more', (t) => {
	const store = new Store();
	const hub = new WatchHub(store, noFault);
	for (let i = 0; i < 10; i++) put(store, 'k', `${i}`);
	run(store, { kind: 'compact', revision: 6 });
	const [early, edge] = [new Recorder(), new Recorder()];
	hub.watch({ key: 'k' }, 5, early);
	hub.watch({ key: 'k' }, 6, edge);
	drain(hub);
	put(store, 'k');
	drain(hub);
	t.deepEqual(early.compacted, [6]);
	t.deepEqual(early.events, []);
	t.deepEqual(edge.compacted, []);
	t.deepEqual(
		edge.events.map((event) => event.kind === 'put' && event.current.modRevision),
		[7, 8, 9, 10, 11, 12],
	);
});

test('a level watcher whom the history outran is told so; one told in time goes on', (t) => {
	const store = new Store();
	run(store, {
		kind: 'configure',
		settings: { quotaBytes: 1 << 20, historyRevisionsMax: 10, historyBytesMax: 1 << 20 },
	});
	const hub = new WatchHub(store, noFault);
	const recorder = new Recorder();
	hub.watch({ prefix: '' }, store.revision, recorder);
	drain(hub);
	for (let i = 0; i < 8; i++) put(store, 'k');
	drain(hub);
	t.is(recorder.events.length, 8);
	for (let i = 0; i < 12; i++) put(store, 'k');
	drain(hub);
	t.deepEqual(recorder.compacted, [store.compactedRevision]);
	t.is(recorder.events.length, 8);
	t.is(hub.size, 0);
});

test('after a restore, watches within the restored history go on without gap; those before it are told', (t) => {
	const source = new Store();
	for (let i = 0; i < 20; i++) put(source, 'k', `${i}`);
	const store = new Store();
	for (let i = 0; i < 5; i++) put(store, 'k', `${i}`);
	const hub = new WatchHub(store, noFault);
	const recorder = new Recorder();
	hub.watch({ prefix: '' }, 1, recorder);
	drain(hub);
	t.is(recorder.events.length, 5);
	const take = (pieces: Iterable<Uint8Array>) => {
		const restore = store.beginRestore();
		for (const piece of pieces) restore.push(piece);
		restore.finish();
	};
	take(source.snapshot());
	drain(hub);
	t.is(recorder.events.length, 20);
	for (let i = 0; i < 20; i++) put(source, 'k');
	run(source, { kind: 'compact', revision: source.revision - 2 });
	take(restored(source.snapshot()).snapshot());
	drain(hub);
	t.is(recorder.events.length, 20);
	t.deepEqual(recorder.compacted, [source.revision - 2]);
});

test('a handler that throws ends its own watch only, and its fault is reported', (t) => {
	const store = new Store();
	const faults: unknown[] = [];
	const hub = new WatchHub(store, (error) => void faults.push(error));
	const good = new Recorder();
	hub.watch({ key: 'k' }, 1, {
		onCompacted: () => undefined,
		onEvents: () => {
			throw new Error('bad watcher');
		},
	});
	hub.watch({ key: 'k' }, 1, good);
	put(store, 'k');
	drain(hub);
	put(store, 'k');
	drain(hub);
	t.is(good.events.length, 2);
	t.is(faults.length, 1);
	t.is(hub.size, 1);
});

test('progress tells level watchers where they stand, and no revision they were not told of', (t) => {
	const store = new Store();
	const hub = new WatchHub(store, noFault);
	const recorder = new Recorder();
	hub.watch({ key: 'elsewhere' }, 1, recorder);
	drain(hub);
	put(store, 'k');
	hub.progress();
	drain(hub);
	hub.progress();
	t.deepEqual(recorder.progress, [1, 2]);
});

test('a long history is told in bounded steps, and other watchers are not kept waiting', (t) => {
	const store = new Store();
	for (let i = 0; i < 9_000; i++) put(store, 'k');
	for (let i = 0; i < 500; i++)
		write(store, ...Array.from({ length: 100 }, (_, n) => ({ put: `many/${n}`, value: new Uint8Array(0) })));
	const hub = new WatchHub(store, noFault);
	const [late, live] = [new Recorder(), new Recorder()];
	hub.watch({ prefix: '' }, 1, late);
	hub.watch({ key: 'live' }, store.revision, live);
	t.true(hub.pump());
	put(store, 'live');
	let pumps = 1;
	while (hub.pump()) pumps++;
	t.true(pumps > 2, `${pumps} pumps`);
	t.is(late.events.length, 9_000 + 50_000 + 1);
	t.is(live.events.length, 1);
});
