// The rules of quarantine as small stories: what begins, what ends, and what an operator's release means.
import { throttleBits } from '@infermesh/proto';
import test from 'ava';
import * as fc from 'fast-check';
import { factNames } from './facts.js';
import { clearState, defaultRules, inForce, type Rule, type RuleState, step, waive } from './rules.js';

const seed = Number(process.env['INFERMESH_TEST_SEED'] ?? Date.now() % 0x7fff_ffff);

const hot: Rule = {
	name: 'hot',
	fact: 'temperature_c',
	above: 90,
	clear: 80,
	enterAfterMs: 1000,
	clearAfterMs: 5000,
	then: 'degraded',
	release: 'rule',
};
const xid: Rule = {
	name: 'xid',
	fact: 'xid',
	in: [48, 79],
	enterAfterMs: 0,
	clearAfterMs: 0,
	then: 'quarantined',
	release: 'rule',
};

/** The phases a rule goes through, one look a second. */
function phases(rule: Rule, values: readonly (number | readonly number[] | undefined)[]): string[] {
	let state: RuleState = clearState;
	return values.map((value, second) => {
		state = step(rule, state, value, second * 1000);
		return state.phase;
	});
}

test('a threshold must hold for its time to enter, and another for another time to leave', (t) => {
	t.deepEqual(phases(hot, [85, 95, 95, 95]), ['clear', 'entering', 'in_force', 'in_force']);
	t.deepEqual(phases(hot, [95, 89, 95]), ['entering', 'clear', 'entering'], 'a break begins it anew');
	t.deepEqual(
		phases(hot, [95, 95, 85, 79, 79, 79, 79, 79, 79]),
		['entering', 'in_force', 'in_force', 'clearing', 'clearing', 'clearing', 'clearing', 'clearing', 'clear'],
		'between the thresholds nothing ends',
	);
	t.deepEqual(phases(hot, [95, 95, 79, 95]), ['entering', 'in_force', 'clearing', 'in_force']);
});

test('what is not known lets nothing begin and nothing end', (t) => {
	t.deepEqual(phases(hot, [95, undefined, 95]), ['entering', 'clear', 'entering']);
	t.deepEqual(phases(hot, [95, 95, undefined, undefined]), ['entering', 'in_force', 'in_force', 'in_force']);
	t.deepEqual(phases(hot, [95, 95, 79, undefined]), ['entering', 'in_force', 'clearing', 'in_force']);
});

test('a value of a list and a bit of a mask are met at once, and over when they are gone', (t) => {
	t.deepEqual(phases(xid, [[], [13], [13, 79], [79], []]), ['clear', 'clear', 'in_force', 'in_force', 'clear']);
	const slowed: Rule = { ...xid, fact: 'throttle', in: undefined, bits: throttleBits.hardwareThermal };
	t.deepEqual(phases(slowed, [0, throttleBits.softwarePowerCap, 0x44, 0]), ['clear', 'clear', 'in_force', 'clear']);
	const below: Rule = {
		...hot,
		fact: 'temperature_margin_c',
		above: undefined,
		below: 1,
		clear: 6,
		enterAfterMs: 0,
		clearAfterMs: 0,
	};
	t.deepEqual(phases(below, [10, 0, 3, 6]), ['clear', 'in_force', 'in_force', 'clear']);
});

test('a rule that only a hand releases stays when its cause is gone', (t) => {
	const latched: Rule = { ...xid, release: 'hand' };
	t.deepEqual(phases(latched, [[79], [], []]), ['in_force', 'in_force', 'in_force']);
	const released = waive(latched, step(latched, clearState, [79], 0), [], 1);
	t.false(inForce(released));
});

test('released by hand, what stands is waived until it has been away, and what is new is not', (t) => {
	let state = waive(xid, step(xid, clearState, [79], 0), [79], 1);
	t.false(inForce(state));
	state = step(xid, state, [79], 2);
	t.false(inForce(state), 'the same XID stands and is waived');
	t.true(inForce(step(xid, state, [79, 48], 3)), 'another comes');
	state = step(xid, state, [], 4);
	t.true(inForce(step(xid, state, [79], 5)), 'it has been away, and comes again');
	let warm = waive(hot, clearState, 95, 0);
	for (let second = 0; second < 10; second++) warm = step(hot, warm, 95 + second, second * 1000);
	t.false(inForce(warm), 'a level is waived at any height');
	for (let second = 10; second < 13; second++) warm = step(hot, warm, 70, second * 1000);
	for (let second = 13; second < 16; second++) warm = step(hot, warm, 95, second * 1000);
	t.true(inForce(warm), 'until it has been over');
});

test('the default rules name known facts, say one thing each, and spare devices for what programs do', (t) => {
	t.is(new Set(defaultRules.map(({ name }) => name)).size, defaultRules.length);
	for (const rule of defaultRules) {
		t.true(factNames.includes(rule.fact), rule.name);
		const said = [rule.above, rule.below, rule.in, rule.bits].filter((one) => one !== undefined);
		t.is(said.length, 1, rule.name);
	}
	for (const application of [13, 31, 43, 45, 68])
		t.false(
			defaultRules.some((rule) => rule.in?.includes(application) === true),
			`XID ${application}`,
		);
});

test('whatever is seen, a rule is in force only after its time, and never without having been met', (t) => {
	t.log(`seed ${seed}`);
	const value = fc.oneof(fc.integer({ min: 60, max: 110 }), fc.constant(undefined));
	fc.assert(
		fc.property(fc.array(value, { maxLength: 60 }), (values) => {
			const seen = phases(hot, values);
			return seen.every((phase, i) => {
				if (phase === 'clear' || phase === 'entering') return true;
				// Back to when it came into force, the two looks before must have met it.
				let began = i;
				while (seen[began - 1] === 'in_force' || seen[began - 1] === 'clearing') began--;
				return (values[began] ?? 0) > 90 && (values[began - 1] ?? 0) > 90;
			});
		}),
		{ seed, numRuns: 1000 },
	);
	t.pass();
});
