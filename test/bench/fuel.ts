// Owns the price of fuel: hybrid_mesh as its author built it against the same module as admission metered it, on the same frames. The
// metered side pays all of it: filling the fuel, the charges in the code, and reading what is left.
import { createRig, type PreparedStrategy, prepareStrategy, type StrategyInstance, wasmEngine } from '@infermesh/host';
import { placeFrame } from '@infermesh/sdk';
import type { Aim, Bench, BenchContext, Table } from './bench.js';
import { median, noise, ratioOfPairs } from './stats.js';
import { makeRing, openInstance, RING, writeFrame } from './subjects.js';

const SIZES = [16, 128, 1024, 10_240];
const SEED = 20_261_123;
const ROUNDS = 150;
const BATCH_NS = 100_000;

interface Timed {
	readonly size: number;
	readonly rawNs: number[];
	readonly meteredNs: number[];
}

export const fuelBench: Bench = {
	name: 'fuel',
	summary: 'hybrid_mesh metered and unmetered',
	run: async (context) => {
		const prepared = await prepareStrategy('hybrid_mesh');
		const timed = SIZES.map((size) => timeSize(prepared, size, context));
		return [fuelTable(timed)];
	},
};

/** The unmetered module beside a metered instance, with a memory of the same size and the same frame in it. */
function openRaw(prepared: PreparedStrategy, twin: StrategyInstance): { copyFrame: () => void; rank: () => number } {
	const { baseBytes } = placeFrame(twin.layout, prepared.module.heapBase);
	const pages = twin.bytes.buffer.byteLength / 65_536;
	const memory = new wasmEngine.Memory({ initial: pages, maximum: pages });
	const { exports } = new wasmEngine.Instance(new wasmEngine.Module(prepared.wasm), { env: { memory } });
	const frame = new Uint8Array(memory.buffer, baseBytes, twin.layout.frameBytes);
	const copyFrame = (): void => frame.set(twin.bytes);
	copyFrame();
	(exports['init'] as ((base: number, argument: number) => number) | undefined)?.(baseBytes, 0);
	const rank = exports['rank'] as (base: number) => number;
	return { copyFrame, rank: () => rank(baseBytes) };
}

function timeSize(prepared: PreparedStrategy, size: number, { quick }: BenchContext): Timed {
	const rig = createRig(size, SEED);
	const ring = makeRing(rig);
	const metered = openInstance(rig, prepared.module);
	const raw = openRaw(prepared, metered);
	const timed: Timed = { size, rawNs: [], meteredNs: [] };
	let calls = 200;
	for (let round = -20; round < (quick ? 20 : ROUNDS); round++) {
		writeFrame(metered, ring, round & (RING - 1));
		raw.copyFrame();
		// Who goes first changes, so that a warm cache favours neither.
		const order = round % 2 === 0;
		const first = order ? timeNs(calls, () => raw.rank()) : timeNs(calls, () => metered.rank());
		const second = order ? timeNs(calls, () => metered.rank()) : timeNs(calls, () => raw.rank());
		if (round < 0) {
			calls = Math.max(3, Math.round(BATCH_NS / Math.max(first, second)));
			continue;
		}
		timed.rawNs.push(order ? first : second);
		timed.meteredNs.push(order ? second : first);
	}
	return timed;
}

function timeNs(calls: number, call: () => unknown): number {
	const from = performance.now();
	for (let i = 0; i < calls; i++) call();
	return ((performance.now() - from) * 1e6) / calls;
}

function fuelTable(timed: readonly Timed[]): Table {
	const extraNs = ({ rawNs, meteredNs }: Timed): number =>
		median(meteredNs.map((value, round) => value - (rawNs[round] as number)));
	const extraShare = ({ rawNs, meteredNs }: Timed): number => (ratioOfPairs(meteredNs, rawNs) - 1) * 100;
	const at = (size: number): Timed => timed.find((one) => one.size === size) as Timed;
	const aims: Aim[] = [
		{ what: 'fuel at 16 targets', figure: extraNs(at(16)), atMost: 20, unit: 'ns' },
		{ what: 'fuel at 1,024 targets', figure: extraShare(at(1024)), atMost: 15, unit: '%' },
	];
	return {
		title: `Fuel: hybrid_mesh metered against unmetered, ns a call (seed ${SEED})`,
		columns: ['targets', 'unmetered', 'metered', 'fuel', 'fuel %', 'noise'],
		rows: timed.map((one) => [
			one.size,
			median(one.rawNs),
			median(one.meteredNs),
			extraNs(one),
			extraShare(one),
			`${(noise(one.rawNs) * 100).toFixed(0)} %`,
		]),
		aims,
		notes: [
			'metered: fuel filled, charges in the code, what is left read, status checked; differences and ratios within pairs',
		],
	};
}
