// Owns how a node reads changes of replicated state for its subscribers: one watch for all who are level with the mesh, whose newest changes are held
// for them, and a few at a time for those who are behind. Watches are streams of the one connection over which the node also keeps its lease and
// writes, and a coordinator serves so many of them on one: how many there are does not depend on how many subscribe.
import { type ConsensusEngine, consensusError, type StoreEvent, type Watch } from '@infermesh/fabric';
import { type EventBatch, toldOf } from './events.js';

/** Changes held for subscribers that are level; who has not taken them by then goes on from the history. */
const HELD_MAX = 4096;
/** Batches one subscriber takes along at once. */
const TAKEN_MAX = 64;
/** Changes read from the history at once for one subscriber; one batch more may come on top. */
const PAGE_CHANGES = 1024;
/** Watches at once on behalf of subscribers that are behind; the others wait for their turn. */
const READERS_MAX = 4;

/** A batch costs a place too when it has nothing to show. */
const sizeOf = ({ events }: EventBatch): number => events.length + 1;

/** The newest changes, and whoever wants to hear of them. */
export class LiveChanges {
	readonly #engine: ConsensusEngine;
	readonly #wakes = new Set<() => void>();
	#watch: Watch | undefined;
	#held: EventBatch[] = [];
	#heldSize = 0;
	#since = 0;
	#signs = 0;

	constructor(engine: ConsensusEngine) {
		this.#engine = engine;
	}

	/** All changes after this revision are held, or will be. */
	get since(): number {
		return this.#since;
	}

	/** Counts what the watch has told, signs of life too. */
	get signs(): number {
		return this.#signs;
	}

	/** Calls `wake` whenever there is something to look at. `now` is where the watch begins if there is none yet. */
	join(now: number, wake: () => void): void {
		if (this.#watch === undefined) this.#begin(now);
		this.#wakes.add(wake);
	}

	/** The watch ends with the last who wants it. */
	leave(wake: () => void): void {
		this.#wakes.delete(wake);
		if (this.#wakes.size > 0) return;
		this.#watch?.cancel();
		this.#watch = undefined;
		this.#held = [];
	}

	/** The first of what is held of the changes after `revision`, which is `since` or later. The first batch may begin before. */
	after(revision: number): readonly EventBatch[] {
		const at = this.#held.findLastIndex((batch) => batch.revision <= revision) + 1;
		return this.#held.slice(at, at + TAKEN_MAX);
	}

	#begin(from: number): void {
		this.#held = [];
		this.#heldSize = 0;
		this.#since = from;
		this.#watch = this.#engine.watch({ prefix: '' }, from, {
			onEvents: (events, revision) => this.#hold(events, revision),
			onProgress: () => this.#sign(),
			onCompacted: (revision) => {
				this.#begin(revision);
				this.#sign();
			},
		});
	}

	#hold(events: readonly StoreEvent[], revision: number): void {
		const batch = { events: toldOf(events), revision };
		this.#held.push(batch);
		this.#heldSize += sizeOf(batch);
		for (let oldest = this.#held[0]; oldest !== undefined && this.#heldSize > HELD_MAX; oldest = this.#held[0]) {
			this.#held.shift();
			this.#heldSize -= sizeOf(oldest);
			this.#since = oldest.revision;
		}
		this.#sign();
	}

	#sign(): void {
		this.#signs++;
		for (const wake of this.#wakes) wake();
	}
}

/** Changes of the past, page by page. A reader keeps its watch for the reading of a page only, not for as long as the page takes to be told. */
export class ChangeHistory {
	readonly #engine: ConsensusEngine;
	readonly #waiting = new Set<() => void>();
	#readers = 0;

	constructor(engine: ConsensusEngine) {
		this.#engine = engine;
	}

	/** Changes after `from`, up to a page or until `reached` holds; fewer when `signal` aborts. Rejects with IM_CONSENSUS_COMPACTED. */
	async page(
		from: number,
		reached: (revision: number) => boolean,
		signal: AbortSignal,
	): Promise<readonly EventBatch[]> {
		await this.#turn(signal);
		try {
			return signal.aborted ? [] : await this.#read(from, reached, signal);
		} finally {
			this.#readers--;
			const [next] = this.#waiting;
			next?.();
		}
	}

	/** Resolves at this reader's turn, or at once when it is wanted no more. */
	async #turn(signal: AbortSignal): Promise<void> {
		const turn = Promise.withResolvers<void>();
		const taken = (): void => {
			this.#waiting.delete(taken);
			this.#readers++;
			turn.resolve();
		};
		if (this.#readers < READERS_MAX || signal.aborted) taken();
		else {
			this.#waiting.add(taken);
			signal.addEventListener('abort', taken);
		}
		await turn.promise;
		signal.removeEventListener('abort', taken);
	}

	#read(from: number, reached: (revision: number) => boolean, signal: AbortSignal): Promise<readonly EventBatch[]> {
		const { promise, resolve, reject } = Promise.withResolvers<readonly EventBatch[]>();
		const page: EventBatch[] = [];
		let changes = 0;
		const end = (): void => {
			watch.cancel();
			signal.removeEventListener('abort', end);
			resolve(page);
		};
		const watch = this.#engine.watch({ prefix: '' }, from, {
			onEvents: (events, revision) => {
				page.push({ events: toldOf(events), revision });
				changes += events.length;
				if (changes >= PAGE_CHANGES || reached(revision)) end();
			},
			onProgress: (revision) => {
				if (reached(revision)) end();
			},
			onCompacted: (revision) => {
				reject(compacted(from, revision));
				end();
			},
		});
		signal.addEventListener('abort', end);
		return promise;
	}
}

/** Changes after `after` are wanted and gone. */
export function compacted(after: number, revision: number): Error {
	return consensusError(
		'IM_CONSENSUS_COMPACTED',
		`changes after ${after} are gone; the oldest kept are after ${revision}`,
	);
}
