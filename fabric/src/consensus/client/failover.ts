// Owns calls to a cluster through any of its members: another member is tried as long as it is sure that the call had no effect, or that repeating
// it does no harm, until the call's time is over.
import type { Clock, MeshError, Random } from '@infermesh/proto';
import { consensusError } from '../errors.js';
import { type Channels, type Endpoint, pause } from './channels.js';

/** What one failed attempt means. */
export type Verdict =
	/** The caller gets this error. */
	| { readonly kind: 'final'; readonly error: MeshError }
	/** No effect here: another member may do better. The caller gets this error when time is over. */
	| { readonly kind: 'elsewhere'; readonly error: MeshError }
	/** It may have taken effect. */
	| { readonly kind: 'unknown'; readonly error: MeshError };

export interface FailoverOptions {
	readonly channels: Channels;
	readonly clock: Clock;
	readonly random: Random;
	readonly judge: (error: unknown) => Verdict;
}

export const callTimeoutDefaultMs = 5_000;
/** A call that may be repeated leaves a member that does not answer for another after this time. */
const repeatableAttemptMs = 1_500;
/** With less time left than this a call that may not be repeated is not tried once more: what is certain by then should not become unknown. */
const attemptMinMs = 500;
/** Calls under way, beyond which IM_CONSENSUS_LIMIT. */
const callsMax = 10_000;
const backoffFirstMs = 50;
const backoffMaxMs = 1_000;

export class Failover {
	readonly #options: FailoverOptions;
	#calls = 0;
	#closed = false;

	constructor(options: FailoverOptions) {
		this.#options = options;
	}

	/**
	 * Runs `attempt` until one succeeds. `repeatable` calls may take effect twice without harm; others end with IM_CONSENSUS_TIMEOUT as soon as their
	 * outcome is unknown.
	 */
	async call<T>(
		options: { readonly timeoutMs?: number; readonly repeatable: boolean },
		attempt: (endpoint: Endpoint, timeoutMs: number) => Promise<T>,
	): Promise<T> {
		if (this.#closed) throw consensusError('IM_CONSENSUS_CLOSED');
		if (this.#calls >= callsMax) throw consensusError('IM_CONSENSUS_LIMIT', `at most ${callsMax} calls at once`);
		this.#calls++;
		try {
			return await this.#try(options.timeoutMs ?? callTimeoutDefaultMs, options.repeatable, attempt);
		} finally {
			this.#calls--;
		}
	}

	close(): void {
		this.#closed = true;
	}

	async #try<T>(
		timeoutMs: number,
		repeatable: boolean,
		attempt: (endpoint: Endpoint, timeoutMs: number) => Promise<T>,
	): Promise<T> {
		const { channels, clock, random, judge } = this.#options;
		const deadlineMs = clock.nowMs() + timeoutMs;
		let last: MeshError | undefined;
		for (let tries = 1; ; tries++) {
			const leftMs = deadlineMs - clock.nowMs();
			if (leftMs <= 0) throw last ?? consensusError('IM_CONSENSUS_TIMEOUT');
			if (last !== undefined && !repeatable && leftMs < attemptMinMs) throw last;
			const endpoint = await this.#ready(leftMs, last);
			try {
				const attemptMs = Math.max(1, deadlineMs - clock.nowMs());
				return await attempt(endpoint, repeatable ? Math.min(attemptMs, repeatableAttemptMs) : attemptMs);
			} catch (error) {
				const verdict = judge(error);
				if (verdict.kind === 'final' || this.#closed) throw verdict.error;
				channels.suspect(endpoint);
				if (verdict.kind === 'unknown' && !repeatable) throw verdict.error;
				last = verdict.error;
			}
			// All members were asked: the cluster needs a moment.
			if (tries % channels.count === 0) {
				const waitMs = backoffMs(tries / channels.count, random);
				if (clock.nowMs() + waitMs >= deadlineMs) throw last;
				await pause(clock, waitMs);
			}
		}
	}

	/** When no member can be reached any more, what one of them said before is the better reason. */
	async #ready(timeoutMs: number, last: MeshError | undefined): Promise<Endpoint> {
		try {
			return await this.#options.channels.ready(timeoutMs);
		} catch (error) {
			throw last ?? error;
		}
	}
}

/** Exponential with full jitter above a half, bounded. `round` counts from 1. */
export function backoffMs(round: number, random: Random): number {
	const fullMs = Math.min(backoffMaxMs, backoffFirstMs * 2 ** Math.min(round - 1, 10));
	return fullMs * (0.5 + random.nextFloat() / 2);
}
