// Owns a local copy of all records of one kind, kept by a watch: what the data plane and the reconcilers read without asking anybody. Without
// quorum, or cut off, it keeps what it last had: that is what lets the last configuration serve on.
import type { ConsensusEngine, StoreEvent, Watch } from '@infermesh/fabric';
import type { Clock, Timer } from '@infermesh/proto';
import type { Static, TSchema } from 'typebox';
import type { RecordKind } from './kinds.js';
import { decodeRecord, idOf, Records, type Stored } from './records.js';

/** After a read that failed, the next one. */
const RETRY_MS = 500;
const RETRY_MAX_MS = 10_000;

export interface MirrorEvents {
	/** Records changed; the mirror already shows them as of `revision`. */
	changed(revision: number): void;
	/** A record was there that this version does not understand; it is left out. */
	skipped?(key: string): void;
	/** The first or a later reading failed and is tried again. */
	failed?(error: unknown): void;
}

export class Mirror<S extends TSchema> {
	readonly #kind: RecordKind<S>;
	readonly #engine: ConsensusEngine;
	readonly #clock: Clock;
	readonly #events: MirrorEvents;
	#records = new Map<string, Stored<Static<S>>>();
	#watch: Watch | undefined;
	#retry: Timer | undefined;
	#failures = 0;
	#closed = false;
	#revision = 0;
	readonly #ready = Promise.withResolvers<void>();

	constructor(kind: RecordKind<S>, engine: ConsensusEngine, clock: Clock, events: MirrorEvents) {
		this.#kind = kind;
		this.#engine = engine;
		this.#clock = clock;
		this.#events = events;
		void this.#begin();
	}

	/** Resolves once the first reading is in. */
	get ready(): Promise<void> {
		return this.#ready.promise;
	}

	/** Of the last change seen; 0 before the first reading. */
	get revision(): number {
		return this.#revision;
	}

	get(id: string): Stored<Static<S>> | undefined {
		return this.#records.get(id);
	}

	/** In no particular order. */
	all(): readonly Stored<Static<S>>[] {
		return [...this.#records.values()];
	}

	close(): void {
		this.#closed = true;
		this.#watch?.cancel();
		this.#retry?.cancel();
	}

	/** Reads everything, then follows from there. */
	async #begin(): Promise<void> {
		if (this.#closed) return;
		try {
			const { items, revision } = await new Records(this.#engine).list(this.#kind);
			if (this.#closed) return;
			this.#failures = 0;
			this.#records = new Map(items.map((item) => [item.id, item]));
			this.#revision = revision;
			this.#watch = this.#engine.watch({ prefix: this.#kind.prefix }, revision, {
				onEvents: (events, at) => this.#apply(events, at),
				onCompacted: () => void this.#begin(),
			});
			this.#events.changed(revision);
			this.#ready.resolve();
		} catch (error) {
			if (this.#closed) return;
			this.#events.failed?.(error);
			const delayMs = Math.min(RETRY_MAX_MS, RETRY_MS * 2 ** this.#failures++);
			this.#retry = this.#clock.after(delayMs, () => void this.#begin(), { unref: true });
		}
	}

	#apply(events: readonly StoreEvent[], revision: number): void {
		if (this.#closed) return;
		for (const event of events) {
			if (event.kind === 'delete') {
				this.#records.delete(idOf(this.#kind, event.key));
				continue;
			}
			const { key, value, modRevision } = event.current;
			const id = idOf(this.#kind, key);
			const decoded = decodeRecord(this.#kind, value);
			if (decoded === undefined) {
				this.#records.delete(id);
				this.#events.skipped?.(key);
			} else this.#records.set(id, { id, value: decoded, revision: modRevision });
		}
		this.#revision = revision;
		this.#events.changed(revision);
	}
}
