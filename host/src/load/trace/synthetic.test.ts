// The synthetic generator: rates, burstiness, lengths, shared prefixes, sessions, and that a seed fixes them all.
import test from 'ava';
import { isMeshError } from '../testing.js';
import { SYNTHETIC_BLOCK_TOKENS, type SyntheticOptions, syntheticTrace } from './synthetic.js';
import type { TraceRequest } from './types.js';

async function make(options: SyntheticOptions): Promise<TraceRequest[]> {
	const rows: TraceRequest[] = [];
	for await (const row of syntheticTrace(options)) rows.push(row);
	return rows;
}

function gapsOf(rows: readonly TraceRequest[]): number[] {
	return rows.slice(1).map((row, index) => row.atMs - (rows[index]?.atMs ?? 0));
}

const mean = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0) / values.length;
const cv = (values: readonly number[]): number => {
	const middle = mean(values);
	return Math.sqrt(mean(values.map((value) => (value - middle) ** 2))) / middle;
};

for (const [arrivals, expected] of [
	[{ kind: 'constant' }, 0],
	[{ kind: 'poisson' }, 1],
	[{ kind: 'gamma', cv: 3 }, 3],
	[{ kind: 'gamma', cv: 0.5 }, 0.5],
	[{ kind: 'weibull', cv: 2 }, 2],
	[{ kind: 'weibull', cv: 0.7 }, 0.7],
] as const) {
	const name = 'cv' in arrivals ? `${arrivals.kind} ${arrivals.cv}` : arrivals.kind;
	test(`arrivals have the mean rate and the burstiness asked for: ${name}`, async (t) => {
		const gaps = gapsOf(await make({ arrivals, ratePerSecond: 20, requests: 40_000, seed: 3 }));
		const allowed = 4 * (expected / Math.sqrt(40_000)) + 1e-9;
		t.true(Math.abs(mean(gaps) / 50 - 1) < allowed, `mean gap ${mean(gaps)} ms`);
		t.true(Math.abs(cv(gaps) - expected) < 0.15 * expected + 1e-6, `cv ${cv(gaps)}`);
	});
}

test('lengths are fixed, or lognormal with the mean and spread asked for', async (t) => {
	const rows = await make({
		requests: 20_000,
		input: { kind: 'lognormal', mean: 500, cv: 0.8 },
		output: { kind: 'fixed', tokens: 77 },
	});
	const inputs = rows.map((row) => row.inputTokens);
	t.true(Math.abs(mean(inputs) - 500) < 15, `mean ${mean(inputs)}`);
	t.true(Math.abs(cv(inputs) - 0.8) < 0.08, `cv ${cv(inputs)}`);
	t.true(rows.every((row) => row.outputTokens === 77 && Number.isInteger(row.inputTokens) && row.inputTokens >= 1));
	const cut = await make({ requests: 1000, input: { kind: 'lognormal', mean: 500, cv: 3, tokensMax: 900 } });
	t.is(Math.max(...cut.map((row) => row.inputTokens)), 900);
});

test('equal options give equal streams, another seed another; a dimension changed leaves the others', async (t) => {
	const options: SyntheticOptions = { requests: 200, seed: 9, prefixes: { count: 8, share: 0.5 } };
	const rows = await make(options);
	t.deepEqual(await make(options), rows);
	t.notDeepEqual(await make({ ...options, seed: 10 }), rows);
	const times = (list: readonly TraceRequest[]): number[] => list.map((row) => row.atMs);
	const other = await make({ ...options, output: { kind: 'fixed', tokens: 1 }, prefixes: { count: 2, share: 0.1 } });
	t.deepEqual(times(other), times(rows));
});

test('prefixes: the share of every prompt, the number of leaves, a common root, unique tails', async (t) => {
	const rows = await make({
		requests: 2000,
		input: { kind: 'fixed', tokens: 1600 },
		prefixes: { count: 10, share: 0.6, levels: 3, levelBlocks: 4, skew: 1 },
	});
	const shared = Math.floor((1600 * 0.6) / SYNTHETIC_BLOCK_TOKENS);
	const uses = new Map<number, number>();
	for (const row of rows) for (const id of row.blocks ?? []) uses.set(id, (uses.get(id) ?? 0) + 1);
	for (const row of rows) {
		t.is(row.blocks?.length, 25);
		t.is(row.blocks?.filter((id) => (uses.get(id) ?? 0) > 1).length, shared);
	}
	t.is(new Set(rows.map((row) => row.blocks?.[0])).size, 1, 'all share the root');
	t.is(new Set(rows.map((row) => row.blocks?.[4])).size, 3, 'the square root of ten in the middle');
	const leaves = new Map<number, number>();
	for (const row of rows) leaves.set(row.blocks?.[8] ?? -1, (leaves.get(row.blocks?.[8] ?? -1) ?? 0) + 1);
	t.is(leaves.size, 10);
	t.true(Math.max(...leaves.values()) > 3 * Math.min(...leaves.values()), 'skewed popularity');
});

test('sessions: every turn holds the turns before it, and they end', async (t) => {
	const rows = await make({
		requests: 3000,
		input: { kind: 'fixed', tokens: 100 },
		output: { kind: 'fixed', tokens: 28 },
		sessions: { active: 10, turns: 5, contextTokensMax: 2000 },
	});
	const last = new Map<string, TraceRequest>();
	for (const row of rows) {
		const session = row.session ?? '';
		const before = last.get(session);
		if (before !== undefined) {
			t.is(row.inputTokens, before.inputTokens + before.outputTokens + 100);
			t.deepEqual(row.blocks?.slice(0, before.blocks?.length), before.blocks, 'the context is kept');
		} else t.is(row.inputTokens, 100);
		t.is(row.blocks?.length, Math.ceil(row.inputTokens / SYNTHETIC_BLOCK_TOKENS));
		last.set(session, row);
	}
	t.true(rows.every((row) => row.inputTokens <= 2000));
	const turns = rows.length / last.size;
	t.true(turns > 4 && turns < 6, `mean turns ${turns}`);
});

test('a wave on the rate: the mean stays, arrivals follow the sine, order is kept', async (t) => {
	const periodSeconds = 100;
	const rows = await make({ requests: 20_000, ratePerSecond: 20, diurnal: { amplitude: 0.8, periodSeconds } });
	const spanS = (rows.at(-1)?.atMs ?? 0) / 1000;
	t.true(spanS > 950 && spanS < 1050, `20,000 at 20/s take about 1,000 s: ${spanS}`);
	t.true(rows.every((row, index) => index === 0 || row.atMs >= (rows[index - 1]?.atMs ?? 0)));
	const quarters = [0, 0, 0, 0];
	for (const row of rows) {
		const quarter = Math.floor(((row.atMs / 1000 / periodSeconds) % 1) * 4);
		quarters[quarter] = (quarters[quarter] ?? 0) + 1;
	}
	// Each quarter's mean of 1 + 0.8·sin is 1 ± 0.8·2/π = 1.51 or 0.49.
	for (const [index, count] of quarters.entries()) {
		const share = count / (rows.length / 4);
		t.true(Math.abs(share - (index < 2 ? 1.51 : 0.49)) < 0.08, `quarter ${index}: ${share}`);
	}
});

test('the stream is without end unless told', async (t) => {
	let count = 0;
	for await (const row of syntheticTrace({ ratePerSecond: 1000 })) if (row.atMs > 5000 || ++count > 10_000) break;
	t.true(count > 4500 && count < 5500);
});

for (const [options, where] of [
	[{ ratePerSecond: 0 }, 'ratePerSecond'],
	[{ seed: 1.5 }, 'seed'],
	[{ arrivals: { kind: 'gamma', cv: 0 } }, 'arrivals.cv'],
	[{ input: { kind: 'fixed', tokens: 0 } }, 'input.tokens'],
	[{ output: { kind: 'lognormal', mean: Number.NaN } }, 'output.mean'],
	[{ prefixes: { count: 0, share: 0.5 } }, 'prefixes.count'],
	[{ prefixes: { count: 1, share: 1.5 } }, 'prefixes.share'],
	[{ diurnal: { amplitude: 1.5, periodSeconds: 60 } }, 'diurnal.amplitude'],
	[{ sessions: { active: 1e6, turns: 2 } }, 'sessions.active'],
] as const) {
	test(`an option out of range is refused by name: ${where}`, (t) => {
		const error = t.throws(() => syntheticTrace(options));
		t.true(isMeshError(error, 'IM_TRACE_OPTION'));
		if (isMeshError(error, 'IM_TRACE_OPTION')) t.is(error.where, where);
	});
}
