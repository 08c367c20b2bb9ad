// Owns the snapshots of the state that are being read out of the consensus thread: how many at once, and that one nobody reads on is let go of.
import { consensusError } from '@infermesh/fabric/consensus';
import type { Clock, Timer } from '@infermesh/proto';

/** Snapshots being read at once. Each holds on to the state as it was. */
const SNAPSHOTS_MAX = 4;
/** The next piece must be asked for by then: whoever reads as slowly as this has gone. */
const IDLE_MS = 60_000;

interface OpenSnapshot {
	readonly pieces: Iterator<Uint8Array>;
	idle: Timer;
}

export class OpenSnapshots {
	readonly #clock: Clock;
	readonly #open = new Map<number, OpenSnapshot>();
	#number = 0;

	constructor(clock: Clock) {
		this.#clock = clock;
	}

	/** Takes hold of a snapshot; answers its number. Throws IM_CONSENSUS_LIMIT. */
	begin(snapshot: () => Iterable<Uint8Array>): number {
		if (this.#open.size >= SNAPSHOTS_MAX)
			throw consensusError('IM_CONSENSUS_LIMIT', `${SNAPSHOTS_MAX} snapshots are being read already`);
		const number = ++this.#number;
		this.#open.set(number, { pieces: snapshot()[Symbol.iterator](), idle: this.#expiry(number) });
		return number;
	}

	/** The next piece; undefined at the end, which is told once. Throws IM_CONSENSUS_TIMEOUT when it was let go of: what was read of it is not all. */
	next(number: number): Uint8Array | undefined {
		const open = this.#open.get(number);
		if (open === undefined)
			throw consensusError('IM_CONSENSUS_TIMEOUT', `nobody read on in a snapshot for ${IDLE_MS / 1000} s`);
		const { done, value } = open.pieces.next();
		if (done === true) {
			this.end(number);
			return undefined;
		}
		open.idle.cancel();
		open.idle = this.#expiry(number);
		return value;
	}

	/** Lets go of a snapshot, if it is still held. */
	end(number: number): void {
		this.#open.get(number)?.idle.cancel();
		this.#open.delete(number);
	}

	#expiry(number: number): Timer {
		return this.#clock.after(IDLE_MS, () => this.end(number));
	}
}
