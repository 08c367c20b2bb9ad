// Owns the thread's side of the log: makes batches durable in order, answers snapshot requests, and between messages prepares the next segment in
// small steps. A batch that finds the disk full waits, and all batches behind it, until there is room.
import { type Clock, MeshError, type Timer } from '@infermesh/proto';
import type { SegmentLog } from '../segment-log.js';
import type { SnapshotRequest, SnapshotService } from '../snapshot-service.js';
import { decodeWrites, type FromLogThread, type ToLogThread, toWireError } from './messages.js';

export interface LogServerOptions {
	readonly clock: Pick<Clock, 'nowMs' | 'after'>;
	readonly fullRetryMs: number;
	readonly post: (message: FromLogThread) => void;
}

export class LogServer {
	readonly #log: SegmentLog;
	readonly #snapshots: SnapshotService;
	readonly #options: LogServerOptions;
	/** Bounded by the queue on the other side. */
	readonly #batches: Uint8Array[] = [];
	#full = false;
	#retry: Timer | undefined;
	#maintenance: Timer | undefined;
	/** No more segments are prepared until the next batch: there is one, or no room. */
	#prepared = false;
	#ended = false;

	constructor(log: SegmentLog, snapshots: SnapshotService, options: LogServerOptions) {
		this.#log = log;
		this.#snapshots = snapshots;
		this.#options = options;
	}

	receive(message: ToLogThread): void {
		if (message.kind === 'close') this.#close();
		else if (this.#ended) return;
		else if (message.kind === 'append') {
			this.#batches.push(message.writes);
			if (!this.#full) this.#pump();
		} else if (message.kind === 'release') this.#release(message.group, message.index);
		else this.#answer(message.request);
	}

	#close(): void {
		this.#ended = true;
		this.#retry?.cancel();
		this.#maintenance?.cancel();
		this.#snapshots.close();
		this.#log.close();
		this.#options.post({ kind: 'closed' });
	}

	#pump(): void {
		while (!this.#ended) {
			const [next] = this.#batches;
			if (next === undefined) break;
			if (!this.#attempt(() => this.#append(next))) {
				this.#waitForRoom();
				return;
			}
			this.#batches.shift();
		}
		this.#prepareLater();
	}

	/** Answers false when there is no room. Any other failure is the end. */
	#attempt(work: () => void): boolean {
		try {
			work();
		} catch (error) {
			if (error instanceof MeshError && error.code === 'IM_LOG_DISK_FULL') return false;
			this.#ended = true;
			this.#options.post({ kind: 'failed', error: toWireError(error) });
		}
		return true;
	}

	#append(bytes: Uint8Array): void {
		this.#prepared = false;
		this.#log.write(decodeWrites(bytes));
		if (this.#full) this.#options.post({ kind: 'full', full: false });
		this.#full = false;
		const beganMs = this.#options.clock.nowMs();
		this.#log.sync();
		this.#options.post({ kind: 'durable', syncMicros: (this.#options.clock.nowMs() - beganMs) * 1000 });
	}

	/** Does not wait behind a batch that found the disk full: what is released may be the room it needs. */
	#release(group: number, index: number): void {
		// Without room even for a name, the next release gives up these segments too.
		this.#attempt(() => this.#log.release(group, index));
	}

	#answer(request: SnapshotRequest): void {
		try {
			this.#options.post({ kind: 'answer', answer: this.#snapshots.handle(request), error: undefined });
		} catch (error) {
			this.#options.post({ kind: 'answer', answer: undefined, error: toWireError(error) });
		}
	}

	#waitForRoom(): void {
		if (!this.#full) this.#options.post({ kind: 'full', full: true });
		this.#full = true;
		this.#retry = this.#options.clock.after(this.#options.fullRetryMs, () => this.#pump());
	}

	#prepareLater(): void {
		if (this.#prepared || this.#maintenance !== undefined || this.#ended) return;
		this.#maintenance = this.#options.clock.after(0, () => {
			this.#maintenance = undefined;
			this.#prepare();
		});
	}

	#prepare(): void {
		if (this.#full) return;
		this.#prepared = true;
		this.#attempt(() => {
			this.#prepared = !this.#log.maintain();
		});
		this.#prepareLater();
	}
}
