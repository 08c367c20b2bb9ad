// Tests of the hard guardrails: each rule at its limit and one step below, its guard, muting by the baseline, and that a trip stays.
import test from 'ava';
import { faultOf } from '../../records/records.js';
import type { ArmName } from '../cohorts/cohort.js';
import { falseRollbackGuards, type GuardrailRule, guardrailDefaults, guardrailRules } from './guardrail-rules.js';
import type { GuardrailSample, TargetLoad } from './guardrail-sample.js';
import {
	type GuardrailWindows,
	guardrailWindowsSchema,
	TOLD_SAMPLES_MAX,
	TOLD_TARGETS_MAX,
} from './guardrail-windows.js';
import { Guardrails } from './guardrails.js';

const calm: readonly TargetLoad[] = [
	{ id: 'a', inFlight: 5, waiting: 0 },
	{ id: 'b', inFlight: 6, waiting: 0 },
];

function sample(atMs: number, more: Partial<GuardrailSample> = {}): GuardrailSample {
	return { atMs, arm: 'candidate', decisions: 100, decisionTimeouts: 0, traps: 0, targets: calm, ...more };
}

/** One sample a second for so long; `of` says what is special about each. */
function watch(
	seconds: number,
	of: (second: number) => Partial<GuardrailSample>,
	rails = new Guardrails(guardrailDefaults, 0),
	fromMs = 0,
) {
	for (let second = 0; second <= seconds; second++) rails.observe(sample(fromMs + second * 1000, of(second)));
	return rails;
}

const rule = (rails: Guardrails): GuardrailRule | undefined => rails.trip?.rule;

test('a calm fleet trips nothing', (t) => {
	t.is(rule(watch(600, () => ({}))), undefined);
	t.is(watch(5, () => ({})).tick(10_000), undefined);
});

test('timeouts: more than 0.1 % over 10 s, at least three', (t) => {
	// 1,000 decisions in a window of 10 s: 1 is the limit, 3 the guard.
	const timeouts = (counts: readonly number[]) => watch(30, (second) => ({ decisionTimeouts: counts[second] ?? 0 }));
	t.is(rule(timeouts([0, 0, 2])), undefined, 'two are below the guard');
	t.is(rule(timeouts([0, 1, 1, 1])), 'decision_timeouts');
	t.is(rule(timeouts([1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1])), undefined, 'never three within 10 s');
	const busy = watch(30, (second) => ({ decisions: 1000, decisionTimeouts: second % 2 }));
	t.is(rule(busy), undefined, '5 of 10,000 in a window are below the share');
	t.is(rule(watch(30, () => ({ decisions: 1000, decisionTimeouts: 2 }))), 'decision_timeouts');
	t.is(
		rule(watch(30, () => ({ arm: 'baseline', decisionTimeouts: 50 }))),
		undefined,
		'the baseline’s are not the candidate’s',
	);
});

test('traps: the first one', (t) => {
	t.is(rule(watch(3, (second) => ({ traps: second === 2 ? 1 : 0 }))), 'traps');
	t.is(rule(watch(3, () => ({ arm: 'baseline', traps: 1 }))), undefined);
});

/** Four targets; the busiest has `most`, the others one. */
const uneven = (most: number): readonly TargetLoad[] =>
	['a', 'b', 'c', 'd'].map((id, index) => ({ id, inFlight: index === 0 ? most : 1, waiting: 0 }));

test('imbalance: more than 3 times the mean for 30 s on end, and not with a handful of requests', (t) => {
	t.is(rule(watch(29, () => ({ targets: uneven(40) }))), undefined);
	t.is(rule(watch(30, () => ({ targets: uneven(40) }))), 'imbalance');
	t.is(rule(watch(60, () => ({ targets: uneven(9) }))), undefined, '9 of 12 is just three times the mean');
	t.is(rule(watch(90, (second) => ({ targets: uneven(second % 20 === 0 ? 1 : 40) }))), undefined, 'interrupted');
	const few = ['a', 'b', 'c', 'd'].map((id, index) => ({ id, inFlight: index === 0 ? 7 : 0, waiting: 0 }));
	t.is(rule(watch(90, () => ({ targets: few }))), undefined, 'seven requests are below the guard');
});

/** The queue of `a` grows by `rate` a second; `b` idles or not. */
const starving =
	(rate: number, idle: boolean) =>
	(second: number): Partial<GuardrailSample> => ({
		targets: [
			{ id: 'a', inFlight: 5, waiting: Math.floor(rate * second) },
			{ id: 'b', inFlight: idle ? 0 : 1, waiting: 0 },
			{ id: 'c', inFlight: 4, waiting: 1 },
		],
	});

test('starvation: a queue that grows for 60 s while another target idles', (t) => {
	t.is(rule(watch(59, starving(1, true))), undefined);
	t.is(rule(watch(60, starving(1, true))), 'starvation');
	t.is(rule(watch(120, starving(1, false))), undefined, 'nobody idles');
	t.is(rule(watch(60, starving(0.05, true))), undefined, 'three more are below the guard');
	t.is(rule(watch(120, () => starving(1, true)(10))), undefined, 'it does not grow');
	const unknown = (second: number): Partial<GuardrailSample> => ({
		targets: (starving(1, true)(second).targets ?? []).map(({ id, inFlight }) => ({
			id,
			inFlight,
			waiting: undefined,
		})),
	});
	t.is(rule(watch(120, unknown)), undefined, 'engines that do not tell their queue');
	// At two samples a second, and with one that comes late.
	const rails = new Guardrails(guardrailDefaults, 0);
	for (const atMs of [0, 500, 1000, 30_000, 59_900, 60_100])
		rails.observe(sample(atMs, starving(1, true)(atMs / 1000)));
	t.is(rule(rails), 'starvation');
});

test('what the baseline does as well is muted, and what was built up under one arm is not the other’s', (t) => {
	const byArm = (arm: ArmName) => () => ({ arm, targets: uneven(40) });
	const rails = watch(30, byArm('baseline'));
	t.is(rule(rails), undefined);
	t.deepEqual(rails.muted, ['imbalance']);
	t.is(rule(watch(60, byArm('candidate'), rails, 40_000)), undefined);
	const mixed = watch(20, byArm('baseline'));
	watch(20, byArm('candidate'), mixed, 21_000);
	t.is(rule(mixed), undefined, '20 s under each');
	watch(15, byArm('candidate'), mixed, 42_000);
	t.is(rule(mixed), 'imbalance');
});

test('attainment: three blocks in a row 5 points below the lowest of the last baseline blocks, or one 50 points below', (t) => {
	const block = (arm: ArmName, attainment: number, requests = 500) => ({ atMs: 1, arm, attainment, requests });
	const after = (...blocks: ReturnType<typeof block>[]) => {
		const rails = new Guardrails(guardrailDefaults, 0);
		for (const one of blocks) rails.observeBlock(one);
		return rule(rails);
	};
	/** Blocks of the candidate in turn with the baseline's. */
	const turns = (baseline: number, ...candidates: number[]) =>
		candidates.flatMap((one) => [block('baseline', baseline), block('candidate', one)]);
	t.is(after(block('candidate', 0.1)), undefined, 'nothing to compare with');
	t.is(after(...turns(0.9, 0.84, 0.84)), undefined);
	t.is(after(...turns(0.9, 0.84, 0.84, 0.84)), 'attainment');
	t.is(after(...turns(0.9, 0.84, 0.85, 0.84, 0.84)), undefined, 'not in a row');
	t.is(
		after(...turns(0.9, 0.84, 0.84), block('baseline', 0.8), block('candidate', 0.76)),
		undefined,
		'the lowest counts',
	);
	const old = [block('baseline', 0.5), ...[1, 2, 3].map(() => block('baseline', 0.9))];
	t.is(after(...old, ...turns(0.9, 0.76, 0.76, 0.76)), 'attainment', 'only the last three');
	t.is(after(...turns(0.9, 0.4)), undefined);
	t.is(after(...turns(0.9, 0.39)), 'attainment', 'a collapse');
	t.is(after(block('baseline', 0.9), block('candidate', 0.1, 99)), undefined, 'too few requests');
});

test('telemetry that stays away trips, from the start on', (t) => {
	const rails = new Guardrails(guardrailDefaults, 0);
	t.is(rails.tick(15_000), undefined);
	t.is(rails.tick(15_001)?.rule, 'telemetry');
	const late = watch(3, () => ({}));
	t.is(late.tick(18_000), undefined);
	t.is(late.tick(18_001)?.rule, 'telemetry');
});

test('a trip stays the first, and every rule says its guard', (t) => {
	const rails = watch(3, () => ({ traps: 1 }));
	const first = rails.trip;
	watch(60, () => ({ targets: uneven(40) }), rails, 10_000);
	t.deepEqual(rails.trip, first);
	t.deepEqual(Object.keys(falseRollbackGuards).toSorted(), [...guardrailRules].toSorted());
});

test('a trip tells the course of what its rule watched, up to its limit and past it', (t) => {
	const course = (rails: Guardrails) => rails.trip?.course;
	const herding = course(watch(40, (second) => ({ targets: second < 5 ? calm : uneven(40) })));
	t.like(herding, { limit: 3 });
	t.is(herding?.points.length, 36, 'until it tripped');
	t.deepEqual(herding?.points.at(-1), [35_000, 40 / (43 / 4)]);
	t.true((herding?.points[0]?.[1] ?? 9) < 3);
	const waiting = course(watch(70, starving(1, true)));
	t.deepEqual([waiting?.points[0], waiting?.points.at(-1), waiting?.limit], [[0, 0], [60_000, 60], 4]);
	t.deepEqual(course(watch(3, (second) => ({ traps: second === 2 ? 1 : 0 })))?.points.at(-1), [2000, 1]);
	const late = course(watch(30, (second) => ({ decisionTimeouts: second > 20 ? 5 : 0 })));
	t.deepEqual([late?.limit, late?.points.at(-1)], [0.001, [21_000, 0.05]]);
	const rails = new Guardrails(guardrailDefaults, 0);
	for (const [block, attainment] of [0.9, 0.95, 0.3].entries())
		rails.observeBlock({ atMs: block * 1000, arm: block < 2 ? 'baseline' : 'candidate', requests: 200, attainment });
	t.deepEqual(course(rails)?.points, [], 'blocks are in the record');
	t.true(Math.abs((course(rails)?.limit ?? 0) - 0.4) < 1e-9);
	t.is(course(watchless()), undefined, 'what was not seen has no course');
});

function watchless(): Guardrails {
	const rails = new Guardrails(guardrailDefaults, 0);
	rails.tick(20_000);
	return rails;
}

test('what builds up is told small, and goes on elsewhere: starvation, timeouts and imbalance trip as if one node had looked', (t) => {
	const plain = new Guardrails(guardrailDefaults, 0);
	t.is(watch(60, () => ({}), plain).windows(), undefined, 'nothing builds up');
	const handOver = (of: (second: number) => Partial<GuardrailSample>, atS: number, gapS: number): Guardrails => {
		const windows = JSON.parse(JSON.stringify(watch(atS, of).windows())) as GuardrailWindows;
		t.true(windows.samples.length <= TOLD_SAMPLES_MAX);
		t.is(faultOf(guardrailWindowsSchema, windows), undefined);
		const next = new Guardrails(guardrailDefaults, (atS + gapS) * 1000);
		next.resume(windows, (atS + gapS) * 1000);
		return next;
	};
	/** Seconds of looks by the second node until it trips. */
	const until = (rails: Guardrails, of: (second: number) => Partial<GuardrailSample>, fromS: number): number => {
		let second = 0;
		while (rails.trip === undefined && second < 200) {
			second++;
			rails.observe(sample((fromS + second) * 1000, of(second)));
		}
		return second;
	};
	const herding = () => ({ targets: uneven(40) });
	t.is(until(handOver(herding, 20, 9), herding, 29), 10, '20 s of 30 were seen before');
	const starved = starving(1, true);
	t.is(
		until(handOver(starved, 45, 9), (second) => starved(45 + second), 54),
		15,
	);
	const timeouts = () => ({ decisionTimeouts: 1 });
	t.is(until(handOver(timeouts, 1, 3), timeouts, 4), 1, 'the third within the window');
	const many = (targets: number) => () => ({
		targets: Array.from({ length: targets }, (_, at) => ({ id: `t${at}`, inFlight: at % 2, waiting: 0 })),
	});
	const grown = Array.from({ length: 1000 }, (_, at) => ({ id: `t${at}`, inFlight: at % 2, waiting: (at % 2) * at }));
	const large = watch(40, many(1000));
	large.observe(sample(41_000, { targets: grown }));
	const told = large.windows();
	t.true((told?.samples ?? []).every(({ targets }) => targets.length <= TOLD_TARGETS_MAX));
	t.true(JSON.stringify(told).length < 40_000, `${JSON.stringify(told).length} bytes`);
	const old = watch(20, herding).windows();
	const late = new Guardrails(guardrailDefaults, 100_000);
	if (old !== undefined) late.resume(old, 100_000);
	t.is(until(late, herding, 100), 31, 'what is older than a minute says nothing of now');
	const other = handOver(herding, 20, 1);
	other.observe(sample(22_000, { arm: 'baseline', targets: uneven(40) }));
	t.is(until(other, herding, 22), 31, 'nor what was seen under the other arm');
	// A lone node restarts: the fleet is empty first, which neither ends the imbalance nor adds to it, for ten seconds.
	const restarted = (): Guardrails => {
		const windows = watch(20, herding).windows() as GuardrailWindows;
		const rails = new Guardrails(guardrailDefaults, 25_000);
		rails.resume({ ...windows, restarted: true }, 25_000);
		return rails;
	};
	const fills = (emptyS: number) => (second: number) => ({ targets: second <= emptyS ? uneven(0) : uneven(40) });
	t.is(until(restarted(), fills(4), 25), 14, 'four empty seconds, and the ten that were left');
	t.is(until(restarted(), fills(10), 25), 41, 'a fleet that stays empty is balanced');
	const refilled = restarted();
	for (const [second, inFlight] of [40, 0, 40].entries())
		refilled.observe(sample((26 + second) * 1000, { targets: uneven(inFlight) }));
	t.is(until(refilled, herding, 28), 30, 'once it is full it is judged as ever');
});
