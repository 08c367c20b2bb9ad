// Tests of the statistics for one look: sign-flip test, bootstrap, quantiles, exact binomial bounds, margins.
import { SeededRandom } from '@infermesh/proto';
import test from 'ava';
import * as fc from 'fast-check';
import { incompleteBeta, logGamma } from './beta.js';
import { binomialUpper, clopperPearson } from './binomial.js';
import { bootstrapInterval } from './bootstrap.js';
import { judgeMargin } from './interval.js';
import { mean, variance } from './moments.js';
import { standardNormal } from './normal.js';
import { quantile, quantileOfSorted } from './quantile.js';
import { type SignFlipOptions, signFlipTest } from './sign-flip.js';

const close = (seen: number, expected: number, relative = 1e-9): boolean =>
	Math.abs(seen - expected) <= relative * Math.max(1e-12, Math.abs(expected));

const flips = (alternative: SignFlipOptions['alternative'], seed = 1, draws = 9999): SignFlipOptions => ({
	alternative,
	draws,
	random: new SeededRandom(seed),
});

test('gamma and incomplete beta equal SciPy 1.17', (t) => {
	for (const [z, expected] of [
		[0.5, 0.5723649429247],
		[5.5, 3.9578139676187165],
		[100.25, 360.28455963776423],
	] as const)
		t.true(close(logGamma(z), expected), `${z}`);
	t.true(Math.abs(logGamma(1)) < 1e-12);
	for (const [a, b, x, expected] of [
		[2, 3, 0.4, 0.5248],
		[0.5, 0.5, 0.3, 0.36901011956554536],
		[50, 951, 0.06, 0.9220755007204664],
		[2000, 3000, 0.41, 0.9252621262083036],
	] as const)
		t.true(close(incompleteBeta(x, a, b), expected), `${a}, ${b}, ${x}`);
	t.is(incompleteBeta(0, 2, 3), 0);
	t.is(incompleteBeta(1, 2, 3), 1);
});

test('Clopper and Pearson’s bounds equal SciPy 1.17', (t) => {
	for (const [successes, trials, lower, upper] of [
		[0, 10, 0, 0.3084971078187607],
		[1, 10, 0.0025285785444617848, 0.4450161170281954],
		[5, 10, 0.18708602844739855, 0.8129139715526015],
		[10, 10, 0.6915028921812392, 1],
		[3, 1000, 0.0006190999316495713, 0.008742023238478303],
		[50, 1000, 0.03733539760466178, 0.06539048791549364],
	] as const) {
		const seen = clopperPearson(successes, trials);
		t.true(close(seen.lower, lower) && close(seen.upper, upper), `${successes} of ${trials}: ${JSON.stringify(seen)}`);
	}
	// The rule of three's exact form.
	t.true(close(binomialUpper(0, 100), 1 - 0.05 ** 0.01));
	t.throws(() => clopperPearson(3, 2), { instanceOf: RangeError });
});

test('the sign-flip test counts patterns exactly', (t) => {
	// 1 + 2 + 3: of 8 sums only +6 reaches 6.
	t.deepEqual(signFlipTest([1, 2, 3], flips('greater')), { p: 1 / 8, exact: true, patterns: 8 });
	t.is(signFlipTest([1, 2, 3], flips('two-sided')).p, 2 / 8);
	t.is(signFlipTest([1, 2, 3], flips('less')).p, 1);
	// 2 + 1 − 1 = 2: sums 4, 2, 2, 0, 0, −2, −2, −4.
	t.is(signFlipTest([2, 1, -1], flips('greater')).p, 3 / 8);
	// Ties of sums in another order: 0.1 + 0.2 and 0.3 in floats.
	t.is(signFlipTest([0.1, 0.2, -0.3], flips('greater')).p, signFlipTest([1, 2, -3], flips('greater')).p);
	t.is(signFlipTest([], flips('greater')).p, 1);
	t.is(signFlipTest([0, 0, 0], flips('two-sided')).p, 1);
	t.is(
		signFlipTest(
			Array.from({ length: 20 }, () => 1),
			flips('greater'),
		).p,
		2 ** -20,
	);
});

test('beyond 20 values patterns are drawn, with the +1 rule and by seed', (t) => {
	const random = new SeededRandom(4);
	const values = Array.from({ length: 30 }, () => standardNormal(random) + 0.3);
	const first = signFlipTest(values, flips('two-sided', 8));
	t.deepEqual(signFlipTest(values, flips('two-sided', 8)), first);
	t.deepEqual([first.exact, first.patterns], [false, 9999]);
	// Against the normal approximation of the permutation distribution.
	const sum = values.reduce((total, one) => total + one, 0);
	const z = Math.abs(sum) / Math.sqrt(values.reduce((total, one) => total + one * one, 0));
	const normal = tail(z);
	t.true(Math.abs(first.p - normal) < 0.25 * normal + 0.005, `${first.p} against ${normal}`);
	t.is(
		signFlipTest(
			Array.from({ length: 40 }, () => 1),
			flips('greater', 1, 99),
		).p,
		1 / 100,
	);
	t.throws(() => signFlipTest(values, flips('greater', 1, 0)), { instanceOf: RangeError });
});

test('under symmetric differences the sign-flip test keeps its level', (t) => {
	const random = new SeededRandom(6);
	let rejected = 0;
	const runs = 2000;
	for (let run = 0; run < runs; run++) {
		// Heavy tails: a normal over a uniform.
		const values = Array.from({ length: 8 }, () => standardNormal(random) / (0.05 + random.nextFloat()));
		if (signFlipTest(values, flips('two-sided')).p <= 0.05) rejected++;
	}
	t.log(`seed 6: ${rejected} of ${runs}`);
	t.true(binomialUpper(rejected, runs) <= 0.062 && rejected / runs > 0.03, `${rejected}`);
});

test('bootstrap intervals of a mean agree with the normal ones and cover as they say', (t) => {
	const random = new SeededRandom(9);
	const runs = 300;
	let covered = 0;
	for (let run = 0; run < runs; run++) {
		const values = Array.from({ length: 60 }, () => standardNormal(random));
		const { lower, upper } = bootstrapInterval(values, mean, { random, resamples: 400 });
		if (lower <= 0 && upper >= 0) covered++;
		if (run > 0) continue;
		const half = 1.96 * Math.sqrt(variance(values) / 60);
		t.true(Math.abs((upper - lower) / 2 / half - 1) < 0.2, `${(upper - lower) / 2} against ${half}`);
	}
	t.log(`seed 9: ${covered} of ${runs}`);
	t.true(covered / runs > 0.9 && covered / runs < 0.98, `${covered}`);
});

test('of a series whose neighbours agree, blocks give the wider and truer interval', (t) => {
	const random = new SeededRandom(10);
	const runs = 150;
	const covered = { pairs: 0, blocks: 0 };
	for (let run = 0; run < runs; run++) {
		let value = 0;
		const series = Array.from({ length: 400 }, () => (value = 0.8 * value + standardNormal(random)));
		const has = (blockLength: number): number => {
			const { lower, upper } = bootstrapInterval(series, mean, { random, resamples: 300, blockLength });
			return lower <= 0 && upper >= 0 ? 1 : 0;
		};
		covered.pairs += has(1);
		covered.blocks += has(25);
	}
	t.log(`seed 10: ${covered.pairs} by items, ${covered.blocks} by blocks, of ${runs}`);
	t.true(covered.pairs / runs < 0.7);
	t.true(covered.blocks / runs > 0.82);
});

test('a bootstrap is repeatable, and refuses what it cannot do', (t) => {
	const again = () => bootstrapInterval([1, 5, 2, 8], mean, { random: new SeededRandom(2) });
	t.deepEqual(again(), again());
	t.deepEqual(bootstrapInterval([3, 3], mean, { random: new SeededRandom(2) }), { lower: 3, upper: 3 });
	const random = new SeededRandom(2);
	t.throws(() => bootstrapInterval([], mean, { random }), { instanceOf: RangeError });
	t.throws(() => bootstrapInterval([1], mean, { random, blockLength: 2 }), { instanceOf: RangeError });
	t.throws(() => bootstrapInterval([1], mean, { random, level: 1 }), { instanceOf: RangeError });
});

test('quantiles are of nearest rank, moments are the usual ones', (t) => {
	const values = [15, 20, 35, 40, 50];
	t.deepEqual(
		[0, 0.05, 0.3, 0.4, 0.5, 1].map((share) => quantileOfSorted(values, share)),
		[15, 15, 20, 20, 35, 50],
	);
	t.is(quantile([3, 1, 2], 0.5), 2);
	t.is(quantile([], 0.5), Number.NaN);
	t.is(quantile([], 0.5, 0), 0);
	t.is(mean(values), 32);
	t.is(variance(values), 207.5);
	const random = new SeededRandom(12);
	const draws = Array.from({ length: 20_000 }, () => standardNormal(random));
	t.true(Math.abs(mean(draws)) < 0.03 && Math.abs(variance(draws) - 1) < 0.05);
});

test('a margin is won, lost or met by the whole interval only', (t) => {
	t.is(judgeMargin({ lower: 0.02, upper: 0.1 }, 0.01), 'win');
	t.is(judgeMargin({ lower: 0.005, upper: 0.1 }, 0.01), 'undecided');
	t.is(judgeMargin({ lower: -0.3, upper: -0.001 }, 0.01), 'loss');
	t.is(judgeMargin({ lower: -0.01, upper: 0.01 }, 0.01), 'equivalent');
	t.is(judgeMargin({ lower: -0.02, upper: 0.01 }, 0.01), 'undecided');
	t.is(judgeMargin({ lower: 0.001, upper: 0.002 }, 0), 'win');
	t.throws(() => judgeMargin({ lower: 0, upper: 0 }, -1), { instanceOf: RangeError });
	const bound = fc.double({ min: -1, max: 1, noNaN: true });
	fc.assert(
		fc.property(bound, bound, (a, b) => {
			const interval = { lower: Math.min(a, b), upper: Math.max(a, b) };
			const verdict = judgeMargin(interval, 0.1);
			const mirrored = judgeMargin({ lower: -interval.upper, upper: -interval.lower }, 0.1);
			return verdict !== 'win' || mirrored === 'loss';
		}),
		{ seed: 3 },
	);
});

/** Two-sided normal tail, by Simpson's rule. */
function tail(z: number): number {
	const steps = 2000;
	const width = (10 - z) / steps;
	let sum = 0;
	for (let i = 0; i <= steps; i++) {
		const weight = i === 0 || i === steps ? 1 : i % 2 === 1 ? 4 : 2;
		sum += weight * Math.exp(-((z + i * width) ** 2) / 2);
	}
	return (2 * sum * width) / 3 / Math.sqrt(2 * Math.PI);
}
