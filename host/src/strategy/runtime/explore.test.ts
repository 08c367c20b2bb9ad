import test from 'ava';
import * as fc from 'fast-check';
import { Decision } from './decision.js';
import { explore, exploreEvenly, spread } from './explore.js';

function decision(scores: readonly number[], temperature: number): Decision {
	const out = new Decision();
	out.count = scores.length;
	out.temperature = temperature;
	scores.forEach((score, i) => {
		out.rows[i] = i;
		out.scores[i] = score;
	});
	return out;
}

test('without temperature, or without a choice, the best row is taken for certain', (t) => {
	for (const out of [decision([1, 2, 3], 0), decision([1], 5), decision([], 5)]) {
		explore(out, 0.99);
		t.is(out.chosen, 0);
		t.is(out.propensity, 1);
	}
});

test('equal scores are equally likely; a temperature of the difference makes the better one e times as likely', (t) => {
	const out = decision([4, 4, 4, 4], 1);
	explore(out, 0.6);
	t.is(out.chosen, 2);
	t.is(out.propensity, 0.25);
	const two = decision([10, 12], 2);
	explore(two, 0.99);
	t.is(two.chosen, 1);
	t.true(Math.abs(two.propensity - 1 / (1 + Math.E)) < 1e-9);
});

test('the propensities of all draws add up to one, and each row is drawn as often as its propensity says', (t) => {
	const score = fc.float({ min: -1000, max: 1000, noNaN: true });
	fc.assert(
		fc.property(
			fc.array(score, { minLength: 2, maxLength: 16 }),
			fc.float({ min: Math.fround(0.01), max: 1e6, noNaN: true }),
			(scores, temperature) => {
				const draws = 2000;
				const drawn = new Map<number, { count: number; propensity: number }>();
				for (let n = 0; n < draws; n++) {
					const out = decision(scores, temperature);
					explore(out, n / draws);
					const seen = drawn.get(out.chosen) ?? { count: 0, propensity: out.propensity };
					seen.count++;
					drawn.set(out.chosen, seen);
					t.true(Number.isFinite(out.propensity) && out.propensity > 0 && out.propensity <= 1 + 1e-12);
				}
				const sum = [...drawn.values()].reduce((total, { propensity }) => total + propensity, 0);
				t.true(sum <= 1 + 1e-9 && sum > 1 - scores.length / draws - 1e-9, `${sum}`);
				for (const { count, propensity } of drawn.values()) t.true(Math.abs(count / draws - propensity) <= 2 / draws);
			},
		),
		{ numRuns: 60 },
	);
});

test('scores that a strategy did not put in order are drawn by what they are', (t) => {
	const out = decision([900, 0], 1);
	explore(out, 0.5);
	t.is(out.chosen, 1);
	t.is(out.propensity, 1);
});

test('rows that cost little more than the best are drawn evenly, others never', (t) => {
	const out = decision([100, 110, 125, 126], 0);
	const chosen = [0, 0.3, 0.34, 0.66, 0.67, 0.999].map((draw) => {
		spread(out, 0.25, draw);
		return out.chosen;
	});
	t.deepEqual(chosen, [0, 0, 1, 1, 2, 2]);
	t.is(out.propensity, 1 / 3);
	const alone = decision([100, 126], 0);
	spread(alone, 0.25, 0.999);
	t.deepEqual([alone.chosen, alone.propensity], [0, 1]);
	const free = decision([0, 0, 1], 0);
	spread(free, 0.25, 0.999);
	t.is(free.chosen, 1, 'a best that costs nothing has only its equals');
	const negative = decision([-100, -80, -70], 0);
	spread(negative, 0.25, 0.999);
	t.is(negative.chosen, 1);
});

test('exploring evenly, every ranked row has its probability, and the best has the rest', (t) => {
	const counts = [0, 0, 0, 0];
	const out = decision([1, 2, 3, 9], 0);
	for (let i = 0; i < 10_000; i++) {
		exploreEvenly(out, 0.4, (i + 0.5) / 10_000);
		counts[out.chosen] = (counts[out.chosen] as number) + 1;
		t.true(Math.abs(out.propensity - (out.chosen === 0 ? 0.7 : 0.1)) < 1e-12);
	}
	t.deepEqual(counts, [7000, 1000, 1000, 1000]);
	exploreEvenly(out, 1, 0.999_999_999_999_999_9);
	t.is(out.chosen, 3);
});
