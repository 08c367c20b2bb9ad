// Owns the commands that wait to be applied at this member. It says what may be sent (again), and refuses or gives up in time.
// IM_CONSENSUS_NO_QUORUM is only said of what never left this member.
import type { MeshError } from '@infermesh/proto';
import { consensusError } from '../errors.js';
import type { RaftGroupSettings } from './options.js';

/** A call that waits for its end. */
export interface Call<T> {
	readonly startedMs: number;
	readonly deadlineMs: number;
	readonly resolve: (value: T) => void;
	readonly reject: (error: Error) => void;
}

interface Proposal extends Call<Uint8Array> {
	readonly sequence: number;
	readonly data: Uint8Array;
	/** Where and when it was last sent; undefined while it never left. */
	sent: { readonly term: number; readonly atMs: number; readonly local: boolean } | undefined;
}

/** Why a proposal still waits at this member. */
export type Hold = 'no-leader' | 'too-much-uncommitted' | 'too-large' | 'transferring';

export class Proposals {
	readonly #settings: RaftGroupSettings;
	readonly #pending = new Map<number, Proposal>();
	/** Came since the last look; the rest is looked at with every tick. */
	#fresh: Proposal[] = [];
	#sequence = 0;
	#bytes = 0;
	/** Why nothing leaves at present; decides how those that never left are refused. */
	hold: Hold = 'no-leader';

	constructor(settings: RaftGroupSettings) {
		this.#settings = settings;
	}

	get size(): number {
		return this.#pending.size;
	}

	/** The number the next proposal gets. */
	get nextSequence(): number {
		return this.#sequence + 1;
	}

	add(data: Uint8Array, nowMs: number, timeoutMs: number): Promise<Uint8Array> {
		const { callsMax, callBytesMax } = this.#settings;
		if (this.#pending.size >= callsMax || this.#bytes + data.length > callBytesMax)
			return Promise.reject(
				consensusError('IM_CONSENSUS_LIMIT', `over ${callsMax} writes or ${callBytesMax} bytes of them are under way`),
			);
		const sequence = ++this.#sequence;
		this.#bytes += data.length;
		return new Promise((resolve, reject) => {
			const times = { startedMs: nowMs, deadlineMs: nowMs + timeoutMs };
			const proposal: Proposal = { ...times, sequence, data, resolve, reject, sent: undefined };
			this.#pending.set(sequence, proposal);
			this.#fresh.push(proposal);
		});
	}

	/**
	 * Those to send now: never sent and, with `again`, also sent in an earlier term or forwarded in vain for `retryMs`. What this leader took into
	 * its own log needs no repetition while the term lasts.
	 */
	due(term: number, nowMs: number, again: boolean): Proposal[] {
		const { retryMs } = this.#settings;
		const candidates = again
			? [...this.#pending.values()]
			: this.#fresh.filter(({ sequence }) => this.#pending.has(sequence));
		this.#fresh = [];
		return candidates.filter(
			({ sent }) => sent === undefined || sent.term !== term || (!sent.local && nowMs - sent.atMs >= retryMs),
		);
	}

	#take(sequence: number): Proposal | undefined {
		const proposal = this.#pending.get(sequence);
		if (proposal === undefined) return undefined;
		this.#pending.delete(sequence);
		this.#bytes -= proposal.data.length;
		return proposal;
	}

	/** The command of this number was applied here. */
	applied(sequence: number, result: Uint8Array): void {
		this.#take(sequence)?.resolve(result);
	}

	#refusal(proposal: Proposal): MeshError {
		if (proposal.sent !== undefined) return consensusError('IM_CONSENSUS_TIMEOUT');
		if (this.hold === 'too-much-uncommitted')
			return consensusError('IM_CONSENSUS_LIMIT', 'the leader holds as many uncommitted writes as it may');
		return consensusError('IM_CONSENSUS_NO_QUORUM');
	}

	/** Ends what has waited too long. */
	expire(nowMs: number): void {
		const { noQuorumMs } = this.#settings;
		for (const proposal of Array.from(this.#pending.values())) {
			const unsent = proposal.sent === undefined && nowMs - proposal.startedMs >= noQuorumMs;
			if (nowMs < proposal.deadlineMs && !unsent) continue;
			this.#take(proposal.sequence);
			proposal.reject(this.#refusal(proposal));
		}
	}

	/** Ends everything: what left this member may still take effect, the rest was refused with `error`. */
	end(error: Error): void {
		for (const proposal of Array.from(this.#pending.values())) {
			this.#take(proposal.sequence);
			proposal.reject(proposal.sent === undefined ? error : consensusError('IM_CONSENSUS_TIMEOUT'));
		}
	}
}

/** Most commands and bytes that leave as one proposal. */
const batchCommandsMax = 4096;
const batchBytesMax = 1024 * 1024;

/** Cuts proposals into what leaves together. */
export function* batches<T extends { readonly data: Uint8Array }>(all: readonly T[]): Generator<T[]> {
	let batch: T[] = [];
	let bytes = 0;
	for (const one of all) {
		if (batch.length >= batchCommandsMax || (batch.length > 0 && bytes + one.data.length > batchBytesMax)) {
			yield batch;
			batch = [];
			bytes = 0;
		}
		batch.push(one);
		bytes += one.data.length;
	}
	if (batch.length > 0) yield batch;
}
