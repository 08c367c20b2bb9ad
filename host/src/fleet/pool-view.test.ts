import { COLUMN_STATE, columns, TargetState } from '@infermesh/sdk';
import test from 'ava';
import * as fc from 'fast-check';
import {
	createInflight,
	DECODES,
	InflightReader,
	InflightWriter,
	PREFILL_PAIRS,
	PREFILL_TOKENS,
	REQUESTS,
} from './inflight.js';
import { CHANGE_LOG_ENTRIES, HOLE, PoolView } from './pool-view.js';
import {
	createFleetTable,
	FleetTableReader,
	FleetTableWriter,
	GENERATION_COLUMN,
	LOAD_BASE_COLUMN,
	TRIALS_COLUMN,
	UNREACHABLE_SEEN_COLUMN,
} from './table.js';

const ROWS = 48;
/** Rows on which random events often meet. */
const FEW = 6;
const KV_USAGE = columns.findIndex(({ name }) => name === 'kv_usage');

function fleet(workers = 2) {
	const table = createFleetTable(ROWS);
	const inflight = createInflight(ROWS, workers);
	return {
		writer: new FleetTableWriter(table),
		writers: Array.from({ length: workers }, (_, worker) => new InflightWriter(inflight, worker)),
		open: (rows: readonly number[], generations?: readonly number[], allowed?: Uint32Array) =>
			new PoolView(new FleetTableReader(table), new InflightReader(inflight), rows, generations, allowed),
	};
}

/** Everything a view says, to compare an incremental one with one opened now. */
function picture(view: PoolView): unknown {
	const { eligible, eligibleCount, doubtful, inflight, load, activeDecodes, activeDecodeTokens } = view;
	const { pendingPrefillTokens, pendingPrefillPairs, prefillAtMs } = view;
	return [
		eligible,
		eligibleCount,
		doubtful,
		inflight,
		load,
		pendingPrefillTokens,
		pendingPrefillPairs,
		prefillAtMs,
		activeDecodes,
		activeDecodeTokens,
	].map((part) => (typeof part === 'number' ? part : Array.from(part)));
}

test('ready and degraded targets are eligible, all others are not, nor are holes', (t) => {
	const { writer, open } = fleet();
	const states = Object.values(TargetState);
	states.forEach((state, row) => writer.setU32(COLUMN_STATE, row, state));
	writer.publish();
	const view = open([...states.keys(), HOLE]);
	states.forEach((state, row) =>
		t.is(view.isEligible(row), state === TargetState.ready || state === TargetState.degraded, `state ${state}`),
	);
	t.false(view.isEligible(states.length), 'the hole');
	t.false(view.isEligible(1000));
	t.is(view.eligibleCount, 2);
});

test('doubtful is who is out by checks or ejection, and by no decision, policy or other target', (t) => {
	const { writer, open } = fleet();
	const states = Object.values(TargetState);
	states.forEach((state, row) => writer.setU32(COLUMN_STATE, row, state));
	writer.publish();
	const view = open([...states.keys(), HOLE]);
	states.forEach((state, row) =>
		t.is(view.isDoubtful(row), state === TargetState.unhealthy || state === TargetState.ejected, `state ${state}`),
	);
	t.false(view.isDoubtful(states.length), 'the hole');
	const row = states.indexOf(TargetState.unhealthy);
	t.true(open([row]).isDoubtful(0));
	t.false(open([row], undefined, Uint32Array.of(0)).isDoubtful(0), 'closed by a policy');
	t.false(open([row], [9]).isDoubtful(0), 'another target');
});

test('a row that stands for another target now is not eligible here', (t) => {
	const { writer, open } = fleet();
	writer.setU32(COLUMN_STATE, 4, TargetState.ready);
	writer.setU32(GENERATION_COLUMN, 4, 7);
	writer.publish();
	const view = open([4], [7]);
	t.true(view.isEligible(0));
	writer.setU32(GENERATION_COLUMN, 4, 8);
	writer.publish();
	view.sync();
	t.false(view.isEligible(0));
});

test('load is the report corrected by what was sent since, and never less than what is in flight', (t) => {
	const { writer, writers, open } = fleet();
	writer.setF32(LOAD_BASE_COLUMN, 1, 5);
	writer.publish();
	const view = open([1]);
	t.is(view.load[0], 5);
	writers[0]?.add(REQUESTS, 1, 3);
	writers[0]?.changed(1);
	view.sync();
	t.is(view.load[0], 8);
	writer.setF32(LOAD_BASE_COLUMN, 1, -2);
	writer.publish();
	view.sync();
	t.is(view.load[0], 3, 'the report is older than its requests');
});

test('a view that syncs now and then is the same as one opened now, whatever happened between', (t) => {
	const event = fc.oneof(
		fc.record({
			kind: fc.constant('state' as const),
			row: fc.nat(FEW - 1),
			value: fc.constantFrom(...Object.values(TargetState)),
		}),
		fc.record({ kind: fc.constant('base' as const), row: fc.nat(FEW - 1), value: fc.integer({ min: -5, max: 20 }) }),
		fc.record({ kind: fc.constant('inflight' as const), row: fc.nat(FEW - 1), value: fc.nat(9) }),
		fc.record({ kind: fc.constant('publish' as const), row: fc.constant(0), value: fc.constant(0) }),
		fc.record({ kind: fc.constant('sync' as const), row: fc.constant(0), value: fc.constant(0) }),
	);
	const pool = fc.uniqueArray(fc.nat(FEW - 1), { minLength: 1, maxLength: FEW });
	fc.assert(
		fc.property(pool, fc.array(event, { maxLength: 120, size: 'max' }), (rows, events) => {
			const { writer, writers, open } = fleet();
			const view = open(rows);
			for (const { kind, row, value } of events) {
				if (kind === 'state') writer.setU32(COLUMN_STATE, row, value);
				else if (kind === 'base') writer.setF32(LOAD_BASE_COLUMN, row, value);
				else if (kind === 'publish') writer.publish();
				else if (kind === 'sync') view.sync();
				else {
					const worker = writers[value % 2];
					worker?.add([REQUESTS, PREFILL_TOKENS, DECODES, PREFILL_PAIRS][value % 4] as number, row, value);
					worker?.beginPrefill(row, value);
					worker?.changed(row);
				}
			}
			view.sync();
			t.deepEqual(picture(view), picture(open(rows)));
		}),
		{ numRuns: 200 },
	);
});

test('the change log names every row of the pool that changed, and no other', (t) => {
	const { writer, writers, open } = fleet();
	const view = open([10, 20, 30]);
	const from = view.changeHead;
	writer.setF32(KV_USAGE, 20, 0.5);
	writer.setF32(KV_USAGE, 40, 0.5);
	writer.publish();
	writers[1]?.add(REQUESTS, 30, 1);
	writers[1]?.changed(30);
	writers[1]?.changed(41);
	view.sync();
	const logged = Array.from({ length: view.changeHead - from }, (_, i) => view.changedRow(from + i));
	t.deepEqual(
		logged.sort((a, b) => a - b),
		[1, 2],
	);
});

test('a view too far behind copies everything, and says so', (t) => {
	const { writer, writers, open } = fleet();
	const view = open([0, 1]);
	const full = view.fullVersion;
	for (let i = 0; i < 20_000; i++) {
		writers[0]?.add(REQUESTS, i % 2, 1);
		writers[0]?.changed(i % 2);
	}
	view.sync();
	t.deepEqual([...view.inflight], [10_000, 10_000]);
	t.is(view.fullVersion, full + 1);
	for (let i = 0; i < 3 * ROWS * CHANGE_LOG_ENTRIES; i += ROWS) {
		writer.setF32(KV_USAGE, i % 2, i);
		writer.publish();
	}
	view.sync();
	t.false(view.moved());
});

test('a target that one worker cannot reach is out for all at their next look, until the agent has judged', (t) => {
	const { writer, writers, open } = fleet();
	for (const row of [0, 1]) writer.setU32(COLUMN_STATE, row, TargetState.ready);
	writer.publish();
	const views = [open([0, 1]), open([1, 0])];
	writers[1]?.markUnreachable(0);
	for (const view of views) view.sync();
	t.deepEqual(
		views.map((view) => [view.isEligible(0), view.isEligible(1), view.eligibleCount]),
		[
			[false, true, 1],
			[true, false, 1],
		],
	);
	t.true(views[0]?.isDoubtful(0), 'what is left of a pool of which nothing can be reached');
	writer.setU32(UNREACHABLE_SEEN_COLUMN, 0, 1);
	writer.publish();
	for (const view of views) view.sync();
	t.deepEqual(
		views.map((view) => view.eligibleCount),
		[2, 2],
	);
	t.false(views[0]?.isDoubtful(0));
	writers[0]?.markUnreachable(0);
	t.false(open([0]).isEligible(0), 'a view opened meanwhile knows it too');
});

test('a target on trial takes so many requests at once, over all workers', (t) => {
	const { writer, writers, open } = fleet();
	writer.setU32(COLUMN_STATE, 0, TargetState.ready);
	writer.setU32(TRIALS_COLUMN, 0, 2);
	writer.publish();
	const view = open([0]);
	const after = (worker: number, amount: number): boolean => {
		writers[worker]?.add(REQUESTS, 0, amount);
		writers[worker]?.changed(0);
		view.sync();
		return view.isEligible(0);
	};
	t.deepEqual([after(0, 1), after(1, 1), view.isDoubtful(0), after(0, -1)], [true, false, true, true]);
	writer.setU32(TRIALS_COLUMN, 0, 0);
	writer.publish();
	t.true(after(0, 40));
});
