// Owns the bounds of a module that may be admitted, with their defaults. Every count the reader meets has one.

export interface AdmissionLimits {
	/** Whole module, custom sections included. */
	readonly moduleBytesMax: number;
	readonly functionsMax: number;
	readonly functionBytesMax: number;
	/** Locals of one function, parameters included. */
	readonly localsMax: number;
	/** Loops of the whole module: what an optimising compiler spends most on. */
	readonly loopsMax: number;
	/** Blocks inside each other. */
	readonly nestingMax: number;
	/** Targets of one br_table. */
	readonly branchTargetsMax: number;
	/** Entries of the function table, and of its segments together. */
	readonly tableEntriesMax: number;
	/** Entries of every other section: types, globals, exports, data segments. */
	readonly entriesMax: number;
	/** Pages of memory below `__heap_base`: the module's own static data and stack, allocated for every instance. */
	readonly staticPagesMax: number;
	/** Parameters or results of one function type. */
	readonly arityMax: number;
	/** Refusals reported for one module; reading stops there. */
	readonly refusalsMax: number;
}

export const defaultAdmissionLimits: AdmissionLimits = {
	moduleBytesMax: 1024 * 1024,
	functionsMax: 2000,
	functionBytesMax: 64 * 1024,
	localsMax: 1000,
	loopsMax: 2000,
	nestingMax: 1024,
	branchTargetsMax: 4096,
	tableEntriesMax: 10_000,
	entriesMax: 2000,
	staticPagesMax: 64,
	arityMax: 100,
	refusalsMax: 32,
};
