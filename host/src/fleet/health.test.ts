import { TargetState } from '@infermesh/sdk';
import test from 'ava';
import * as fc from 'fast-check';
import {
	afterCheck,
	afterTraffic,
	afterUnreachable,
	type HealthOptions,
	newHealth,
	slowStartOf,
	stateOf,
	type TargetHealth,
	type TargetHold,
	trialsOf,
} from './health.js';

const options: HealthOptions = {
	healthyAfter: 2,
	unhealthyAfter: 3,
	consecutiveFailures: 5,
	errorRatio: 0.5,
	requestsMin: 20,
	windowMs: 10_000,
	ejectionMs: 10_000,
	ejectionMaxMs: 25_000,
	unreachableMs: 1000,
	trialRequests: 2,
	trialSuccesses: 2,
	slowStartMs: 10_000,
	staleAfterMs: 5000,
};

const may = (): boolean => true;
const state = (health: TargetHealth, nowMs: number, hold: TargetHold = 'none'): number =>
	stateOf(health, hold, nowMs, options);
const checks = (health: TargetHealth, results: string, fromMs = 0): TargetHealth =>
	Array.from(results).reduce((now, result, index) => afterCheck(now, result === '+', fromMs + index, options), health);

test('a target with checks is unknown until its first one, which decides at once', (t) => {
	const fresh = newHealth(true);
	t.is(state(fresh, 0), TargetState.unknown);
	t.is(state(checks(fresh, '+'), 1), TargetState.ready);
	t.is(state(checks(fresh, '-'), 1), TargetState.unhealthy);
	t.is(state(newHealth(false), 0), TargetState.ready, 'without checks it counts as serving');
});

test('later checks need a run: three bad ones to take it out, two good ones to bring it back', (t) => {
	const good = checks(newHealth(true), '+');
	t.is(state(checks(good, '--'), 9), TargetState.ready);
	t.is(state(checks(good, '--+--'), 9), TargetState.ready, 'a good one between them starts the run again');
	const out = checks(good, '---');
	t.is(state(out, 9), TargetState.unhealthy);
	t.is(state(checks(out, '+'), 10), TargetState.unhealthy);
	t.is(state(checks(out, '+-+'), 12), TargetState.unhealthy);
	t.is(state(checks(out, '++'), 11), TargetState.ready);
});

test('who comes back gets its traffic back slowly, who was never out gets it all', (t) => {
	const good = checks(newHealth(true), '+');
	t.is(slowStartOf(good, 0, options), 1);
	const back = checks(checks(good, '---'), '++', 1000);
	t.is(back.returnedMs, 1001);
	t.is(slowStartOf(back, 1001, options), 0.1);
	t.true(Math.abs(slowStartOf(back, 6001, options) - 0.55) < 1e-9);
	t.is(slowStartOf(back, 11_001, options), 1);
});

test('failures in a row eject, also over several batches; one success between them does not', (t) => {
	const fresh = newHealth(false);
	const two = afterTraffic(fresh, 2, 2, 2, 0, options, may);
	t.is(state(two, 0), TargetState.ready);
	const ejected = afterTraffic(two, 3, 3, 3, 1, options, may);
	t.is(state(ejected, 1), TargetState.ejected);
	t.is(ejected.ejectedUntilMs, 10_001);
	const mixed = afterTraffic(two, 4, 3, 3, 1, options, may);
	t.is(state(mixed, 1), TargetState.ready, 'the batch began with a success');
	t.is(mixed.liveFailures, 3);
	t.is(state(afterTraffic(mixed, 2, 2, 2, 2, options, may), 2), TargetState.ejected);
});

test('a window with enough requests ejects by its ratio, and a new window forgets', (t) => {
	const few = afterTraffic(newHealth(false), 19, 19, 0, 0, options, may);
	t.is(state(few, 0), TargetState.ready);
	t.is(state(afterTraffic(few, 1, 0, 0, 1, options, may), 1), TargetState.ejected);
	t.is(state(afterTraffic(few, 1, 1, 1, 10_000, options, may), 10_000), TargetState.ready, 'the window is over');
	const half = afterTraffic(newHealth(false), 30, 14, 0, 0, options, may);
	t.is(state(half, 0), TargetState.ready);
});

test('ejections grow longer up to a bound, end by themselves, and do not stack', (t) => {
	let health = newHealth(false);
	let nowMs = 0;
	for (const lengthMs of [10_000, 20_000, 25_000, 25_000]) {
		health = afterTraffic(health, 5, 5, 5, nowMs, options, may);
		t.is(health.ejectedUntilMs - nowMs, lengthMs);
		const during = afterTraffic(health, 9, 9, 9, nowMs + 1, options, may);
		t.is(during.ejectedUntilMs, health.ejectedUntilMs, 'failures of requests still under way change nothing');
		nowMs = health.ejectedUntilMs;
		t.is(state(health, nowMs - 1), TargetState.ejected);
		t.is(state(health, nowMs), TargetState.ready);
		t.is(slowStartOf(health, nowMs, options), 0.1);
	}
});

test('the time a target has been back takes off as much from its next ejection, whatever it had before', (t) => {
	let health = newHealth(false);
	for (let n = 0; n < 4; n++) health = afterTraffic(health, 5, 5, 5, health.ejectedUntilMs, options, may);
	const backMs = health.ejectedUntilMs;
	const longest = afterTraffic(health, 5, 5, 5, backMs, options, may);
	t.is(longest.ejectedUntilMs - backMs, options.ejectionMaxMs);
	const soon = backMs + 3 * options.ejectionMs;
	t.is(afterTraffic(health, 5, 5, 5, soon, options, may).ejectedUntilMs - soon, 2 * options.ejectionMs);
	const late = backMs + 1e9;
	t.is(afterTraffic(health, 5, 5, 5, late, options, may).ejectedUntilMs - late, options.ejectionMs);
});

test('regression: a target that answered while it was out as unreachable comes back with the first good check, not with time alone', (t) => {
	const out = afterUnreachable(checks(newHealth(true), '+'), 1000, options);
	const answered = traffic(out, '+', 1200);
	t.is(state(answered, 1200), TargetState.ejected);
	t.is(state(checks(answered, '+', 1300), 1301), TargetState.ready);
	t.is(afterUnreachable(checks(answered, '+', 1300), 2000, options).ejectedUntilMs, 3000, 'the outage is over');
});

test('whoever may not be ejected is not', (t) => {
	t.is(
		state(
			afterTraffic(newHealth(false), 50, 50, 50, 0, options, () => false),
			0,
		),
		TargetState.ready,
	);
});

test('draining comes before all else, sickness before ejection, and silence degrades', (t) => {
	const ejected = afterTraffic(newHealth(false), 5, 5, 5, 0, options, may);
	t.is(state(ejected, 1, 'draining'), TargetState.draining);
	t.is(state({ ...ejected, serving: false }, 1), TargetState.unhealthy);
	const reporting = { ...newHealth(false), reportedMs: 1000 };
	t.is(state(reporting, 6000), TargetState.ready);
	t.is(state(reporting, 6001), TargetState.degraded);
	t.is(state({ ...reporting, sleeping: true }, 1000), TargetState.unhealthy);
	t.is(state(newHealth(false), 1e9), TargetState.ready, 'one that never reports is not stale');
});

test('whatever happens, an ejection ends within its longest, and slow start stays between a tenth and one', (t) => {
	const event = fc.record({ afterMs: fc.nat(30_000), requests: fc.nat(40), failed: fc.nat(40), check: fc.boolean() });
	fc.assert(
		fc.property(fc.array(event, { maxLength: 60, size: 'max' }), (events) => {
			let nowMs = 0;
			let health = newHealth(true);
			for (const { afterMs, requests, failed, check } of events) {
				nowMs += afterMs;
				const failures = Math.min(requests, failed);
				if (check) health = afterCheck(health, failed % 2 === 0, nowMs, options);
				else if (requests > 0)
					health = afterTraffic(health, requests, failures, failures === requests ? failures : 0, nowMs, options, may);
				t.true(health.ejectedUntilMs <= nowMs + options.ejectionMaxMs);
				t.true(health.windowFailures <= health.windowRequests);
				const share = slowStartOf(health, nowMs, options);
				t.true(share >= 0.1 && share <= 1);
			}
		}),
	);
});

const traffic = (health: TargetHealth, results: string, nowMs: number): TargetHealth =>
	Array.from(results).reduce(
		(now, result) => afterTraffic(now, 1, result === '+' ? 0 : 1, result === '+' ? 0 : 1, nowMs, options, may),
		health,
	);

test('what cannot be reached is out at once, longer each time, and back with the first good check', (t) => {
	const good = checks(newHealth(true), '+');
	const first = afterUnreachable(good, 1000, options);
	t.is(state(first, 1999), TargetState.ejected);
	t.is(state(first, 2000), TargetState.ready);
	t.is(afterUnreachable(first, 1500, options), first, 'what other workers say of the same outage adds nothing');
	const second = afterUnreachable(first, 2000, options);
	t.is(second.ejectedUntilMs, 4000);
	let worst = second;
	for (let i = 0; i < 40; i++) worst = afterUnreachable(worst, worst.ejectedUntilMs, options);
	t.is(worst.ejectedUntilMs - worst.returnedMs, 0);
	const from = worst.ejectedUntilMs;
	t.is(afterUnreachable(worst, from, options).ejectedUntilMs, from + options.ejectionMaxMs);
	const back = checks(second, '+', 2500);
	t.is(state(back, 2500), TargetState.ready);
	t.is(slowStartOf(back, 2500, options), 0.1);
	t.is(back.trial, 0, 'a check is no request: the trial stands');
	t.is(afterUnreachable(traffic(back, '+', 2600), 3000, options).ejectedUntilMs, 4000, 'a success starts over');
});

test('after an ejection a few requests try the target: enough successes bring it back, one failure takes it out again', (t) => {
	const out = traffic(checks(newHealth(true), '+'), '-----', 1000);
	t.is(state(out, 10_999), TargetState.ejected);
	t.is(trialsOf(out, options), 2);
	t.is(trialsOf(traffic(out, '+', 5000), options), 2, 'what was under way when it was ejected proves nothing');
	const half = traffic(out, '+', 11_500);
	t.is(trialsOf(half, options), 2);
	t.is(trialsOf(traffic(half, '+', 11_600), options), 0);
	const again = traffic(half, '-', 11_700);
	t.is(state(again, 11_700), TargetState.ejected);
	t.is(again.ejections, 2);
	t.is(trialsOf(newHealth(false), options), 0);
});
