// Owns explaining a trap: why it happened, and where in the author's source.
import { originalOffset } from './offset-map.js';
import type { TrapSymbols } from './result.js';
import { type SourcePosition, sourcePosition } from './source-map.js';

export interface TrapPlace extends Partial<SourcePosition> {
	/** Function name, or `function N`. */
	readonly function: string;
	readonly functionIndex: number;
	/** Byte offset in the module as its author built it. */
	readonly offset: number;
}

/** `spent` = out of fuel, `stack` = recursion too deep, `trap` = the strategy's own fault. */
export type TrapCause = 'spent' | 'stack' | 'trap';

/** Tells the cause from the meter's globals, read after the trap and before anything else runs. */
export function trapCause(
	error: unknown,
	meter: { readonly fuel: bigint; readonly stackSlots: number; readonly stackSlotsMax: number },
): TrapCause {
	if (meter.fuel < 0n) return 'spent';
	// The engine's own stack overflow is a RangeError; the counted limit lies well below it.
	if (meter.stackSlots > meter.stackSlotsMax || error instanceof RangeError) return 'stack';
	return 'trap';
}

const frame = /wasm-function\[(\d+)\]:0x([0-9a-f]+)/i;

/** Place of the innermost WebAssembly frame of an error's stack; undefined when it has none (stack traces may be off). */
export function mapTrap(error: unknown, symbols: TrapSymbols): TrapPlace | undefined {
	const match = error instanceof Error ? frame.exec(error.stack ?? '') : null;
	if (match === null) return undefined;
	const functionIndex = Number(match[1]);
	const { offset } = originalOffset(symbols.offsetMap, Number.parseInt(match[2] ?? '0', 16));
	const position = symbols.sourceMap === undefined ? undefined : sourcePosition(symbols.sourceMap, offset);
	return {
		function: symbols.functionNames.get(functionIndex) ?? `function ${functionIndex}`,
		functionIndex,
		offset,
		...position,
	};
}
