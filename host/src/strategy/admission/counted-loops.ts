// Owns recognising loops whose number of iterations is known when they are entered, so that the meter can charge them once.
// A loop is counted when all of this holds, for one i32 local, the counter:
//   1. there is exactly one back edge, and the counter's only write in the loop steps it by a constant right before that edge
//      (nothing lies between, so every back edge is taken with exactly one step);
//   2. the back edge is taken only after the counter was compared with a constant, or with a local not written in the loop;
//   3. nothing else leaves the loop and nothing goes around the back edge, so the iterations charged are the iterations run
//      (traps aside).
// The meter's formula covers wrap-around of the counter: see `CountedLoop`.
import { Op } from './opcodes.js';
import type { InstructionBuffer, LoopScan } from './scanned-function.js';

/** How the loop goes on: while `counter <compare> bound`. */
export type Compare = 'lt' | 'le' | 'gt' | 'ge' | 'ne';

export interface CountedLoop {
	readonly counter: number;
	/** Added to the counter once an iteration; between -STEP_MAX and STEP_MAX, not 0. */
	readonly step: number;
	readonly bound:
		| { readonly kind: 'local'; readonly local: number }
		| { readonly kind: 'constant'; readonly value: number };
	readonly compare: Compare;
	/** Whether counter and bound are compared as signed numbers; of no meaning for `ne`. */
	readonly signed: boolean;
	/** Compared at the header before the step, or at the end after it. */
	readonly test: 'top' | 'bottom';
}

/** Largest step of an ordered comparison: a counter that wraps needs 2^32 / step iterations more, beyond any budget. */
const STEP_MAX = 64;
/** Largest step of `ne`: a power of two, so that missing the bound once means missing it for ever. */
const STEP_NE_MAX = 4096;
/** Loops nested deeper than this are not analysed, which bounds the analysis. */
const DEPTH_MAX = 16;

/** The counted form of a loop, or undefined when it does not have one. */
export function findCountedLoop(code: InstructionBuffer, loop: LoopScan): CountedLoop | undefined {
	if (loop.backEdges !== 1 || loop.backEdge < 0 || loop.depth > DEPTH_MAX) return undefined;
	const found = code.keys[loop.backEdge] === Op.brIf ? bottomTested(code, loop) : topTested(code, loop);
	if (found === undefined || !stepFits(found)) return undefined;
	if (writes(code, loop, found.counter) !== 1) return undefined;
	if (
		found.bound.kind === 'local' &&
		(found.bound.local === found.counter || writes(code, loop, found.bound.local) > 0)
	)
		return undefined;
	return found;
}

function stepFits({ step, compare }: CountedLoop): boolean {
	const size = Math.abs(step);
	if (compare === 'ne') return size > 0 && size <= STEP_NE_MAX && (size & (size - 1)) === 0;
	if (size === 0 || size > STEP_MAX) return false;
	return compare === 'lt' || compare === 'le' ? step > 0 : step < 0;
}

function writes(code: InstructionBuffer, loop: LoopScan, local: number): number {
	let count = 0;
	for (let i = loop.first; i < loop.last; i++) {
		const key = code.keys[i];
		if ((key === Op.localSet || key === Op.localTee) && code.immediates[i] === local) count++;
	}
	return count;
}

interface Test {
	readonly left: Operand;
	readonly right: Operand;
	readonly compare: Compare | 'eq';
	readonly signed: boolean;
}

type Operand =
	| { readonly kind: 'local'; readonly local: number }
	| { readonly kind: 'constant'; readonly value: number };

const zero: Operand = { kind: 'constant', value: 0 };

/** `loop; <counter ? bound>; if …step; br loop… end end`, or with `br_if out` in place of `if`. */
function topTested(code: InstructionBuffer, loop: LoopScan): CountedLoop | undefined {
	const step = stepBefore(code, loop.backEdge, Op.localSet);
	if (step === undefined) return undefined;
	const found = readTest(code, loop.first + 1);
	if (found === undefined) return undefined;
	const branch = found.next;
	let test = found.test;
	if (code.keys[branch] === Op.if) {
		// Label 1 from right inside the `if`: no block lies between, so the arm cannot be left without the back edge.
		if (loop.exits !== 0 || code.immediates[loop.backEdge] !== 1) return undefined;
		if (!insideThen(code, branch, loop.backEdge)) return undefined;
	} else if (code.keys[branch] === Op.brIf && (code.immediates[branch] ?? 0) > 0) {
		// The header stands directly in the loop, so a label above 0 leaves it; it must be the only way out.
		if (loop.exits !== 1 || code.immediates[loop.backEdge] !== 0) return undefined;
		test = negate(test);
	} else return undefined;
	return assemble(test, step, 'top');
}

/** Whether instruction `inner` lies in the then-arm of the `if` at `at`. */
function insideThen(code: InstructionBuffer, at: number, inner: number): boolean {
	let depth = 0;
	for (let i = at + 1; i < inner; i++) {
		const key = code.keys[i];
		if (key === Op.block || key === Op.loop || key === Op.if) depth++;
		else if (key === Op.end && depth-- === 0) return false;
		else if (key === Op.else && depth === 0) return false;
	}
	return true;
}

/** `…step tee; ? bound; br_if loop`. */
function bottomTested(code: InstructionBuffer, loop: LoopScan): CountedLoop | undefined {
	// Label 0: the test stands directly in the loop, where nothing goes around it.
	if (loop.exits !== 0 || code.immediates[loop.backEdge] !== 0) return undefined;
	let at = loop.backEdge - 1;
	let negated = false;
	if (code.keys[at] === Op.i32Eqz) {
		negated = true;
		at--;
	}
	const compare = compareOf(code.keys[at] ?? 0);
	let test: Test | undefined;
	let tee = at;
	if (compare === undefined) test = whole(code, at);
	else {
		const right = operand(code, at - 1);
		if (right !== undefined && code.keys[at - 2] === Op.localTee) {
			tee = at - 2;
			test = { left: { kind: 'local', local: code.immediates[tee] ?? 0 }, right, ...compare };
		} else if (code.keys[at - 1] === Op.localTee) {
			tee = at - 1;
			const left = operand(code, at - 5);
			if (left !== undefined) test = { left, right: { kind: 'local', local: code.immediates[tee] ?? 0 }, ...compare };
		}
	}
	const step = stepBefore(code, tee + 1, Op.localTee);
	if (test === undefined || step === undefined) return undefined;
	return assemble(negated ? negate(test) : test, step, 'bottom');
}

function whole(code: InstructionBuffer, at: number): Test | undefined {
	if (code.keys[at] !== Op.localTee) return undefined;
	return { left: { kind: 'local', local: code.immediates[at] ?? 0 }, right: zero, compare: 'ne', signed: false };
}

/** The step `local.get c; i32.const k; i32.add|sub; local.set|tee c` that ends right before instruction `end`. */
function stepBefore(
	code: InstructionBuffer,
	end: number,
	write: number,
): { readonly counter: number; readonly step: number } | undefined {
	const at = end - 4;
	if (at < 0 || code.keys[at] !== Op.localGet || code.keys[at + 1] !== Op.i32Const || code.keys[at + 3] !== write)
		return undefined;
	const counter = code.immediates[at] ?? 0;
	if (code.immediates[at + 3] !== counter) return undefined;
	const constant = code.immediates[at + 1] ?? 0;
	if (code.keys[at + 2] === Op.i32Add) return { counter, step: constant };
	if (code.keys[at + 2] === Op.i32Sub) return { counter, step: -constant };
	return undefined;
}

function operand(code: InstructionBuffer, at: number): Operand | undefined {
	if (at < 0) return undefined;
	if (code.keys[at] === Op.localGet) return { kind: 'local', local: code.immediates[at] ?? 0 };
	if (code.keys[at] === Op.i32Const) return { kind: 'constant', value: code.immediates[at] ?? 0 };
	return undefined;
}

function readTest(code: InstructionBuffer, at: number): { readonly test: Test; readonly next: number } | undefined {
	const left = operand(code, at);
	if (left === undefined) return undefined;
	const right = operand(code, at + 1);
	const compare = compareOf(code.keys[at + 2] ?? 0);
	let next = at + 1;
	let test: Test = { left, right: zero, compare: 'ne', signed: false };
	if (right !== undefined && compare !== undefined) {
		test = { left, right, ...compare };
		next = at + 3;
	}
	if (code.keys[next] === Op.i32Eqz) {
		test = negate(test);
		next++;
	}
	return { test, next };
}

function compareOf(key: number): { readonly compare: Compare | 'eq'; readonly signed: boolean } | undefined {
	if (key === Op.i32Eq) return { compare: 'eq', signed: false };
	if (key === Op.i32Ne) return { compare: 'ne', signed: false };
	if (key < Op.i32LtS || key > Op.i32GeU) return undefined;
	const compare = (['lt', 'gt', 'le', 'ge'] as const)[(key - Op.i32LtS) >> 1];
	return compare === undefined ? undefined : { compare, signed: (key & 1) === 0 };
}

const opposite = { lt: 'ge', ge: 'lt', gt: 'le', le: 'gt', eq: 'ne', ne: 'eq' } as const;
const mirrored = { lt: 'gt', gt: 'lt', le: 'ge', ge: 'le', eq: 'eq', ne: 'ne' } as const;

function negate(test: Test): Test {
	return { ...test, compare: opposite[test.compare] };
}

function assemble(
	test: Test,
	{ counter, step }: { readonly counter: number; readonly step: number },
	place: 'top' | 'bottom',
): CountedLoop | undefined {
	const straight = test.left.kind === 'local' && test.left.local === counter;
	const swapped = test.right.kind === 'local' && test.right.local === counter;
	if (straight === swapped) return undefined;
	const compare = straight ? test.compare : mirrored[test.compare];
	if (compare === 'eq') return undefined;
	return { counter, step, bound: straight ? test.right : test.left, compare, signed: test.signed, test: place };
}
