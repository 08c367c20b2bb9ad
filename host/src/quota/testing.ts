// Owns what the tests of quotas stand on: a clock that only tests move, and an engine that can be cut off. Test support only.
import type { ConsensusEngine, Transaction, TransactionResult } from '@infermesh/fabric';
import { consensusError } from '@infermesh/fabric';
import type { Clock } from '@infermesh/proto';

export class HandClock implements Clock {
	#ms = 1000;
	#timers: { readonly atMs: number; readonly fn: () => void; readonly periodMs: number; cancelled: boolean }[] = [];

	nowMs(): number {
		return this.#ms;
	}

	wallMs(): number {
		return 1_700_000_000_000 + this.#ms;
	}

	after(delayMs: number, fn: () => void) {
		return this.#add(delayMs, fn, 0);
	}

	every(periodMs: number, fn: () => void) {
		return this.#add(periodMs, fn, periodMs);
	}

	/** Moves on, firing what is due in order and letting what it began run to its end. */
	async pass(ms: number): Promise<void> {
		const until = this.#ms + ms;
		for (;;) {
			const due = this.#timers.filter(({ cancelled, atMs }) => !cancelled && atMs <= until);
			const next = due.toSorted((a, b) => a.atMs - b.atMs)[0];
			if (next === undefined) break;
			this.#ms = Math.max(this.#ms, next.atMs);
			next.cancelled = true;
			if (next.periodMs > 0) this.#add(next.periodMs, next.fn, next.periodMs);
			next.fn();
			await settled();
		}
		this.#ms = until;
		await settled();
	}

	#add(delayMs: number, fn: () => void, periodMs: number) {
		const timer = { atMs: this.#ms + delayMs, fn, periodMs, cancelled: false };
		this.#timers = [...this.#timers.filter(({ cancelled }) => !cancelled), timer];
		return {
			cancel: () => {
				for (const one of this.#timers) if (one.fn === fn) one.cancelled = true;
			},
		};
	}
}

/** Whatever an engine in memory and those who asked it have to do is done. */
export async function settled(): Promise<void> {
	for (let n = 0; n < 20; n++) await new Promise<void>((resolve) => void setImmediate(resolve));
}

export type Cut = 'none' | 'refuses' | 'answer_lost';

/** An engine as one node reaches it: all of it, not at all, or so that writes go through and their answers do not come. */
export function cuttable(engine: ConsensusEngine): { readonly engine: ConsensusEngine; cut: Cut } {
	const link: { readonly engine: ConsensusEngine; cut: Cut } = {
		cut: 'none',
		engine: Object.assign(Object.create(engine) as ConsensusEngine, {
			async transact(transaction: Transaction): Promise<TransactionResult> {
				if (link.cut === 'refuses') throw consensusError('IM_CONSENSUS_NO_QUORUM');
				const result = await engine.transact(transaction);
				if (link.cut === 'answer_lost') throw consensusError('IM_CONSENSUS_TIMEOUT');
				return result;
			},
			read: (...args: Parameters<ConsensusEngine['read']>) => engine.read(...args),
		}),
	};
	return link;
}
