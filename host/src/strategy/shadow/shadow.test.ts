// Tests of shadows: nothing they do reaches the live decision, what they did is counted as it was, a share of the core is all they get, and the virtual
// queues tell a strategy that herds from one that does not, whatever the live one does.
import {
	COLUMN_PREFILL_RATE,
	COLUMN_QUEUE_DEPTH,
	COLUMN_RUNNING,
	COLUMN_STATE,
	COLUMN_TPOT_MS,
	HEADER_OUTPUT_OFFSET_WORD,
	HEADER_REQUEST_OFFSET_WORD,
	OUTPUT_COUNT_WORD,
	OUTPUT_ROWS_WORD,
	REQUEST_TICKET_WORD,
	TargetState,
} from '@infermesh/sdk';
import test from 'ava';
import { LOAD_BASE_COLUMN } from '../../fleet/table.js';
import { prepareStrategy } from '../../project/prepare.js';
import type { StrategyModule } from '../runtime/instance.js';
import { Harness, rankRows, written } from '../runtime/testing.js';
import { type ShadowReport, shadowReports } from './report.js';
import { shadowDefaults } from './runner.js';

const fixed = (versionId: number, rows: readonly number[]): StrategyModule => written(versionId, rankRows(rows));

/** Ranks one row, which `expression` leaves on the stack; `$ticket` counts decisions. */
function picks(versionId: number, expression: string): StrategyModule {
	return written(
		versionId,
		`(func (export "rank") (param $frame i32) (result i32) (local $out i32) (local $ticket i32)
		(local.set $out (i32.add (local.get $frame) (i32.load offset=${HEADER_OUTPUT_OFFSET_WORD * 4} (local.get $frame))))
		(local.set $ticket (i32.load offset=${REQUEST_TICKET_WORD * 4}
			(i32.add (local.get $frame) (i32.load offset=${HEADER_REQUEST_OFFSET_WORD * 4} (local.get $frame)))))
		(i32.store offset=${OUTPUT_COUNT_WORD * 4} (local.get $out) (i32.const 1))
		(i32.store offset=${OUTPUT_ROWS_WORD * 4} (local.get $out) ${expression})
		(i32.const 0))`,
	);
}

const shipped = async (name: string, versionId: number): Promise<StrategyModule> => ({
	...(await prepareStrategy(name)).module,
	versionId,
});

interface Run {
	readonly decisions?: number;
	/** Between two decisions. */
	readonly stepMs?: number;
	readonly rows?: number;
	readonly options?: ConstructorParameters<typeof Harness>[1];
}

/** Lets `live` decide with `shadow` in its shadow, on a pool whose rows are alike. */
function run(
	live: StrategyModule,
	shadow: StrategyModule,
	{ decisions = 600, stepMs = 120, rows = 6, options = {} }: Run = {},
) {
	const harness = new Harness(rows, options);
	even(harness);
	harness.add(live, shadow);
	harness.plan({ activeVersionId: live.versionId, shadowVersionId: shadow.versionId });
	for (let i = 0; i < decisions; i++) {
		harness.decide();
		harness.settle();
		harness.clock.advance(stepMs);
	}
	const [report] = shadowReports(harness.decider.shadows());
	return { harness, report: report as ShadowReport };
}

/** All rows ready, equally fast and idle, so that what differs is the strategies' doing. */
function even({ rig }: Harness): void {
	for (let row = 0; row < rig.rows; row++) {
		rig.table.setU32(COLUMN_STATE, row, TargetState.ready);
		rig.table.setF32(COLUMN_PREFILL_RATE, row, 8000);
		rig.table.setF32(COLUMN_TPOT_MS, row, 10);
		for (const column of [COLUMN_QUEUE_DEPTH, COLUMN_RUNNING, LOAD_BASE_COLUMN]) rig.table.setF32(column, row, 0);
		for (const counter of [0, 1, 2, 3]) rig.inflight.add(counter, row, -rig.inflight.total(counter, row));
		rig.inflight.changed(row);
	}
	rig.table.publish();
}

test('agreement, overlap, fuel and runs are counted as they were', (t) => {
	const same = run(fixed(1, [2, 3, 5]), fixed(2, [2, 5, 0])).report;
	t.like(same, {
		strategy: 'written@2',
		model: 'm',
		live: 600,
		ran: 600,
		agreement: 1,
		faults: {},
		verdictsDiffered: 0,
	});
	t.true(Math.abs(same.overlap - 2 / 3) < 1e-9);
	t.true(same.fuel.mean > 0 && same.fuel.max === same.fuel.mean);
	t.is(same.latencyUs.p999, 0, 'the clock of this test stands still while a shadow runs');
	const other = run(fixed(1, [2]), fixed(2, [3])).report;
	t.is(other.agreement, 0);
	t.is(other.overlap, 0);
});

test('live decisions are the same with a shadow, also one that faults, and strikes are the shadow’s alone', (t) => {
	const trap = written(2, '(func (export "rank") (param i32) (result i32) unreachable)');
	const plain = new Harness(6);
	even(plain);
	plain.add(fixed(1, [2, 3]));
	plain.plan({ activeVersionId: 1 });
	const alone = Array.from({ length: 50 }, () => [...plain.decide().rows]);
	const { harness, report } = run(fixed(1, [2, 3]), trap, { decisions: 50 });
	t.deepEqual(
		Array.from({ length: 50 }, () => [...harness.decide().rows]),
		alone,
	);
	t.is(report.faults['trap'], 50);
	t.true(harness.strikes.every(({ versionId, cause }) => versionId === 2 && cause === 'trap'));
	t.true(harness.decided.every(({ cause, versionId }) => cause === 'none' && versionId === 1));
});

test('a row that was taken out after the decision is no fault of the shadow', (t) => {
	const harness = new Harness(6);
	even(harness);
	harness.add(fixed(1, [2]), fixed(2, [4]));
	harness.plan({ activeVersionId: 1, shadowVersionId: 2 });
	harness.decide();
	harness.rig.table.setU32(COLUMN_STATE, 4, TargetState.draining);
	harness.rig.table.publish();
	harness.decider.ready(harness.pool);
	harness.settle();
	t.deepEqual(harness.shadowed, [{ versionId: 2, agreed: false, cause: 'none' }]);
	t.deepEqual(harness.strikes, []);
});

test('a shadow gets its share of the core and no more; what is not run is counted', (t) => {
	const harness = new Harness(6, { shadow: { ...shadowDefaults, cpuShare: 0.1 } });
	even(harness);
	harness.add(fixed(1, [2]), fixed(2, [2]));
	harness.plan({ activeVersionId: 1, shadowVersionId: 2 });
	// Each run takes two milliseconds, and there is a decision every five.
	harness.onShadowed = () => harness.clock.advance(2);
	for (let i = 0; i < 2000; i++) {
		harness.decide();
		harness.settle();
		harness.clock.advance(5);
	}
	const [report] = shadowReports(harness.decider.shadows());
	t.true(report!.cpuShare < 0.12, `${report!.cpuShare}`);
	t.true(report!.cpuShare > 0.08, `${report!.cpuShare}`);
	t.is(report!.ran + report!.skipped.cap + report!.skipped.busy, 2000);
	t.true(report!.skipped.cap > 500);
});

test('a strategy that keeps something between calls is found by re-runs, one that does not is not', (t) => {
	const keeps = picks(
		2,
		'(i32.rem_u (block (result i32) (i32.store (i32.const 512) (i32.add (i32.load (i32.const 512)) (i32.const 1))) (i32.load (i32.const 512))) (i32.const 6))',
	);
	const found = run(fixed(1, [0]), keeps).report;
	t.is(found.reruns.total, 6);
	t.true(found.reruns.differed > 0);
	const sound = run(fixed(1, [0]), picks(2, '(i32.rem_u (local.get $ticket) (i32.const 6))')).report;
	t.like(sound.reruns, { total: 6, differed: 0 });
});

test('a strategy that sends everything to one target is found to herd', (t) => {
	const { report } = run(picks(1, '(i32.rem_u (local.get $ticket) (i32.const 6))'), fixed(2, [3]));
	t.is(report.queues.herding, 'yes', report.queues.why);
	t.true(report.queues.shadow.waitMeanMs > 10 * report.queues.live.waitMeanMs);
	t.is(report.queues.shadow.largestShare, 1);
	t.true(report.queues.live.largestShare < 0.2);
});

test('a strategy that looks at load does not herd, even in the shadow of one that does', async (t) => {
	const least = await shipped('least_request', 2);
	const beside = run(picks(1, '(i32.rem_u (local.get $ticket) (i32.const 6))'), least).report;
	t.is(beside.queues.herding, 'no', beside.queues.why);
	// On the live signals alone it would always name a target that the live strategy leaves idle.
	const behind = run(fixed(1, [0]), least).report;
	t.is(behind.queues.herding, 'no', behind.queues.why);
	t.true(behind.queues.shadow.waitMeanMs < behind.queues.live.waitMeanMs);
	t.true(behind.queues.shadow.largestShare < 0.3);
});

test('with few runs, or an idle fleet, nothing is said of herding', (t) => {
	const few = run(fixed(1, [0]), fixed(2, [3]), { decisions: 100 }).report;
	t.is(few.queues.herding, 'unknown');
	const idle = run(fixed(1, [0]), fixed(2, [3]), { decisions: 300, stepMs: 60_000 }).report;
	t.is(idle.queues.herding, 'unknown');
	t.regex(idle.queues.why, /never busy/);
});

test('the predicted difference follows the common predictor', (t) => {
	const harness = new Harness(6);
	even(harness);
	// Row 3 decodes twice as fast: 5 ms a token less.
	harness.rig.table.setF32(COLUMN_TPOT_MS, 3, 5);
	harness.rig.table.publish();
	harness.add(fixed(1, [0]), fixed(2, [3]));
	harness.plan({ activeVersionId: 1, shadowVersionId: 2 });
	let tokens = 0;
	for (let i = 0; i < 50; i++) {
		harness.decide();
		harness.rig.hits.count = 0;
		tokens += harness.rig.features.tokensOut;
		harness.settle();
	}
	const [report] = shadowReports(harness.decider.shadows());
	const saved = report!.predicted.liveMs - report!.predicted.shadowMs;
	t.true(saved > 0);
	t.true(Math.abs(saved - (5 * tokens) / 50) < 1500, `${saved} ms`);
});

test('workers add up to one report, and a model that has no shadow any more has none', (t) => {
	const first = run(fixed(1, [2]), fixed(2, [2]), { decisions: 100 }).harness;
	const second = run(fixed(1, [2]), fixed(2, [3]), { decisions: 300 }).harness;
	const [report] = shadowReports([...first.decider.shadows(), ...second.decider.shadows()]);
	t.like(report, { workers: 2, live: 400, ran: 400, agreement: 0.25 });
	first.plan({ activeVersionId: 1 });
	first.decide();
	t.deepEqual(first.decider.shadows(), []);
});
