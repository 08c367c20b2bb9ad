// Owns the way into a metered `rank`: a module of our own that fills the fuel global, clears the depth counter and calls the strategy, all
// inside the engine. From JavaScript each access to an i64 global makes a BigInt and costs 25 to 60 ns; through the gate a filled and
// read call costs about 10 ns more than a bare one. What a trap leaves in the globals is read from the instance's own exports.
import { type WasmGlobal, type WasmModule, wasmEngine } from '../admission/engine.js';

export interface FuelGate {
	/** Gives `rank` a whole number of fuel, at most 2^53, clears the depth counter, and calls it. Traps pass through. */
	readonly rank: (frame: number, budget: number) => number;
	/** Fuel left of the last call that returned. */
	readonly left: () => number;
}

/**
 * The gate's bytes, from
 *
 *     (module
 *       (import "s" "fuel" (global $fuel (mut i64)))
 *       (import "s" "stack" (global $stack (mut i32)))
 *       (import "s" "rank" (func $rank (param i32) (result i32)))
 *       (func (export "rank") (param $frame i32) (param $budget f64) (result i32)
 *         (global.set $fuel (i64.trunc_f64_s (local.get $budget)))
 *         (global.set $stack (i32.const 0))
 *         (call $rank (local.get $frame)))
 *       (func (export "left") (result f64) (f64.convert_i64_s (global.get $fuel))))
 */
export const gateBytes: Uint8Array<ArrayBuffer> = Uint8Array.from([
	// magic, version
	0, 0x61, 0x73, 0x6d, 1, 0, 0, 0,
	// types: (i32) -> i32, (i32 f64) -> i32, () -> f64
	1, 16, 3, 0x60, 1, 0x7f, 1, 0x7f, 0x60, 2, 0x7f, 0x7c, 1, 0x7f, 0x60, 0, 1, 0x7c,
	// imports: s.fuel, s.stack, s.rank
	2, 31, 3, 1, 0x73, 4, 0x66, 0x75, 0x65, 0x6c, 3, 0x7e, 1, 1, 0x73, 5, 0x73, 0x74, 0x61, 0x63, 0x6b, 3, 0x7f, 1, 1,
	0x73, 4, 0x72, 0x61, 0x6e, 0x6b, 0, 0,
	// functions of types 1 and 2
	3, 3, 2, 1, 2,
	// exports: rank, left
	7, 15, 2, 4, 0x72, 0x61, 0x6e, 0x6b, 0, 1, 4, 0x6c, 0x65, 0x66, 0x74, 0, 2,
	// code
	10, 23, 2, 15, 0, 0x20, 1, 0xb0, 0x24, 0, 0x41, 0, 0x24, 1, 0x20, 0, 0x10, 0, 0x0b, 5, 0, 0x23, 0, 0xb9, 0x0b,
]);

let compiled: WasmModule | undefined;

/** A gate to one instance's `rank`, which must take a frame address and return a status. Throws LinkError otherwise. */
export function openFuelGate(fuel: WasmGlobal<bigint>, stack: WasmGlobal<number>, rank: unknown): FuelGate {
	compiled ??= new wasmEngine.Module(gateBytes);
	const { exports } = new wasmEngine.Instance(compiled, { s: { fuel, stack, rank } });
	return { rank: exports['rank'] as FuelGate['rank'], left: exports['left'] as FuelGate['left'] };
}
