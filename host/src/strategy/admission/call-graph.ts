// Owns what follows from which function calls which: small leaves whose cost is folded into their callers, how deep the stack can
// get, which functions must count their depth at run time, and what can be said of an export's loops before it has run.
import type { FunctionScan } from './scanned-function.js';
import type { ExportEntry } from './wasm-reader.js';

export type LoopNote = 'none' | 'counted' | 'unbounded';

export interface CallGraphOptions {
	/** Slots at which counted recursion ends. */
	readonly stackSlotsMax: number;
	/** Leaves up to this cost are charged by their callers. */
	readonly foldCostMax: number;
	readonly foldSlotsMax: number;
}

export interface FunctionPlan {
	/** Charged by its callers; its own code stays as it is. */
	readonly folded: boolean;
	/** Fuel of one activation outside loops, folded callees included. */
	readonly cost: number;
	/** Fuel of one iteration of each loop, folded callees included. */
	readonly loopCosts: readonly number[];
	/**
	 * Slots to count at entry; 0 when the depth below is bounded statically by `stackSlotsMax`. Counted functions stop at that
	 * limit and the uncounted ones they call add at most it once more, so the stack never holds more than twice the limit.
	 */
	readonly countedSlots: number;
	/** Worst stack use from here down, in slots; Infinity when it can recurse. */
	readonly stackSlots: number;
	readonly loops: LoopNote;
	/** Worst fuel of one call where no loop and no bulk operation is reached; undefined elsewhere. */
	readonly fuelMax: number | undefined;
}

const VISITING = 1;
const DONE = 2;

/** Plans all functions. `scans` are in index order and hold every function; `counted` tells counted loops by function and loop. */
export function planCalls(
	scans: readonly FunctionScan[],
	exports: readonly ExportEntry[],
	elementFunctions: ReadonlySet<number>,
	counted: (functionIndex: number, loop: number) => boolean,
	options: CallGraphOptions,
): FunctionPlan[] {
	return new Planner(scans, exports, elementFunctions, counted, options).run();
}

class Planner {
	readonly scans: readonly FunctionScan[];
	readonly elements: readonly number[];
	readonly pinned: Set<number>;
	readonly counted: (functionIndex: number, loop: number) => boolean;
	readonly options: CallGraphOptions;
	readonly state: Uint8Array;
	readonly plans: Array<FunctionPlan | undefined>;
	indirectState = 0;
	indirect: FunctionPlan | undefined;

	constructor(
		scans: readonly FunctionScan[],
		exports: readonly ExportEntry[],
		elementFunctions: ReadonlySet<number>,
		counted: (functionIndex: number, loop: number) => boolean,
		options: CallGraphOptions,
	) {
		this.scans = scans;
		this.elements = [...elementFunctions];
		this.pinned = new Set(elementFunctions);
		for (const entry of exports) if (entry.kind === 0) this.pinned.add(entry.index);
		this.counted = counted;
		this.options = options;
		this.state = new Uint8Array(scans.length);
		this.plans = Array.from({ length: scans.length }, () => undefined);
	}

	run(): FunctionPlan[] {
		return this.scans.map((scan) => this.#plan(scan.index) as FunctionPlan);
	}

	/** Depth-first, callees before callers; undefined for a function that is being planned further up: a cycle. */
	#plan(index: number): FunctionPlan | undefined {
		if (this.state[index] === DONE) return this.plans[index];
		if (this.state[index] === VISITING) return undefined;
		this.state[index] = VISITING;
		const plan = this.#compute(this.scans[index] as FunctionScan);
		this.plans[index] = plan;
		this.state[index] = DONE;
		return plan;
	}

	#compute(scan: FunctionScan): FunctionPlan {
		let cost = scan.cost;
		const loopCosts = scan.loops.map((loop) => loop.cost);
		let below = 0;
		let folded = !this.pinned.has(scan.index) && scan.loops.length === 0 && !scan.hasBulk;
		let loops: LoopNote = this.#ownLoops(scan);
		let fuelMax: number | undefined = scan.loops.length === 0 && !scan.hasBulk ? scan.cost : undefined;
		for (const edit of scan.edits) {
			if (edit.kind !== 'call') continue;
			const callee = edit.callee >= 0 ? this.#plan(edit.callee) : this.#planIndirect();
			below = Math.max(below, callee?.stackSlots ?? Infinity);
			loops = worseLoops(loops, callee?.loops ?? 'unbounded');
			folded &&= callee?.folded === true;
			const worst = callee?.fuelMax;
			if (callee?.folded === true) {
				if (edit.region < 0) cost += callee.cost;
				else loopCosts[edit.region] = (loopCosts[edit.region] as number) + callee.cost;
			}
			fuelMax = fuelMax === undefined || worst === undefined ? undefined : saturate(fuelMax + worst);
		}
		const { foldCostMax, foldSlotsMax, stackSlotsMax } = this.options;
		const stackSlots = scan.slots + below;
		folded &&= cost <= foldCostMax && stackSlots <= Math.min(foldSlotsMax, stackSlotsMax);
		return {
			folded,
			cost,
			loopCosts,
			countedSlots: stackSlots > stackSlotsMax ? scan.slots : 0,
			stackSlots,
			loops,
			fuelMax,
		};
	}

	/** The worst of all functions a call_indirect may reach: types are ignored, which only makes it worse. */
	#planIndirect(): FunctionPlan | undefined {
		if (this.indirectState === DONE) return this.indirect;
		if (this.indirectState === VISITING) return undefined;
		this.indirectState = VISITING;
		let stackSlots = 0;
		let loops: LoopNote = 'none';
		let fuelMax: number | undefined = 0;
		for (const element of this.elements) {
			const plan = this.#plan(element);
			stackSlots = Math.max(stackSlots, plan?.stackSlots ?? Infinity);
			loops = worseLoops(loops, plan?.loops ?? 'unbounded');
			fuelMax = fuelMax === undefined || plan?.fuelMax === undefined ? undefined : Math.max(fuelMax, plan.fuelMax);
		}
		this.indirect = { folded: false, cost: 0, loopCosts: [], countedSlots: 0, stackSlots, loops, fuelMax };
		this.indirectState = DONE;
		return this.indirect;
	}

	#ownLoops(scan: FunctionScan): LoopNote {
		if (scan.loops.length === 0) return 'none';
		return scan.loops.every((loop) => loop.backEdges === 0 || this.counted(scan.index, loop.index))
			? 'counted'
			: 'unbounded';
	}
}

function worseLoops(a: LoopNote, b: LoopNote): LoopNote {
	if (a === 'unbounded' || b === 'unbounded') return 'unbounded';
	return a === 'counted' || b === 'counted' ? 'counted' : 'none';
}

function saturate(value: number): number {
	return Math.min(value, Number.MAX_SAFE_INTEGER);
}
