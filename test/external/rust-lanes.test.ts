// Four rows at a time in Rust (as a module, in a sandbox and inline) against the instructions of WebAssembly, which AssemblyScript has by name: the same bits of every operation, on values that break
// arithmetic and on others.
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { buildStrategy, createKit, type RowValues, Status } from '@infermesh/sdk';
import test from 'ava';
import { generate } from 'create-infermesh-strategy';
import { NativeLibrary } from '../support/native-kit.js';
import { temporaryFolder } from '../support/programs.js';
import { useRust } from '../support/rust.js';

const SEEDS = 2000;

const yaml = `name: lanes
version: 1.0.0
columns: [load, weight, telemetry_at_ms, prefill_at_ms]
hooks: [rank]
factors: [pmin, pmax, arithmetic, compared, chosen, signed, converted, reduced]
top_k: 16
`;

/** A factor is a number: what is left of 32 bits are 24, mixed so that each of them counts. A NaN that arithmetic has made is the machine's to choose. */
const assembly = `import * as im from 'infermesh';
import { columns } from './manifest';
export { init } from 'infermesh';

function one(row: i32, factor: i32, bits: i32): void {
	im.putFactor(row, factor, <f32>((<u32>bits * 0x9e3779b1) >>> 8));
}

function put(row: i32, factor: i32, value: v128): void {
	one(row, factor, i32x4.extract_lane(value, 0));
	one(row + 1, factor, i32x4.extract_lane(value, 1));
	one(row + 2, factor, i32x4.extract_lane(value, 2));
	one(row + 3, factor, i32x4.extract_lane(value, 3));
}

function computed(value: v128): v128 {
	return v128.bitselect(value, i32x4.splat(0x7fc00000), f32x4.eq(value, value));
}

export function rank(frame: usize): i32 {
	im.begin(frame);
	im.setFactorCount(8);
	for (let row = 0; row < 16; row++) im.putRanked(row, row, <f32>row);
	for (let row = 0; row < 16; row += 4) {
		const a = columns.load.four(row);
		const b = columns.weight.four(row);
		const at = columns.telemetry_at_ms.four(row);
		const then = columns.prefill_at_ms.four(row);
		put(row, 0, f32x4.pmin(a, b));
		put(row, 1, f32x4.pmax(a, b));
		put(row, 2, computed(f32x4.div(f32x4.mul(f32x4.add(a, b), f32x4.sub(a, b)), b)));
		put(row, 3, i32x4.sub(f32x4.le(a, b), v128.and(f32x4.gt(a, f32x4.splat(1)), f32x4.lt(f32x4.abs(b), f32x4.splat(Infinity)))));
		put(row, 4, v128.bitselect(f32x4.neg(a), b, im.laneMask(i32x4.extract_lane(at, 0))));
		const age = i32x4.sub(at, then);
		put(row, 5, v128.or(i32x4.min_s(i32x4.max_s(age, i32x4.splat(-5)), i32x4.splat(1000000)), i32x4.ne(then, i32x4.splat(0))));
		put(row, 6, f32x4.convert_i32x4_s(age));
		const high = f32x4.pmin(a, v128.shuffle<f32>(a, a, 2, 3, 2, 3));
		const lowest = f32x4.pmin(high, v128.shuffle<f32>(high, high, 1, 1, 1, 1));
		one(row, 7, i32x4.extract_lane(lowest, 0));
		const first = f32x4.extract_lane(b, 0) + f32x4.extract_lane(b, 1);
		const sum = f32x4.splat(first + f32x4.extract_lane(b, 2) + f32x4.extract_lane(b, 3));
		one(row + 1, 7, i32x4.extract_lane(computed(sum), 0));
		one(row + 2, 7, i32x4.bitmask(f32x4.eq(a, f32x4.splat(1))));
		one(row + 3, 7, i32x4.bitmask(f32x4.le(b, a)) != 0 ? 1 : 0);
	}
	return im.route(16);
}
`;

const rust = `#![no_std]
mod manifest;
use infermesh_strategy::lanes::{fours, fours_u32, Mask, F4, I4};
use infermesh_strategy::{strategy, Frame, Status};
use manifest::columns;

fn one(frame: &mut Frame, row: usize, factor: usize, bits: u32) {
    frame.answer.put_factor(row, factor, (bits.wrapping_mul(0x9e37_79b1) >> 8) as f32);
}

fn put(frame: &mut Frame, row: usize, factor: usize, lanes: [u32; 4]) {
    for (lane, bits) in lanes.iter().enumerate() {
        one(frame, row + lane, factor, *bits);
    }
}

fn moved(value: F4) -> [u32; 4] {
    value.lanes().map(f32::to_bits)
}

fn computed(value: F4) -> [u32; 4] {
    value.lanes().map(|lane| if lane.is_nan() { 0x7fc0_0000 } else { lane.to_bits() })
}

fn rank(frame: &mut Frame) -> Status {
    let rows = frame.rows;
    let (load, weight) = (fours(columns::load(&rows)), fours(columns::weight(&rows)));
    let (telemetry_at, prefill_at) = (fours_u32(columns::telemetry_at_ms(&rows)), fours_u32(columns::prefill_at_ms(&rows)));
    frame.answer.set_factor_count(manifest::FACTOR_COUNT);
    for row in 0..16 {
        frame.answer.put_ranked(row, row, row as f32);
    }
    for four in 0..4 {
        let row = four * 4;
        let (a, b) = (F4::new(&load[four]), F4::new(&weight[four]));
        let (at, then) = (I4::new(&telemetry_at[four]), I4::new(&prefill_at[four]));
        put(frame, row, 0, moved(a.pmin(b)));
        put(frame, row, 1, moved(a.pmax(b)));
        put(frame, row, 2, computed((a + b) * (a - b) / b));
        let some = |mask: Mask| I4::splat(0).counting(mask);
        put(frame, row, 3, some(a.above(1.0).and(b.is_finite())).minus(some(a.at_most(b))).lanes());
        put(frame, row, 4, moved(a.negated().select(b, Mask::from_bits(at.lanes()[0] & 15))));
        let age = at.minus(then);
        let ones = I4::splat(0).minus(some(then.is_not_zero()));
        put(frame, row, 5, age.max_signed(-5).min_signed(1_000_000).or(ones).lanes());
        put(frame, row, 6, moved(age.signed_to_f32()));
        one(frame, row, 7, a.smallest().to_bits());
        one(frame, row + 1, 7, computed(F4::splat(b.sum()))[0]);
        one(frame, row + 2, 7, a.equal_bits(1.0));
        one(frame, row + 3, 7, Mask::any_of([b.at_most(a), Mask::from_bits(0), Mask::from_bits(0), Mask::from_bits(0)]));
    }
    frame.answer.route(16)
}

strategy!(manifest: manifest::MANIFEST, rank: rank);
`;

const odd = [
	0,
	-0,
	1,
	-1,
	Number.NaN,
	Number.POSITIVE_INFINITY,
	Number.NEGATIVE_INFINITY,
	1e-45,
	-1e-45,
	1.2e-38,
	3.4e38,
	-3.4e38,
];

/** Sixteen rows of values by a seed: odd ones, equal ones, and any. */
function values(seed: number): RowValues[] {
	let state = (seed + 1) * 0x9e3779b1;
	const draw = (): number => {
		state ^= state << 13;
		state ^= state >>> 17;
		state ^= state << 5;
		return state >>> 0;
	};
	const float = (): number => {
		const kind = draw() % 3;
		if (kind === 0) return odd[draw() % odd.length] ?? 0;
		return kind === 1 ? (draw() % 5) - 2 : (draw() / 2 ** 32 - 0.5) * 2 ** ((draw() % 60) - 30);
	};
	const word = (): number => (draw() % 3 === 0 ? ([0, 1, 2 ** 31, 2 ** 32 - 1][draw() % 4] ?? 0) : draw());
	return Array.from({ length: 16 }, () => ({
		load: float(),
		weight: float(),
		telemetry_at_ms: word(),
		prefill_at_ms: word(),
	}));
}

test('four rows at a time give the bits of WebAssembly, whichever instructions do it', async (t) => {
	t.timeout(1_200_000);
	useRust();
	const folder = temporaryFolder(t);
	const { dir } = generate({ path: 'lanes', template: 'strategy-rust-wasm', cwd: folder });
	writeFileSync(path.join(dir, 'strategy.yaml'), `${yaml}source: src/lib.rs\n`);
	writeFileSync(path.join(dir, 'src/lib.rs'), rust);
	const inRust = await buildStrategy(dir);
	const outFile = path.join(folder, 'lanes.so');
	await buildStrategy(dir, { target: 'native', outFile });
	writeFileSync(path.join(dir, 'strategy.yaml'), yaml);
	mkdirSync(path.join(dir, 'assembly'));
	writeFileSync(path.join(dir, 'assembly/index.ts'), assembly);
	const inAssembly = await buildStrategy(dir);
	const native = await NativeLibrary.open(outFile);
	const sandboxed = native.kit('process', { rows: 16 });
	t.teardown(() => sandboxed.close());
	const kits = [createKit(inAssembly.wasm, { rows: 16 }), createKit(inRust.wasm, { rows: 16 })];
	const all = [...kits, native.kit('inline', { rows: 16 }), sandboxed];
	let differ = 0;
	for (let seed = 0; seed < SEEDS; seed++) {
		const rows = values(seed);
		const [original, ...others] = all.map((kit) => {
			for (const [row, value] of rows.entries()) kit.set(row, value);
			return kit.rank();
		});
		if (original?.status !== Status.ok) t.fail(`seed ${seed}: status ${original?.status}`);
		for (const [index, other] of others.entries()) {
			if (isDeepStrictEqual(other, original)) continue;
			differ++;
			if (differ < 4) t.deepEqual(other, original, `seed ${seed}, ${['module', 'inline', 'sandbox'][index]}`);
		}
	}
	t.is(differ, 0);
});
