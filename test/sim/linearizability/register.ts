// Owns the model of one key under the store's contract: writes of values that occur once each, writes on condition, reads and deletions. It also makes
// histories small: a write of unknown outcome that nobody saw may be left out, one that was seen had happened by then.
import type { Model, Operation } from './checker.js';

/** Undefined: the key does not exist. */
export type Value = string | undefined;

export type RegisterInput =
	| { readonly kind: 'read' }
	| { readonly kind: 'write'; readonly value: string }
	/** Writes `value` when the present one is `expected`. */
	| { readonly kind: 'swap'; readonly expected: Value; readonly value: string }
	| { readonly kind: 'delete' };

export interface RegisterOutput {
	/** What a read, a refused swap or a deletion found; a write that does not look has none. */
	readonly found?: { readonly value: Value };
	/** Whether a swap was carried out. */
	readonly held?: boolean;
}

export type RegisterOperation = Operation<RegisterInput, RegisterOutput>;

function foundIs(output: RegisterOutput | undefined, state: Value): boolean {
	return output?.found === undefined || output.found.value === state;
}

export const registerModel: Model<RegisterInput, RegisterOutput, Value | null> = {
	// Null stands for an absent key, since undefined is no state.
	initial: null,
	step(state, input, output) {
		const present = state ?? undefined;
		if (!foundIs(output, present)) return undefined;
		switch (input.kind) {
			case 'read':
				return state;
			case 'write':
				return input.value;
			case 'delete':
				return null;
			case 'swap': {
				const holds = input.expected === present;
				if (output?.held !== undefined && output.held !== holds) return undefined;
				return holds ? input.value : state;
			}
			default:
				return undefined;
		}
	},
	key: (state) => (state === null ? '' : `=${state}`),
};

/** Values an answered operation has seen in the register. */
function seenBy({ input, output }: RegisterOperation): Value[] {
	if (output === undefined) return [];
	const seen: Value[] = output.found === undefined ? [] : [output.found.value];
	if (input.kind === 'swap' && output.held === true) seen.push(input.expected);
	return seen;
}

/**
 * The same question with fewer unknowns. Sound for values written once each: a swap that was refused tells what it found, so nothing but a sight
 * of its value shows that a write happened. Deletions of unknown outcome stay as they are.
 */
export function withFewerUnknowns(operations: readonly RegisterOperation[]): RegisterOperation[] {
	const firstSeen = new Map<Value, number>();
	for (const operation of operations) {
		for (const value of seenBy(operation))
			firstSeen.set(value, Math.min(operation.returnAt, firstSeen.get(value) ?? Number.POSITIVE_INFINITY));
	}
	return operations.flatMap((operation) => {
		const { input, output } = operation;
		if (output !== undefined) return [operation];
		if (input.kind === 'read') return [];
		if (input.kind === 'delete') return [operation];
		const seenAt = firstSeen.get(input.value);
		if (seenAt === undefined) return [];
		return [{ ...operation, returnAt: seenAt, output: input.kind === 'swap' ? { held: true } : {} }];
	});
}
