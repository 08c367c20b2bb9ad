// Owns putting the metered module together: section order, the memory import's limits, the meter's globals, exports and types.
// The code inserted into functions is meter.ts's; which modules get this far is policy.ts's.
// Invariants: indices of the source keep their meaning (everything new is appended last); custom sections are kept, except those
// that address code by position, which rewriting would make wrong.
import { ByteWriter } from './byte-writer.js';
import type { FunctionPlan } from './call-graph.js';
import type { CountedLoop } from './counted-loops.js';
import { ENTRY_EXPORT, entryType, writeEntry } from './entry.js';
import { type ChargeSite, type MeterContext, meterFunction } from './meter.js';
import { Op, ValueType } from './opcodes.js';
import type { FunctionScan } from './scanned-function.js';
import { type FunctionType, type Section, SectionId, type WasmModuleData } from './wasm-reader.js';

/** Export of the i64 fuel global: the host writes a budget before a call; below zero after a trap = spent. */
export const FUEL_EXPORT = '__im_fuel';
/** Export of the i32 depth counter, in slots: above the limit after a trap = recursion too deep. Zero between calls. */
export const STACK_EXPORT = '__im_stack';
/** Export names with this prefix belong to the host. */
export const RESERVED_PREFIX = '__im_';
/** Prefix of profile counters (i64), followed by the site's index. */
export const PROFILE_EXPORT = '__im_site_';

export interface RewriteOptions {
	/** Limits of the memory import. */
	readonly memoryPagesMin: number;
	readonly memoryPagesMax: number;
	readonly stackSlotsMax: number;
	readonly profile: boolean;
	/** Exported functions that get a metered entry; each returns one i32. */
	readonly hooks: readonly string[];
	readonly countedLoop: (functionIndex: number, loop: number) => CountedLoop | undefined;
}

interface Entry {
	readonly name: string;
	readonly functionIndex: number;
	readonly typeIndex: number;
	readonly params: number;
}

export interface Rewritten {
	readonly wasm: Uint8Array<ArrayBuffer>;
	readonly runs: ByteWriter['runs'];
	/** Charge sites in counter order; empty unless profiling. */
	readonly sites: readonly ChargeSite[];
}

export function rewriteModule(
	module: WasmModuleData,
	scans: readonly FunctionScan[],
	plans: readonly FunctionPlan[],
	options: RewriteOptions,
): Rewritten {
	return new Rewriter(module, scans, plans, options).run();
}

class Rewriter {
	readonly module: WasmModuleData;
	readonly scans: readonly FunctionScan[];
	readonly plans: readonly FunctionPlan[];
	readonly options: RewriteOptions;
	readonly out: ByteWriter;
	readonly addedTypes: FunctionType[] = [];
	readonly sites: ChargeSite[] = [];
	readonly entries: Entry[] = [];

	constructor(
		module: WasmModuleData,
		scans: readonly FunctionScan[],
		plans: readonly FunctionPlan[],
		options: RewriteOptions,
	) {
		this.module = module;
		this.scans = scans;
		this.plans = plans;
		this.options = options;
		this.out = new ByteWriter(Math.ceil(module.bytes.length * 1.25) + 1024);
	}

	run(): Rewritten {
		const { out, module } = this;
		for (const scan of this.scans) if (scan.type.results.length > 1) this.#resultBlockType(scan.type);
		for (const { name, kind, index } of module.exports) {
			if (kind !== 0 || !this.options.hooks.includes(name)) continue;
			const type = module.types[module.functionTypes[index] as number] as FunctionType;
			const typeIndex = this.#typeIndex(entryType(type));
			this.entries.push({ name, functionIndex: index, typeIndex, params: type.params.length });
		}
		// Code comes after the globals it counts in, so it is metered first, to know how many there are.
		const code = new ByteWriter(out.at + module.bytes.length + 1024);
		this.#code(code);
		out.copy(module.bytes, 0, 8);
		let hasGlobals = false;
		for (const section of module.sections) {
			if (section.id === SectionId.export && !hasGlobals) this.#globals(undefined);
			hasGlobals ||= section.id === SectionId.global;
			this.#section(section, code);
		}
		return { wasm: out.finish(), runs: out.runs, sites: this.sites };
	}

	#section(section: Section, code: ByteWriter): void {
		switch (section.id) {
			case SectionId.type:
				return this.#types(section);
			case SectionId.import:
				return this.#imports();
			case SectionId.function:
				return this.#extend(section.id, section, this.scans.length, this.entries.length, () => {
					for (const entry of this.entries) this.out.u32(entry.typeIndex);
				});
			case SectionId.global:
				return this.#globals(section);
			case SectionId.export:
				return this.#exports(section);
			case SectionId.code:
				return this.#place(code);
			case SectionId.custom:
				if (section.name.startsWith('metadata.code.')) return;
				break;
			default:
				break;
		}
		this.out.copy(this.module.bytes, section.start, section.end);
	}

	#begin(id: number): number {
		this.out.inject(0).u8(id);
		return this.out.reserveLength();
	}

	/** Writes a section whose vector is the source's with `added` more elements after it. */
	#extend(id: number, section: Section | undefined, count: number, added: number, write: () => void): void {
		const size = this.#begin(id);
		this.out.u32(count + added);
		if (section !== undefined) {
			let from = section.payload;
			while ((this.module.bytes[from] ?? 0) >= 0x80) from++;
			this.out.copy(this.module.bytes, from + 1, section.end);
			this.out.inject(section.end);
		}
		write();
		this.out.patchLength(size);
	}

	#types(section: Section): void {
		this.#extend(SectionId.type, section, this.module.types.length, this.addedTypes.length, () => {
			for (const type of this.addedTypes) {
				this.out.u8(0x60).u32(type.params.length).raw(Uint8Array.from(type.params));
				this.out.u32(type.results.length).raw(Uint8Array.from(type.results));
			}
		});
	}

	#imports(): void {
		const size = this.#begin(SectionId.import);
		this.out.u32(1).name('env').name('memory').u8(2).u8(1);
		this.out.u32(this.options.memoryPagesMin).u32(this.options.memoryPagesMax);
		this.out.patchLength(size);
	}

	#globals(section: Section | undefined): void {
		const { out } = this;
		this.#extend(SectionId.global, section, this.module.globals.length, 2 + this.sites.length, () => {
			out.u8(ValueType.i64).u8(1).u8(Op.i64Const).s64(0).u8(Op.end);
			out.u8(ValueType.i32).u8(1).u8(Op.i32Const).s32(0).u8(Op.end);
			for (let i = 0; i < this.sites.length; i++) out.u8(ValueType.i64).u8(1).u8(Op.i64Const).s64(0).u8(Op.end);
		});
	}

	#exports(section: Section): void {
		const first = this.module.globals.length;
		const added = 2 + this.entries.length + this.sites.length;
		this.#extend(SectionId.export, section, this.module.exports.length, added, () => {
			for (const [i, { name }] of this.entries.entries())
				this.out
					.name(`${ENTRY_EXPORT}${name}`)
					.u8(0)
					.u32(this.module.functionTypes.length + i);
			this.out.name(FUEL_EXPORT).u8(3).u32(first);
			this.out
				.name(STACK_EXPORT)
				.u8(3)
				.u32(first + 1);
			for (let i = 0; i < this.sites.length; i++)
				this.out
					.name(`${PROFILE_EXPORT}${i}`)
					.u8(3)
					.u32(first + 2 + i);
		});
	}

	#code(code: ByteWriter): void {
		const { module, options } = this;
		const first = module.globals.length;
		const context: MeterContext = {
			source: module.bytes,
			fuelGlobal: first,
			stackGlobal: first + 1,
			stackSlotsMax: options.stackSlotsMax,
			resultBlockType: (typeIndex) => this.#resultBlockType(module.types[typeIndex] as FunctionType),
			typeIndexOf: (index) => module.functionTypes[index] as number,
			charges: (index) => this.plans[index]?.folded !== true,
			countedLoop: options.countedLoop,
			counter: options.profile ? (site) => first + 1 + this.sites.push(site) : undefined,
		};
		code.u32(this.scans.length + this.entries.length);
		for (const [i, scan] of this.scans.entries()) meterFunction(code, scan, this.plans[i] as FunctionPlan, context);
		code.inject(0);
		for (const entry of this.entries) writeEntry(code, { ...entry, fuelGlobal: first, stackGlobal: first + 1 });
	}

	/** Index of a block type that takes nothing and returns what functions of `type` return. */
	#resultBlockType(type: FunctionType): number {
		return this.#typeIndex({ params: [], results: type.results });
	}

	/** Index of a type, adding it when the source has none like it. */
	#typeIndex(type: FunctionType): number {
		const types = [...this.module.types, ...this.addedTypes];
		const found = types.findIndex(
			(each) => sameTypes(each.params, type.params) && sameTypes(each.results, type.results),
		);
		if (found >= 0) return found;
		this.addedTypes.push(type);
		return types.length;
	}

	/** Places the metered code, and its record of origins with it. */
	#place(code: ByteWriter): void {
		const { out } = this;
		const size = this.#begin(SectionId.code);
		const shift = out.at;
		for (let i = 0; i < code.runs.at.length; i++) {
			out.runs.at.push((code.runs.at[i] as number) + shift);
			out.runs.origin.push(code.runs.origin[i] as number);
			out.runs.injected.push(code.runs.injected[i] as number);
		}
		out.raw(code.finish());
		out.patchLength(size);
	}
}

function sameTypes(a: readonly number[], b: readonly number[]): boolean {
	return a.length === b.length && a.every((type, i) => type === b[i]);
}
