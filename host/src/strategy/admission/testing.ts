// Owns what the tests of this room share: a small module writer, random but valid programs, and running a metered module.
// Test support only; nothing in production imports it.
import { ByteWriter } from './byte-writer.js';
import { PAGE_BYTES, type WasmGlobal, type WasmInstance, wasmEngine } from './engine.js';
import { BLOCK_EMPTY, Op, ValueType } from './opcodes.js';
import type { RefusedModule } from './result.js';
import { FUEL_EXPORT, STACK_EXPORT } from './rewrite.js';
import { type TrapCause, trapCause } from './trap.js';

const { i32, i64, f32, v128 } = ValueType;

export interface TestFunction {
	readonly type: number;
	readonly exportAs?: string;
	/** Groups of locals after the parameters. */
	readonly locals: ReadonlyArray<readonly [count: number, type: number]>;
	/** Instructions without the final `end`. */
	readonly code: Uint8Array;
}

export interface TestModule {
	readonly types: ReadonlyArray<{ readonly params: readonly number[]; readonly results: readonly number[] }>;
	readonly functions: readonly TestFunction[];
	/** Functions of the table, in order. */
	readonly table?: readonly number[];
	readonly passiveData?: Uint8Array;
	readonly globals?: number;
}

function section(out: ByteWriter, id: number, write: () => void): void {
	out.u8(id);
	const at = out.reserveLength();
	write();
	out.patchLength(at);
}

/** Writes a strategy-shaped module: imports env.memory, exports `__heap_base` = 1024. */
export function buildModule(module: TestModule): Uint8Array {
	const out = new ByteWriter(1024);
	out.raw(Uint8Array.of(0, 0x61, 0x73, 0x6d, 1, 0, 0, 0));
	section(out, 1, () => {
		out.u32(module.types.length);
		for (const { params, results } of module.types)
			for (const list of [[0x60], params, results]) {
				if (list[0] !== 0x60) out.u32(list.length);
				for (const byte of list) out.u8(byte);
			}
	});
	section(out, 2, () => out.u32(1).name('env').name('memory').u8(2).u8(0).u32(1));
	section(out, 3, () => {
		out.u32(module.functions.length);
		for (const { type } of module.functions) out.u32(type);
	});
	const { table, passiveData } = module;
	if (table !== undefined) section(out, 4, () => out.u32(1).u8(0x70).u8(0).u32(table.length));
	section(out, 6, () => {
		out.u32(1 + (module.globals ?? 0));
		out.u8(i32).u8(0).u8(Op.i32Const).s32(1024).u8(Op.end);
		for (let i = 0; i < (module.globals ?? 0); i++) out.u8(i32).u8(1).u8(Op.i32Const).s32(0).u8(Op.end);
	});
	section(out, 7, () => {
		const exported = module.functions.flatMap(({ exportAs }, index) =>
			exportAs === undefined ? [] : [[exportAs, index] as const],
		);
		out
			.u32(exported.length + 1)
			.name('__heap_base')
			.u8(3)
			.u32(0);
		for (const [name, index] of exported) out.name(name).u8(0).u32(index);
	});
	if (table !== undefined)
		section(out, 9, () => {
			out.u32(1).u32(0).u8(Op.i32Const).s32(0).u8(Op.end).u32(table.length);
			for (const index of table) out.u32(index);
		});
	if (passiveData !== undefined) section(out, 12, () => out.u32(1));
	section(out, 10, () => {
		out.u32(module.functions.length);
		for (const { locals, code } of module.functions) {
			const at = out.reserveLength();
			out.u32(locals.length);
			for (const [count, type] of locals) out.u32(count).u8(type);
			out.raw(code).u8(Op.end);
			out.patchLength(at);
		}
	});
	if (passiveData !== undefined) section(out, 11, () => out.u32(1).u32(1).u32(passiveData.length).raw(passiveData));
	return out.finish();
}

/** Types of random modules: 0 = rank, 1 = two results, 2 = two parameters, 3 = loop with a parameter. */
const randomTypes = [
	{ params: [i32], results: [i32] },
	{ params: [i32], results: [i32, i32] },
	{ params: [i32, i32], results: [i32] },
	{ params: [i32], results: [i32] },
] as const;

const FUNCTIONS = 4;
/** Locals after the parameters: 4 values, 3 loop counters, one i64, one f32, one v128. */
const VALUES = 4;
const COUNTERS = 3;
const binary = [0x6a, 0x6b, 0x6c, 0x6e, 0x71, 0x73, 0x74, 0x76, 0x46, 0x48, 0x49, 0x4d, 0x78];
const vector = [0xae, 0xb1, 0xb5, 0x4e, 0x51, 0xe4, 0xe6, 0x95, 0x37];

/** Writes one random function. Every choice is taken from a tape of small numbers, so that a failing program shrinks. */
class RandomFunction {
	readonly out = new ByteWriter(256);
	readonly choose: (choices: number) => number;
	readonly index: number;
	readonly params: number;
	readonly results: number;
	/** Labels open now, innermost last; loops must not be branched to but by their own code. */
	readonly labels: Array<'block' | 'loop'> = [];
	counters = 0;
	depth = 0;

	constructor(index: number, type: (typeof randomTypes)[number], choose: (choices: number) => number) {
		this.index = index;
		this.params = type.params.length;
		this.results = type.results.length;
		this.choose = choose;
	}

	write(): Uint8Array {
		this.statements(5);
		for (let i = 0; i < this.results; i++) this.value();
		return this.out.finish();
	}

	local(): number {
		return this.choose(this.params + VALUES);
	}

	counter(which: number): number {
		return this.params + VALUES + which;
	}

	wide(which: 0 | 1 | 2): number {
		return this.params + VALUES + COUNTERS + which;
	}

	constant(value: number): void {
		this.out.u8(Op.i32Const).s32(value);
	}

	/** Leaves an i32. */
	value(): void {
		const { out } = this;
		this.depth++;
		switch (this.depth > 4 ? this.choose(2) : this.choose(11)) {
			case 0:
				this.constant(this.choose(64) - 8);
				break;
			case 1:
				out.u8(Op.localGet).u32(this.local());
				break;
			case 2:
			case 3:
				this.value();
				this.value();
				out.u8(binary[this.choose(binary.length)] as number);
				break;
			case 4:
				this.address();
				out
					.u8(0x28)
					.u32(2)
					.u32(this.choose(16) * 4);
				break;
			case 5:
				this.value();
				out.u8(Op.if).u8(i32);
				this.labels.push('block');
				this.value();
				out.u8(Op.else);
				this.value();
				out.u8(Op.end);
				this.labels.pop();
				break;
			case 6:
				this.value();
				this.value();
				this.value();
				out.u8(Op.select);
				break;
			case 7:
				this.call();
				break;
			case 8:
				out.u8(Op.localGet).u32(this.wide(2)).u8(0xfd).u32(0x1b).u8(this.choose(4));
				break;
			case 9:
				out.u8(Op.localGet).u32(this.wide(0)).u8(0xa7);
				break;
			default:
				out.u8(Op.globalGet).u32(1);
		}
		this.depth--;
	}

	/** Leaves an address in the first 512 bytes. */
	address(): void {
		this.value();
		this.constant(0x1fc);
		this.out.u8(0x71);
	}

	/** Calls a later function, directly or through the table, and leaves one i32. */
	call(): void {
		const { out } = this;
		const callee = this.index + 1 + this.choose(2);
		if (callee >= FUNCTIONS) return this.constant(7);
		const type = functionType(callee);
		for (let i = 0; i < randomTypes[type].params.length; i++) this.value();
		if (type === 0 && this.choose(2) === 1) {
			this.constant(0);
			out.u8(Op.callIndirect).u32(0).u32(0);
		} else out.u8(Op.call).u32(callee);
		if (type === 1) out.u8(0x6a);
	}

	statements(most: number): void {
		for (let left = this.choose(most + 1); left > 0; left--) this.statement();
	}

	statement(): void {
		const { out } = this;
		this.depth++;
		switch (this.depth > 5 ? this.choose(3) : this.choose(15)) {
			case 0:
			case 1:
				this.value();
				out.u8(Op.localSet).u32(this.local());
				break;
			case 2:
				this.address();
				this.value();
				out.u8(0x36).u32(2).u32(0);
				break;
			case 3:
				this.value();
				out.u8(Op.if).u8(BLOCK_EMPTY);
				this.inside('block', 2);
				out.u8(Op.else);
				this.inside('block', 2);
				out.u8(Op.end);
				break;
			case 4:
				out.u8(Op.block).u8(BLOCK_EMPTY);
				this.inside('block', 3);
				out.u8(Op.end);
				break;
			case 5:
				this.branch();
				break;
			case 6:
				this.value();
				out.u8(Op.if).u8(BLOCK_EMPTY);
				for (let i = 0; i < this.results; i++) this.value();
				out.u8(Op.return).u8(Op.end);
				break;
			case 7:
				this.constant(this.choose(200));
				this.constant(this.choose(200));
				this.constant(this.choose(100));
				if (this.choose(2) === 0) out.u8(0xfc).u32(11).u8(0);
				else out.u8(0xfc).u32(10).u8(0).u8(0);
				break;
			case 8:
				this.vectorStatement();
				break;
			case 9:
				this.value();
				out.u8(Op.globalSet).u32(1);
				break;
			case 10:
				this.loopWithParameter();
				break;
			case 11:
				// May upset a counter: then a loop is no longer what it looks like.
				this.value();
				out.u8(Op.localSet).u32(this.counter(this.choose(COUNTERS)));
				break;
			default:
				this.loop();
		}
		this.depth--;
	}

	inside(label: 'block' | 'loop', most: number): void {
		this.labels.push(label);
		this.statements(most);
		this.labels.pop();
	}

	/** Branches to an enclosing block, if there is one. */
	branch(): void {
		const { out, labels } = this;
		const targets = labels.flatMap((label, i) => (label === 'block' ? [labels.length - 1 - i] : []));
		const target = targets[this.choose(Math.max(1, targets.length))];
		if (target === undefined) return;
		this.value();
		if (this.choose(3) > 0) {
			out.u8(Op.brIf).u32(target);
			return;
		}
		out.u8(Op.if).u8(BLOCK_EMPTY);
		this.value();
		out.u8(Op.brTable).u32(targets.length);
		for (const each of targets) out.u32(each + 1);
		out.u32(target + 1).u8(Op.end);
	}

	vectorStatement(): void {
		const { out } = this;
		const at = this.wide(2);
		this.value();
		out.u8(0xfd).u32(0x11).u8(Op.localGet).u32(at);
		out.u8(0xfd).u32(vector[this.choose(vector.length)] as number);
		// Float lanes may hold NaNs, whose bits need not agree between compilations: keep the low bits only.
		this.constant(0x00ff_ffff);
		out.u8(0xfd).u32(0x11).u8(0xfd).u32(0x4e).u8(Op.localSet).u32(at);
		out.u8(Op.localGet).u32(at).u8(0xfd).u32(0x1d).u8(0).u8(Op.localSet).u32(this.wide(0));
	}

	loopWithParameter(): void {
		const { out } = this;
		const counter = this.counter(this.choose(COUNTERS));
		this.constant(this.choose(4));
		out.u8(Op.loop).s32(3).u8(Op.localSet).u32(counter);
		this.inside('loop', 2);
		out.u8(Op.localGet).u32(counter);
		this.constant(1);
		out.u8(Op.i32Sub).u8(Op.localTee).u32(counter).u8(Op.localGet).u32(counter);
		this.constant(0);
		out.u8(Op.i32GtS).u8(Op.brIf).u32(0).u8(Op.end).u8(Op.localSet).u32(this.local());
	}

	/** A loop in one of the shapes compilers give counted loops; the body may break its promise. */
	loop(): void {
		const { out } = this;
		const counter = this.counter(this.choose(COUNTERS));
		const down = this.choose(3) === 0;
		const step = (this.choose(4) === 0 ? 1 + this.choose(5) : 2 ** this.choose(3)) * (down ? -1 : 1);
		const start = down ? this.choose(24) : this.choose(8) - 2;
		this.constant(this.choose(24) === 0 ? (down ? -0x7fff_fff0 : 0x7fff_fff0) : start);
		out.u8(Op.localSet).u32(counter);
		const bound = this.choose(3) === 0 ? this.local() : -1;
		const limit = down ? this.choose(8) - 2 : this.choose(24);
		// lt_s lt_u … ge_u, or ne.
		const compare =
			this.choose(6) === 0
				? Op.i32Ne
				: 0x48 + (down ? 2 + this.choose(2) + 4 * this.choose(2) : this.choose(2) + 4 * this.choose(2));
		const pushBound = (): void => {
			if (bound >= 0) out.u8(Op.localGet).u32(bound);
			else this.constant(limit);
		};
		out.u8(Op.loop).u8(BLOCK_EMPTY);
		if (this.choose(2) === 0) {
			out.u8(Op.localGet).u32(counter);
			pushBound();
			out.u8(compare).u8(Op.if).u8(BLOCK_EMPTY);
			this.labels.push('loop');
			this.inside('loop', 2);
			this.labels.pop();
			out.u8(Op.localGet).u32(counter);
			this.constant(step);
			out.u8(Op.i32Add).u8(Op.localSet).u32(counter).u8(Op.br).u32(1).u8(Op.end);
		} else {
			this.inside('loop', 2);
			out.u8(Op.localGet).u32(counter);
			this.constant(step);
			out.u8(Op.i32Add).u8(Op.localTee).u32(counter);
			pushBound();
			out.u8(compare).u8(Op.brIf).u32(0);
		}
		out.u8(Op.end);
	}
}

function functionType(index: number): 0 | 1 | 2 {
	return index === 1 ? 2 : index === 2 ? 1 : 0;
}

/** A random module: four functions that call later ones, loops that mostly end, bulk operations, SIMD. */
export function randomModule(tape: readonly number[]): Uint8Array {
	let at = 0;
	const choose = (choices: number): number => (tape[at++] ?? 0) % choices;
	const functions = Array.from({ length: FUNCTIONS }, (_, index): TestFunction => {
		const type = functionType(index);
		return {
			type,
			...(index === 0 ? { exportAs: 'rank' } : {}),
			locals: [
				[VALUES + COUNTERS, i32],
				[1, i64],
				[1, f32],
				[1, v128],
			],
			code: new RandomFunction(index, randomTypes[type], choose).write(),
		};
	});
	return buildModule({ types: randomTypes, functions, table: [FUNCTIONS - 1], globals: 1 });
}

export interface Run {
	readonly cause: 'returned' | TrapCause;
	readonly status: number;
	/** Fuel used; below zero is never a refund: a trap leaves the counter where it was last written. */
	readonly used: bigint;
	readonly fuel: bigint;
	readonly memory: Uint8Array;
	readonly error: unknown;
	readonly exports: WasmInstance['exports'];
}

/** An instance with one page of its own. */
export function instantiate(wasm: Uint8Array): {
	readonly exports: WasmInstance['exports'];
	readonly buffer: ArrayBuffer;
} {
	const memory = new wasmEngine.Memory({ initial: 1, maximum: 1 });
	const { exports } = new wasmEngine.Instance(new wasmEngine.Module(wasm), { env: { memory } });
	return { exports, buffer: memory.buffer };
}

/** Instantiates a module and runs `rank(1024)`; gives fuel when the module is metered. */
export function runRank(wasm: Uint8Array, fuel: bigint, stackSlotsMax = 16_384): Run {
	const { exports, buffer } = instantiate(wasm);
	const meter = exports[FUEL_EXPORT] as WasmGlobal<bigint> | undefined;
	const stack = exports[STACK_EXPORT] as WasmGlobal<number> | undefined;
	if (meter !== undefined) meter.value = fuel;
	let cause: Run['cause'] = 'returned';
	let status = 0;
	let error: unknown;
	try {
		status = (exports['rank'] as (frame: number) => number)(1024);
	} catch (thrown) {
		error = thrown;
		cause = trapCause(thrown, { fuel: meter?.value ?? 0n, stackSlots: stack?.value ?? 0, stackSlotsMax });
	}
	const left = meter?.value ?? 0n;
	return {
		cause,
		status,
		used: fuel - left,
		fuel: left,
		memory: new Uint8Array(buffer, 0, PAGE_BYTES),
		error,
		exports,
	};
}

/** The admitted module, or an error that says why it was refused. */
export function mustAdmit<T extends { readonly ok: true }>(result: T | RefusedModule): T {
	if (result.ok) return result;
	throw new Error(`refused: ${JSON.stringify(result.refusals)}`);
}
