// Owns the watches on one member's store: who wants which keys, and how far each has been told. Nothing is queued per watcher: the store's own
// history is the backlog, and a watcher's place in it is a revision. Whoever drives the hub calls `pump` after commands were applied, and again
// soon while it answers true; the work of one call is bounded.
//
// Watchers that are level with the hub are found by key and by prefix, so an event costs its receivers and the number of distinct prefix
// lengths. Those behind walk the history by themselves until they are level. One whose place is compacted away is told so and ends: whether it
// came too late, was too slow, or the member took a snapshot.
import type { Selection, StoreEvent, Watch, WatchHandlers } from '../consensus/engine.js';
import { consensusError } from '../consensus/errors.js';
import { toKeyValue, type Version } from './keyspace.js';
import type { Store } from './store.js';
import { selects } from './transaction.js';

export const watchersMax = 100_000;
/** Changes looked at in one `pump`, for the level watchers and for those behind, each. */
const changesPerPump = 16_384;

interface Watcher {
	readonly selection: Selection;
	readonly handlers: WatchHandlers;
	/** Told everything up to and with this revision. */
	told: number;
	ended: boolean;
}

export class WatchHub {
	readonly #store: Store;
	readonly #fault: (error: unknown) => void;
	/** Level watchers are told everything up to and with this revision. */
	#level: number;
	readonly #byKey = new Map<string, Set<Watcher>>();
	readonly #byPrefix = new Map<string, Set<Watcher>>();
	/** How many distinct prefixes of each length there are. */
	readonly #prefixLengths = new Map<number, number>();
	readonly #behind = new Set<Watcher>();
	#size = 0;

	/** `fault` is told when a handler throws; that watch ends, others go on. */
	constructor(store: Store, fault: (error: unknown) => void) {
		this.#store = store;
		this.#fault = fault;
		this.#level = store.revision;
	}

	get size(): number {
		return this.#size;
	}

	/** Nothing is called before the next `pump`. Throws IM_CONSENSUS_LIMIT. */
	watch(selection: Selection, fromRevision: number, handlers: WatchHandlers): Watch {
		if (this.#size >= watchersMax) throw consensusError('IM_CONSENSUS_LIMIT', `at most ${watchersMax} watches`);
		const watcher: Watcher = { selection, handlers, told: fromRevision, ended: false };
		this.#size++;
		this.#behind.add(watcher);
		return { cancel: () => this.#end(watcher) };
	}

	/** Tells watchers what is new. Answers whether there is more to tell now. */
	pump(): boolean {
		this.#fallBehind();
		this.#tellLevel();
		this.#tellBehind();
		return this.#level < this.#store.revision || this.#behind.size > 0;
	}

	/** Tells level watchers where they stand: the sign of life of those with nothing to tell. */
	progress(): void {
		for (const watchers of [...this.#byKey.values(), ...this.#byPrefix.values()])
			for (const watcher of watchers) {
				const revision = Math.max(this.#level, watcher.told);
				this.#call(watcher, () => watcher.handlers.onProgress?.(revision));
			}
	}

	/** After a restore, or a batch larger than the history, no level watcher can be told from the history. */
	#fallBehind(): void {
		if (this.#level >= this.#store.compactedRevision && this.#level <= this.#store.revision) return;
		for (const watchers of [...this.#byKey.values(), ...this.#byPrefix.values()])
			for (const watcher of watchers) {
				watcher.told = Math.max(watcher.told, this.#level);
				this.#unlist(watcher);
				this.#behind.add(watcher);
			}
		this.#level = this.#store.revision;
	}

	#tellLevel(): void {
		let left = changesPerPump;
		const batches = new Map<Watcher, Batch>();
		while (this.#level < this.#store.revision && left > 0) {
			const revision = this.#level + 1;
			const changes = this.#store.changes(revision);
			for (const change of changes) {
				let event: StoreEvent | undefined;
				this.#receivers(change.entry.key, (watcher) => {
					if (watcher.told >= revision) return;
					event ??= toEvent(change);
					const batch = batches.get(watcher);
					if (batch === undefined) batches.set(watcher, { events: [event], revision });
					else {
						batch.events.push(event);
						batch.revision = revision;
					}
				});
			}
			left -= changes.length + 1;
			this.#level = revision;
		}
		for (const [watcher, batch] of batches) this.#tell(watcher, batch);
	}

	#tellBehind(): void {
		let left = changesPerPump;
		const behind = [...this.#behind];
		for (const watcher of behind) {
			if (watcher.ended) continue;
			if (left <= 0) return;
			if (watcher.told < this.#store.compactedRevision) {
				this.#end(watcher);
				this.#attempt(() => watcher.handlers.onCompacted(this.#store.compactedRevision));
				continue;
			}
			left = this.#catchUp(watcher, left);
			if (watcher.ended || watcher.told < this.#level) continue;
			this.#behind.delete(watcher);
			this.#list(watcher);
		}
	}

	/** Walks the history up to the level, or until `budget` is spent; answers what is left of it. */
	#catchUp(watcher: Watcher, budget: number): number {
		let left = budget;
		const batch: Batch = { events: [], revision: watcher.told };
		let told = watcher.told;
		while (told < this.#level && left > 0) {
			told++;
			const changes = this.#store.changes(told);
			left -= changes.length + 1;
			for (const change of changes) {
				if (!selects(watcher.selection, change.entry.key)) continue;
				batch.events.push(toEvent(change));
				batch.revision = told;
			}
		}
		if (batch.events.length > 0) this.#tell(watcher, batch);
		watcher.told = Math.max(watcher.told, told);
		return left;
	}

	#tell(watcher: Watcher, { events, revision }: Batch): void {
		watcher.told = revision;
		this.#call(watcher, () => watcher.handlers.onEvents(events, revision));
	}

	#call(watcher: Watcher, call: () => void): void {
		if (!watcher.ended && !this.#attempt(call)) this.#end(watcher);
	}

	#attempt(call: () => void): boolean {
		try {
			call();
			return true;
		} catch (error) {
			this.#fault(error);
			return false;
		}
	}

	#receivers(key: string, visit: (watcher: Watcher) => void): void {
		for (const watcher of this.#byKey.get(key) ?? []) visit(watcher);
		for (const length of this.#prefixLengths.keys())
			if (length <= key.length) for (const watcher of this.#byPrefix.get(key.slice(0, length)) ?? []) visit(watcher);
	}

	#list(watcher: Watcher): void {
		const { selection } = watcher;
		if ('key' in selection) {
			addTo(this.#byKey, selection.key, watcher);
			return;
		}
		const { prefix } = selection;
		if (addTo(this.#byPrefix, prefix, watcher))
			this.#prefixLengths.set(prefix.length, (this.#prefixLengths.get(prefix.length) ?? 0) + 1);
	}

	#unlist(watcher: Watcher): void {
		const { selection } = watcher;
		if ('key' in selection) {
			removeFrom(this.#byKey, selection.key, watcher);
			return;
		}
		const { length } = selection.prefix;
		if (!removeFrom(this.#byPrefix, selection.prefix, watcher)) return;
		const left = (this.#prefixLengths.get(length) ?? 0) - 1;
		if (left > 0) this.#prefixLengths.set(length, left);
		else this.#prefixLengths.delete(length);
	}

	#end(watcher: Watcher): void {
		if (watcher.ended) return;
		watcher.ended = true;
		this.#size--;
		if (!this.#behind.delete(watcher)) this.#unlist(watcher);
	}
}

interface Batch {
	readonly events: StoreEvent[];
	revision: number;
}

function toEvent(change: Version): StoreEvent {
	if (change.value === undefined) return { kind: 'delete', key: change.entry.key, modRevision: change.modRevision };
	return { kind: 'put', current: toKeyValue(change) };
}

/** Answers whether it is the first under its name. */
function addTo(map: Map<string, Set<Watcher>>, name: string, watcher: Watcher): boolean {
	const found = map.get(name);
	if (found === undefined) map.set(name, new Set([watcher]));
	else found.add(watcher);
	return found === undefined;
}

/** Answers whether it was the last under its name. */
function removeFrom(map: Map<string, Set<Watcher>>, name: string, watcher: Watcher): boolean {
	const found = map.get(name);
	if (found === undefined || !found.delete(watcher) || found.size > 0) return false;
	map.delete(name);
	return true;
}
