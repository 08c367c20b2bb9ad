// Owns storage of one test node in memory: a log and snapshot files whose answers come after a set time and which can be made to fail or hang.
import { createHash } from 'node:crypto';
import { type Clock, MeshError } from '@infermesh/proto';
import { logErrors } from '../../../log/errors.js';
import type {
	AnnouncedSnapshot,
	DurableLog,
	LogWrite,
	RecoveredGroup,
	SnapshotReader,
	SnapshotStore,
	SnapshotWriter,
} from '../../../log/ports.js';
import type { Entry, HardState, SnapshotMeta } from '../../../raft/messages.js';
import { emptyGroup } from '../bootstrap.js';

export class MemoryStorage implements DurableLog, SnapshotStore {
	readonly #clock: Clock;
	#hardState: HardState;
	#mark: SnapshotMeta | undefined;
	#entries: Entry[];
	readonly #files = new Map<string, { readonly meta: SnapshotMeta; readonly bytes: Buffer }>();
	readonly #parts = new Map<string, Buffer>();
	/** Raised by a crash: answers of an earlier run never come. */
	#run = 0;
	latencyMs = 1;
	/** Writes neither succeed nor fail. */
	stalled = false;
	failing = false;
	/** There is no room for snapshots; the log has its own. */
	full = false;
	syncs = 0;
	#queue: (() => void)[] = [];

	constructor(clock: Clock, start: RecoveredGroup = emptyGroup) {
		this.#clock = clock;
		this.#hardState = start.hardState;
		this.#mark = start.snapshot;
		this.#entries = [...start.entries];
	}

	get recovered(): RecoveredGroup {
		return { hardState: this.#hardState, snapshot: this.#mark, entries: [...this.#entries] };
	}

	/** What was not answered is lost. */
	crash(): void {
		this.#run++;
		this.#queue = [];
	}

	#later(fn: () => void): void {
		const run = this.#run;
		this.#clock.after(this.latencyMs, () => {
			if (run === this.#run) fn();
		});
	}

	append(writes: readonly LogWrite[], done: () => void, failed: (error: Error) => void): void {
		this.#queue.push(() => {
			if (this.failing) {
				failed(new Error('input/output error'));
				return;
			}
			this.syncs++;
			for (const write of writes) this.#write(write);
			done();
		});
		this.#later(() => this.drain());
	}

	/** Answers in order, unless it hangs. */
	drain(): void {
		while (!this.stalled) {
			const next = this.#queue.shift();
			if (next === undefined) return;
			next();
		}
	}

	#write(write: LogWrite): void {
		const { snapshot, entries, hardState } = write;
		if (snapshot !== undefined) {
			const held = this.#entries.some(({ index, term }) => index === snapshot.index && term === snapshot.term);
			this.#entries = held ? this.#entries.filter(({ index }) => index > snapshot.index) : [];
			this.#mark = snapshot;
		}
		const [first] = entries;
		if (first !== undefined) this.#entries = this.#entries.filter(({ index }) => index < first.index);
		this.#entries.push(...entries);
		if (hardState !== undefined) this.#hardState = hardState;
	}

	release(_group: number, index: number): void {
		for (const [key, { meta }] of this.#files) if (meta.index < index) this.#files.delete(key);
	}

	#writer(key: string, start: Buffer, finished: (bytes: Buffer) => Error | undefined): SnapshotWriter {
		let bytes = start;
		return {
			get length() {
				return bytes.length;
			},
			write: (piece, done, failed) => {
				if (this.full) {
					this.#later(() => failed(new MeshError(logErrors, 'IM_LOG_DISK_FULL')));
					return;
				}
				bytes = Buffer.concat([bytes, piece]);
				this.#parts.set(key, bytes);
				this.#later(done);
			},
			finish: (done, failed) => {
				this.#later(() => {
					const error = finished(bytes);
					this.#parts.delete(key);
					if (error === undefined) done();
					else failed(error);
				});
			},
			abandon: () => {},
		};
	}

	create(_group: number, meta: SnapshotMeta): SnapshotWriter {
		const key = `${meta.index}/${meta.term}`;
		return this.#writer(`own ${key}`, Buffer.alloc(0), (bytes) => {
			this.#files.set(key, { meta, bytes });
			return undefined;
		});
	}

	receive(_group: number, announced: AnnouncedSnapshot): SnapshotWriter {
		const { meta, totalBytes, digest } = announced;
		const key = `${meta.index}/${meta.term}`;
		return this.#writer(key, this.#parts.get(key) ?? Buffer.alloc(0), (bytes) => {
			const right = bytes.length === totalBytes && createHash('sha256').update(bytes).digest().equals(digest);
			if (!right) return new Error('not what was announced');
			this.#files.set(key, { meta, bytes });
			return undefined;
		});
	}

	open(_group: number, meta: SnapshotMeta): SnapshotReader | undefined {
		const file = this.#files.get(`${meta.index}/${meta.term}`);
		if (file === undefined) return undefined;
		return {
			meta: file.meta,
			totalBytes: file.bytes.length,
			digest: createHash('sha256').update(file.bytes).digest(),
			read: (offset, lengthMax, done) => this.#later(() => done(file.bytes.subarray(offset, offset + lengthMax))),
			close: () => {},
		};
	}

	close(): Promise<void> {
		return Promise.resolve();
	}
}
