// Owns the queue in front of a log: while batches are on their way to the disk, what arrives waits and goes together in the next one. Calls back
// in the order of appends, never from inside `append`. Bounded: its owner must heed `queuedBytes`; an append above the bound is refused, and with
// it all that follow, since they may depend on it.
import { MeshError } from '@infermesh/proto';
import { logErrors } from './errors.js';
import type { LogWrite } from './ports.js';

export interface GroupCommitOptions {
	/** Bytes that may wait or be on their way. */
	readonly queueMaxBytes: number;
	/** A batch takes no further append beyond this. */
	readonly batchMaxBytes: number;
	/** Batches on their way at a time. */
	readonly inFlightMax: number;
}

export const groupCommitDefaults: GroupCommitOptions = {
	queueMaxBytes: 64 * 1024 * 1024,
	batchMaxBytes: 4 * 1024 * 1024,
	inFlightMax: 2,
};

export interface GroupCommitEffects {
	/** Makes a batch durable, then calls `settle` once; with an error the log is lost for good. Batches settle in order. */
	commit(writes: readonly LogWrite[], settle: (error: Error | undefined) => void): void;
	/** Runs `fn` soon, but not at once. */
	later(fn: () => void): void;
	nowMs(): number;
}

interface Append {
	readonly writes: readonly LogWrite[];
	readonly bytes: number;
	readonly done: () => void;
	readonly failed: (error: Error) => void;
}

interface Batch {
	readonly appends: readonly Append[];
	readonly sinceMs: number;
}

/** About what a write and an entry take beside their data. */
const WRITE_BYTES = 64;
const ENTRY_BYTES = 32;

export class GroupCommit {
	readonly #options: GroupCommitOptions;
	readonly #effects: GroupCommitEffects;
	#waiting: Append[] = [];
	readonly #inFlight: Batch[] = [];
	#queuedBytes = 0;
	#failure: Error | undefined;

	constructor(options: GroupCommitOptions, effects: GroupCommitEffects) {
		this.#options = options;
		this.#effects = effects;
	}

	/** Bytes that wait or are on their way. */
	get queuedBytes(): number {
		return this.#queuedBytes;
	}

	get failure(): Error | undefined {
		return this.#failure;
	}

	/** Nothing waits and nothing is on its way. */
	get idle(): boolean {
		return this.#waiting.length === 0 && this.#inFlight.length === 0;
	}

	/** How long the oldest batch has been on its way; 0 when none is. */
	get stalledMs(): number {
		const [oldest] = this.#inFlight;
		return oldest === undefined ? 0 : this.#effects.nowMs() - oldest.sinceMs;
	}

	append(writes: readonly LogWrite[], done: () => void, failed: (error: Error) => void): void {
		const bytes = bytesOf(writes);
		if (this.#failure === undefined && this.#queuedBytes + bytes > this.#options.queueMaxBytes)
			this.#failure = new MeshError(
				logErrors,
				'IM_LOG_QUEUE_FULL',
				`${this.#queuedBytes} bytes wait for the disk, ${bytes} more are over the bound of ${this.#options.queueMaxBytes}`,
			);
		const failure = this.#failure;
		if (failure !== undefined) {
			this.#effects.later(() => failed(failure));
			return;
		}
		this.#queuedBytes += bytes;
		this.#waiting.push({ writes, bytes, done, failed });
		this.#pump();
	}

	/** The log is lost: everything on its way and waiting fails, and so does every append from now on. */
	fail(error: Error): void {
		this.#failure ??= error;
		const lost = [...this.#inFlight.flatMap((batch) => batch.appends), ...this.#waiting];
		this.#inFlight.length = 0;
		this.#waiting = [];
		this.#queuedBytes = 0;
		for (const { failed } of lost) failed(error);
	}

	/** Nothing is called back any more, and every append from now on fails. */
	close(): void {
		this.#failure ??= new MeshError(logErrors, 'IM_LOG_CLOSED');
		this.#inFlight.length = 0;
		this.#waiting = [];
		this.#queuedBytes = 0;
	}

	#pump(): void {
		while (this.#waiting.length > 0 && this.#inFlight.length < this.#options.inFlightMax) {
			const appends = this.#take();
			const batch: Batch = { appends, sinceMs: this.#effects.nowMs() };
			this.#inFlight.push(batch);
			this.#effects.commit(
				appends.flatMap((append) => append.writes),
				(error) => this.#settle(batch, error),
			);
		}
	}

	#take(): readonly Append[] {
		let count = 0;
		let bytes = 0;
		for (const append of this.#waiting) {
			if (count > 0 && bytes + append.bytes > this.#options.batchMaxBytes) break;
			bytes += append.bytes;
			count++;
		}
		return this.#waiting.splice(0, count);
	}

	#settle(batch: Batch, error: Error | undefined): void {
		if (this.#inFlight[0] !== batch) return;
		if (error !== undefined) {
			this.fail(error);
			return;
		}
		this.#inFlight.shift();
		for (const { bytes, done } of batch.appends) {
			this.#queuedBytes -= bytes;
			done();
		}
		this.#pump();
	}
}

function bytesOf(writes: readonly LogWrite[]): number {
	let bytes = 0;
	for (const { entries } of writes) {
		bytes += WRITE_BYTES;
		for (const { data } of entries) bytes += ENTRY_BYTES + data.length;
	}
	return bytes;
}
