// Tests of off-policy estimates over recordings made by the real recorder: a strategy that explores is recorded, outcomes depend on the target alone, and what another
// strategy would get is known.
import { SeededRandom } from '@infermesh/proto';
import test from 'ava';
import { parseSlo } from '../../load/slo.js';
import type { StrategyModule } from '../../strategy/runtime/instance.js';
import { rankRows, written } from '../../strategy/runtime/testing.js';
import { Replay, replayDefaults } from '../replay/replay.js';
import { entryOf, RecordedBench } from '../testing.js';
import { evaluateOffPolicy } from './evaluate.js';
import { type ModelPoint, predictOutcomes } from './outcome-model.js';
import { renderOffPolicy } from './text.js';

const SLO = 'ttft<150ms';
/** Sets the temperature of the answer: scores are 0, 1, 2, … in the order of the rows. */
const WARM = '(f32.store offset=36 (local.get $out) (f32.const 1))';

const explorer = written(1, rankRows([0, 1, 2, 3], WARM));
const sure = (row: number): StrategyModule => written(2, rankRows([row]));

/** Milliseconds of target `row`: only 0 and 1 meet the objective. */
const ttftOf = (row: number): number => 100 + 40 * row;

interface Recorded {
	/** Of the host's exploration. */
	readonly explorationRatio?: number;
	readonly decisions?: number;
	readonly strategy?: StrategyModule;
	/** Of the outcome of a decision; undefined = it was not recorded. */
	readonly outcome?: (index: number, row: number) => Parameters<RecordedBench['outcome']>[1] | undefined;
}

function record({
	decisions = 1200,
	strategy = explorer,
	explorationRatio = 0,
	outcome = (_, row) => ({ ttftMs: ttftOf(row) }),
}: Recorded = {}) {
	const bench = new RecordedBench({ calm: true, decider: { explorationRatio } });
	bench.harness.add(strategy);
	bench.harness.plan({ activeVersionId: strategy.versionId });
	bench.writer.strategy(entryOf(strategy), undefined);
	for (let i = 0; i < decisions; i++) {
		bench.decide(1);
		const made = bench.decisions[i];
		const row = made?.out.rows[made.out.chosen];
		const more = made === undefined || row === undefined ? undefined : outcome(i, row);
		if (more !== undefined && made !== undefined) bench.outcome(made.id, { poolRow: row ?? 0, ...more });
		if (i % 50 === 0) bench.drain();
	}
	return bench.finish();
}

function evaluate(files: ReturnType<typeof record>, against: StrategyModule, slo = SLO) {
	return evaluateOffPolicy({ files, against, slo: parseSlo(slo), sloText: slo, seed: 1, version: 'test' });
}

test('what a strategy without exploration would get is found in the recording of one that explores', (t) => {
	const files = record();
	for (const row of [0, 1, 2]) {
		const report = evaluate(files, sure(row));
		t.is(report.decisions, 1200);
		const { ttftMs, attainment } = report.outcomes;
		if (ttftMs.kind !== 'estimates' || attainment.kind !== 'estimates') {
			// Row 2 is drawn by one decision in twelve: too few for an estimate.
			t.is(row, 2);
			continue;
		}
		t.true(Math.abs(ttftMs.snips.value - ttftOf(row)) < 1e-3, 'outcomes hang on the target alone');
		t.true(Math.abs(ttftMs.ips.value - ttftOf(row)) < 0.2 * ttftOf(row));
		t.true(ttftMs.doublyRobust !== undefined);
		t.is(attainment.snips.value, ttftOf(row) < 150 ? 1 : 0);
		t.true(Math.abs(ttftMs.support.weightMean - 1) < 0.2);
		t.is(ttftMs.support.unsupported, 0);
		t.regex(report.label, /one-step deviation/);
	}
	t.deepEqual(evaluate(files, sure(1)), evaluate(files, sure(1)), 'repeatable');
});

test('the strategy itself gets what was recorded, its own draw included', (t) => {
	const report = evaluate(record(), { ...explorer, versionId: 3 });
	const { ttftMs } = report.outcomes;
	if (ttftMs.kind !== 'estimates') return t.fail(JSON.stringify(ttftMs));
	t.true(Math.abs(ttftMs.support.effectiveSampleSize - 1200) < 1e-3);
	t.true(Math.abs(ttftMs.ips.value - ttftMs.recorded.value) < 1e-3);
	return undefined;
});

test('a recording without exploration is refused, however many decisions agree', (t) => {
	const files = record({ strategy: sure(0) });
	const agrees = evaluate(files, { ...sure(0), versionId: 9 });
	t.true(agrees.ok);
	const differs = evaluate(files, written(4, rankRows([1])));
	t.false(differs.ok);
	const { attainment } = differs.outcomes;
	t.is(attainment.kind, 'refused');
	t.regex(
		attainment.kind === 'refused' ? attainment.reasons.join() : '',
		/100\.0 % of the other strategy’s choices could not/,
	);
});

test('failures count as not met, who left tells nothing, and what does not count is counted', (t) => {
	const random = new SeededRandom(5);
	const files = record({
		outcome: (index, row) => {
			if (index % 10 === 0) return undefined;
			if (index % 10 === 1) return { status: 'cancelled', ttftMs: 0 };
			if (index % 10 === 2) return { status: 'upstream_error', ttftMs: 0 };
			return { ttftMs: ttftOf(row) + random.nextFloat() };
		},
	});
	const report = evaluate(files, { ...explorer, versionId: 3 }, 'ttft<10s');
	t.deepEqual(report.skipped, {
		not_routed: 0,
		forced: 0,
		moved: 0,
		not_sent: 0,
		fault: 0,
		no_outcome: 120,
		cancelled: 120,
	});
	const { attainment, ttftMs } = report.outcomes;
	if (attainment.kind !== 'estimates' || ttftMs.kind !== 'estimates') return t.fail('refused');
	t.is(attainment.support.decisions, 960);
	t.true(Math.abs(attainment.recorded.value - 840 / 960) < 1e-9);
	t.is(ttftMs.support.decisions, 840);
	return undefined;
});

test('decisions on which the other strategy fails do not count', (t) => {
	const report = evaluate(record({ decisions: 60 }), written(5, rankRows([0], 'unreachable')));
	t.is(report.skipped.fault, 60);
	t.false(report.ok);
});

test('of a hedged decision the copy that brought the answer counts', (t) => {
	const bench = new RecordedBench({ calm: true });
	bench.harness.add(explorer);
	bench.harness.plan({ activeVersionId: 1 });
	bench.writer.strategy(entryOf(explorer), undefined);
	for (let i = 0; i < 300; i++) {
		bench.decide(1);
		const id = bench.decisions[i]?.id ?? '';
		bench.outcome(id, { ttftMs: 900, hedge: 'first', lost: true });
		bench.outcome(id, { ttftMs: 100 });
		if (i % 50 === 0) bench.drain();
	}
	const { ttftMs } = evaluate(bench.finish(), { ...explorer, versionId: 3 }).outcomes;
	t.is(ttftMs.kind === 'estimates' ? ttftMs.recorded.value : 0, 100);
});

test('the outcome model finds a line, and never predicts a decision from itself', (t) => {
	const points: ModelPoint[] = Array.from({ length: 40 }, (_, i) => ({
		chosenMs: i,
		targetMs: 2 * i,
		outcome: 5 + 3 * i,
	}));
	predictOutcomes(points).forEach(({ chosen, target }, i) => {
		t.true(Math.abs(chosen - (5 + 3 * i)) < 1e-9);
		t.true(Math.abs(target - (5 + 6 * i)) < 1e-9);
	});
	const changed = points.map((point, i) => (i === 7 ? { ...point, outcome: 1e6 } : point));
	t.is(predictOutcomes(changed)[7]?.chosen, predictOutcomes(points)[7]?.chosen);
	t.deepEqual(predictOutcomes([{ chosenMs: 1, targetMs: 1, outcome: 2 }]), [{ chosen: 0, target: 0 }]);
});

test('a report reads as text: estimates with their support, refusals with their reasons', (t) => {
	const files = record();
	const text = renderOffPolicy(evaluate(files, sure(0)));
	t.regex(text, /asked {6}\S+ \([0-9a-f]{16}\) on 1200 decisions\n/);
	t.regex(text, /SNIPS +100\.0 +\[/);
	t.regex(text, /one-step deviation/);
	const refused = renderOffPolicy(evaluate(record({ decisions: 50 }), sure(0)));
	t.regex(refused, /objectives, %: REFUSED\n {2}the effective sample size is/);
});

test('the host’s own exploration makes any strategy’s recording tell of others, and replays bit for bit', (t) => {
	const careful = written(6, rankRows([0, 1, 2, 3]));
	const files = record({ strategy: careful, explorationRatio: 0.8, decisions: 2000 });
	const replayed = new Replay(
		files,
		{ ...replayDefaults, version: 'test' },
		{ given: [careful], against: [], prepare: () => undefined as never },
	).run();
	t.like(replayed.identity, { checked: 2000, identical: 2000, different: 0 });
	for (const row of [1, 3]) {
		const { ttftMs } = evaluate(files, sure(row)).outcomes;
		if (ttftMs.kind !== 'estimates') return t.fail(JSON.stringify(ttftMs));
		t.true(Math.abs(ttftMs.snips.value - ttftOf(row)) < 1e-3);
		t.true(Math.abs(ttftMs.support.weightMax - 5) < 1e-4, 'each row but the first is drawn by one decision in five');
		t.true(Math.abs(ttftMs.support.weightMean - 1) < 0.2);
	}
	return undefined;
});
