// What every shipped strategy must do on any frame, and what each of them is for.
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import {
	buildFleet,
	buildPlugins,
	createKit,
	HEADER_BYTES,
	type RowValues,
	Status,
	type StrategyKit,
} from '@infermesh/sdk';
import test from 'ava';
import * as fc from 'fast-check';
import { shippedNames } from '../support/strategies.js';

const root = fileURLToPath(new URL('../../../', import.meta.url));
const modules = new Map<string, Uint8Array<ArrayBuffer>>();

test.before(async () => {
	for (const build of await buildPlugins(root)) modules.set(build.name, new Uint8Array(readFileSync(build.wasmFile)));
});

function kitOf(name: string, rows: readonly RowValues[], config = {}): StrategyKit {
	return createKit(modules.get(name) ?? new Uint8Array(0), { rows, config });
}

const row: fc.Arbitrary<RowValues> = fc.record({
	load: fc.nat(40),
	inflight: fc.nat(40),
	weight: fc.constantFrom(1, 0, 2),
	slow_start: fc.constantFrom(1, 0.2),
	prefill_rate: fc.constantFrom(8000, 0, 20_000),
	pending_prefill_tokens: fc.nat(50_000),
	active_decodes: fc.nat(30),
	kv_usage: fc.float({ min: 0, max: 1, noNaN: true }),
	kv_free_blocks: fc.nat(30_000),
	rtt_ms: fc.float({ min: 0, max: 100, noNaN: true }),
	error_ratio: fc.constantFrom(0, 0.1, 1),
	speed: fc.constantFrom(1, 0.2),
	telemetry_at_ms: fc.constantFrom(0, 990_000, 999_999),
	target_hash: fc.constantFrom(0, 1, 0x8000_0000, 0xffff_ffff),
});

/** Everything the host wrote: header, request, table, configuration, bitmap and columns. */
function hostBytes(kit: StrategyKit): string {
	const { u32, layout } = kit.frame;
	const bytes = new Uint8Array(u32.buffer, u32.byteOffset, u32.byteLength);
	const parts = [bytes.subarray(0, HEADER_BYTES), bytes.subarray(layout.requestOffset, layout.outputOffset)];
	parts.push(bytes.subarray(layout.columnsOffset, layout.scratchOffset));
	return parts.map((part) => Buffer.from(part).toString('base64')).join('|');
}

for (const name of shippedNames) {
	test(`${name} ranks eligible rows once each, lowest finite score first, the same again, and changes nothing else`, (t) => {
		fc.assert(
			fc.property(
				fc.array(fc.tuple(row, fc.boolean()), { minLength: 1, maxLength: 90, size: 'max' }),
				fc.record({
					tokens_in: fc.nat(20_000),
					seed: fc.nat(),
					session: fc.constantFrom(0n, 1n, 2n ** 64n - 1n),
					ticket: fc.nat(),
					top_k: fc.integer({ min: 1, max: 16 }),
				}),
				(rows, request) => {
					const kit = kitOf(
						name,
						rows.map(([values]) => values),
					);
					rows.forEach(([, eligible], index) => kit.setEligible(index, eligible));
					const answer = kit.rank(request);
					const before = hostBytes(kit);
					const eligible = rows.filter(([, allowed]) => allowed).length;
					t.is(answer.status, eligible === 0 ? Status.decline : Status.ok);
					t.is(answer.rows.length, Math.min(kit.manifest.topK, request.top_k, eligible));
					t.is(new Set(answer.rows).size, answer.rows.length);
					t.true(answer.rows.every((index) => rows[index]?.[1] === true));
					t.true(answer.scores.every(Number.isFinite));
					t.deepEqual(
						answer.scores,
						[...answer.scores].sort((a, b) => a - b),
					);
					t.deepEqual(kit.rank(request), answer);
					t.is(hostBytes(kit), before);
				},
			),
			{ numRuns: 100 },
		);
	});
}

test('baseline_rr gives every eligible row its turn', (t) => {
	const kit = kitOf('baseline_rr', buildFleet(50));
	for (const barred of [0, 7, 8, 49]) kit.setEligible(barred, false);
	const turns = Array.from({ length: 46 }, (_, ticket) => kit.rank({ ticket }).rows[0]);
	t.is(new Set(turns).size, 46);
	t.deepEqual(kit.rank({ ticket: 45, top_k: 3 }).rows, [48, 1, 2]);
});

test('least_queue divides load by operator weight and slow start', (t) => {
	const kit = kitOf('least_queue', [{ load: 3 }, { load: 5, weight: 2 }, { load: 0, slow_start: 0.2 }]);
	const answer = kit.rank();
	t.deepEqual(answer.rows, [1, 0, 2]);
	t.deepEqual(answer.scores, [3, 4, 5]);
});

const fleetOf = (ids: readonly number[], values: RowValues = {}): RowValues[] =>
	ids.map((target) => ({ ...values, target_hash: target }));
const ids = Array.from({ length: 40 }, (_, at) => at + 1);

test('session_affinity: a session stays when others come and go, and goes to its next target when its own has gone', (t) => {
	const all = kitOf('session_affinity', fleetOf(ids));
	const reordered = kitOf('session_affinity', fleetOf([...ids].reverse()));
	let moved = 0;
	for (let session = 1n; session <= 400n; session++) {
		const [first = -1, second = -1] = all.rank({ session, seed: session }).rows;
		t.is(ids.length - 1 - (reordered.rank({ session }).rows[0] ?? -1), first, 'by its target, not by its row');
		all.setEligible(7, false);
		const [left = -1] = all.rank({ session }).rows;
		all.setEligible(7, true);
		t.is(left, first === 7 ? second : first);
		if (first === 7) moved++;
	}
	t.true(moved > 0 && moved < 30, `${moved} of 400 were there`);
});

test('session_affinity: no target has more than its share, however few sessions there are', (t) => {
	fc.assert(
		fc.property(
			fc.array(fc.constantFrom(0.5, 1, 2), { minLength: 1, maxLength: 20 }),
			fc.array(fc.bigInt({ min: 1n, max: 4n }), { minLength: 1, maxLength: 200 }),
			fc.constantFrom(1, 1.25, 2),
			(weights, sessions, factor) => {
				const inflight = weights.map(() => 0);
				const kit = kitOf(
					'session_affinity',
					weights.map((weight, at) => ({ target_hash: at + 1, weight })),
					{ load_factor: factor },
				);
				const total = weights.reduce((sum, weight) => sum + weight, 0);
				for (const [sent, session] of sessions.entries()) {
					const [row = -1] = kit.rank({ session }).rows;
					inflight[row] = (inflight[row] ?? 0) + 1;
					kit.set(row, { inflight: inflight[row] ?? 0 });
					const share = (factor * (sent + 1) * (weights[row] ?? 0)) / total;
					t.true((inflight[row] ?? 0) <= Math.ceil(share * (1 + 1e-6)), `${inflight[row]} of ${share}`);
				}
			},
		),
		{ numRuns: 60 },
	);
});

test('hybrid_mesh: the factors of a ranked row add up to its score', (t) => {
	fc.assert(
		fc.property(fc.array(row, { minLength: 1, maxLength: 40 }), fc.nat(20_000), (rows, tokens) => {
			const kit = kitOf('hybrid_mesh', rows);
			const answer = kit.rank({ tokens_in: tokens }, [{ row: 0, tokens: Math.floor(tokens / 2) }]);
			for (const [position, factors] of answer.factors.entries()) {
				const { saved_ms: saved = Number.NaN, ...terms } = factors;
				const sum = Object.values(terms).reduce((total, term) => total + term, 0);
				const score = answer.scores[position] ?? Number.NaN;
				t.true(Math.abs(sum - score) <= 1e-4 * Math.max(1, score), `${sum} is not ${score}`);
				t.true(saved >= 0);
			}
		}),
		{ numRuns: 200 },
	);
});

test('hybrid_mesh: more of what is bad never makes a row cheaper', (t) => {
	const worse: ReadonlyArray<readonly [keyof RowValues, (value: number) => number]> = [
		['pending_prefill_tokens', (value) => value + 5000],
		['load', (value) => value + 3],
		['kv_usage', (value) => Math.min(1, value + 0.2)],
		['rtt_ms', (value) => value + 10],
		['error_ratio', () => 1],
		['prefill_rate', (value) => value / 4],
	];
	fc.assert(
		fc.property(row, fc.constantFrom(...worse), (values, [column, raise]) => {
			const kit = kitOf('hybrid_mesh', [values, {}]);
			kit.setEligible(1, false);
			const before = kit.rank().scores[0] ?? Number.NaN;
			kit.set(0, { [column]: raise(values[column] ?? 0) });
			t.true((kit.rank().scores[0] ?? Number.NaN) >= before, `${column}: ${before}`);
		}),
		{ numRuns: 300 },
	);
});

test('hybrid_mesh: a busy pool values a cached prefix more', (t) => {
	const pool = (pending: number) => buildFleet(8, { pending_prefill_tokens: pending, load: 4 });
	const saved = (pending: number) => {
		const kit = kitOf('hybrid_mesh', pool(pending));
		const answer = kit.rank({ tokens_in: 4000 }, [{ row: 2, tokens: 3000 }]);
		return answer.factors[answer.rows.indexOf(2)]?.['saved_ms'] ?? 0;
	};
	t.true(saved(48_000) > 1.3 * saved(0), `${saved(48_000)} and ${saved(0)}`);
});
