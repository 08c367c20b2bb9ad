// The histogram against exact order statistics, over the whole range and for every shape fast-check finds.
import test from 'ava';
import * as fc from 'fast-check';
import { Histogram } from './histogram.js';

const QUANTILES = [0, 0.01, 0.25, 0.5, 0.9, 0.95, 0.99, 0.999, 1];

/** Log-uniform over the range, so that every octave is tried. */
const latency = fc.double({ min: -10, max: 30, noNaN: true }).map((exponent) => 2 ** exponent);

test('every quantile is within 0.5 % of the exact nearest-rank value', (t) => {
	fc.assert(
		fc.property(fc.array(latency, { minLength: 1, maxLength: 300 }), (values) => {
			const histogram = new Histogram();
			for (const value of values) histogram.record(value);
			for (const q of QUANTILES) {
				const exact = nearestRank(values, q);
				const error = Math.abs(histogram.quantile(q) - exact) / exact;
				if (error > 0.005) throw new Error(`q ${q}: ${histogram.quantile(q)} for ${exact}`);
			}
		}),
	);
	t.pass();
});

test('count, sum, min and max are exact and quantiles never decrease', (t) => {
	fc.assert(
		fc.property(fc.array(latency, { minLength: 1, maxLength: 200 }), (values) => {
			const histogram = new Histogram({ bits: 3 });
			for (const value of values) histogram.record(value);
			const quantiles = QUANTILES.map((q) => histogram.quantile(q));
			return (
				histogram.count === values.length &&
				histogram.min === Math.min(...values) &&
				histogram.max === Math.max(...values) &&
				Math.abs(histogram.sum - values.reduce((total, value) => total + value, 0)) <= 1e-9 * histogram.sum &&
				quantiles.every((value, index) => index === 0 || value >= (quantiles[index - 1] ?? 0))
			);
		}),
	);
	t.pass();
});

test('merging equals recording everything in one', (t) => {
	fc.assert(
		fc.property(fc.array(latency), fc.array(latency), (left, right) => {
			const one = new Histogram();
			const two = new Histogram();
			const all = new Histogram();
			for (const value of left) one.record(value);
			for (const value of right) two.record(value);
			for (const value of [...left, ...right]) all.record(value);
			one.merge(two);
			return QUANTILES.every((q) => one.quantile(q) === all.quantile(q)) && one.count === all.count;
		}),
	);
	t.throws(() => new Histogram({ bits: 4 }).merge(new Histogram()), { message: /4|7/ });
});

test('the cumulative distribution rises to 1 in few points and keeps the tail', (t) => {
	const histogram = new Histogram();
	for (let i = 1; i <= 100_000; i++) histogram.record(i / 10);
	const points = histogram.cdf();
	t.true(points.length <= 160 && points.length > 80, `${points.length} points`);
	t.true(points.every((point, index) => index === 0 || point.fraction > (points[index - 1]?.fraction ?? 0)));
	t.true(points.every((point, index) => index === 0 || point.value >= (points[index - 1]?.value ?? 0)));
	t.deepEqual(points.at(-1), { value: 10_000, fraction: 1 });
	for (const point of points) t.true(Math.abs(point.value / 10_000 - point.fraction) < 0.01);
});

test('the last hundredth of a long tail has points of its own', (t) => {
	const histogram = new Histogram();
	for (let i = 0; i < 100_000; i++) histogram.record(10 / (1 - (i + 0.5) / 100_000));
	const tail = histogram.cdf().filter((point) => point.fraction > 0.99);
	t.true(tail.length >= 20, `${tail.length} points`);
});

test('values outside the range count at its edges', (t) => {
	const histogram = new Histogram();
	for (const value of [-1, 0, Number.NaN, 1e-9, 1e300, Number.POSITIVE_INFINITY]) histogram.record(value);
	t.is(histogram.count, 6);
	t.is(histogram.quantile(0.5), 0);
	t.is(histogram.max, Number.POSITIVE_INFINITY);
	const empty = new Histogram();
	t.is(empty.quantile(0.99), 0);
	t.is(empty.mean, 0);
	t.deepEqual(empty.cdf(), []);
});

function nearestRank(values: readonly number[], q: number): number {
	const sorted = [...values].sort((left, right) => left - right);
	return sorted[Math.max(0, Math.ceil(q * sorted.length) - 1)] ?? 0;
}
