// Properties of the meter over random programs: it changes no result, its fuel is exact, and it stops what has too little.
import test from 'ava';
import * as fc from 'fast-check';
import { admitModule, instrumentProfile } from './admit.js';
import { ByteWriter } from './byte-writer.js';
import { wasmEngine } from './engine.js';
import { ENTRY_EXPORT, fuelLeft, type MeteredHook, type MeteredHookWith, statusOf } from './entry.js';
import { Op, ValueType } from './opcodes.js';
import { readProfile } from './profile.js';
import type { AdmittedModule } from './result.js';
import { buildModule, instantiate, mustAdmit, randomModule, runRank } from './testing.js';
import { checkWeight } from './weights.js';

const options = { memoryPages: 1 };
/** Enough for nearly all random programs; those that need more are checked for being stopped. */
const PLENTY = 1_000_000n;
const tape = fc.array(fc.nat({ max: 255 }), { minLength: 40, maxLength: 400 });

function admitted(bytes: Uint8Array, precharge = true): AdmittedModule {
	return mustAdmit(admitModule(bytes, { ...options, precharge }));
}

test('random programs are valid, and reach loops, counted loops, folded leaves and spent fuel', (t) => {
	const seen = { loops: 0, counted: 0, folded: 0, spent: 0, trap: 0, returned: 0, used: 0n };
	for (const numbers of fc.sample(tape, { numRuns: 400, seed: 7 })) {
		const bytes = randomModule(numbers);
		t.true(wasmEngine.validate(bytes));
		const metered = admitted(bytes);
		const run = runRank(metered.wasm, PLENTY);
		seen.loops += metered.stats.loops;
		seen.counted += metered.stats.loopsCounted;
		seen.folded += metered.stats.functionsFolded;
		if (run.cause === 'spent') seen.spent++;
		if (run.cause === 'trap') seen.trap++;
		if (run.cause === 'returned') {
			seen.returned++;
			seen.used += run.used;
		}
	}
	t.true(
		seen.loops > 400 && seen.counted > 50 && seen.folded > 50,
		JSON.stringify(seen, (_, v: unknown) => String(v)),
	);
	t.true(seen.spent > 3 && seen.trap > 3 && seen.returned > 300);
});

test('metering changes no result, and fuel is the same in every instance', (t) => {
	fc.assert(
		fc.property(tape, (numbers) => {
			const bytes = randomModule(numbers);
			const metered = admitted(bytes);
			const run = runRank(metered.wasm, PLENTY);
			const again = runRank(metered.wasm, PLENTY);
			if (run.cause !== again.cause || run.fuel !== again.fuel || run.status !== again.status) return false;
			if (run.cause === 'spent') return run.fuel < 0n;
			const plain = runRank(bytes, 0n);
			if (plain.cause !== run.cause || plain.status !== run.status) return false;
			return Buffer.compare(plain.memory, run.memory) === 0;
		}),
		{ numRuns: 1500 },
	);
	t.pass();
});

test('fuel is exact: what a run used is enough, one less is spent', (t) => {
	fc.assert(
		fc.property(tape, (numbers) => {
			const metered = admitted(randomModule(numbers));
			const run = runRank(metered.wasm, PLENTY);
			if (run.cause !== 'returned') return true;
			const enough = runRank(metered.wasm, run.used);
			const short = runRank(metered.wasm, run.used - 1n);
			return enough.cause === 'returned' && enough.fuel === 0n && short.cause === 'spent' && short.fuel < 0n;
		}),
		{ numRuns: 600 },
	);
	t.pass();
});

test('charging counted loops at entry costs what charging each iteration costs', (t) => {
	fc.assert(
		fc.property(tape, (numbers) => {
			const bytes = randomModule(numbers);
			const once = runRank(admitted(bytes).wasm, PLENTY);
			const each = runRank(admitted(bytes, false).wasm, PLENTY);
			// A trap of the program's own inside a loop may come before or after the fuel is found short.
			if (once.cause === 'trap' || each.cause === 'trap') return true;
			if (once.cause === 'spent') return each.cause === 'spent';
			return each.cause === 'returned' && once.used === each.used && once.status === each.status;
		}),
		{ numRuns: 1500 },
	);
	t.pass();
});

test('a profile adds up to the fuel spent', (t) => {
	fc.assert(
		fc.property(tape, (numbers) => {
			const bytes = randomModule(numbers);
			const profiled = instrumentProfile(bytes, options);
			if (!profiled.ok) return false;
			const run = runRank(profiled.wasm, PLENTY);
			if (run.cause !== 'returned') return true;
			if (run.used !== runRank(admitted(bytes).wasm, PLENTY).used) return false;
			const sum = readProfile(profiled, run.exports).reduce((total, line) => total + line.fuel, 0);
			return BigInt(sum) === run.used;
		}),
		{ numRuns: 400 },
	);
	t.pass();
});

test('the entry gives status and fuel left in one call, as the globals do', (t) => {
	fc.assert(
		fc.property(tape, (numbers) => {
			const metered = admitted(randomModule(numbers));
			const run = runRank(metered.wasm, PLENTY);
			if (run.cause !== 'returned') return true;
			const { exports } = instantiate(metered.wasm);
			const result = (exports[`${ENTRY_EXPORT}rank`] as MeteredHook)(1024, Number(PLENTY));
			const status = [0, 1, -1].includes(run.status) ? run.status : 0x7fff_ffff;
			return fuelLeft(result) === Number(run.fuel) && statusOf(result) === status;
		}),
		{ numRuns: 300 },
	);
	t.pass();
});

for (const [status, read] of [
	[0, 0],
	[1, 1],
	[-1, -1],
	[2, 0x7fff_ffff],
	[-2, 0x7fff_ffff],
	[-0x8000_0000, 0x7fff_ffff],
] as const)
	test(`the entry of a hook that returns ${status}`, (t) => {
		const code = new ByteWriter(16).u8(Op.i32Const).s32(status).finish();
		const { i32 } = ValueType;
		const bytes = buildModule({
			types: [
				{ params: [i32], results: [i32] },
				{ params: [i32, i32], results: [i32] },
			],
			functions: [
				{ type: 0, exportAs: 'rank', locals: [], code },
				{ type: 1, exportAs: 'observe', locals: [], code },
			],
		});
		const { exports } = instantiate(admitted(bytes).wasm);
		const rank = exports[`${ENTRY_EXPORT}rank`] as MeteredHook;
		const observe = exports[`${ENTRY_EXPORT}observe`] as MeteredHookWith;
		for (const result of [rank(1024, 2 ** 49), observe(1024, 3, 2 ** 49)]) {
			t.is(statusOf(result), read);
			t.is(fuelLeft(result), 2 ** 49 - checkWeight);
		}
		t.throws(() => rank(1024, 1), undefined, 'fuel below the entry charge');
		t.true((exports['__im_fuel'] as { readonly value: bigint }).value < 0n);
	});
