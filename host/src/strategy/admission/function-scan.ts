// Owns decoding one function body: which instructions it has, its blocks and loops, what each region costs, and the places where
// the meter must insert code. Checks structure (nesting, labels, indices, operand counts), because the meter relies on it; types
// are left to the engine, which validates the rewritten module. Throws ModuleFault and nothing else.
import { ByteReader, ModuleFault, malformed } from './byte-reader.js';
import type { AdmissionLimits } from './limits.js';
import { BLOCK_EMPTY, Op, opcodes, PREFIX_MISC, PREFIX_SIMD, ValueType, valueTypeName } from './opcodes.js';
import type { Edit, FunctionScan, InstructionBuffer, LoopScan } from './scanned-function.js';
import type { FunctionType, WasmModuleData } from './wasm-reader.js';
import { checkWeight } from './weights.js';

const MIN_FRAME_SLOTS = 8;

interface Frame {
	readonly kind: 'function' | 'block' | 'loop' | 'if' | 'else';
	readonly base: number;
	readonly params: number;
	readonly results: number;
	/** Loop index when kind is loop. */
	readonly loop: number;
	/** Region outside this frame. */
	readonly outer: number;
	unreachable: boolean;
}

/** Scans the body of the function with the given index (of the whole function index space). */
export function scanFunction(
	module: WasmModuleData,
	index: number,
	limits: AdmissionLimits,
	buffer: InstructionBuffer,
): FunctionScan {
	return new Scanner(module, index, limits, buffer).run();
}

class Scanner {
	readonly module: WasmModuleData;
	readonly index: number;
	readonly limits: AdmissionLimits;
	readonly buffer: InstructionBuffer;
	readonly reader: ByteReader;
	readonly type: FunctionType;
	readonly frames: Frame[] = [];
	readonly loops: LoopScan[] = [];
	readonly edits: Edit[] = [];
	height = 0;
	heightMax = 0;
	region = -1;
	cost = checkWeight;
	localCount = 0;
	localSlots = 0;
	hasBulk = false;
	/** Start of the instruction being decoded. */
	at = 0;

	constructor(module: WasmModuleData, index: number, limits: AdmissionLimits, buffer: InstructionBuffer) {
		this.module = module;
		this.index = index;
		this.limits = limits;
		this.buffer = buffer;
		const body = module.bodies[index - module.importedFunctions];
		const type = module.types[module.functionTypes[index] ?? -1];
		if (body === undefined || type === undefined) throw malformed(0, `function ${index} has no body`);
		this.type = type;
		this.reader = new ByteReader(module.bytes, body.start, body.end);
	}

	run(): FunctionScan {
		const start = this.reader.at;
		const localGroups = this.#locals();
		const codeAt = this.reader.at;
		this.buffer.count = 0;
		this.#push('function', { params: [], results: this.type.results });
		while (this.frames.length > 0) this.#instruction();
		if (!this.reader.done) throw malformed(this.reader.at, 'instructions follow the end of a function');
		return {
			index: this.index,
			type: this.type,
			start,
			localGroupsAt: localGroups.at,
			codeAt,
			end: this.reader.at,
			localGroups: localGroups.count,
			localCount: this.localCount,
			slots: this.localSlots + this.heightMax + MIN_FRAME_SLOTS,
			cost: this.cost,
			loops: this.loops,
			edits: this.edits,
			instructions: this.buffer.count,
			hasBulk: this.hasBulk,
		};
	}

	#locals(): { readonly at: number; readonly count: number } {
		for (const type of this.type.params) this.#addLocals(1, type);
		const groups = this.reader.count('local groups', this.limits.localsMax, 'IM_ADMISSION_LOCALS');
		const at = this.reader.at;
		for (let i = 0; i < groups; i++) {
			const count = this.reader.u32('local count');
			const typeAt = this.reader.at;
			const type = this.reader.u8('local type');
			if (valueTypeName(type) === undefined)
				throw new ModuleFault('IM_ADMISSION_REFERENCE_TYPES', typeAt, 'a local holds a reference or an unknown type');
			this.#addLocals(count, type);
		}
		return { at, count: groups };
	}

	#addLocals(count: number, type: number): void {
		this.localCount += count;
		if (this.localCount > this.limits.localsMax)
			throw new ModuleFault(
				'IM_ADMISSION_LOCALS',
				this.reader.at,
				`function ${this.index} has ${this.localCount} locals; the limit is ${this.limits.localsMax}`,
			);
		this.localSlots += type === ValueType.v128 ? count * 2 : count;
	}

	#instruction(): void {
		const { reader, buffer } = this;
		this.at = reader.at;
		const key = this.#key();
		const opcode = opcodes[key];
		if (opcode === undefined)
			throw new ModuleFault('IM_ADMISSION_OPCODE', this.at, `opcode ${keyText(key)} is not known`);
		if (opcode.refused !== undefined) throw new ModuleFault(opcode.refused, this.at, `${opcode.name} is used`);
		const i = buffer.count++;
		buffer.keys[i] = key;
		buffer.offsets[i] = this.at;
		buffer.regions[i] = this.region;
		buffer.immediates[i] = 0;
		if (opcode.weight > 0) this.#charge(this.region, opcode.weight);
		switch (opcode.immediates) {
			case 'none':
				break;
			case 'local':
				buffer.immediates[i] = this.#index(this.localCount, 'local');
				break;
			case 'i32':
				buffer.immediates[i] = reader.s32('constant');
				break;
			case 'memarg':
				this.#memarg();
				break;
			case 'memargLane':
				this.#memarg();
				reader.skip(1, 'lane');
				break;
			case 'global':
				buffer.immediates[i] = this.#index(this.module.globals.length, 'global');
				break;
			case 'i64':
				reader.skipLeb(10, 'constant');
				break;
			case 'bytes4':
				reader.skip(4, 'constant');
				break;
			case 'bytes8':
				reader.skip(8, 'constant');
				break;
			case 'bytes16':
				reader.skip(16, 'constant');
				break;
			case 'lane':
				reader.skip(1, 'lane');
				break;
			case 'memory':
				this.#memoryIndex();
				if (key === Op.memoryFill) this.#bulk();
				break;
			case 'memoryCopy':
				this.#memoryIndex();
				this.#memoryIndex();
				this.#bulk();
				break;
			case 'memoryInit':
				this.#index(this.module.data.length, 'data segment');
				this.#memoryIndex();
				this.#bulk();
				break;
			case 'dataDrop':
				this.#index(this.module.data.length, 'data segment');
				break;
			case 'selectTyped':
				if (reader.u8('select types') !== 1 || valueTypeName(reader.u8('value type')) === undefined)
					throw new ModuleFault('IM_ADMISSION_REFERENCE_TYPES', this.at, 'a select of references is used');
				break;
			case 'block':
			case 'label':
			case 'branchTable':
			case 'func':
			case 'callIndirect':
			case 'refused':
				this.#control(key, i);
				return;
		}
		this.#pop(opcode.pops);
		this.#pushValues(opcode.pushes);
		if (key === Op.return) this.#return();
		else if (key === Op.unreachable) this.#setUnreachable();
		else if (key === Op.else) this.#else();
		else if (key === Op.end) this.#end(i);
	}

	#key(): number {
		const first = this.reader.u8('instruction');
		if (first === 0xfc) return this.#prefixed(PREFIX_MISC, 0x100);
		if (first === 0xfd) return this.#prefixed(PREFIX_SIMD, 0x200);
		return first;
	}

	#prefixed(prefix: number, room: number): number {
		const sub = this.reader.u32('opcode');
		if (sub >= room) throw new ModuleFault('IM_ADMISSION_OPCODE', this.at, `opcode ${sub} of a prefix is not known`);
		return prefix + sub;
	}

	#charge(region: number, weight: number): void {
		if (region < 0) this.cost += weight;
		else (this.loops[region] as LoopScan).cost += weight;
	}

	#index(bound: number, what: string): number {
		const value = this.reader.u32(what);
		if (value >= bound) throw malformed(this.at, `${what} ${value} does not exist`);
		return value;
	}

	#memarg(): void {
		const align = this.reader.u32('alignment');
		if ((align & 0x40) !== 0) throw new ModuleFault('IM_ADMISSION_MULTI_MEMORY', this.at, 'a second memory is used');
		if (align > 4) throw malformed(this.at, 'an alignment is too large');
		this.reader.u32('memory offset');
	}

	#memoryIndex(): void {
		if (this.reader.u32('memory index') !== 0)
			throw new ModuleFault('IM_ADMISSION_MULTI_MEMORY', this.at, 'a second memory is used');
	}

	#bulk(): void {
		this.hasBulk = true;
		this.edits.push({ kind: 'bulk', at: this.at, region: this.region });
	}

	#control(key: number, i: number): void {
		switch (key) {
			case Op.block:
			case Op.loop:
			case Op.if:
				return this.#enter(key);
			case Op.br:
			case Op.brIf:
				return this.#branch(key, i);
			case Op.brTable:
				return this.#branchTable(i);
			case Op.call: {
				const callee = this.#index(this.module.functionTypes.length, 'function');
				return this.#call(callee, this.module.functionTypes[callee] ?? 0);
			}
			default: {
				const type = this.#index(this.module.types.length, 'type');
				if (this.reader.u32('table index') !== 0 || this.module.tables.length === 0)
					throw malformed(this.at, 'call_indirect names a table that does not exist');
				this.#pop(1);
				return this.#call(-1, type);
			}
		}
	}

	#enter(key: number): void {
		if (key === Op.if) this.#pop(1);
		const type = this.#blockType();
		this.#pop(type.params.length);
		if (this.frames.length > this.limits.nestingMax)
			throw new ModuleFault('IM_ADMISSION_NESTING', this.at, `blocks are nested deeper than ${this.limits.nestingMax}`);
		if (key === Op.loop) this.#enterLoop(type);
		else this.#push(key === Op.if ? 'if' : 'block', type);
		this.#pushValues(type.params.length);
	}

	#enterLoop(type: FunctionType): void {
		const outer = this.region;
		const loop: LoopScan = {
			index: this.loops.length,
			first: this.buffer.count - 1,
			last: -1,
			at: this.at,
			bodyAt: this.reader.at,
			cost: checkWeight,
			backEdges: 0,
			backEdge: -1,
			exits: 0,
			nestedIn: outer,
			depth: outer < 0 ? 1 : (this.loops[outer] as LoopScan).depth + 1,
		};
		this.loops.push(loop);
		this.edits.push({ kind: 'loop', at: loop.at, loop: loop.index });
		this.#push('loop', type, loop.index);
		this.region = loop.index;
	}

	#blockType(): FunctionType {
		const at = this.reader.at;
		const first = this.reader.bytes[at] ?? 0;
		if (first === BLOCK_EMPTY) {
			this.reader.skip(1, 'block type');
			return emptyType;
		}
		if (first < 0x80 && (first & 0x40) !== 0) {
			this.reader.skip(1, 'block type');
			if (valueTypeName(first) === undefined)
				throw new ModuleFault('IM_ADMISSION_REFERENCE_TYPES', at, 'a block returns a reference');
			return oneResult;
		}
		const index = this.reader.s32('block type');
		const type = this.module.types[index];
		if (index < 0 || type === undefined) throw malformed(at, `block type ${index} does not exist`);
		return type;
	}

	#push(kind: Frame['kind'], type: FunctionType, loop = -1): void {
		this.frames.push({
			kind,
			base: this.height,
			params: type.params.length,
			results: type.results.length,
			loop,
			outer: this.region,
			unreachable: false,
		});
	}

	#top(): Frame {
		return this.frames[this.frames.length - 1] as Frame;
	}

	#pop(count: number): void {
		if (count === 0) return;
		const frame = this.#top();
		this.height -= count;
		if (this.height >= frame.base) return;
		if (!frame.unreachable) throw malformed(this.at, 'an instruction has too few operands');
		this.height = frame.base;
	}

	#pushValues(count: number): void {
		this.height += count;
		// Every value counts as two slots: a v128 takes two, and which values are vectors is not tracked.
		if (this.height * 2 > this.heightMax) this.heightMax = this.height * 2;
	}

	#setUnreachable(): void {
		const frame = this.#top();
		frame.unreachable = true;
		this.height = frame.base;
	}

	#target(depth: number): number {
		const target = this.frames.length - 1 - depth;
		if (target < 0) throw malformed(this.at, `label ${depth} does not exist`);
		return target;
	}

	/** Notes a branch to frame `target`: a back edge of that frame's loop, and an exit of every loop inside it. */
	#noteBranch(target: number, i: number): void {
		const frame = this.frames[target] as Frame;
		this.#noteExits(frame.kind === 'loop' ? frame.loop : frame.outer);
		if (frame.kind !== 'loop') return;
		const loop = this.loops[frame.loop] as LoopScan;
		loop.backEdges++;
		loop.backEdge = i;
	}

	#noteExits(until: number): void {
		for (let region = this.region; region >= 0 && region !== until; ) {
			const loop = this.loops[region] as LoopScan;
			loop.exits++;
			region = loop.nestedIn;
		}
	}

	#branchArity(target: number): number {
		const frame = this.frames[target] as Frame;
		return frame.kind === 'loop' ? frame.params : frame.results;
	}

	#branch(key: number, i: number): void {
		const depth = this.reader.u32('label');
		const target = this.#target(depth);
		this.buffer.immediates[i] = depth;
		if (key === Op.brIf) this.#pop(1);
		const arity = this.#branchArity(target);
		this.#pop(arity);
		this.#noteBranch(target, i);
		if (key === Op.br) this.#setUnreachable();
		else this.#pushValues(arity);
	}

	#branchTable(i: number): void {
		const count = this.reader.count('branch targets', this.limits.branchTargetsMax, 'IM_ADMISSION_BRANCH_TABLE');
		this.#pop(1);
		let outermost = this.frames.length - 1;
		for (let k = 0; k <= count; k++) {
			const target = this.#target(this.reader.u32('label'));
			outermost = Math.min(outermost, target);
			const frame = this.frames[target] as Frame;
			if (frame.kind === 'loop') (this.loops[frame.loop] as LoopScan).backEdges++;
			if (k === count) this.#pop(this.#branchArity(target));
		}
		const frame = this.frames[outermost] as Frame;
		this.#noteExits(frame.kind === 'loop' ? frame.loop : frame.outer);
		this.buffer.immediates[i] = -1;
		this.#setUnreachable();
	}

	#call(callee: number, typeIndex: number): void {
		const type = this.module.types[typeIndex] as FunctionType;
		this.#pop(type.params.length);
		this.#pushValues(type.results.length);
		this.edits.push({ kind: 'call', at: this.at, end: this.reader.at, callee, region: this.region });
	}

	#return(): void {
		this.#pop(this.type.results.length);
		this.edits.push({ kind: 'return', at: this.at, end: this.reader.at, depth: this.frames.length - 1 });
		this.#noteExits(-1);
		this.#setUnreachable();
	}

	#closeValues(frame: Frame): void {
		this.#pop(frame.results);
		if (this.height !== frame.base) throw malformed(this.at, 'values are left on the stack at the end of a block');
	}

	#else(): void {
		const frame = this.#top();
		if (frame.kind !== 'if') throw malformed(this.at, 'else without if');
		this.#closeValues(frame);
		this.frames[this.frames.length - 1] = { ...frame, kind: 'else', unreachable: false };
		this.#pushValues(frame.params);
	}

	#end(i: number): void {
		const frame = this.#top();
		this.#closeValues(frame);
		this.frames.pop();
		if (frame.kind === 'loop') (this.loops[frame.loop] as LoopScan).last = i;
		this.region = frame.outer;
		if (this.frames.length > 0) this.#pushValues(frame.results);
	}
}

const emptyType: FunctionType = { params: [], results: [] };
const oneResult: FunctionType = { params: [], results: [ValueType.i32] };

function keyText(key: number): string {
	if (key >= PREFIX_SIMD) return `0xfd ${key - PREFIX_SIMD}`;
	if (key >= PREFIX_MISC) return `0xfc ${key - PREFIX_MISC}`;
	return `0x${key.toString(16).padStart(2, '0')}`;
}
