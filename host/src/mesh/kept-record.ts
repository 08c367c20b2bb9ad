// Owns one record of this node that lies under its lease: written once, and put back when a lease that lapsed (the node was paused, or cut off) has
// taken it along. Whether it is there is read from the mirror of its kind.
import type { Clock, Timer } from '@infermesh/proto';

export interface KeptRecordPorts<T> {
	readonly clock: Clock;
	/** Writes the value under the lease the node holds now. */
	readonly write: (value: T) => Promise<void>;
	/** Whether a write that failed so is to be tried again rather than given up: the lease ended just then, or there is no quorum. */
	readonly passing: (error: unknown) => boolean;
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

	/** Writes the record, and keeps it from then on; what fails in passing is tried again by itself. Rejects when it is refused. */
	async set(value: T): Promise<void> {
		const before = this.#value;
		this.#value = value;
		try {
			await this.#ports.write(value);
		} catch (error) {
			if (!this.#ports.passing(error)) {
				this.#value = before;
				throw error;
			}
			this.#later(error);
		}
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
		const value = this.#value;
		if (this.#closed || value === undefined) return;
		try {
			await this.#ports.write(value);
			this.#failures = 0;
		} catch (error) {
			this.#later(error);
		}
	}

	/** Tries again after a while, longer each time. */
	#later(error: unknown): void {
		if (this.#closed) return;
		this.#ports.failed(error);
		const delayMs = Math.min(RETRY_MAX_MS, CHECK_MS * 2 ** this.#failures++);
		this.#timer ??= this.#ports.clock.after(
			delayMs,
			() => {
				this.#timer = undefined;
				void this.#write();
			},
			{ unref: true },
		);
	}
}
