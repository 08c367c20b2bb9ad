// Rows of single requests: a loop of one tells prompts and steps, a larger one steps only; calibrate reads them as they are.
import test from 'ava';
import { readMeasurements } from '../simulator/calibrate/measurements.js';
import { MeasuredRows } from './measured-rows.js';
import type { Outcome } from './outcome.js';

function outcome(
	inputTokens: number,
	ttftMs: number,
	itlMs: number,
	outputTokens = 21,
	end: Outcome['end'] = 'ok',
): Outcome {
	const sentMs = 1000;
	const firstTokenMs = sentMs + ttftMs;
	const lastTokenMs = firstTokenMs + (outputTokens - 1) * itlMs;
	return {
		end,
		failure: undefined,
		intendedMs: 0,
		sentMs,
		firstTokenMs,
		lastTokenMs,
		endMs: lastTokenMs,
		inputTokens,
		outputTokens,
		target: undefined,
		strategy: undefined,
	};
}

async function read(rows: MeasuredRows): Promise<Awaited<ReturnType<typeof readMeasurements>>> {
	async function* bytes(): AsyncGenerator<Uint8Array> {
		yield Buffer.from(rows.csv());
	}
	return readMeasurements('rows.csv', bytes());
}

test('a loop of one tells what a prompt takes from when it was sent, and a step of one sequence', async (t) => {
	const rows = new MeasuredRows(1);
	rows.add(outcome(100, 30, 8));
	rows.add(outcome(500, 60, 9, 21, 'failed'));
	rows.add(outcome(200, 40, 9, 5));
	const { prefills, decodes, ignored } = await read(rows);
	t.deepEqual(
		prefills.map(({ tokens, us }) => [tokens, us]),
		[
			[100, 30_000],
			[200, 40_000],
		],
	);
	t.deepEqual(decodes, [{ contextTokens: 111, batch: 1, us: 8000 }], 'five tokens are too few');
	t.deepEqual(ignored, []);
});

test('a larger loop tells steps only, with the mean context of the others', async (t) => {
	const rows = new MeasuredRows(4);
	rows.add(outcome(100, 30, 8));
	rows.add(outcome(300, 30, 9));
	const { prefills, decodes } = await read(rows);
	t.deepEqual(prefills, []);
	t.deepEqual(
		decodes.map(({ contextTokens, batch }) => [contextTokens, batch]),
		[
			[742, 4],
			[942, 4],
		],
	);
});
