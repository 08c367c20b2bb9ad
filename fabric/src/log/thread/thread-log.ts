// Owns the log as the consensus thread uses it: the thread that runs it, the queue in front of it, its figures, and the snapshot store beside it.
import { Worker } from 'node:worker_threads';
import { type Clock, MeshError } from '@infermesh/proto';
import { logErrors } from '../errors.js';
import { GroupCommit, type GroupCommitOptions, groupCommitDefaults } from '../group-commit.js';
import { segmentLogDefaults } from '../options.js';
import type { DurableLog, LogWrite, RecoveredGroup, SnapshotStore } from '../ports.js';
import { SnapshotClient } from '../snapshot-client.js';
import { snapshotFilesDefaults } from '../snapshot-files.js';
import type { SnapshotAnswer } from '../snapshot-service.js';
import { type SyncFigures, SyncTimes } from '../sync-times.js';
import { encodeWrites, type FromLogThread, fromWireError, type LogThreadStart, type ToLogThread } from './messages.js';

export interface LogThreadOptions extends Omit<LogThreadStart, 'root'> {
	readonly queue: GroupCommitOptions;
	/** How long closing waits for the thread before it is ended. */
	readonly closeTimeoutMs: number;
}

export const logThreadDefaults: LogThreadOptions = {
	log: segmentLogDefaults,
	snapshots: snapshotFilesDefaults,
	fullRetryMs: 500,
	queue: groupCommitDefaults,
	closeTimeoutMs: 5000,
};

type Opened = Extract<FromLogThread, { readonly kind: 'opened' }>;
type Answered = (answer: SnapshotAnswer | undefined, error: Error | undefined) => void;

/** New objects of the log's thread: entries pass through as views of messages, so it makes few. */
const YOUNG_HEAP_MB = 4;

export class LogThread implements DurableLog {
	/** What each group had when the log was opened. */
	readonly recovered: ReadonlyMap<number, RecoveredGroup>;
	/** Bytes of a torn tail that were zeroed on opening. */
	readonly repairedBytes: number;
	readonly snapshots: SnapshotStore;
	readonly #worker: Worker;
	readonly #clock: Clock;
	readonly #options: LogThreadOptions;
	readonly #queue: GroupCommit;
	readonly #settles: ((error: Error | undefined) => void)[] = [];
	readonly #answers: Answered[] = [];
	readonly #syncs = new SyncTimes();
	#encodeMicros = 0;
	#full = false;
	#closed: (() => void) | undefined;

	/** Opens the log in `root` in a thread of its own. Rejects with IM_LOG_LOCKED, IM_LOG_CORRUPT, and what the disk refuses. */
	static open(root: string, clock: Clock, options: LogThreadOptions = logThreadDefaults): Promise<LogThread> {
		const { log, snapshots, fullRetryMs } = options;
		const workerData: LogThreadStart = { root, log, snapshots, fullRetryMs };
		const worker = new Worker(new URL('./log-thread.js', import.meta.url), {
			workerData,
			resourceLimits: { maxYoungGenerationSizeMb: YOUNG_HEAP_MB },
		});
		return new Promise((resolve, reject) => {
			const ended = (code: number): void =>
				reject(new MeshError(logErrors, 'IM_LOG_THREAD_ENDED', `the log's thread ended with ${code} while it opened`));
			worker.once('error', reject);
			worker.once('exit', ended);
			worker.once('message', (message: FromLogThread) => {
				worker.off('error', reject);
				worker.off('exit', ended);
				if (message.kind === 'opened') resolve(new LogThread(worker, clock, options, message));
				else reject(message.kind === 'refused' ? fromWireError(message.error) : new TypeError(message.kind));
			});
		});
	}

	private constructor(worker: Worker, clock: Clock, options: LogThreadOptions, opened: Opened) {
		this.recovered = opened.recovered;
		this.repairedBytes = opened.repairedBytes;
		this.#worker = worker;
		this.#clock = clock;
		this.#options = options;
		this.#queue = new GroupCommit(options.queue, {
			commit: (writes, settle) => this.#commit(writes, settle),
			later: queueMicrotask,
			nowMs: () => clock.nowMs(),
		});
		this.snapshots = new SnapshotClient(opened.finished, opened.parts, (request, answered) => {
			const { failure } = this.#queue;
			if (failure !== undefined) {
				queueMicrotask(() => answered(undefined, failure));
				return;
			}
			this.#answers.push(answered);
			this.#post({ kind: 'snapshot', request });
		});
		worker.on('message', (message: FromLogThread) => this.#receive(message));
		worker.on('error', (error) =>
			this.#lose(new MeshError(logErrors, 'IM_LOG_THREAD_ENDED', undefined, { cause: error })),
		);
		worker.on('exit', () => {
			this.#lose(new MeshError(logErrors, 'IM_LOG_THREAD_ENDED'));
			this.#closed?.();
		});
	}

	/** Bytes appended and not yet durable: the owner takes no more work while this is near the queue's bound. */
	get queuedBytes(): number {
		return this.#queue.queuedBytes;
	}

	/** How long the oldest batch has been on its way to the disk, 0 when none is: a leader whose disk stalls hands over. */
	get stalledMs(): number {
		return this.#queue.stalledMs;
	}

	/** The disk has no room: writes wait until it has. */
	get full(): boolean {
		return this.#full;
	}

	get syncs(): SyncFigures {
		return this.#syncs.figures();
	}

	/** Time this thread has spent on encoding writes for the other. */
	get encodeMicros(): number {
		return this.#encodeMicros;
	}

	append(writes: readonly LogWrite[], done: () => void, failed: (error: Error) => void): void {
		this.#queue.append(writes, done, failed);
	}

	release(group: number, index: number): void {
		if (this.#queue.failure === undefined) this.#post({ kind: 'release', group, index });
	}

	/** Ends the thread. Nothing is called back any more; what was not acknowledged may be durable or not. */
	close(): Promise<void> {
		this.#queue.close();
		this.#settles.length = 0;
		this.#answers.length = 0;
		return new Promise((resolve) => {
			const overdue = this.#clock.after(this.#options.closeTimeoutMs, () => void this.#worker.terminate());
			this.#closed = () => {
				overdue.cancel();
				resolve();
			};
			if (this.#worker.threadId === -1) this.#closed();
			else this.#post({ kind: 'close' });
		});
	}

	#commit(writes: readonly LogWrite[], settle: (error: Error | undefined) => void): void {
		const beganMs = this.#clock.nowMs();
		const bytes = encodeWrites(writes);
		this.#encodeMicros += (this.#clock.nowMs() - beganMs) * 1000;
		this.#settles.push(settle);
		this.#post({ kind: 'append', writes: bytes }, [bytes.buffer]);
	}

	#post(message: ToLogThread, transfer: readonly ArrayBuffer[] = []): void {
		this.#worker.postMessage(message, [...transfer]);
	}

	#receive(message: FromLogThread): void {
		switch (message.kind) {
			case 'durable':
				this.#syncs.add(message.syncMicros);
				this.#settles.shift()?.(undefined);
				break;
			case 'failed':
				this.#lose(fromWireError(message.error));
				break;
			case 'full':
				this.#full = message.full;
				break;
			case 'answer':
				this.#answers.shift()?.(message.answer, message.error === undefined ? undefined : fromWireError(message.error));
				break;
			case 'opened':
			case 'refused':
			case 'closed':
				break;
		}
	}

	#lose(error: Error): void {
		if (this.#queue.failure !== undefined) return;
		this.#settles.length = 0;
		this.#queue.fail(error);
		for (const answered of this.#answers.splice(0)) answered(undefined, error);
	}
}
