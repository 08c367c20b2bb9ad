// Tests of the forecasts of sequential comparisons, and of off-policy estimates against a world whose truth is known.
import { SeededRandom } from '@infermesh/proto';
import test from 'ava';
import { BettingSequence } from './betting.js';
import { judgeMargin } from './interval.js';
import { type Estimate, estimateOffPolicy, type LoggedDecision, ONE_STEP_LABEL, supportOf } from './off-policy.js';
import { type ForecastOptions, forecastVerdict } from './sample-size.js';

const RANGE = { lower: -0.5, upper: 0.5 } as const;

function forecast(more: Partial<ForecastOptions>): ReturnType<typeof forecastVerdict> {
	return forecastVerdict({
		effect: 0.1,
		differences: { sd: 0.05 },
		sequence: { range: RANGE, cells: 200 },
		margin: 0.01,
		budget: 400,
		runs: 200,
		random: new SeededRandom(1),
		...more,
	});
}

test('the forecast is that of the rule itself: without spread it equals one run of it', (t) => {
	const sequence = new BettingSequence({ range: RANGE, cells: 200 });
	while (judgeMargin(sequence.interval, 0.01) === 'undecided') sequence.observe(0.2);
	const seen = forecast({ effect: 0.2, differences: { sd: 0 }, runs: 3 });
	t.deepEqual([seen.countP50, seen.countP90, seen.countMean], [sequence.count, sequence.count, sequence.count]);
	t.is(seen.shares.win, 1);
	t.is(forecast({ effect: 0.2, differences: { pilot: [0.3, 0.3] }, runs: 3 }).countP50, sequence.count);
});

test('smaller effects and wider spreads take longer; harm is a loss; none is equivalent or undecided', (t) => {
	const large = forecast({ effect: 0.2 });
	const small = forecast({ effect: 0.05 });
	const wide = forecast({ effect: 0.05, differences: { sd: 0.2 } });
	t.true(large.countP50 < small.countP50 && small.countP50 < wide.countP50);
	t.true(small.shares.win > 0.9);
	t.true(forecast({ effect: -0.1 }).shares.loss > 0.99);
	const none = forecast({ effect: 0, margin: 0.05, budget: 600 });
	t.true(none.shares.equivalent > 0.9);
	t.true(none.shares.win + none.shares.loss <= 0.05);
	const out = forecast({ effect: 0.02, differences: { sd: 0.3 }, budget: 5 });
	t.deepEqual([out.shares.undecided, out.countP90], [1, 5]);
	t.deepEqual(forecast({}), forecast({}), 'by seed');
	t.throws(() => forecast({ differences: { pilot: [1] } }), { instanceOf: RangeError });
	t.throws(() => forecast({ budget: 0 }), { instanceOf: RangeError });
});

/** Four targets with known mean outcomes; recorded by a policy that prefers target 0, asked about one that prefers target 3. */
function world(decisions: number, seed: number, predictedOf?: (target: number) => number): LoggedDecision[] {
	const random = new SeededRandom(seed);
	const logging = [0.55, 0.15, 0.15, 0.15];
	const asked = [0.1, 0.1, 0.1, 0.7];
	return Array.from({ length: decisions }, () => {
		const point = random.nextFloat();
		let chosen = 0;
		for (let left = point - (logging[0] as number); left >= 0 && chosen < 3; left -= logging[chosen] as number)
			chosen++;
		const outcome = random.nextFloat() < (MEANS[chosen] as number) ? 1 : 0;
		const decision = {
			propensity: logging[chosen] as number,
			targetProbability: asked[chosen] as number,
			outcome,
		};
		if (predictedOf === undefined) return decision;
		const target = asked.reduce((sum, share, index) => sum + share * predictedOf(index), 0);
		return { ...decision, predicted: { chosen: predictedOf(chosen), target } };
	});
}

const MEANS = [0.5, 0.4, 0.6, 0.9] as const;
const TRUTH = 0.1 * 0.5 + 0.1 * 0.4 + 0.1 * 0.6 + 0.7 * 0.9;

test('IPS, SNIPS and doubly robust find a value that the recording’s own mean does not show', (t) => {
	const result = estimateOffPolicy(
		world(8000, 41, (target) => MEANS[target] as number),
		{ random: new SeededRandom(1) },
	);
	if (result.kind !== 'estimates') return t.fail('refused');
	t.is(result.label, ONE_STEP_LABEL);
	const width = ({ interval }: Estimate): number => interval.upper - interval.lower;
	t.true(Math.abs(result.recorded.value - TRUTH) > 0.15);
	for (const name of ['ips', 'snips', 'doublyRobust'] as const) {
		const estimate = result[name];
		if (estimate === undefined) return t.fail(`${name} is absent`);
		t.log(
			`${name} ${estimate.value.toFixed(4)} [${estimate.interval.lower.toFixed(4)}, ${estimate.interval.upper.toFixed(4)}], truth ${TRUTH}`,
		);
		// Four standard errors: that intervals cover as they say is the next test's.
		t.true(Math.abs(estimate.value - TRUTH) < 2 * width(estimate), name);
	}
	t.true(width(result.snips) < width(result.ips), 'normalising the weights helps');
	t.true(width(result.doublyRobust as Estimate) < width(result.ips), 'a good model helps');
	return undefined;
});

test('intervals cover as they say; doubly robust does with a wrong model too, by the weights', (t) => {
	const covered = { ips: 0, snips: 0, doublyRobust: 0 };
	const runs = 150;
	for (let run = 0; run < runs; run++) {
		const decisions = world(1500, 100 + run, (target) => 1 - (MEANS[target] as number));
		const result = estimateOffPolicy(decisions, { random: new SeededRandom(run) });
		if (result.kind !== 'estimates') return t.fail('refused');
		for (const name of ['ips', 'snips', 'doublyRobust'] as const) {
			const { lower, upper } = (result[name] as Estimate).interval;
			if (lower <= TRUTH && upper >= TRUTH) covered[name]++;
		}
	}
	t.log(`of ${runs} intervals cover: ${JSON.stringify(covered)}`);
	for (const count of Object.values(covered)) t.true(count / runs > 0.87, JSON.stringify(covered));
	return undefined;
});

test('the same policy gets the recorded mean from all three, exactly', (t) => {
	const same = world(1000, 42).map(({ propensity, outcome }) => ({
		propensity,
		targetProbability: propensity,
		outcome,
		predicted: { chosen: 0.3, target: 0.3 },
	}));
	const result = estimateOffPolicy(same, { random: new SeededRandom(1) });
	if (result.kind !== 'estimates') return t.fail('refused');
	for (const estimate of [result.ips, result.snips, result.doublyRobust])
		t.true(Math.abs((estimate?.value ?? 0) - result.recorded.value) < 0.03);
	t.is(result.ips.value, result.recorded.value);
	t.is(result.support.effectiveSampleSize, 1000);
	return undefined;
});

test('thin support is refused, with its reasons', (t) => {
	const random = new SeededRandom(1);
	const few = estimateOffPolicy(world(150, 43), { random });
	t.is(few.kind, 'refused');
	const none = estimateOffPolicy([], { random });
	t.is(none.kind, 'refused');
	const certain = (propensity: number, targetProbability: number): LoggedDecision => ({
		propensity,
		targetProbability,
		outcome: 1,
	});
	const many = Array.from({ length: 30_000 }, (_, index) => certain(1, index < 299 ? 1 : 0));
	const thin = estimateOffPolicy(many, { random });
	t.is(thin.kind === 'refused' ? thin.reasons.length : 0, 1);
	t.regex(thin.kind === 'refused' ? (thin.reasons[0] as string) : '', /effective sample size is 299.0, below 300.0/);
	t.is(estimateOffPolicy([...many, certain(1, 1)], { random }).kind, 'refused');
	t.is(estimateOffPolicy([...many.slice(0, 29_998), certain(1, 1), certain(1, 1)], { random }).kind, 'estimates');
	const heavy = [...Array.from({ length: 5000 }, () => certain(1, 1)), certain(0.0199, 1)];
	const refused = estimateOffPolicy(heavy, { random });
	t.regex(refused.kind === 'refused' ? refused.reasons.join() : '', /weight 50\.3, above 50/);
	t.is(estimateOffPolicy([...heavy.slice(0, 5000), certain(0.02, 1)], { random }).kind, 'estimates');
	const never = (share: number) =>
		estimateOffPolicy(
			Array.from({ length: 1000 }, (_, index) => ({ ...certain(1, 1), unsupported: index < share * 1000 ? 1 : 0 })),
			{ random },
		);
	t.is(never(0.05).kind, 'estimates');
	const untried = never(0.06);
	t.regex(untried.kind === 'refused' ? untried.reasons.join() : '', /6\.0 % of the other strategy’s choices could not/);
});

test('support is told as the formulas say', (t) => {
	const decisions = [
		{ propensity: 0.5, targetProbability: 1, outcome: 0 },
		{ propensity: 0.25, targetProbability: 1, outcome: 0 },
		{ propensity: 0.5, targetProbability: 0, outcome: 0 },
	];
	const support = supportOf(decisions);
	t.is(support.effectiveSampleSize, 36 / 20);
	t.is(support.weightMax, 4);
	t.is(support.weightMean, 2);
	t.is(support.overlap, 2 / 3);
	t.is(support.unsupported, 0);
	t.is(supportOf(decisions.map((one) => ({ ...one, unsupported: 0.5 }))).unsupported, 0.5);
	for (const wrong of [{ propensity: 0 }, { targetProbability: 2 }, { outcome: Number.NaN }])
		t.throws(
			() => estimateOffPolicy([{ ...decisions[0], ...wrong } as LoggedDecision], { random: new SeededRandom(1) }),
			{
				instanceOf: RangeError,
			},
		);
});
