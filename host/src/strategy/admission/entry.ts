// Owns the host's way into a metered hook: one added function for each, which takes the fuel as a parameter and returns what is left
// with the status, so that a call crosses from JavaScript once. Setting and reading exported i64 globals costs about 50 ns a call;
// this costs 2. After a trap the globals are read as ever.
import type { ByteWriter } from './byte-writer.js';
import { Op, ValueType } from './opcodes.js';
import type { FunctionType } from './wasm-reader.js';

/** Prefix of an entry's export name, followed by the hook's name. */
export const ENTRY_EXPORT = '__im_call_';

/** Entry of a hook that takes the frame alone. Fuel is a whole number below 2^50; throws what the hook traps with. */
export type MeteredHook = (frame: number, fuel: number) => number;

/** Entry of a hook with one argument besides the frame (observe). */
export type MeteredHookWith = (frame: number, argument: number, fuel: number) => number;

/** Statuses that have a code of their own; every other one reads as `OTHER_STATUS`. */
const codes = [0, 1, -1];
const OTHER_STATUS = 0x7fff_ffff;
const CODES = 4;

/** Fuel left after a call that returned. */
export function fuelLeft(result: number): number {
	return Math.floor(result / CODES);
}

/** Status a hook returned: 0, 1, -1, or a number that is none of them. */
export function statusOf(result: number): number {
	return codes[result - Math.floor(result / CODES) * CODES] ?? OTHER_STATUS;
}

/** Type of the entry of a hook. */
export function entryType(hook: FunctionType): FunctionType {
	return { params: [...hook.params, ValueType.f64], results: [ValueType.f64] };
}

export interface EntryTarget {
	readonly functionIndex: number;
	readonly params: number;
	readonly fuelGlobal: number;
	readonly stackGlobal: number;
}

/** Writes the body (size prefix included) of an entry. The hook returns an i32. */
export function writeEntry(out: ByteWriter, { functionIndex, params, fuelGlobal, stackGlobal }: EntryTarget): void {
	const fuel = params;
	const status = params + 1;
	const size = out.reserveLength();
	out.u32(1).u32(1).u8(ValueType.i32);
	out.u8(Op.localGet).u32(fuel).u8(0xfc).u32(6).u8(Op.globalSet).u32(fuelGlobal);
	out.u8(Op.i32Const).s32(0).u8(Op.globalSet).u32(stackGlobal);
	for (let i = 0; i < params; i++) out.u8(Op.localGet).u32(i);
	out.u8(Op.call).u32(functionIndex).u8(Op.localSet).u32(status);
	// left × 4 + code, exact in an f64.
	out.u8(Op.globalGet).u32(fuelGlobal).u8(Op.i64Const).s64(CODES).u8(Op.i64Mul).u8(Op.f64ConvertI64S);
	out.u8(Op.localGet).u32(status).u8(Op.i32Const).s32(1).u8(Op.i32LeU);
	out.u8(Op.if).u8(ValueType.i32).u8(Op.localGet).u32(status).u8(Op.else);
	out.u8(Op.i32Const).s32(2).u8(Op.i32Const).s32(3);
	out.u8(Op.localGet).u32(status).u8(Op.i32Const).s32(-1).u8(Op.i32Eq).u8(Op.select).u8(Op.end);
	out.u8(Op.f64ConvertI32U).u8(Op.f64Add).u8(Op.end);
	out.patchLength(size);
}
