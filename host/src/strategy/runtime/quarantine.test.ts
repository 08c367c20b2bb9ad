import test from 'ava';
import { innocent, isQuarantined, type QuarantineState, quarantineDefaults, strike } from './quarantine.js';

function strikes(times: readonly number[], from: QuarantineState = innocent): QuarantineState {
	return times.reduce((state, at) => strike(state, at, quarantineDefaults), from);
}

test('three strikes within a minute quarantine for five minutes, then double up to an hour', (t) => {
	let state = strikes([0, 1000]);
	t.false(isQuarantined(state, 1001));
	state = strikes([2000], state);
	t.true(isQuarantined(state, 2001));
	t.is(state.untilMs, 302_000);
	t.false(isQuarantined(state, 302_000));
	state = strikes([302_000, 302_001, 302_002], state);
	t.is(state.untilMs, 302_002 + 600_000);
	for (let round = 0; round < 6; round++) state = strikes([state.untilMs, state.untilMs + 1, state.untilMs + 2], state);
	const before = state.untilMs;
	state = strikes([before, before + 1, before + 2], state);
	t.is(state.untilMs - (before + 2), quarantineDefaults.longestMs);
});

test('strikes far apart never quarantine, and strikes during quarantine change nothing', (t) => {
	t.is(strikes([0, 70_000, 140_000, 210_000]).untilMs, 0);
	const held = strikes([0, 1, 2]);
	t.deepEqual(strikes([3, 4, 5], held), held);
});

test('a long good run forgives earlier quarantines', (t) => {
	const first = strikes([0, 1, 2]);
	const later = first.untilMs + quarantineDefaults.forgiveMs + 1;
	t.is(strikes([later, later + 1, later + 2], first).count, 1);
});
