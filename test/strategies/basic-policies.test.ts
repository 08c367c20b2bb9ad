// The library's simple policies against the same ones written a second time (basic-policies-oracle.ts), on seeded random frames; and
// that rows alike are drawn, never taken by number.
import { SeededRandom } from '@infermesh/proto';
import {
	buildFleet,
	createKit,
	type HitValues,
	type KitAnswer,
	type RowValues,
	type StrategyKit,
} from '@infermesh/sdk';
import test, { type ExecutionContext } from 'ava';
import { shipped } from '../support/strategies.js';
import { basicOracles, type Key, type Oracle, type OracleFrame } from './basic-policies-oracle.js';

const SEED = 20_260_801;
const SIZES = [1, 2, 3, 5, 16, 33, 70];
const FRAMES_PER_KIT = 40;

/** Configurations each policy is tried with, beside its defaults. */
const configs: Readonly<Record<string, ReadonlyArray<Readonly<Record<string, number | boolean>>>>> = {
	power_of_two: [{ by_kv: true }],
	least_pending_tokens: [{ decode_tokens: 300 }],
	consistent_hash: [{ load_factor: 2, by_prompt: true }],
	aibrix_prefix: [{ imbalance_requests: 3, sigma_factor: 0.5 }],
	production_stack_loadaware: [{ beta: 0.25 }],
	min_ttft: [{ fetch_ratio: 1.5 }, { attention_per_token: 0, fetch_ratio: 4, transfer_mbps: 500 }],
};

/** Few distinct values, so that rows alike are common. */
function randomRow(random: SeededRandom): RowValues {
	const below = (limit: number) => random.nextU32() % limit;
	return {
		inflight: below(3) === 0 ? below(40) : below(6),
		load: below(3) === 0 ? below(40) : below(6),
		weight: [1, 1, 0.5, 2][below(4)] ?? 1,
		target_hash: random.nextU32(),
		kv_usage: below(5) / 4,
		kv_total_blocks: below(4) === 0 ? 0 : 1000,
		pending_prefill_tokens: below(4) * 1000,
		active_decodes: below(20),
		prefill_rate: [8000, 8000, 4000, 0][below(4)] ?? 8000,
		bandwidth_mbps: below(2) * 2000,
	};
}

function randomHits(random: SeededRandom, size: number, prompt: number): HitValues[] {
	const hits: HitValues[] = [];
	for (let row = 0; row < size; row++) {
		if (random.nextU32() % 3 !== 0) continue;
		hits.push({ row, tokens: Math.floor((prompt * (random.nextU32() % 6)) / 4) });
	}
	return hits;
}

function randomFrame(random: SeededRandom, size: number, config: OracleFrame['config']): OracleFrame {
	const prompt = [0, 1, 700, 4000, 90_000][random.nextU32() % 5] ?? 0;
	const word = () => BigInt(random.nextU32());
	return {
		rows: Array.from({ length: size }, () => randomRow(random)),
		eligible: Array.from({ length: size }, () => random.nextU32() % 4 !== 0),
		hits: randomHits(random, size, prompt),
		config,
		request: {
			tokens_in: prompt,
			seed: (word() << 32n) | word(),
			session: random.nextU32() % 3 === 0 ? 0n : (word() << 32n) | word(),
			prompt_hash: random.nextU32() % 3 === 0 ? 0n : (word() << 32n) | word(),
		},
	};
}

function decide(kit: StrategyKit, frame: OracleFrame): KitAnswer {
	frame.rows.forEach((values, row) => {
		kit.set(row, values);
		kit.setEligible(row, frame.eligible[row] === true);
	});
	return kit.rank(frame.request, kit.manifest.hits ? frame.hits : []);
}

/** Below 0 where `a` comes first, 0 where they are equal within what 32-bit floats tell apart. */
function compare(a: Key, b: Key): number {
	for (const [part, value] of a.entries()) {
		const other = b[part] ?? Number.NaN;
		if (Math.abs(value - other) > 1e-5 * Math.max(Math.abs(value), Math.abs(other), 1e-3)) return value - other;
	}
	return 0;
}

function checkRanking(t: ExecutionContext, oracle: Oracle, frame: OracleFrame, answer: KitAnswer, note: string): void {
	const keys = oracle.keys(frame);
	const scores = oracle.scores?.(frame) ?? keys.map((key) => key?.[0] ?? Number.NaN);
	const ranked = new Set(answer.rows);
	let before: Key = [];
	for (const [position, row] of answer.rows.entries()) {
		const key = keys[row];
		if (key === undefined || frame.eligible[row] !== true) return t.fail(`${note}: row ${row} at ${position}`);
		if (position > 0 && compare(before, key) > 0) t.fail(`${note}: row ${row} at ${position} after a worse one`);
		before = key;
		const expected = scores[row] ?? Number.NaN;
		const score = answer.scores[position] ?? Number.NaN;
		if (Number.isFinite(expected) && compare([expected], [score]) !== 0)
			t.fail(`${note}: score ${score} of row ${row} is ${expected}`);
	}
	for (const [row, key] of keys.entries()) {
		if (key === undefined || frame.eligible[row] !== true || ranked.has(row)) continue;
		if (compare(key, before) < 0) t.fail(`${note}: row ${row} is better than one that is ranked`);
	}
	const fetched = answer.rows[0] === undefined ? 0 : (oracle.fetchedTokens?.(frame, answer.rows[0]) ?? 0);
	const from = frame.hits.find((hit) => hit.row === answer.fetchFromRow);
	t.is(answer.fetchFromRow === -1 ? 0 : from?.tokens, fetched, `${note}: fetch`);
}

for (const [name, oracle] of Object.entries(basicOracles)) {
	test(`${name} decides as it does written a second time`, (t) => {
		const wasm = shipped(name) as Uint8Array<ArrayBuffer>;
		const random = new SeededRandom(SEED, name.length);
		for (const size of SIZES) {
			for (const config of [{}, ...(configs[name] ?? [])]) {
				const kit = createKit(wasm, { rows: size, config });
				const defaults = kit.manifest.config.map((field): [string, number] => [field.name, Number(field.default)]);
				const given = Object.entries(config).map(([key, value]): [string, number] => [key, Number(value)]);
				const values = Object.fromEntries([...defaults, ...given]);
				for (let at = 0; at < FRAMES_PER_KIT; at++) {
					const frame = randomFrame(random, size, values);
					const answer = decide(kit, frame);
					const eligible = frame.eligible.filter(Boolean).length;
					t.is(answer.rows.length, Math.min(kit.manifest.topK, eligible));
					if (eligible > 0) checkRanking(t, oracle, frame, answer, `seed ${SEED}, ${size} rows, frame ${at}`);
				}
			}
		}
	});

	test(`${name} draws between rows that are alike`, (t) => {
		const rows = buildFleet(70, (row) => ({ inflight: row % 10 === 3 ? 1 : 5, load: row % 10 === 3 ? 1 : 5 }));
		const alike = [3, 13, 23, 33, 43, 53, 63];
		const kit = createKit(shipped(name) as Uint8Array<ArrayBuffer>, { rows });
		for (let row = 0; row < rows.length; row++) kit.setEligible(row, alike.includes(row));
		const hits = kit.manifest.hits ? alike.map((row) => ({ row, tokens: 256 })) : [];
		const counts = new Map(alike.map((row) => [row, 0]));
		for (let seed = 0; seed < 2100; seed++) {
			const [first = -1] = kit.rank({ seed, session: 7n }, hits).rows;
			counts.set(first, (counts.get(first) ?? 0) + 1);
		}
		t.is(counts.size, alike.length);
		// 300 expected, standard deviation 16.
		for (const [row, count] of counts) t.true(Math.abs(count - 300) < 80, `row ${row}: ${count}`);
	});
}

const ids = Array.from({ length: 40 }, (_, at) => Math.imul(at + 1, 0x9e37_79b1) >>> 0);

test('consistent_hash: a target that goes takes its own keys alone, wherever the rows stand', (t) => {
	const wasm = shipped('consistent_hash') as Uint8Array<ArrayBuffer>;
	const all = createKit(wasm, { rows: ids.map((target_hash) => ({ target_hash })) });
	const reordered = createKit(wasm, { rows: [...ids].reverse().map((target_hash) => ({ target_hash })) });
	const counts = ids.map(() => 0);
	for (let session = 1n; session <= 4000n; session++) {
		const [first = -1, second = -1] = all.rank({ session, seed: session }).rows;
		counts[first] = (counts[first] ?? 0) + 1;
		t.is(ids.length - 1 - (reordered.rank({ session }).rows[0] ?? -1), first, 'by its target, not by its row');
		all.setEligible(7, false);
		t.is(all.rank({ session }).rows[0], first === 7 ? second : first);
		all.setEligible(7, true);
	}
	const fullest = Math.max(...counts) / (4000 / ids.length);
	t.true(fullest < 1.5, `the fullest target has ${fullest} times its share`);
});

test('consistent_hash: no target has more than its share, however few keys there are', (t) => {
	const random = new SeededRandom(SEED, 99);
	for (let round = 0; round < 40; round++) {
		const weights = Array.from({ length: 1 + (random.nextU32() % 20) }, () => [0.5, 1, 2][random.nextU32() % 3] ?? 1);
		const factor = [1, 1.25, 2][random.nextU32() % 3] ?? 1;
		const rows = weights.map((weight) => ({ target_hash: random.nextU32(), weight }));
		const kit = createKit(shipped('consistent_hash') as Uint8Array<ArrayBuffer>, {
			rows,
			config: { load_factor: factor },
		});
		const total = weights.reduce((sum, weight) => sum + weight, 0);
		const inflight = weights.map(() => 0);
		for (let sent = 1; sent <= 100; sent++) {
			const [row = -1] = kit.rank({ session: BigInt(1 + (random.nextU32() % 3)) }).rows;
			const here = (inflight[row] ?? 0) + 1;
			inflight[row] = here;
			kit.set(row, { inflight: here });
			const share = (factor * sent * (weights[row] ?? 0)) / total;
			t.true(here <= Math.ceil(share * (1 + 1e-6)), `seed ${SEED}, round ${round}: ${here} of ${share}`);
		}
	}
});
