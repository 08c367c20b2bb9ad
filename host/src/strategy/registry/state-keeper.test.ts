import {
	HEADER_OUTCOMES_OFFSET_WORD,
	HEADER_STATE_OFFSET_WORD,
	NO_ROW,
	OUTCOME_ROW_WORD,
	OUTCOME_STATUS_WORD,
	OUTCOME_TOKENS_OUT_WORD,
	OUTCOMES_MAX,
} from '@infermesh/sdk';
import test from 'ava';
import { HandClock } from '../../fleet/testing.js';
import type { FallbackCause } from '../runtime/decision.js';
import { fuelDefaults } from '../runtime/instance.js';
import { createRig } from '../runtime/rig.js';
import { StateBlockReader } from '../runtime/state-block.js';
import { rankRows, written } from '../runtime/testing.js';
import { type ObservedOutcome, StateKeeper } from './state-keeper.js';

const PUBLISH_MS = 10;
const STATE_BYTES = 32;

const state = `(i32.add (local.get $frame) (i32.load offset=${HEADER_STATE_OFFSET_WORD * 4} (local.get $frame)))`;
const outcomes = `(i32.add (local.get $frame) (i32.load offset=${HEADER_OUTCOMES_OFFSET_WORD * 4} (local.get $frame)))`;
const bump = (word: number, by: string): string =>
	`(i32.store offset=${word * 4} ${state} (i32.add (i32.load offset=${word * 4} ${state}) ${by}))`;

/**
 * Slot 0 counts outcomes, slot 1 calls of observe, slot 2 ticks, slot 3 sums the tokens out of each batch's first outcome, slot 4 notes its row,
 * slot 5 its status. An outcome with 666 tokens out makes it trap after it has written rubbish.
 */
const counting = written(
	1,
	`${rankRows([0])}
	(func (export "observe") (param $frame i32) (param $count i32) (result i32)
		${bump(0, '(local.get $count)')} ${bump(1, '(i32.const 1)')}
		${bump(3, `(i32.load offset=${OUTCOME_TOKENS_OUT_WORD * 4} ${outcomes})`)}
		(i32.store offset=16 ${state} (i32.load offset=${OUTCOME_ROW_WORD * 4} ${outcomes}))
		(i32.store offset=20 ${state} (i32.load offset=${OUTCOME_STATUS_WORD * 4} ${outcomes}))
		(if (i32.eq (i32.load offset=${OUTCOME_TOKENS_OUT_WORD * 4} ${outcomes}) (i32.const 666)) (then unreachable))
		(i32.const 0))
	(func (export "tick") (param $frame i32) (result i32) ${bump(2, '(i32.const 1)')} (i32.const 0))`,
	{ hooks: ['rank', 'observe', 'tick'], stateBytes: STATE_BYTES },
);

function outcome(more: Partial<ObservedOutcome> = {}): ObservedOutcome {
	return {
		poolIndex: 0,
		poolRow: 2,
		tableRow: 2,
		status: 'ok',
		tokensIn: 10,
		tokensOut: 1,
		tokensCached: 0,
		ttftMs: 1,
		tpotMs: 1,
		e2eMs: 1,
		predictedTtftMs: 0,
		tenant: 1,
		flags: 0,
		...more,
	};
}

function open(strategy = counting) {
	const clock = new HandClock();
	const faults: FallbackCause[] = [];
	const options = { fuel: fuelDefaults, meshSeed: [1, 2], publishMs: PUBLISH_MS, waits: true } as const;
	const onFault = (cause: FallbackCause): void => void faults.push(cause);
	const keeper = new StateKeeper(strategy, createRig(4, 1).view, options, { clock, onFault });
	const reader = new StateBlockReader(keeper.shared);
	/** What workers see. */
	const published = (): number[] => {
		const bytes = new Uint8Array(STATE_BYTES);
		reader.read(bytes, 0);
		return [...new Uint32Array(bytes.buffer)];
	};
	return { clock, faults, keeper, reader, published };
}

test('outcomes reach observe, and the block reaches the workers', (t) => {
	const { keeper, published } = open();
	t.deepEqual(published().slice(0, 3), [0, 0, 0]);
	keeper.observe([outcome({ tokensOut: 7, status: 'timeout' }), outcome()]);
	t.deepEqual(published().slice(0, 6), [2, 1, 0, 7, 2, 2]);
});

test('more outcomes than fit are handed over in several batches, all of them', (t) => {
	const { keeper, published } = open();
	keeper.observe(Array.from({ length: 2 * OUTCOMES_MAX + 5 }, () => outcome()));
	t.deepEqual(published().slice(0, 2), [2 * OUTCOMES_MAX + 5, 3]);
});

test('a block is published at most every so often; what came meanwhile goes with the next', (t) => {
	const { clock, keeper, reader, published } = open();
	for (let n = 0; n < 10; n++) {
		keeper.observe([outcome()]);
		clock.advance(1);
	}
	t.is(reader.epoch(), 2);
	clock.advance(100);
	t.is(published()[0], 10);
	t.is(reader.epoch(), 2);
	t.is(clock.timers, 0);
});

test('ticks age the state without outcomes', (t) => {
	const { clock, keeper, published } = open();
	keeper.tick();
	clock.advance(PUBLISH_MS);
	keeper.tick();
	t.is(published()[2], 2);
});

test('an outcome of a row that is another target’s by now names no row', (t) => {
	const { keeper, published } = open();
	keeper.observe([outcome({ poolRow: 2, tableRow: 3 })]);
	t.is(published()[4], NO_ROW);
	const { keeper: other, published: seen } = open();
	other.observe([outcome({ poolRow: 50, tableRow: 50 })]);
	t.is(seen()[4], NO_ROW);
});

test('a fault costs its batch, never what was published, and the strategy goes on', (t) => {
	const { clock, keeper, faults, published } = open();
	keeper.observe([outcome(), outcome()]);
	clock.advance(PUBLISH_MS);
	keeper.observe([outcome({ tokensOut: 666 })]);
	clock.advance(PUBLISH_MS);
	t.deepEqual(faults, ['trap']);
	t.deepEqual(published().slice(0, 2), [2, 1], 'what the faulty call wrote is gone');
	keeper.observe([outcome()]);
	t.is(published()[0], 3);
});

test('a state is handed over whole, and goes on from there', (t) => {
	const [from, to] = [open(), open()];
	from.keeper.observe([outcome(), outcome(), outcome()]);
	const snapshot = from.keeper.snapshot();
	to.keeper.adopt(snapshot);
	t.is(to.published()[0], 3);
	from.keeper.observe([outcome()]);
	to.clock.advance(PUBLISH_MS);
	to.keeper.observe([outcome(), outcome()]);
	t.is(to.published()[0], 5, 'the two are apart from then on');
});

test('what was not published yet is handed over too', (t) => {
	const [from, to] = [open(), open()];
	from.keeper.observe([outcome()]);
	from.keeper.observe([outcome()]);
	t.is(from.published()[0], 1);
	to.keeper.adopt(from.keeper.snapshot());
	t.is(to.published()[0], 2);
});

test('a strategy without a hook is not called for it', (t) => {
	const quiet = { ...counting, manifest: { ...counting.manifest, hooks: ['rank', 'tick'] as const } };
	const { keeper, reader } = open(quiet);
	keeper.observe([outcome()]);
	t.is(reader.epoch(), 0);
});

test('an observe without end is stopped by its budget', (t) => {
	const endless = written(
		2,
		`${rankRows([0])} (func (export "observe") (param i32) (param i32) (result i32) (loop $for_ever (br $for_ever)) (i32.const 0))`,
		{ hooks: ['rank', 'observe'], stateBytes: STATE_BYTES },
	);
	const { keeper, faults } = open(endless);
	keeper.observe([outcome()]);
	t.deepEqual(faults, ['fuel']);
});
