// Owns what clients saw of one run: every call with its times and what came of it, key by key, and the judgement of it. Revisions are checked at once, as
// answers come; the order of everything on a key by the search for a linearization, at the end.

import type { Operation } from '../linearizability/checker.js';
import { checkHistory } from '../linearizability/checker.js';
import { type LockInput, type LockOutput, lockModel } from '../linearizability/lease-owner.js';
import {
	type RegisterInput,
	type RegisterOperation,
	type RegisterOutput,
	registerModel,
	withFewerUnknowns,
} from '../linearizability/register.js';
import { Violation } from '../world/sim-world.js';

/** A call whose answer has not come. */
export interface OpenCall {
	readonly key: string;
	readonly client: number;
	readonly input: RegisterInput;
	readonly callAt: number;
	/** Highest revision that anybody had been told when it was made. */
	readonly revisionBefore: number;
}

export class History {
	readonly #byKey = new Map<string, RegisterOperation[]>();
	readonly #open = new Set<OpenCall>();
	readonly #locks: Operation<LockInput, LockOutput>[] = [];
	#acknowledged = 0;
	answered = 0;

	begins(key: string, client: number, input: RegisterInput, callAt: number): OpenCall {
		const call = { key, client, input, callAt, revisionBefore: this.#acknowledged };
		this.#open.add(call);
		return call;
	}

	/** An answer has come. Its revision is at least every one acknowledged before the call (a read index below that would be stale). */
	ends(call: OpenCall, returnAt: number, output: RegisterOutput, revision: number): void {
		this.#open.delete(call);
		this.answered++;
		if (revision < call.revisionBefore)
			throw new Violation(
				`client ${call.client} was answered from revision ${revision}, ${call.revisionBefore} was acknowledged before it asked`,
			);
		this.#acknowledged = Math.max(this.#acknowledged, revision);
		this.#add(call, returnAt, output);
	}

	/** It was refused and has had no effect. */
	refused(call: OpenCall): void {
		this.#open.delete(call);
	}

	/** Whether it took effect will never be known. */
	unknown(call: OpenCall): void {
		this.#open.delete(call);
		this.#add(call, Number.POSITIVE_INFINITY, undefined);
	}

	#add({ key, client, input, callAt }: OpenCall, returnAt: number, output: RegisterOutput | undefined): void {
		const operations = this.#byKey.get(key) ?? [];
		this.#byKey.set(key, operations);
		operations.push({ client, input, output, callAt, returnAt });
	}

	lock(operation: Operation<LockInput, LockOutput>): void {
		this.#locks.push(operation);
	}

	/** Judges everything; answers the operations judged. */
	judge(): number {
		for (const call of this.#open) this.unknown(call);
		let judged = 0;
		for (const [key, operations] of this.#byKey) {
			const verdict = checkHistory(registerModel, withFewerUnknowns(operations));
			judged += operations.length;
			if (verdict.kind !== 'linearizable')
				throw new Violation(`the history of ${key} is ${verdict.kind} (${operations.length} operations)`);
		}
		const verdict = checkHistory(lockModel, this.#locks);
		if (verdict.kind !== 'linearizable') throw new Violation(`the lock had two owners: its history is ${verdict.kind}`);
		return judged + this.#locks.length;
	}
}
