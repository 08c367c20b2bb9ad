import {
	COLUMN_STATE,
	NO_ROW,
	OUTPUT_COUNT_WORD,
	OUTPUT_FETCH_FROM_ROW_WORD,
	OUTPUT_HEDGE_COPIES_WORD,
	OUTPUT_HEDGE_DELAY_MS_WORD,
	OUTPUT_HOLD_KEY_WORD,
	OUTPUT_PREDICTED_TTFT_MS_WORD,
	OUTPUT_PREFILL_ROW_WORD,
	OUTPUT_REASON_WORD,
	OUTPUT_RETRY_AFTER_MS_WORD,
	OUTPUT_ROWS_WORD,
	OUTPUT_SCORES_WORD,
	OUTPUT_TEMPERATURE_WORD,
	OUTPUT_VERDICT_WORD,
	RANKED_ROWS_MAX,
	TargetState,
	Verdict,
} from '@infermesh/sdk';
import test from 'ava';
import * as fc from 'fast-check';
import { prepareStrategy } from '../../project/prepare.js';
import { Decision, type FallbackCause } from './decision.js';
import { fuelDefaults, StrategyInstance } from './instance.js';
import { readOutput } from './read-output.js';
import { createRig } from './rig.js';

const ROWS = 10;
const OUT = 9;
const { module } = await prepareStrategy('least_queue');
const rig = createRig(ROWS, 1);
for (let row = 0; row < ROWS; row++)
	rig.table.setU32(COLUMN_STATE, row, row === OUT ? TargetState.draining : TargetState.ready);
rig.table.publish();
const instance = new StrategyInstance(module, rig.view, fuelDefaults, [1, 2]);
instance.sync();

type Words = Readonly<Record<number, number>>;

/** A sound answer of three rows, with some words replaced; floats are given in `f32`. */
function read(u32: Words, f32: Words = {}, excluded: readonly number[] = []): { cause: FallbackCause; out: Decision } {
	const at = instance.outputWord;
	instance.u32.fill(0, at, at + 192);
	instance.u32[at + OUTPUT_PREFILL_ROW_WORD] = NO_ROW;
	instance.u32[at + OUTPUT_FETCH_FROM_ROW_WORD] = NO_ROW;
	instance.u32[at + OUTPUT_COUNT_WORD] = 3;
	for (let i = 0; i < 3; i++) {
		instance.u32[at + OUTPUT_ROWS_WORD + i] = i;
		instance.f32[at + OUTPUT_SCORES_WORD + i] = i;
	}
	for (const [word, value] of Object.entries(u32)) instance.u32[at + Number(word)] = value;
	for (const [word, value] of Object.entries(f32)) instance.f32[at + Number(word)] = value;
	const out = new Decision();
	return { cause: readOutput(instance, excluded, out), out };
}

test('a sound answer is read as it was written', (t) => {
	const { cause, out } = read(
		{ [OUTPUT_PREFILL_ROW_WORD]: 4, [OUTPUT_FETCH_FROM_ROW_WORD]: OUT, [OUTPUT_HEDGE_COPIES_WORD]: 2 },
		{ [OUTPUT_HEDGE_DELAY_MS_WORD]: 30, [OUTPUT_TEMPERATURE_WORD]: 0.5, [OUTPUT_PREDICTED_TTFT_MS_WORD]: 80 },
	);
	t.is(cause, 'none');
	t.like(out, {
		verdict: 'route',
		count: 3,
		prefillRow: 4,
		fetchFromRow: OUT,
		hedgeCopies: 2,
		hedgeDelayMs: 30,
		temperature: 0.5,
		predictedTtftMs: 80,
	});
	t.deepEqual([...out.rows.subarray(0, 3)], [0, 1, 2]);
});

test('refusals and holds need no rows', (t) => {
	const hold = read({ [OUTPUT_VERDICT_WORD]: Verdict.hold, [OUTPUT_COUNT_WORD]: 0 }, { [OUTPUT_HOLD_KEY_WORD]: -4 });
	t.like(hold, { cause: 'none' });
	t.like(hold.out, { verdict: 'hold', holdKey: -4, count: 0 });
	const reject = read(
		{ [OUTPUT_VERDICT_WORD]: Verdict.reject, [OUTPUT_COUNT_WORD]: 0, [OUTPUT_REASON_WORD]: 1 },
		{ [OUTPUT_RETRY_AFTER_MS_WORD]: 500 },
	);
	t.like(reject.out, { verdict: 'reject', rejectReason: 1, retryAfterMs: 500 });
});

const rubbish: ReadonlyArray<readonly [what: string, cause: FallbackCause, u32: Words, f32?: Words]> = [
	['a verdict that is none', 'invalid_verdict', { [OUTPUT_VERDICT_WORD]: 3 }],
	['a huge verdict', 'invalid_verdict', { [OUTPUT_VERDICT_WORD]: 0xffff_ffff }],
	['a route without rows', 'invalid_count', { [OUTPUT_COUNT_WORD]: 0 }],
	['more rows than there is room for', 'invalid_count', { [OUTPUT_COUNT_WORD]: RANKED_ROWS_MAX + 1 }],
	['a negative count', 'invalid_count', { [OUTPUT_COUNT_WORD]: 0xffff_ffff }],
	['the row after the last', 'invalid_row', { [OUTPUT_ROWS_WORD + 1]: ROWS }],
	['a negative row', 'invalid_row', { [OUTPUT_ROWS_WORD]: 0xffff_ffff }],
	['the same row twice', 'invalid_row', { [OUTPUT_ROWS_WORD + 2]: 0 }],
	['a draining row', 'ineligible_row', { [OUTPUT_ROWS_WORD + 2]: OUT }],
	['a score that is not a number', 'invalid_score', {}, { [OUTPUT_SCORES_WORD]: Number.NaN }],
	['an infinite score', 'invalid_score', {}, { [OUTPUT_SCORES_WORD + 2]: Number.NEGATIVE_INFINITY }],
	['a prefill row out of range', 'invalid_row', { [OUTPUT_PREFILL_ROW_WORD]: ROWS }],
	['a prefill row that is draining', 'ineligible_row', { [OUTPUT_PREFILL_ROW_WORD]: OUT }],
	['a row to fetch from out of range', 'invalid_row', { [OUTPUT_FETCH_FROM_ROW_WORD]: ROWS }],
	['a flood of hedges', 'invalid_count', { [OUTPUT_HEDGE_COPIES_WORD]: 5 }],
	['a reason that is none', 'invalid_verdict', { [OUTPUT_REASON_WORD]: 99 }],
	['a negative time to come back', 'invalid_score', {}, { [OUTPUT_RETRY_AFTER_MS_WORD]: -1 }],
	['a time to come back that is not a number', 'invalid_score', {}, { [OUTPUT_RETRY_AFTER_MS_WORD]: Number.NaN }],
	['a hold key that is not a number', 'invalid_score', {}, { [OUTPUT_HOLD_KEY_WORD]: Number.NaN }],
	['a negative hedge delay', 'invalid_score', {}, { [OUTPUT_HEDGE_DELAY_MS_WORD]: -1 }],
	['a negative temperature', 'invalid_score', {}, { [OUTPUT_TEMPERATURE_WORD]: -0.1 }],
	['an infinite temperature', 'invalid_score', {}, { [OUTPUT_TEMPERATURE_WORD]: Number.POSITIVE_INFINITY }],
	['a negative prediction', 'invalid_score', {}, { [OUTPUT_PREDICTED_TTFT_MS_WORD]: -1 }],
];

for (const [what, cause, u32, f32] of rubbish)
	test(`${what} is refused`, (t) => {
		t.is(read(u32, f32).cause, cause);
	});

test('a row that was tried is refused for this request alone', (t) => {
	t.is(read({}, {}, [1]).cause, 'ineligible_row');
	t.is(read({}, {}, [5]).cause, 'none');
	t.is(read({ [OUTPUT_PREFILL_ROW_WORD]: 5 }, {}, [5]).cause, 'ineligible_row');
});

test('whatever bits the block holds, what is accepted is in range, eligible, finite and without a double', (t) => {
	const word = fc.oneof(
		fc.nat(12),
		fc.integer({ min: 0, max: 0xffff_ffff }),
		fc.constantFrom(0x7fc0_0000, 0x7f80_0000, NO_ROW),
	);
	const some = fc.dictionary(fc.nat(44).map(String), word, { maxKeys: 12 });
	let accepted = 0;
	fc.assert(
		fc.property(some, fc.uniqueArray(fc.nat(ROWS - 1), { maxLength: 3 }), (words, excluded) => {
			const { cause, out } = read(words, {}, excluded);
			if (cause !== 'none') return;
			accepted++;
			const rows = [...out.rows.subarray(0, out.count)];
			t.is(new Set(rows).size, rows.length);
			t.true(out.count <= RANKED_ROWS_MAX && (out.verdict !== 'route' || out.count > 0));
			for (const row of [...rows, ...(out.prefillRow < 0 ? [] : [out.prefillRow])])
				t.true(row < ROWS && row !== OUT && !excluded.includes(row));
			const { retryAfterMs, holdKey, hedgeDelayMs, predictedTtftMs, temperature } = out;
			for (const value of [retryAfterMs, hedgeDelayMs, predictedTtftMs, temperature])
				t.true(Number.isFinite(value) && value >= 0);
			t.true(Number.isFinite(holdKey));
			t.true(out.fetchFromRow < ROWS && out.hedgeCopies <= 4);
		}),
		{ numRuns: 5000 },
	);
	t.true(accepted > 50, `${accepted} accepted: the property saw enough`);
});
