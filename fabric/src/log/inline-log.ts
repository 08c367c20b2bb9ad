// Owns a log without a thread, for the simulation: the same group commit, with the time that the simulated disk says its calls took. A batch is
// written at once, its sync takes effect within the sync's time, and it is acknowledged when that has passed: a crash can fall between them.
import { MeshError } from '@infermesh/proto';
import { GroupCommit, groupCommitDefaults } from './group-commit.js';
import type { DurableLog, LogWrite } from './ports.js';
import type { SegmentLog } from './segment-log.js';
import { type SyncFigures, SyncTimes } from './sync-times.js';

export interface InlineLogOptions {
	/** Runs `fn` after `delayMicros` of simulated time. */
	readonly schedule: (delayMicros: number, fn: () => void) => void;
	/** What disk calls took since this was last asked. */
	readonly takeElapsedMicros: () => number;
	readonly nowMs: () => number;
	/** Pause before a batch that found the disk full is tried again. */
	readonly fullRetryMicros: number;
	readonly queueMaxBytes: number;
}

export const inlineLogDefaults = {
	fullRetryMicros: 500_000,
	queueMaxBytes: groupCommitDefaults.queueMaxBytes,
} as const;

/** At most so much of a sync's time passes before it takes effect. */
const SYNC_AHEAD_MICROS_MAX = 1000;

export class InlineLog implements DurableLog {
	readonly #log: SegmentLog;
	readonly #options: InlineLogOptions;
	readonly #queue: GroupCommit;
	readonly #syncs = new SyncTimes();
	#lastSyncMicros = 0;
	#full = false;
	#dead = false;

	constructor(log: SegmentLog, options: InlineLogOptions) {
		this.#log = log;
		this.#options = options;
		// What opening took is the owner's to account for.
		options.takeElapsedMicros();
		this.#queue = new GroupCommit(
			{ ...groupCommitDefaults, queueMaxBytes: options.queueMaxBytes, inFlightMax: 1 },
			{
				commit: (writes, settle) => this.#write(writes, settle),
				later: (fn) => this.#after(0, fn),
				nowMs: options.nowMs,
			},
		);
	}

	get queuedBytes(): number {
		return this.#queue.queuedBytes;
	}

	/** How long the oldest batch has been on its way; 0 when none is. */
	get stalledMs(): number {
		return this.#queue.stalledMs;
	}

	/** The disk has no room: batches wait until it has. */
	get full(): boolean {
		return this.#full;
	}

	get syncs(): SyncFigures {
		return this.#syncs.figures();
	}

	append(writes: readonly LogWrite[], done: () => void, failed: (error: Error) => void): void {
		this.#queue.append(writes, done, failed);
	}

	release(group: number, index: number): void {
		this.#attempt(() => this.#log.release(group, index));
	}

	/** The process is gone: nothing more is called back or written. */
	kill(): void {
		this.#dead = true;
	}

	close(): Promise<void> {
		this.#dead = true;
		this.#log.close();
		return Promise.resolve();
	}

	#write(writes: readonly LogWrite[], settle: (error: Error | undefined) => void): void {
		try {
			this.#log.write(writes);
			this.#full = false;
		} catch (error) {
			if (error instanceof MeshError && error.code === 'IM_LOG_DISK_FULL') {
				this.#full = true;
				this.#after(this.#options.fullRetryMicros, () => this.#write(writes, settle));
			} else this.#after(this.#options.takeElapsedMicros(), () => settle(asError(error)));
			return;
		}
		// How long the sync will take is known only once it was called: the last one stands for it.
		const aheadMicros = Math.min(this.#lastSyncMicros, SYNC_AHEAD_MICROS_MAX);
		this.#after(this.#options.takeElapsedMicros() + aheadMicros, () => {
			let failure: Error | undefined;
			try {
				this.#log.sync();
			} catch (error) {
				failure = asError(error);
			}
			const micros = this.#options.takeElapsedMicros();
			this.#syncs.add(micros);
			this.#lastSyncMicros = micros;
			this.#after(Math.max(0, micros - aheadMicros), () => {
				settle(failure);
				this.#maintain();
			});
		});
	}

	/** Prepares the next segment while nothing waits. */
	#maintain(): void {
		if (this.#queue.idle && this.#attempt(() => this.#log.maintain()) === true)
			this.#after(this.#options.takeElapsedMicros(), () => this.#maintain());
	}

	/** Runs work that nobody waits for. No room is found out again when it is needed; a failure fails all that waits. */
	#attempt<T>(work: () => T): T | undefined {
		if (this.#dead || this.#queue.failure !== undefined) return undefined;
		try {
			return work();
		} catch (error) {
			if (!(error instanceof MeshError && error.code === 'IM_LOG_DISK_FULL'))
				this.#after(0, () => this.#queue.fail(asError(error)));
			return undefined;
		}
	}

	#after(micros: number, fn: () => void): void {
		this.#options.schedule(micros, () => {
			if (!this.#dead) fn();
		});
	}
}

function asError(error: unknown): Error {
	return error instanceof Error ? error : new Error(String(error));
}
