import test from 'ava';
import { LearnedSignals, type Observation } from './learned.js';

const TIME_CONSTANT_MS = 5000;

const good: Observation = { ok: true, ttftMs: 100, tpotMs: 10, uncachedTokens: 1000, concurrent: 4 };
const bad: Observation = { ok: false, ttftMs: 0, tpotMs: 0, uncachedTokens: 0, concurrent: 1 };

function near(value: number, expected: number, within = 0.01): boolean {
	return Math.abs(value - expected) <= within * Math.max(1, Math.abs(expected));
}

test('nothing is known before the first request', (t) => {
	const learned = new LearnedSignals(TIME_CONSTANT_MS);
	t.deepEqual(
		[learned.ttftMs, learned.ttftP95Ms, learned.tpotMs, learned.tpotP95Ms, learned.errorRatioAt(0)],
		[0, 0, 0, 0, 0],
	);
	t.is(learned.prefillRate, undefined);
	t.is(learned.decodeRate, undefined);
});

test('a smoothed signal has forgotten all but 37 % of the past after its time constant', (t) => {
	const learned = new LearnedSignals(TIME_CONSTANT_MS);
	learned.add(good, 0);
	t.is(learned.ttftMs, 100);
	learned.add({ ...good, ttftMs: 200 }, TIME_CONSTANT_MS);
	t.true(near(learned.ttftMs, 200 - 100 / Math.E), `${learned.ttftMs}`);
});

test('many observations in one instant still count', (t) => {
	const learned = new LearnedSignals(TIME_CONSTANT_MS);
	learned.add(good, 0);
	for (let i = 0; i < 200; i++) learned.add({ ...good, ttftMs: 300 }, 0);
	t.true(learned.ttftMs > 290, `${learned.ttftMs}`);
});

test('p95 is that of the last 128 requests', (t) => {
	const learned = new LearnedSignals(TIME_CONSTANT_MS);
	for (let i = 0; i < 500; i++) learned.add({ ...good, ttftMs: 10_000 }, i);
	for (let i = 1; i <= 128; i++) learned.add({ ...good, ttftMs: i, tpotMs: i / 10 }, 500 + i);
	t.is(learned.ttftP95Ms, 122);
	t.true(near(learned.tpotP95Ms, 12.2));
});

test('rates wait for eight requests with prompts long enough to tell', (t) => {
	const learned = new LearnedSignals(TIME_CONSTANT_MS);
	for (let i = 0; i < 50; i++) learned.add({ ...good, uncachedTokens: 63 }, i);
	t.is(learned.prefillRate, undefined);
	for (let i = 0; i < 7; i++) learned.add(good, i);
	t.is(learned.prefillRate, undefined);
	learned.add(good, 8);
	t.is(learned.prefillRate, 10_000);
	t.is(learned.decodeRate, 400, 'four sequences at once, ten milliseconds a token');
});

test('queueing lowers some requests’ rate and hardly the learned one', (t) => {
	const learned = new LearnedSignals(TIME_CONSTANT_MS);
	for (let i = 0; i < 100; i++) learned.add({ ...good, ttftMs: i % 4 === 0 ? 100 : 900 }, i);
	t.is(learned.prefillRate, 10_000);
});

test('failures teach no latency', (t) => {
	const learned = new LearnedSignals(TIME_CONSTANT_MS);
	learned.add(good, 0);
	learned.add({ ...bad, ttftMs: 1 }, 1);
	t.is(learned.ttftMs, 100);
	t.true(learned.errorRatioAt(1) > 0);
});

test('an error ratio fades while there are no requests: who is avoided for it is tried again some day', (t) => {
	const learned = new LearnedSignals(TIME_CONSTANT_MS);
	for (let i = 0; i < 50; i++) learned.add(bad, i);
	t.is(learned.errorRatioAt(49), 1);
	t.true(near(learned.errorRatioAt(49 + TIME_CONSTANT_MS), 1 / Math.E));
	t.is(learned.errorRatioAt(49 + 8 * TIME_CONSTANT_MS), 0);
	t.is(learned.errorRatioAt(0), 1, 'a clock that is behind changes nothing');
});

test('errors are forgotten when the target comes back, latencies are not', (t) => {
	const learned = new LearnedSignals(TIME_CONSTANT_MS);
	learned.add(good, 0);
	learned.add(bad, 1);
	learned.forgetErrors();
	t.is(learned.errorRatioAt(1), 0);
	t.is(learned.ttftMs, 100);
});
