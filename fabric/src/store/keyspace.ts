// Owns keys with their versions: the present one and the superseded ones back to the compaction, the sequence of revisions with their changes,
// and the byte counts of both. One write is one revision; it is open between the first `put` or `delete` and `commit`.
//
// A deleted key stays, with a tombstone as its head, until the deletion is compacted. Of each key at most one version is at or before the
// compacted revision: what a read at that revision sees.
import type { KeyValue, Selection } from '../consensus/engine.js';
import { versionOverheadBytes } from './limits.js';
import { SortedKeys } from './sorted-keys.js';

export interface Version {
	readonly entry: Entry;
	/** Undefined for a deletion. */
	readonly value: Uint8Array | undefined;
	readonly createRevision: number;
	readonly modRevision: number;
	/** Position among the changes of its revision. */
	readonly order: number;
	readonly version: number;
	readonly lease: string | undefined;
	previous: Version | undefined;
}

export interface Entry {
	readonly key: string;
	head: Version;
}

export interface Page {
	readonly versions: readonly Version[];
	readonly more: boolean;
}

export interface PageOptions {
	readonly revision: number;
	readonly after?: string | undefined;
	readonly itemsMax: number;
	readonly bytesMax: number;
}

export class Keyspace {
	readonly #keys = new SortedKeys<Entry>();
	/** Changes of the revisions after `compactedRevision`, from `#start` on; revision 1 is the empty store and has none. */
	#history: Version[][] = [[]];
	#start = 0;
	#open: Version[] = [];
	revision = 1;
	compactedRevision = 0;
	/** Of present keys. */
	liveBytes = 0;
	/** Of superseded versions and deletions. */
	historyBytes = 0;

	/** The present version of a key, also inside an open write. */
	current(key: string): Version | undefined {
		const head = this.#keys.get(key)?.head;
		return head?.value === undefined ? undefined : head;
	}

	/** Present or as of a revision not before the compacted one. The first item is answered whatever its size. */
	page(selection: Selection, options: PageOptions): Page {
		const versions: Version[] = [];
		let bytes = 0;
		let more = false;
		this.#scan(selection, options.after, (entry) => {
			const version = versionAt(entry, options.revision);
			if (version?.value === undefined) return true;
			bytes += answerBytes(version);
			if (versions.length > 0 && (versions.length >= options.itemsMax || bytes > options.bytesMax)) {
				more = true;
				return false;
			}
			versions.push(version);
			return true;
		});
		return { versions, more };
	}

	/** Keys present in the selection, at most `max`, in order. */
	present(selection: Selection, max: number): readonly Version[] {
		const versions: Version[] = [];
		this.#scan(selection, undefined, (entry) => {
			if (entry.head.value !== undefined) versions.push(entry.head);
			return versions.length < max;
		});
		return versions;
	}

	/** Adds to the open write. `value` belongs to the keyspace from now on. */
	put(key: string, value: Uint8Array, lease: string | undefined): void {
		const entry = this.#keys.get(key);
		const old = entry?.head.value === undefined ? undefined : entry.head;
		const modRevision = this.revision + 1;
		this.#write(entry, key, {
			value,
			createRevision: old?.createRevision ?? modRevision,
			modRevision,
			order: this.#open.length,
			version: (old?.version ?? 0) + 1,
			lease,
		});
	}

	/** Adds to the open write; false when the key is not there. */
	delete(key: string): boolean {
		const entry = this.#keys.get(key);
		if (entry?.head.value === undefined) return false;
		const modRevision = this.revision + 1;
		this.#write(entry, key, {
			value: undefined,
			createRevision: 0,
			modRevision,
			order: this.#open.length,
			version: 0,
			lease: undefined,
		});
		return true;
	}

	/** Ends the open write and answers the revision, which is a new one if anything was written. */
	commit(): number {
		if (this.#open.length === 0) return this.revision;
		this.#history.push(this.#open);
		this.#open = [];
		return ++this.revision;
	}

	/** The changes of one revision after the compacted one. */
	changes(revision: number): readonly Version[] {
		return this.#history[this.#start + revision - this.compactedRevision - 1] ?? [];
	}

	/** Forgets what no read at or after `revision` can see, and the changes at and before it. `revision` must exist. */
	compact(revision: number): void {
		while (this.compactedRevision < revision) {
			for (const version of this.#history[this.#start] as Version[]) this.#forgetBefore(version);
			this.#history[this.#start] = [];
			this.#start++;
			this.compactedRevision++;
		}
		if (this.#start < 1_024 || this.#start * 2 < this.#history.length) return;
		this.#history = this.#history.slice(this.#start);
		this.#start = 0;
	}

	/** Compacts to the bounds; `revisionsMax` and `bytesMax` are those of the settings. */
	trim(revisionsMax: number, bytesMax: number): void {
		this.compact(Math.max(this.compactedRevision, this.revision - revisionsMax));
		while (this.historyBytes > bytesMax && this.compactedRevision < this.revision)
			this.compact(this.compactedRevision + 1);
	}

	/** Every version held, by key and then from old to new. */
	allVersions(): readonly Version[] {
		const all: Version[] = [];
		this.#keys.scan('', (entry) => {
			const from = all.length;
			for (let version: Version | undefined = entry.head; version !== undefined; version = version.previous)
				all.push(version);
			for (let low = from, high = all.length - 1; low < high; low++, high--) {
				const kept = all[low] as Version;
				all[low] = all[high] as Version;
				all[high] = kept;
			}
			return true;
		});
		return all;
	}

	/** Adds a version of a snapshot; keys and their versions come in order. Only for a keyspace that is being restored. */
	load(key: string, fields: VersionFields): Version {
		return this.#attach(this.#keys.get(key), key, fields);
	}

	/** Ends a restore: the changes of the revisions after the compacted one, in order. */
	loadHistory(history: Version[][], revision: number, compactedRevision: number): void {
		this.#history = history;
		this.#start = 0;
		this.revision = revision;
		this.compactedRevision = compactedRevision;
	}

	/** Moves the sequence of revisions on and forgets all history. */
	moveOn(revisions: number): void {
		this.compact(this.revision);
		this.revision += revisions;
		this.compactedRevision = this.revision;
		this.#history = [];
		this.#start = 0;
	}

	#write(entry: Entry | undefined, key: string, fields: VersionFields): void {
		this.#open.push(this.#attach(entry, key, fields));
	}

	#attach(entry: Entry | undefined, key: string, fields: VersionFields): Version {
		const old = entry?.head;
		const home = entry ?? ({ key } as Entry);
		const version: Version = { entry: home, ...fields, previous: old };
		home.head = version;
		if (entry === undefined) this.#keys.add(home);
		if (old?.value !== undefined) {
			this.liveBytes -= storedBytes(old);
			this.historyBytes += storedBytes(old);
		}
		if (version.value === undefined) this.historyBytes += storedBytes(version);
		else this.liveBytes += storedBytes(version);
		return version;
	}

	#forgetBefore(version: Version): void {
		if (version.previous !== undefined) {
			this.historyBytes -= storedBytes(version.previous);
			version.previous = undefined;
		}
		if (version.value !== undefined || version.entry.head !== version) return;
		this.historyBytes -= storedBytes(version);
		this.#keys.remove(version.entry.key);
	}

	#scan(selection: Selection, after: string | undefined, visit: (entry: Entry) => boolean): void {
		if ('key' in selection) {
			const entry = after !== undefined && after >= selection.key ? undefined : this.#keys.get(selection.key);
			if (entry !== undefined) visit(entry);
			return;
		}
		const { prefix } = selection;
		const start = after !== undefined && after > prefix ? after : prefix;
		this.#keys.scan(start, (entry) => {
			if (!entry.key.startsWith(prefix)) return false;
			return entry.key === after ? true : visit(entry);
		});
	}
}

export type VersionFields = Omit<Version, 'entry' | 'previous'>;

/** Bytes that a version counts for in quota and history. */
export function storedBytes(version: {
	readonly entry: { readonly key: string };
	readonly value: Uint8Array | undefined;
}): number {
	return versionOverheadBytes + version.entry.key.length + (version.value?.length ?? 0);
}

/** Bytes that a version counts for in an answer. */
export function answerBytes(version: Version): number {
	return version.entry.key.length + (version.value?.length ?? 0) + 32;
}

/** A copy for the outside, so that nobody's writing into it reaches the state. */
export function toKeyValue(version: Version, keysOnly = false): KeyValue {
	return {
		key: version.entry.key,
		value: keysOnly || version.value === undefined ? new Uint8Array(0) : version.value.slice(),
		createRevision: version.createRevision,
		modRevision: version.modRevision,
		version: version.version,
		lease: version.lease,
	};
}

function versionAt(entry: Entry, revision: number): Version | undefined {
	let version: Version | undefined = entry.head;
	while (version !== undefined && version.modRevision > revision) version = version.previous;
	return version;
}
