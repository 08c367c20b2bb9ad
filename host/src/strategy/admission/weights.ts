// Owns what each class of instruction costs. The table is global: the same fuel on every machine, so that a budget, a regression
// test and a replayed decision mean the same everywhere. Only nanoseconds per fuel differ, and they are measured elsewhere.
// Unit: the cost of one integer operation, all else in proportion. Operands that live in registers (locals, constants,
// block structure) cost nothing.

/** Raised whenever a weight or the charging rule changes: fuel of different versions must not be compared. */
export const FUEL_WEIGHTS_VERSION = 1;

export const fuelWeights = {
	/** Structure, locals, constants, drop: no instruction of the machine. */
	free: 0,
	/** Integer add, logic, shift, compare, select, width change. */
	alu: 1,
	/** Taken or not: br, br_if, if, return. */
	branch: 1,
	/** An indirect jump. */
	branchTable: 4,
	/** Globals live in memory behind the instance pointer. */
	global: 1,
	/** 64-bit and 32-bit multiply. */
	mul: 2,
	/** Scalar float add, sub, mul, min, max, compare, round. */
	float: 2,
	/** Between integer and float. */
	convert: 3,
	/** Integer division and remainder. */
	div: 16,
	/** Float division and square root. */
	floatDiv: 10,
	load: 2,
	store: 2,
	/** A lane-wise integer or bitwise vector operation. */
	simd: 1,
	/** A lane-wise float operation, shuffle, widening or narrowing. */
	simdFloat: 2,
	/** A vector operation that takes several machine instructions on at least one platform. */
	simdSlow: 5,
	simdDiv: 12,
	simdLoad: 3,
	simdStore: 3,
	/** A direct call: frame, spills and the callee's own checks. */
	call: 8,
	callIndirect: 14,
	/** Fixed part of memory.fill, copy and init; see `bulkBytesPerFuel`. */
	bulk: 16,
	/** An instruction that is always refused. */
	refused: 0,
} as const;

export type WeightClass = keyof typeof fuelWeights;

/** Charged once at every function entry and every loop header, so that no cycle of the program is free. */
export const checkWeight = 2;

/** memory.fill, copy and init cost one fuel for this many bytes, begun ones counted whole; charged before the operation. */
export const bulkBytesPerFuelLog2 = 4;
