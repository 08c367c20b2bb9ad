// Owns one record of this node that lies under its lease: written once, and put back when a lease that lapsed (the node was paused, or cut off) has
// taken it along. Whether it is there is read from the mirror of its kind.
import type { Clock, Timer } from '@infermesh/proto';

export interface KeptRecordPorts<T> {
	readonly clock: Clock;
	/** Writes the value under the lease the node holds now. */
	readonly write: (value: T) => Promise<void>;
	/** Whether the mesh has the record, as this node last heard. */
	readonly present: () => boolean;
	readonly failed: (error: unknown) => void;
}

/** A record just written is heard of within this time; one that is not there then is written again. */
const CHECK_MS = 1000;
const RETRY_MAX_MS = 30_000;

export class KeptRecord<T> {
	readonly #ports: KeptRecordPorts<T>;
	#value: T | undefined;
	#timer: Timer | undefined;
	#failures = 0;
	#closed = false;

	constructor(ports: KeptRecordPorts<T>) {
		this.#ports = ports;
	}

	/** Writes the record, and keeps it from then on. Rejects when it cannot be written; an earlier value is kept then. */
	async set(value: T): Promise<void> {
		await this.#ports.write(value);
		this.#value = value;
	}

	/** To be called when records of its kind have changed. */
	changed(): void {
		if (this.#closed || this.#value === undefined || this.#ports.present()) return;
		this.#timer ??= this.#ports.clock.after(CHECK_MS, () => this.#check(), { unref: true });
	}

	/** Writes it once more, now: the lease it lay under is gone and another is there. */
	again(): void {
		this.#timer?.cancel();
		this.#timer = undefined;
		void this.#write();
	}

	close(): void {
		this.#closed = true;
		this.#timer?.cancel();
	}

	#check(): void {
		this.#timer = undefined;
		if (!this.#ports.present()) void this.#write();
	}

	async #write(): Promise<void> {
		const { clock, write, failed } = this.#ports;
		const value = this.#value;
		if (this.#closed || value === undefined) return;
		try {
			await write(value);
			this.#failures = 0;
		} catch (error) {
			if (this.#closed) return;
			failed(error);
			const delayMs = Math.min(RETRY_MAX_MS, CHECK_MS * 2 ** ++this.#failures);
			this.#timer ??= clock.after(delayMs, () => this.#check(), { unref: true });
		}
	}
}
