// Owns the model of a lock kept by a lease: at most one owner at a time, and each owner's fencing token is greater than the one before. An owner is one
// until it gives the lock up or its own clock tells it that the lease may have ended.
import type { Model } from './checker.js';

export type LockInput =
	| { readonly kind: 'acquire'; readonly owner: string }
	/** Given up, or no longer believed in. */
	| { readonly kind: 'end'; readonly owner: string };

export interface LockOutput {
	/** The fencing token; undefined when somebody else held it. */
	readonly token?: number;
}

interface LockState {
	readonly owner: string | undefined;
	readonly token: number;
}

export const lockModel: Model<LockInput, LockOutput, LockState> = {
	initial: { owner: undefined, token: 0 },
	step(state, input, output) {
		if (input.kind === 'end') return state.owner === input.owner ? { ...state, owner: undefined } : state;
		// A refusal is always allowed: a lock stays taken for a while after its owner has stopped believing.
		if (output?.token === undefined) return state;
		if (state.owner !== undefined || output.token <= state.token) return undefined;
		return { owner: input.owner, token: output.token };
	},
	key: ({ owner, token }) => `${owner ?? ''}@${token}`,
};
