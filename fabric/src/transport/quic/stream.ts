// Owns one stream of a QUIC connection: bytes kept until the peer takes them, and word of what came, whole or broken off.
import type { Quiche, QuicheConnection } from './binding.js';

/** What a stream tells. Each of `ended` and `aborted` comes at most once, and nothing after. */
export interface QuicStreamEvents {
	received(bytes: Uint8Array): void;
	/** The peer has said all. */
	ended(): void;
	/** The peer broke it off, or the connection is over. */
	aborted(): void;
}

interface Owner {
	wantsToSend(): void;
	over(): void;
}

const REFUSED = 1;

export class QuicStream {
	readonly id: number;
	readonly #native: QuicheConnection;
	readonly #directions: Quiche['Shutdown'];
	readonly #owner: Owner;
	#events: QuicStreamEvents | undefined;
	#onOver: (() => void) | undefined;
	#unsent: Uint8Array | undefined;
	#readDone = false;
	#writeDone = false;
	#over = false;

	constructor(id: number, native: QuicheConnection, directions: Quiche['Shutdown'], owner: Owner) {
		this.id = id;
		this.#native = native;
		this.#directions = directions;
		this.#owner = owner;
	}

	/** Set once, before the first bytes can come: by the opener at once, for a peer's stream in the event of its coming. */
	listen(events: QuicStreamEvents): void {
		this.#events = events;
	}

	/** Calls back when it is over in both directions, whether by its end or broken off. Set once. */
	whenOver(listener: () => void): void {
		this.#onOver = listener;
	}

	get over(): boolean {
		return this.#over;
	}

	/** Sends all of `bytes` and nothing after. */
	finish(bytes: Uint8Array): void {
		if (this.#over) return;
		this.#unsent = bytes;
		this.flush();
		this.#owner.wantsToSend();
	}

	/** Breaks it off in both directions. */
	reset(): void {
		if (this.#over) return;
		for (const direction of [this.#directions.Read, this.#directions.Write]) {
			try {
				this.#native.streamShutdown(this.id, direction, REFUSED);
			} catch {
				// This direction is over already.
			}
		}
		this.#events = undefined;
		this.#finishOff();
		this.#owner.wantsToSend();
	}

	/** Gives the connection as much as it takes now. */
	flush(): void {
		if (this.#unsent === undefined || this.#over) return;
		try {
			const taken = this.#native.streamSend(this.id, this.#unsent, true) ?? 0;
			if (taken < this.#unsent.length) {
				this.#unsent = this.#unsent.subarray(taken);
				return;
			}
			this.#unsent = undefined;
			this.#writeDone = true;
			if (this.#readDone) this.#finishOff();
		} catch {
			// The peer reads no more of it.
			this.aborted();
		}
	}

	received(bytes: Uint8Array): void {
		this.#events?.received(bytes);
	}

	ended(): void {
		this.#readDone = true;
		if (this.#writeDone) this.#finishOff();
		this.#events?.ended();
	}

	aborted(): void {
		if (this.#over) return;
		const events = this.#events;
		this.#events = undefined;
		this.#finishOff();
		events?.aborted();
	}

	#finishOff(): void {
		this.#over = true;
		this.#unsent = undefined;
		this.#owner.over();
		this.#onOver?.();
	}
}
