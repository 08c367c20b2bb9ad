// The latency models that take measurements instead of a roofline: the polynomial in DistServe's form, and the table.
import test from 'ava';
import { emptyStepShape, type StepShape } from './latency.js';
import { PolynomialLatency } from './polynomial.js';
import { TableLatency } from './table.js';

function shape(more: Partial<StepShape>): StepShape {
	return { ...emptyStepShape(100_000), ...more };
}

/** A whole prompt in one step. */
function prompt(tokens: number): StepShape {
	return shape({ prefillSequences: 1, prefillTokens: tokens, prefillAttentionPairs: (tokens * tokens) / 2 });
}

// OPT-13B on one A100, as published with DistServe, in microseconds.
const opt13b = new PolynomialLatency({ prefill: [16_460, 92.65, 0.006_47], decode: [19_930, 0.627, 38.5] });

test('the polynomial gives the published times', (t) => {
	t.is(Math.round(opt13b.stepUs(prompt(1000))), 16_460 + 92_650 + 6470);
	const decodes = shape({ decodeSequences: 10, decodeContextTokens: 5000 });
	t.is(Math.round(opt13b.stepUs(decodes)), 19_930 + 3135 + 385);
});

test('a mixed step costs both, its constant once; an empty one nothing', (t) => {
	const mixed = { ...prompt(1000), decodeSequences: 10, decodeContextTokens: 5000 };
	t.is(Math.round(opt13b.stepUs(mixed)), 92_650 + 6470 + 19_930 + 3135 + 385);
	t.is(opt13b.stepUs(shape({})), 0);
});

test('the squares of a prompt in chunks come to those of the whole', (t) => {
	const squares = (step: StepShape): number =>
		new PolynomialLatency({ prefill: [0, 0, 1], decode: [0, 0, 0] }).stepUs(step);
	const chunk = (context: number, tokens: number): StepShape =>
		shape({ prefillSequences: 1, prefillTokens: tokens, prefillAttentionPairs: tokens * (context + tokens / 2) });
	t.is(squares(chunk(0, 300)) + squares(chunk(300, 700)), squares(prompt(1000)));
});

const table = new TableLatency({
	prefill: { tokens: [512, 1024, 8192], us: [84_000, 158_000, 1_339_000] },
	decode: {
		contextTokens: [0, 10_000],
		batch: [1, 8, 32],
		us: [
			[37_000, 40_000, 52_000],
			[38_000, 44_000, 60_000],
		],
	},
});

test('the table gives its points, lines between them, and goes on beyond them', (t) => {
	t.is(table.stepUs(prompt(1024)), 158_000);
	t.is(table.stepUs(prompt(768)), 121_000);
	t.is(table.stepUs(prompt(8192 + 7168)), 1_339_000 + 1_181_000);
	const decode = (batch: number, context: number): number =>
		table.stepUs(shape({ decodeSequences: batch, decodeContextTokens: context }));
	t.is(decode(8, 0), 40_000);
	t.is(decode(8, 5000), 42_000);
	t.is(decode(20, 10_000), 52_000);
	t.is(decode(1, 20_000), 39_000);
});

test('one point stands for every size; a step is never shorter than nothing', (t) => {
	const constant = new TableLatency({
		prefill: { tokens: [1], us: [1000] },
		decode: { contextTokens: [1], batch: [1], us: [[500]] },
	});
	t.is(constant.stepUs({ ...prompt(700), decodeSequences: 3, decodeContextTokens: 900 }), 1500);
	const falling = new TableLatency({
		prefill: { tokens: [10, 20], us: [100, 10] },
		decode: { contextTokens: [1], batch: [1], us: [[500]] },
	});
	t.is(falling.stepUs(prompt(1000)), 0);
});

for (const [what, prefill, decode] of [
	['no point', { tokens: [], us: [] }, undefined],
	['points that do not rise', { tokens: [2, 2], us: [1, 1] }, undefined],
	['a duration too few', { tokens: [1, 2], us: [1] }, undefined],
	['a duration that is none', { tokens: [1], us: [-1] }, undefined],
	['a size that is none', { tokens: [Number.NaN], us: [1] }, undefined],
	['a row too few', { tokens: [1], us: [1] }, { contextTokens: [1, 2], batch: [1], us: [[1]] }],
] as const) {
	test(`a table with ${what} is refused`, (t) => {
		const rest = decode ?? { contextTokens: [1], batch: [1], us: [[1]] };
		t.throws(() => new TableLatency({ prefill, decode: rest }), { code: 'IM_ENGINE_OPTIONS_INVALID' });
	});
}
