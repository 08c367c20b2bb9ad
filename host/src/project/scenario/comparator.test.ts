import test from 'ava';
import * as fc from 'fast-check';
import { type Comparator, parseComparator } from './comparator.js';

function comparator(text: string | number): Comparator {
	const parsed = parseComparator(text);
	if ('message' in parsed) throw new Error(parsed.message);
	return parsed;
}

test('a plain number means equality within the rounding of a 32-bit float', (t) => {
	t.true(comparator(0.1).test(Math.fround(0.1)));
	t.true(comparator('3').test(3));
	t.false(comparator('3').test(3.001));
});

test('relations and their borders', (t) => {
	const cases: [string, number, boolean][] = [
		['<5000', 4999, true],
		['<5000', 5000, false],
		['<=5_000', 5000, true],
		['>0', 0, false],
		['>= -1.5', -1.5, true],
		['!=0', 1, true],
		['!=0', 0, false],
		['==1e3', 1000, true],
	];
	for (const [text, value, expected] of cases) t.is(comparator(text).test(value), expected, `${value} ${text}`);
});

test('ranges take both ends in, and percent means a share', (t) => {
	const share = comparator('40%..60%');
	t.true(share.percent);
	t.true(share.test(0.4));
	t.true(share.test(0.6));
	t.false(share.test(0.61));
	t.true(comparator('>= 90 %').test(0.9));
	t.true(comparator('-2..2').test(0));
});

test('what is no comparison is refused with a message', (t) => {
	for (const text of ['', 'five', '<', '1..', '60%..40%', '< 5 apples', '1 2'])
		t.true('message' in parseComparator(text), text);
});

test('any range holds exactly the numbers between its ends', (t) => {
	fc.assert(
		fc.property(
			fc.integer({ min: -1e6, max: 1e6 }),
			fc.nat(1e6),
			fc.integer({ min: -2e6, max: 2e6 }),
			(low, width, value) => {
				t.is(comparator(`${low}..${low + width}`).test(value), value >= low && value <= low + width);
			},
		),
		{ seed: 20_261 },
	);
});

test('no text makes the parser throw', (t) => {
	fc.assert(
		fc.property(fc.string({ maxLength: 40 }), (text) => {
			t.is(typeof parseComparator(text), 'object');
		}),
		{ seed: 20_262 },
	);
});
