// Owns the options and the verdict of static admission: plain data, fit to cross a process boundary.
import type { LoopNote } from './call-graph.js';
import type { AdmissionCode } from './errors.js';
import type { AdmissionLimits } from './limits.js';
import type { ChargeSite } from './meter.js';
import type { OffsetMap } from './offset-map.js';
import type { InstructionWeights } from './profile.js';
import type { DecodedSourceMap } from './source-map.js';

export interface AdmitOptions {
	/** Fewest pages of memory the host will give. */
	readonly memoryPages: number;
	/** Most pages it will give; default `memoryPages`. A range lets one compiled module serve fleets of any size. */
	readonly memoryPagesMax?: number | undefined;
	/** Hooks that must be exported; default: any one that decides (rank or plan). */
	readonly hooksRequired?: readonly string[] | undefined;
	/** Stack slots (locals, operands) at which counted recursion ends. */
	readonly stackSlotsMax?: number | undefined;
	/** JSON text of the module's source map, for positions in refusals and traps. */
	readonly sourceMap?: string | undefined;
	readonly limits?: Partial<AdmissionLimits> | undefined;
	/** Charge counted loops once, at entry. Fuel is the same either way. */
	readonly precharge?: boolean | undefined;
}

export const admitDefaults = {
	stackSlotsMax: 16_384,
	precharge: true,
	/** Leaves up to this fuel and stack are charged by their callers. */
	foldCostMax: 200,
	foldSlotsMax: 512,
} as const;

export interface Where {
	/** Byte offset in the module as it was given. */
	readonly offset: number;
	readonly functionIndex?: number;
	readonly function?: string;
	readonly source?: string;
	/** 1-based. */
	readonly line?: number;
	readonly column?: number;
}

export interface Refusal {
	readonly code: AdmissionCode;
	/** What was found, with its values. */
	readonly what: string;
	readonly where: Where;
	readonly hint: string;
}

export interface ExportNote {
	readonly name: string;
	readonly loops: LoopNote;
	/** Worst fuel of one call where no loop and no bulk operation can be reached. */
	readonly fuelMax?: number;
	/** Worst stack in slots; absent when the depth is counted at run time. */
	readonly stackSlots?: number;
}

export interface AdmissionStats {
	readonly bytesIn: number;
	readonly bytesOut: number;
	readonly functions: number;
	readonly instructions: number;
	readonly loops: number;
	/** Loops charged once at entry. */
	readonly loopsCounted: number;
	/** Functions charged by their callers. */
	readonly functionsFolded: number;
	/** Functions that count their depth at run time. */
	readonly functionsCountingDepth: number;
}

/** What a trap needs to be explained; plain data. */
export interface TrapSymbols {
	readonly offsetMap: OffsetMap;
	/** Function names by index. */
	readonly functionNames: ReadonlyMap<number, string>;
	readonly sourceMap?: DecodedSourceMap;
}

export interface AdmittedModule extends TrapSymbols {
	readonly ok: true;
	/** The metered module. */
	readonly wasm: Uint8Array<ArrayBuffer>;
	/** SHA-256, hex, of source module, instrumenter version and weights version. */
	readonly digest: string;
	/** Value of `__heap_base`: the frame starts there, rounded up to 64. */
	readonly heapBase: number;
	readonly exports: readonly ExportNote[];
	readonly stats: AdmissionStats;
}

export interface RefusedModule {
	readonly ok: false;
	readonly refusals: readonly Refusal[];
}

export type AdmissionResult = AdmittedModule | RefusedModule;

export interface ProfiledModule extends AdmittedModule {
	/** Charge sites; the module exports an i64 counter for each. */
	readonly sites: readonly ChargeSite[];
	/** Where inside a site the fuel goes. */
	readonly weights: readonly InstructionWeights[];
}
