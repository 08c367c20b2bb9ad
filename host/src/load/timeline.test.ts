// The timeline: sums survive the merging of bins, memory stays bounded, in-flight is carried over quiet bins.
import test from 'ava';
import * as fc from 'fast-check';
import { OTHER_LABEL, Timeline } from './timeline.js';

const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);

test('however long the run, sums are kept in at most binsMax bins of equal columns', (t) => {
	fc.assert(
		fc.property(fc.array(fc.integer({ min: 0, max: 10_000_000 }), { minLength: 1, maxLength: 200 }), (times) => {
			const timeline = new Timeline({ binsMax: 16, widthMs: 10 });
			for (const atMs of times) {
				timeline.add(atMs, 'sent');
				timeline.add(atMs, 'outputTokens', 3);
				timeline.ttft(atMs, 50);
				timeline.answered(atMs, 'a', 'b');
			}
			const end = Math.max(...times);
			const result = timeline.result(end);
			const { widthMs, targets, strategies, ...columns } = result;
			const lengths = new Set([...Object.values(columns), ...Object.values(targets)].map((column) => column.length));
			return (
				lengths.size === 1 &&
				result.sent.length <= 16 &&
				widthMs * 16 > end &&
				sum(result.sent) === times.length &&
				sum(result.outputTokens) === times.length * 3 &&
				sum(targets['a'] ?? []) === times.length &&
				sum(strategies['b'] ?? []) === times.length
			);
		}),
	);
	t.pass();
});

test('in flight is the highest of a bin and stays as it was where nothing happened', (t) => {
	const timeline = new Timeline({ widthMs: 10 });
	timeline.inFlight(1, 1);
	timeline.inFlight(2, 2);
	timeline.inFlight(41, 1);
	timeline.inFlight(62, 0);
	timeline.inFlight(75, 0);
	t.deepEqual(timeline.result(90).inFlight, [2, 2, 2, 2, 2, 2, 1, 0, 0, 0]);
});

test('labels beyond the bound are counted together', (t) => {
	const timeline = new Timeline({ labelsMax: 2 });
	for (const target of ['a', 'b', 'c', 'd', 'a']) timeline.answered(5, target, undefined);
	t.deepEqual(timeline.result(50).targets, { a: [2], b: [1], [OTHER_LABEL]: [2] });
});

test('TTFT is shown where its request was due, null where none was', (t) => {
	const timeline = new Timeline({ widthMs: 10 });
	timeline.ttft(25, 100);
	const { ttftP50Ms, ttftP95Ms } = timeline.result(39);
	t.deepEqual(ttftP50Ms, [null, null, 100, null]);
	t.deepEqual(ttftP95Ms, [null, null, 100, null]);
});
