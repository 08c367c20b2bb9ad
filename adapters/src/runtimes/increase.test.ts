// Quantiles of histogram increases: values by hand, and properties.
import test from 'ava';
import * as fc from 'fast-check';
import { quantileOf } from './increase.js';

const seed = Number(process.env['INFERMESH_TEST_SEED'] ?? Date.now() % 0x7fff_ffff);

function of(bounds: readonly number[], cumulative: readonly number[], count = cumulative.at(-1) ?? 0) {
	return { bounds, cumulative, count, sum: 0 };
}

test('interpolates inside a bucket', (t) => {
	t.is(quantileOf(of([1, 2, Infinity], [10, 20, 20]), 0.5), 1);
	t.is(quantileOf(of([1, 2, Infinity], [10, 20, 20]), 0.75), 1.5);
	t.is(quantileOf(of([1, 2, Infinity], [10, 20, 20]), 0.25), 0.5);
	t.is(quantileOf(of([1, 2, 4, Infinity], [0, 0, 10, 10]), 0.5), 3);
});

test('knows nothing beyond the last finite bound', (t) => {
	t.is(quantileOf(of([1, 2, Infinity], [0, 5, 100]), 0.95), 2);
	t.is(quantileOf(of([1, 2], [0, 5], 100), 0.95), 2);
	t.is(quantileOf(of([Infinity], [5]), 0.95), undefined);
	t.is(quantileOf(of([], []), 0.95), undefined);
	t.is(quantileOf(of([1, Infinity], [0, 0]), 0.95), undefined);
});

test('bears buckets that lag behind each other', (t) => {
	t.is(quantileOf(of([1, 2, 4, Infinity], [10, 8, 20, 20]), 0.75), 3);
});

test('lies in the bucket of the value with that rank', (t) => {
	t.log(`seed ${seed}`);
	const bounds = [0.5, 1, 2, 4, 8];
	const property = fc.property(
		fc.array(fc.double({ min: 0.001, max: 8, noNaN: true }), { minLength: 1, maxLength: 200 }),
		fc.double({ min: 0.01, max: 1, noNaN: true }),
		(values, q) => {
			const cumulative = [...bounds, Infinity].map((bound) => values.filter((value) => value <= bound).length);
			const estimate = quantileOf(of([...bounds, Infinity], cumulative), q) ?? Number.NaN;
			const exact = values.toSorted((a, b) => a - b)[Math.max(0, Math.ceil(q * values.length) - 1)] ?? Number.NaN;
			const upper = bounds.find((bound) => exact <= bound) ?? Number.NaN;
			const lower = bounds[bounds.indexOf(upper) - 1] ?? 0;
			return estimate >= lower - 1e-9 && estimate <= upper + 1e-9;
		},
	);
	fc.assert(property, { seed, numRuns: 500 });
	t.pass();
});
