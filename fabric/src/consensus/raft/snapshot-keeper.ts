// Owns a member's snapshots: taking one of the own state in pieces while commands go on, and restoring one into the state machine. It works by the
// store's callbacks alone, one piece at a time.
import type { SnapshotReader, SnapshotStore, SnapshotWriter } from '../../log/ports.js';
import type { SnapshotMeta } from '../../raft/messages.js';
import type { StateMachine } from '../../store/ports.js';
import { hasCode } from '../errors.js';

export interface SnapshotKeeperOptions {
	readonly group: number;
	readonly store: SnapshotStore;
	readonly stateMachine: StateMachine;
	readonly pieceBytes: number;
	/** The disk failed, or a snapshot that must be there is not what was written: the member stops. */
	readonly failed: (error: Error) => void;
}

export class SnapshotKeeper {
	readonly #options: SnapshotKeeperOptions;
	#taking: SnapshotWriter | undefined;
	#restoring: SnapshotReader | undefined;
	#stopped = false;

	constructor(options: SnapshotKeeperOptions) {
		this.#options = options;
	}

	get taking(): boolean {
		return this.#taking !== undefined;
	}

	get restoring(): boolean {
		return this.#restoring !== undefined;
	}

	/** Saves the state as it is now: `done` once the snapshot is durable, `givenUp` when there was no room for it. One at a time. */
	take(meta: SnapshotMeta, done: () => void, givenUp: () => void): void {
		const { group, store, stateMachine } = this.#options;
		const writer = store.create(group, meta);
		this.#taking = writer;
		const pieces = stateMachine.snapshot()[Symbol.iterator]();
		const ended = (then: () => void): void => {
			this.#taking = undefined;
			then();
		};
		const failed = (error: Error): void => {
			if (this.#stopped) return;
			// The disk is sound and the log is whole: what a full disk costs is this snapshot.
			if (hasCode(error, 'IM_LOG_DISK_FULL')) ended(givenUp);
			else this.#fail(error);
		};
		this.#writeNext(writer, pieces, () => ended(done), failed);
	}

	#writeNext(
		writer: SnapshotWriter,
		pieces: Iterator<Uint8Array>,
		done: () => void,
		failed: (error: Error) => void,
	): void {
		if (this.#stopped) return;
		const next = this.#guard(() => pieces.next());
		if (next === undefined) return;
		if (next.done === true) writer.finish(() => this.#alive(done), failed);
		else writer.write(next.value, () => this.#writeNext(writer, pieces, done, failed), failed);
	}

	/** Replaces the state by a durable snapshot. */
	restore(meta: SnapshotMeta, done: () => void): void {
		const { group, store, stateMachine } = this.#options;
		const reader = store.open(group, meta);
		if (reader === undefined) {
			this.#fail(new Error(`the snapshot at ${meta.index} is gone`));
			return;
		}
		this.#restoring?.close();
		this.#restoring = reader;
		const restore = stateMachine.beginRestore();
		const readNext = (offset: number): void =>
			reader.read(
				offset,
				this.#options.pieceBytes,
				(bytes) => {
					// A newer snapshot has taken the place of this one.
					if (this.#stopped || this.#restoring !== reader) return;
					this.#guard(() => {
						if (bytes.length > 0) {
							restore.push(bytes);
							readNext(offset + bytes.length);
							return;
						}
						restore.finish();
						this.#restoring = undefined;
						reader.close();
						done();
					});
				},
				(error) => this.#fail(error),
			);
		readNext(0);
	}

	#alive(fn: () => void): void {
		if (!this.#stopped) fn();
	}

	#guard<T>(fn: () => T): T | undefined {
		try {
			return fn();
		} catch (error) {
			this.#fail(error instanceof Error ? error : new Error(String(error)));
			return undefined;
		}
	}

	#fail(error: Error): void {
		if (this.#stopped) return;
		this.stop();
		this.#options.failed(error);
	}

	stop(): void {
		this.#stopped = true;
		this.#taking?.abandon();
		this.#restoring?.close();
		this.#taking = undefined;
		this.#restoring = undefined;
	}
}
