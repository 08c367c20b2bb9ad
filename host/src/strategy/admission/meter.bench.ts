// What metering costs on a SIMD scoring loop (four rows an iteration, about sixty vector operations): the plain module, the metered one
// with counted loops charged at entry, and the metered one that checks every iteration, interleaved in one run. Prints a table; judges
// nothing. Run: node host/dist/src/strategy/admission/meter.bench.js
import { main as asc } from 'assemblyscript/asc';
import { admitModule } from './admit.js';
import { type WasmGlobal, wasmEngine } from './engine.js';
import { ENTRY_EXPORT } from './entry.js';
import { mustAdmit } from './testing.js';

const PAGES = 16;
const FRAME = 1088;
const COLUMNS = 8;
const ROUNDS = 61;
const ROUND_NS = 400_000;
const FUEL = 2 ** 40;

// Frame of the kernel, in words: 4 eligibility offset, 5 rows, 6 to 13 column offsets, 15 own prefill time, 16 answer.
const source = `
export { __heap_base };
export function rank(f: usize): i32 {
  const rows = load<u32>(f, 20);
  const elig = f + load<u32>(f, 16);
  const c0 = f + load<u32>(f, 24), c1 = f + load<u32>(f, 28), c2 = f + load<u32>(f, 32), c3 = f + load<u32>(f, 36);
  const c4 = f + load<u32>(f, 40), c5 = f + load<u32>(f, 44), c6 = f + load<u32>(f, 48), c7 = f + load<u32>(f, 52);
  const own = v128.splat<f32>(load<f32>(f, 60)), one = v128.splat<f32>(1), inf = v128.splat<f32>(Infinity);
  const bits = i32x4(1, 2, 4, 8);
  let best = inf, rowsBest = v128.splat<i32>(-1), index = i32x4(0, 1, 2, 3);
  for (let i: u32 = 0; i < rows; i += 4) {
    const o = i << 2;
    const queue = v128.load(c0 + o), running = v128.load(c1 + o), pending = v128.load(c2 + o), kv = v128.load(c3 + o);
    const rate = v128.load(c4 + o), tpot = v128.load(c5 + o), rtt = v128.load(c6 + o), error = v128.load(c7 + o);
    const rho = f32x4.pmin(f32x4.mul(running, v128.splat<f32>(0.01)), v128.splat<f32>(0.95));
    const stretch = f32x4.add(one, f32x4.mul(f32x4.mul(rho, v128.splat<f32>(0.5)), f32x4.add(one, rho)));
    let s = f32x4.mul(f32x4.mul(own, rate), stretch);
    s = f32x4.add(s, f32x4.mul(pending, rate));
    s = f32x4.add(s, f32x4.mul(queue, tpot));
    s = f32x4.add(s, f32x4.mul(f32x4.mul(tpot, running), v128.splat<f32>(0.25)));
    const over = f32x4.pmax(f32x4.sub(kv, v128.splat<f32>(0.8)), v128.splat<f32>(0));
    s = f32x4.add(s, f32x4.mul(f32x4.mul(over, over), v128.splat<f32>(4000)));
    s = f32x4.add(s, rtt);
    s = f32x4.add(s, f32x4.mul(error, v128.splat<f32>(1000)));
    const word = v128.splat<i32>(load<u32>(elig + ((i >> 5) << 2)) >> (i & 31));
    s = v128.bitselect(s, inf, i32x4.eq(v128.and(word, bits), bits));
    const better = f32x4.lt(s, best);
    best = v128.bitselect(s, best, better);
    rowsBest = v128.bitselect(index, rowsBest, better);
    index = i32x4.add(index, v128.splat<i32>(4));
  }
  let row = i32x4.extract_lane(rowsBest, 0), low = f32x4.extract_lane(best, 0);
  if (f32x4.extract_lane(best, 1) < low) { low = f32x4.extract_lane(best, 1); row = i32x4.extract_lane(rowsBest, 1); }
  if (f32x4.extract_lane(best, 2) < low) { low = f32x4.extract_lane(best, 2); row = i32x4.extract_lane(rowsBest, 2); }
  if (f32x4.extract_lane(best, 3) < low) { low = f32x4.extract_lane(best, 3); row = i32x4.extract_lane(rowsBest, 3); }
  store<i32>(f, row, 64);
  return 0;
}
`;

async function compile(): Promise<Uint8Array> {
	const flags = '-O3 --noAssert --runtime stub --enable simd --importMemory --use abort= -o out.wasm'.split(' ');
	let wasm: Uint8Array | undefined;
	const { error } = await asc(['bench.ts', ...flags], {
		readFile: (name) => (name === 'bench.ts' ? source : null),
		writeFile: (_, contents) => {
			if (contents instanceof Uint8Array) wasm = contents;
		},
		listFiles: () => [],
	});
	if (error !== null || wasm === undefined) throw error ?? new Error('the compiler wrote no module');
	return wasm;
}

interface Kernel {
	readonly rank: (frame: number, fuel: number) => number;
	readonly fuel: WasmGlobal<bigint> | undefined;
	readonly memory: ArrayBuffer;
}

function instantiate(wasm: Uint8Array, hook = 'rank'): Kernel {
	const memory = new wasmEngine.Memory({ initial: PAGES, maximum: PAGES });
	const { exports } = new wasmEngine.Instance(new wasmEngine.Module(wasm), { env: { memory } });
	return {
		rank: exports[hook] as Kernel['rank'],
		fuel: exports['__im_fuel'] as Kernel['fuel'],
		memory: memory.buffer,
	};
}

function fill(memory: ArrayBuffer, rows: number): void {
	const u32 = new Uint32Array(memory, FRAME);
	const f32 = new Float32Array(memory, FRAME);
	u32[4] = 256;
	u32[5] = rows;
	u32.fill(0xffff_ffff, 64, 64 + rows / 32 + 1);
	for (let column = 0; column < COLUMNS; column++) {
		const offset = 4096 + column * rows * 4;
		u32[6 + column] = offset;
		for (let row = 0; row < rows; row++) f32[offset / 4 + row] = ((row * 7919 + column * 104_729) % 1000) / 1000;
	}
	f32[15] = 1000;
}

/** Nanoseconds a call over one round. */
function time(kernel: Kernel, calls: number): number {
	if (kernel.fuel !== undefined) kernel.fuel.value = 1n << 52n;
	const from = process.hrtime.bigint();
	for (let i = 0; i < calls; i++) kernel.rank(FRAME, FUEL);
	return Number(process.hrtime.bigint() - from) / calls;
}

function median(values: readonly number[]): number {
	return [...values].sort((a, b) => a - b)[values.length >> 1] as number;
}

const plainBytes = await compile();
const atEntry = mustAdmit(admitModule(plainBytes, { memoryPages: PAGES }));
const eachTime = mustAdmit(admitModule(plainBytes, { memoryPages: PAGES, precharge: false }));
const kernels = [plainBytes, atEntry.wasm, eachTime.wasm].map((wasm) => instantiate(wasm));
// The way the host calls it: fuel in, status and fuel left out.
kernels.push(instantiate(atEntry.wasm, `${ENTRY_EXPORT}rank`));
const table: Array<Record<string, string>> = [];
for (const rows of [16, 128, 1024, 10_240]) {
	for (const kernel of kernels) fill(kernel.memory, rows);
	const calls = Math.max(20, Math.round(ROUND_NS / (rows * 1.6)));
	for (let i = 0; i < 5; i++) for (const kernel of kernels) time(kernel, calls);
	const times: number[][] = kernels.map(() => []);
	for (let round = 0; round < ROUNDS; round++)
		for (let k = 0; k < kernels.length; k++) {
			// The order rotates, so that no variant always runs after the same other one.
			const which = (k + round) % kernels.length;
			times[which]?.push(time(kernels[which] as Kernel, calls));
		}
	const [plain = [], entry = [], each = [], host = []] = times;
	const ratio = (metered: readonly number[]): number => median(metered.map((ns, i) => ns / (plain[i] as number)));
	const metered = kernels[1] as Kernel;
	(metered.fuel as WasmGlobal<bigint>).value = 1n << 52n;
	metered.rank(FRAME, FUEL);
	const fuel = Number((1n << 52n) - (metered.fuel as WasmGlobal<bigint>).value);
	table.push({
		rows: String(rows),
		'plain ns': median(plain).toFixed(1),
		'at entry': `${((ratio(entry) - 1) * 100).toFixed(1)} %`,
		'at entry ns': `+${(median(entry) - median(plain)).toFixed(1)}`,
		'each iteration': `${((ratio(each) - 1) * 100).toFixed(1)} %`,
		'each iteration ns': `+${(median(each) - median(plain)).toFixed(1)}`,
		'by the host ns': `+${(median(host) - median(plain)).toFixed(1)}`,
		fuel: String(fuel),
		'ns per fuel': (median(plain) / fuel).toFixed(3),
	});
}
console.table(table);
