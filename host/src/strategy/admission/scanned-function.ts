// Owns the shape of a scanned function body: its instructions as columns, its loops, and the places where the meter inserts code.
// Filled by function-scan.ts; read by the call graph, the loop analysis and the meter.
import type { FunctionType } from './wasm-reader.js';

/** Instructions of one body as parallel columns, reused from function to function. */
export class InstructionBuffer {
	readonly keys: Uint16Array;
	readonly offsets: Int32Array;
	/** First immediate: index, label depth or i32 constant; 0 where there is none. */
	readonly immediates: Int32Array;
	/** Region charged: -1 = function, else loop index. */
	readonly regions: Int32Array;
	count = 0;

	constructor(capacity: number) {
		this.keys = new Uint16Array(capacity);
		this.offsets = new Int32Array(capacity);
		this.immediates = new Int32Array(capacity);
		this.regions = new Int32Array(capacity);
	}
}

export interface LoopScan {
	/** Index in the function's loop list. */
	readonly index: number;
	/** Instruction index of `loop`, and of its `end`. */
	readonly first: number;
	last: number;
	/** Offset of the `loop` opcode, and of the first instruction inside. */
	readonly at: number;
	readonly bodyAt: number;
	/** Fuel of one iteration, nested loops excluded. */
	cost: number;
	/** Branches back to the header, and the last one's instruction index. */
	backEdges: number;
	backEdge: number;
	/** Branches and returns that leave the loop. */
	exits: number;
	readonly nestedIn: number;
	/** Deepest chain of loops around this one, itself included. */
	readonly depth: number;
}

export type Edit =
	| { readonly kind: 'loop'; readonly at: number; readonly loop: number }
	| {
			readonly kind: 'call';
			readonly at: number;
			readonly end: number;
			/** Function index; -1 for call_indirect. */
			readonly callee: number;
			readonly region: number;
	  }
	/** `depth` is the label of the function's own block at this place. */
	| { readonly kind: 'return'; readonly at: number; readonly end: number; readonly depth: number }
	| { readonly kind: 'bulk'; readonly at: number; readonly region: number };

export interface FunctionScan {
	readonly index: number;
	readonly type: FunctionType;
	/** Offset of the locals vector, of its first group, of the first instruction, and after the final `end`. */
	readonly start: number;
	readonly localGroupsAt: number;
	readonly codeAt: number;
	readonly end: number;
	readonly localGroups: number;
	/** Parameters included. */
	readonly localCount: number;
	/** Stack slots of one activation: locals (v128 as two) + greatest operand depth + 8. */
	readonly slots: number;
	/** Fuel of all that lies outside loops, the entry check included; folded callees are added by the call graph. */
	readonly cost: number;
	readonly loops: readonly LoopScan[];
	readonly edits: readonly Edit[];
	readonly instructions: number;
	readonly hasBulk: boolean;
}
