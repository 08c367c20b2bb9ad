// Calibration recovers planted coefficients, exactly without noise and nearly with it; its YAML goes straight into a scenario; bad rows are told with their place.
import { SeededRandom } from '@infermesh/proto';
import test from 'ava';
import * as fc from 'fast-check';
import { isMeshError } from '../../load/testing.js';
import { smallText } from '../grid/testing.js';
import { readScenario } from '../scenario/read.js';
import { calibrate, calibrationYaml, renderCalibration } from './calibrate.js';
import { readMeasurements } from './measurements.js';
import { nonNegativeLeastSquares } from './nnls.js';

const PREFILL = [9000, 62, 0.0021] as const;
const DECODE = [13_000, 0.34, 63] as const;
const STEP_TOKENS = 2048;

/** Measurements of an engine with the planted coefficients, as a client would see it: `ingestMs` of front end in front. */
function planted(noise: number, ingestMs: number, seed: number): string {
	const random = new SeededRandom(seed);
	const around = (us: number): number => (us * (1 + noise * (2 * random.nextFloat() - 1))) / 1000;
	const rows = ['input_tokens,cached_tokens,ttft_ms,context_tokens,batch,itl_ms'];
	for (let i = 0; i < 200; i++) {
		const input = 100 + Math.floor(random.nextFloat() * 12_000);
		const cached = i % 3 === 0 ? Math.floor(input * 0.4) : 0;
		const tokens = input - cached;
		const prefill =
			PREFILL[0] * Math.ceil(tokens / STEP_TOKENS) +
			PREFILL[1] * tokens +
			PREFILL[2] * (tokens ** 2 + 2 * tokens * cached);
		const batch = 1 + Math.floor(random.nextFloat() * 128);
		const context = batch * (200 + Math.floor(random.nextFloat() * 3000));
		const decode = DECODE[0] + DECODE[1] * context + DECODE[2] * batch;
		rows.push([input, cached, around(prefill) + ingestMs, context, batch, around(decode)].join(','));
	}
	return rows.join('\n');
}

async function* bytes(text: string): AsyncGenerator<Uint8Array> {
	yield Buffer.from(text);
}

const read = (text: string) => readMeasurements('m.csv', bytes(text));
const options = { stepTokens: STEP_TOKENS, ingestMs: 15 } as const;

function near(
	t: { true(value: boolean, message?: string): void },
	found: readonly number[],
	wanted: readonly number[],
	within: number,
): void {
	for (const [index, value] of wanted.entries())
		t.true(Math.abs((found[index] ?? 0) / value - 1) < within, `${found.join(', ')} for ${wanted.join(', ')}`);
}

test('planted coefficients come back without noise', async (t) => {
	const { latency, prefill, decode } = calibrate(await read(planted(0, 15, 3)), { ...options, kind: 'polynomial' });
	if (latency.kind !== 'polynomial') return t.fail();
	near(t, latency.prefill, PREFILL, 1e-4);
	near(t, latency.decode, DECODE, 1e-4);
	t.true(prefill.fitted.p99 < 1e-4 && (decode.heldOut?.p99 ?? 1) < 1e-4);
});

test('and nearly with 5 % of noise, and the error told is that of the noise', async (t) => {
	const found = calibrate(await read(planted(0.05, 15, 4)), { ...options, kind: 'polynomial' });
	if (found.latency.kind !== 'polynomial') return t.fail();
	near(t, found.latency.prefill, PREFILL, 0.15);
	near(t, found.latency.decode, DECODE, 0.1);
	for (const { heldOut } of [found.prefill, found.decode]) {
		t.is(heldOut?.rows, 40);
		t.true(
			(heldOut?.mean ?? 0) > 0.01 && (heldOut?.mean ?? 1) < 0.04,
			`uniform ±5 % is 2.5 % in the mean: ${heldOut?.mean}`,
		);
	}
});

test('a few rows that are far off do not bend the fit', async (t) => {
	const lines = planted(0.02, 15, 8).split('\n');
	const bent = lines.map((line, index) => {
		const cells = line.split(',');
		// Tokens that a late reader saw at once: a twentieth of the true time.
		if (index > 0 && index % 25 === 0) cells[5] = String(Number(cells[5]) / 20);
		return cells.join(',');
	});
	const { latency } = calibrate(await read(bent.join('\n')), { ...options, kind: 'polynomial' });
	if (latency.kind !== 'polynomial') return t.fail();
	near(t, latency.decode, DECODE, 0.15);
});

test('a table follows the same measurements, and what is no polynomial better', async (t) => {
	const table = calibrate(await read(planted(0, 15, 5)), { ...options, kind: 'table' });
	t.is(table.latency.kind, 'table');
	t.true((table.decode.heldOut?.mean ?? 1) < 0.02, renderCalibration(table));
	// A cliff at batch 64, as where CUDA graphs end.
	const rows = ['context_tokens,batch,itl_ms,input_tokens,ttft_ms'];
	for (let batch = 4; batch <= 128; batch += 4)
		for (const context of [10_000, 40_000, 90_000])
			rows.push(`${context},${batch},${batch <= 64 ? 10 : 30},${batch * 10},${20 + batch}`);
	const cliff = await read(rows.join('\n'));
	const errorOf = (kind: 'table' | 'polynomial'): number =>
		calibrate(cliff, { ...options, kind, ingestMs: 0 }).decode.fitted.mean;
	t.true(errorOf('table') < errorOf('polynomial'), `${errorOf('table')} ${errorOf('polynomial')}`);
});

for (const kind of ['polynomial', 'table'] as const) {
	test(`the YAML of a ${kind} is what a scenario takes`, async (t) => {
		const found = calibrate(await read(planted(0.02, 15, 6)), { ...options, kind });
		const text = smallText().replace('count: 2', 'count: 2, latency: { file: fit.yaml }');
		const scenario = readScenario(text, { file: '/x/s.yaml', readText: () => calibrationYaml(found) });
		t.deepEqual(scenario.fleet[0]?.latency, found.latency);
	});
}

test('non-negative least squares: never negative, and no non-negative neighbour is better', (t) => {
	fc.assert(
		fc.property(
			fc.array(
				fc.tuple(
					fc.array(fc.double({ min: -5, max: 5, noNaN: true }), { minLength: 4, maxLength: 4 }),
					fc.double({ min: -5, max: 5, noNaN: true }),
				),
				{ minLength: 6, maxLength: 12 },
			),
			(data) => {
				const rows = data.map(([row]) => row);
				const b = data.map(([, value]) => value);
				const error = (x: readonly number[]): number =>
					rows.reduce(
						(sum, row, i) => sum + (row.reduce((dot, value, j) => dot + value * (x[j] ?? 0), 0) - (b[i] ?? 0)) ** 2,
						0,
					);
				const x = nonNegativeLeastSquares(rows, b, 4);
				if (x.some((value) => !(value >= 0))) return false;
				const best = error(x);
				return x.every((_, j) =>
					[-1e-3, 1e-3].every((step) => {
						const moved = x.map((value, k) => (k === j ? Math.max(0, value + step) : value));
						return error(moved) >= best - 1e-6 * (1 + best);
					}),
				);
			},
		),
		{ seed: 5, numRuns: 300 },
	);
	t.pass();
});

test('JSONL is read too; rows may hold one of the two; unknown columns are told', async (t) => {
	const found = await read(
		'{"input_tokens":100,"ttft_ms":20}\n{"context_tokens":900,"batch":3,"itl_ms":8,"engine":"a"}\n',
	);
	t.deepEqual(found.prefills, [{ tokens: 100, cachedTokens: 0, us: 20_000 }]);
	t.deepEqual(found.decodes, [{ contextTokens: 900, batch: 3, us: 8000 }]);
	t.deepEqual(found.ignored, ['engine']);
});

for (const [what, text, where, code] of [
	['a header of other names', 'input_token,ttft\n1,2', 'm.csv:1:1', 'IM_CALIBRATE_INPUT'],
	['text for a number', 'input_tokens,ttft_ms\n100,5\n200,fast', 'm.csv:3:5', 'IM_CALIBRATE_INPUT'],
	['a short row', 'input_tokens,ttft_ms\n100', 'm.csv:2:1', 'IM_CALIBRATE_INPUT'],
	['half a decode', 'context_tokens,batch,itl_ms\n100,,5', 'm.csv:2:6', 'IM_CALIBRATE_INPUT'],
	['more cached than there is', 'input_tokens,cached_tokens,ttft_ms\n10,10,5', 'm.csv:2:4', 'IM_CALIBRATE_INPUT'],
	['broken JSON', '{"input_tokens":100,"ttft_ms":}', 'm.csv:1:31', 'IM_CALIBRATE_INPUT'],
	['a result of bench', '{\n  "schema": "infermesh.load/v1"\n}', 'm.csv:1:1', 'IM_CALIBRATE_NO_FEATURES'],
] as const) {
	test(`measurements are refused with their place: ${what}`, async (t) => {
		const error = await t.throwsAsync(read(text));
		t.true(isMeshError(error, code), String(error));
		t.is(isMeshError(error, code) ? error.where : '', where);
	});
}

test('too few measurements, and times below the front end’s, are refused', async (t) => {
	const few = await read('input_tokens,ttft_ms\n1,20\n2,20\n');
	t.true(
		isMeshError(
			t.throws(() => calibrate(few, { ...options, kind: 'polynomial' })),
			'IM_CALIBRATE_TOO_FEW',
		),
	);
	const fast = await read('input_tokens,ttft_ms\n1,5\n');
	t.true(
		isMeshError(
			t.throws(() => calibrate(fast, { ...options, kind: 'polynomial' })),
			'IM_CALIBRATE_INPUT',
		),
	);
});
