// Owns the code the meter inserts into one function: fuel charges, the depth counter, their checks. What to charge comes from the
// scan, the call graph and the loop analysis; sections and indices from rewrite.ts.
//
// Charging rule (version FUEL_WEIGHTS_VERSION): a function entry costs the weights of all its instructions outside loops, each
// arrival at a loop header the weights of that loop's own instructions, a bulk operation its bytes as well. Everything is charged
// before it runs. Spent fuel is below zero, stored to the global before the trap, so the host can tell the cause.
//
// Functions with loops or bulk operations keep the fuel in a local (a register): loaded at entry, written back before calls that
// charge and at the one exit. The original body sits in a block, so that every way out passes through there.
import type { ByteWriter } from './byte-writer.js';
import type { FunctionPlan } from './call-graph.js';
import type { CountedLoop } from './counted-loops.js';
import { BLOCK_EMPTY, Op, ValueType } from './opcodes.js';
import type { Edit, FunctionScan, LoopScan } from './scanned-function.js';
import { bulkBytesPerFuelLog2 } from './weights.js';

export interface MeterContext {
	readonly source: Uint8Array;
	readonly fuelGlobal: number;
	readonly stackGlobal: number;
	readonly stackSlotsMax: number;
	/** Type index of a block that takes nothing and returns what the function returns; asked for several results only. */
	readonly resultBlockType: (typeIndex: number) => number;
	readonly typeIndexOf: (functionIndex: number) => number;
	/** Whether calls of this function need the fuel global to be right: false for folded leaves. */
	readonly charges: (functionIndex: number) => boolean;
	readonly countedLoop: (functionIndex: number, loop: number) => CountedLoop | undefined;
	/** Profile counter (global index) of a charge site; undefined when not profiling. */
	readonly counter: ((site: ChargeSite) => number) | undefined;
}

/** A place that charges fuel: each is one counter of a profile. */
export interface ChargeSite {
	readonly functionIndex: number;
	/** -1 = the function's entry, else loop index. */
	readonly region: number;
	readonly kind: 'entry' | 'loop' | 'bulk';
	/** Offset in the original module. */
	readonly at: number;
	/** Fuel per count: of an entry or iteration; 1 for bulk, whose counter counts fuel. */
	readonly cost: number;
}

/** Writes the metered body (size prefix included) of one function. */
export function meterFunction(out: ByteWriter, scan: FunctionScan, plan: FunctionPlan, context: MeterContext): void {
	const size = out.reserveLength();
	if (plan.folded) out.copy(context.source, scan.start, scan.end);
	else new FunctionMeter(out, scan, plan, context).run();
	out.patchLength(size);
}

/** Charged when a counted loop can only end by wrapping around: more than any budget, and no overflow. */
const NEVER_ENDS = -1;

class FunctionMeter {
	readonly out: ByteWriter;
	readonly scan: FunctionScan;
	readonly plan: FunctionPlan;
	readonly context: MeterContext;
	/** Whether the fuel lives in `fuel` between calls. */
	readonly inLocal: boolean;
	/** Added locals: fuel (i64), trips (i64), bulk length (i32). */
	readonly fuel: number;
	readonly trips: number;
	readonly length: number;

	constructor(out: ByteWriter, scan: FunctionScan, plan: FunctionPlan, context: MeterContext) {
		this.out = out;
		this.scan = scan;
		this.plan = plan;
		this.context = context;
		this.inLocal = scan.loops.length > 0 || scan.hasBulk;
		this.fuel = scan.localCount;
		this.trips = scan.localCount + 1;
		this.length = scan.localCount + 2;
	}

	run(): void {
		const { out, scan, plan, context } = this;
		this.#locals();
		out.inject(scan.codeAt);
		if (plan.countedSlots > 0) this.#enterStack();
		this.#entry();
		const wrapped = this.inLocal || plan.countedSlots > 0;
		if (wrapped) this.#openBody();
		let at = scan.codeAt;
		for (const edit of scan.edits) {
			out.copy(context.source, at, edit.at);
			at = this.#edit(edit);
		}
		out.copy(context.source, at, scan.end);
		if (!wrapped) return;
		// The original `end` has closed the block; what follows is the only exit.
		out.inject(scan.end - 1);
		if (this.inLocal) this.#spill();
		if (plan.countedSlots > 0) this.#leaveStack();
		out.u8(Op.end);
	}

	#locals(): void {
		const { out, scan, context } = this;
		const added = this.inLocal ? 2 : 1;
		out.inject(scan.start);
		out.u32(scan.localGroups + added);
		out.copy(context.source, scan.localGroupsAt, scan.codeAt);
		out.inject(scan.codeAt);
		out.u32(this.inLocal ? 2 : 1).u8(ValueType.i64);
		if (this.inLocal) out.u32(1).u8(ValueType.i32);
	}

	#openBody(): void {
		const { out, scan, context } = this;
		out.u8(Op.block);
		const [first, ...more] = scan.type.results;
		if (first === undefined) out.u8(BLOCK_EMPTY);
		else if (more.length === 0) out.u8(first);
		else out.s32(context.resultBlockType(context.typeIndexOf(scan.index)));
	}

	#entry(): void {
		const { out, scan, plan, context } = this;
		this.#count({
			functionIndex: scan.index,
			region: -1,
			kind: 'entry',
			at: scan.start,
			cost: plan.cost,
		});
		out.u8(Op.globalGet).u32(context.fuelGlobal);
		out.u8(Op.i64Const).s64(plan.cost).u8(Op.i64Sub);
		out.u8(Op.localTee).u32(this.fuel);
		if (this.inLocal) {
			this.#trapWhenSpent();
			return;
		}
		out.u8(Op.globalSet).u32(context.fuelGlobal);
		out.u8(Op.localGet).u32(this.fuel);
		out.u8(Op.i64Const).s64(0).u8(Op.i64LtS).u8(Op.if).u8(BLOCK_EMPTY).u8(Op.unreachable).u8(Op.end);
	}

	/** With the fuel on the stack: ends when it is below zero, the global telling so. */
	#trapWhenSpent(): void {
		const { out } = this;
		out.u8(Op.i64Const).s64(0).u8(Op.i64LtS).u8(Op.if).u8(BLOCK_EMPTY);
		this.#spill();
		out.u8(Op.unreachable).u8(Op.end);
	}

	#spill(): void {
		this.out.u8(Op.localGet).u32(this.fuel).u8(Op.globalSet).u32(this.context.fuelGlobal);
	}

	#reload(): void {
		this.out.u8(Op.globalGet).u32(this.context.fuelGlobal).u8(Op.localSet).u32(this.fuel);
	}

	#enterStack(): void {
		const { out, plan, context } = this;
		out.u8(Op.globalGet).u32(context.stackGlobal);
		out.u8(Op.i32Const).s32(plan.countedSlots).u8(Op.i32Add);
		out.u8(Op.globalSet).u32(context.stackGlobal);
		out.u8(Op.globalGet).u32(context.stackGlobal);
		out.u8(Op.i32Const).s32(context.stackSlotsMax).u8(Op.i32GtS);
		out.u8(Op.if).u8(BLOCK_EMPTY).u8(Op.unreachable).u8(Op.end);
	}

	#leaveStack(): void {
		const { out, plan, context } = this;
		out.u8(Op.globalGet).u32(context.stackGlobal);
		out.u8(Op.i32Const).s32(plan.countedSlots).u8(Op.i32Sub);
		out.u8(Op.globalSet).u32(context.stackGlobal);
	}

	/** Writes what stands in place of an edit; returns the input offset at which copying goes on. */
	#edit(edit: Edit): number {
		if (edit.kind === 'loop') return this.#loop(this.scan.loops[edit.loop] as LoopScan);
		if (edit.kind === 'call') return this.#call(edit);
		if (edit.kind === 'return') return this.#return(edit);
		return this.#bulk(edit);
	}

	#call(edit: Extract<Edit, { kind: 'call' }>): number {
		const { out, context } = this;
		const synced = this.inLocal && (edit.callee < 0 || context.charges(edit.callee));
		if (synced) {
			out.inject(edit.at);
			this.#spill();
		}
		out.copy(context.source, edit.at, edit.end);
		if (synced) {
			out.inject(edit.at);
			this.#reload();
		}
		return edit.end;
	}

	#return(edit: Extract<Edit, { kind: 'return' }>): number {
		if (!this.inLocal && this.plan.countedSlots === 0) return edit.at;
		// The label of the function is now the block around the body: branching to it passes the one exit.
		this.out.inject(edit.at).u8(Op.br).u32(edit.depth);
		return edit.end;
	}

	#loop(loop: LoopScan): number {
		const { out, scan, context } = this;
		const cost = this.plan.loopCosts[loop.index] as number;
		const site: ChargeSite = { functionIndex: scan.index, region: loop.index, kind: 'loop', at: loop.bodyAt, cost };
		const counted = context.countedLoop(scan.index, loop.index);
		// Charges are laid to the first instruction inside: `loop` itself has no source position.
		out.inject(loop.bodyAt);
		if (counted !== undefined) this.#chargeTrips(counted, cost, site);
		out.copy(context.source, loop.at, loop.bodyAt);
		if (counted !== undefined) return loop.bodyAt;
		out.inject(loop.bodyAt);
		this.#count(site);
		out.u8(Op.localGet).u32(this.fuel);
		out.u8(Op.i64Const).s64(cost).u8(Op.i64Sub);
		out.u8(Op.localTee).u32(this.fuel);
		this.#trapWhenSpent();
		return loop.bodyAt;
	}

	/**
	 * Charges all arrivals at the header of a counted loop: trips + 1, where trips is how often the test holds.
	 * With s the counter at the first test, b the bound, k the step's size, all as exact integers (i64):
	 *   lt, le: trips = ceil(max(0, b - s [+ 1]) / k); gt, ge: the same with s and b exchanged.
	 *     The counter then is s ± k·trips; if that leaves 32 bits it has wrapped around, and the loop needs about 2^32 / k
	 *     iterations more: it counts as never ending.
	 *   ne: trips = ((b - s) mod 2^32) / k, or with s and b exchanged for a falling counter; if k does not divide it, the counter
	 *     never meets the bound, because k divides 2^32.
	 */
	#chargeTrips(loop: CountedLoop, cost: number, site: ChargeSite): void {
		const { out } = this;
		if (loop.compare === 'ne') this.#tripsUntilEqual(loop);
		else this.#tripsOrdered(loop);
		this.#countTrips(site);
		out.u8(Op.localGet).u32(this.fuel);
		out.u8(Op.localGet).u32(this.trips).u8(Op.i64Const).s64(1).u8(Op.i64Add);
		out.u8(Op.i64Const).s64(cost).u8(Op.i64Mul).u8(Op.i64Sub).u8(Op.localSet).u32(this.fuel);
		if (this.#mayWrap(loop)) {
			out.u8(Op.i64Const).s64(NEVER_ENDS).u8(Op.localGet).u32(this.fuel);
			this.#wraps(loop);
			out.u8(Op.select).u8(Op.localSet).u32(this.fuel);
		}
		out.u8(Op.localGet).u32(this.fuel);
		this.#trapWhenSpent();
	}

	/** The counter at its first test, an i32. */
	#start(loop: CountedLoop): void {
		this.out.u8(Op.localGet).u32(loop.counter);
		if (loop.test === 'bottom') this.out.u8(Op.i32Const).s32(loop.step).u8(Op.i32Add);
	}

	#bound(loop: CountedLoop): void {
		if (loop.bound.kind === 'local') this.out.u8(Op.localGet).u32(loop.bound.local);
		else this.out.u8(Op.i32Const).s32(loop.bound.value);
	}

	#tripsUntilEqual(loop: CountedLoop): void {
		const { out } = this;
		if (loop.step > 0) {
			this.#bound(loop);
			this.#start(loop);
		} else {
			this.#start(loop);
			this.#bound(loop);
		}
		out.u8(Op.i32Sub).u8(Op.i64ExtendU);
		const shift = Math.log2(Math.abs(loop.step));
		if (shift > 0) out.u8(Op.i64Const).s64(shift).u8(Op.i64ShrU);
		out.u8(Op.localSet).u32(this.trips);
	}

	#tripsOrdered(loop: CountedLoop): void {
		const { out } = this;
		const extend = loop.signed ? Op.i64ExtendS : Op.i64ExtendU;
		if (loop.step > 0) {
			this.#bound(loop);
			out.u8(extend);
			this.#start(loop);
			out.u8(extend).u8(Op.i64Sub);
		} else {
			this.#start(loop);
			out.u8(extend);
			this.#bound(loop);
			out.u8(extend).u8(Op.i64Sub);
		}
		if (loop.compare === 'le' || loop.compare === 'ge') out.u8(Op.i64Const).s64(1).u8(Op.i64Add);
		out.u8(Op.localTee).u32(this.trips);
		out.u8(Op.i64Const).s64(0);
		out.u8(Op.localGet).u32(this.trips).u8(Op.i64Const).s64(0).u8(Op.i64GtS).u8(Op.select);
		const size = Math.abs(loop.step);
		if (size > 1) {
			const shift = Math.log2(size);
			out
				.u8(Op.i64Const)
				.s64(size - 1)
				.u8(Op.i64Add);
			if (Number.isInteger(shift)) out.u8(Op.i64Const).s64(shift).u8(Op.i64ShrU);
			else out.u8(Op.i64Const).s64(size).u8(Op.i64DivU);
		}
		out.u8(Op.localSet).u32(this.trips);
	}

	#mayWrap(loop: CountedLoop): boolean {
		const size = Math.abs(loop.step);
		if (loop.compare === 'ne') return size > 1;
		if (size === 1 && (loop.compare === 'lt' || loop.compare === 'gt')) return false;
		if (loop.bound.kind !== 'constant') return true;
		const [low, high] = range(loop.signed);
		const bound = loop.signed ? loop.bound.value : loop.bound.value >>> 0;
		return loop.step > 0 ? bound + size > high : bound - size < low;
	}

	/** Leaves an i32 that is not zero when the loop can only end by wrapping around. */
	#wraps(loop: CountedLoop): void {
		const { out } = this;
		if (loop.compare === 'ne') {
			this.#bound(loop);
			this.#start(loop);
			out.u8(Op.i32Sub).u8(Op.i64ExtendU);
			out
				.u8(Op.i64Const)
				.s64(Math.abs(loop.step) - 1)
				.u8(Op.i64And)
				.u8(Op.i64Const)
				.s64(0)
				.u8(Op.i64Ne);
			return;
		}
		const [low, high] = range(loop.signed);
		this.#start(loop);
		out.u8(loop.signed ? Op.i64ExtendS : Op.i64ExtendU);
		out.u8(Op.localGet).u32(this.trips).u8(Op.i64Const).s64(loop.step).u8(Op.i64Mul).u8(Op.i64Add);
		out.u8(Op.i64Const);
		if (loop.step > 0) out.s64(high).u8(Op.i64GtS);
		else out.s64(low).u8(Op.i64LtS);
	}

	/** With the operands of the operation on the stack, its length on top: charges the bytes and leaves the stack as it was. */
	#bulk(edit: Extract<Edit, { kind: 'bulk' }>): number {
		const { out, scan } = this;
		out.inject(edit.at);
		const begun = 2 ** bulkBytesPerFuelLog2 - 1;
		out.u8(Op.localTee).u32(this.length);
		out.u8(Op.localGet).u32(this.length).u8(Op.i64ExtendU);
		out.u8(Op.i64Const).s64(begun).u8(Op.i64Add);
		out.u8(Op.i64Const).s64(bulkBytesPerFuelLog2).u8(Op.i64ShrU);
		out.u8(Op.localSet).u32(this.trips);
		this.#countFuel({ functionIndex: scan.index, region: edit.region, kind: 'bulk', at: edit.at, cost: 1 });
		out.u8(Op.localGet).u32(this.fuel).u8(Op.localGet).u32(this.trips).u8(Op.i64Sub);
		out.u8(Op.localTee).u32(this.fuel);
		this.#trapWhenSpent();
		return edit.at;
	}

	#count(site: ChargeSite): void {
		this.#add(site, () => this.out.u8(Op.i64Const).s64(1));
	}

	#countTrips(site: ChargeSite): void {
		this.#add(site, () => this.out.u8(Op.localGet).u32(this.trips).u8(Op.i64Const).s64(1).u8(Op.i64Add));
	}

	#countFuel(site: ChargeSite): void {
		this.#add(site, () => this.out.u8(Op.localGet).u32(this.trips));
	}

	#add(site: ChargeSite, amount: () => void): void {
		const counter = this.context.counter?.(site);
		if (counter === undefined) return;
		this.out.u8(Op.globalGet).u32(counter);
		amount();
		this.out.u8(Op.i64Add).u8(Op.globalSet).u32(counter);
	}
}

function range(signed: boolean): readonly [low: number, high: number] {
	return signed ? [-(2 ** 31), 2 ** 31 - 1] : [0, 2 ** 32 - 1];
}
