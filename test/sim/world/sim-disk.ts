// Owns a simulated disk: a page cache over a medium. What is written is seen at once and is durable after `sync`; names are durable after
// `syncFolder`. A crash keeps a random subset of unsynced sectors and, of unsynced names, what a journal got to. Faults are drawn from the
// disk's own randomness and counted when they fire. Everything follows from the seed and the calls.
import { type Disk, DiskError, type DiskFile } from '@infermesh/fabric';
import type { Random } from '@infermesh/proto';

export const SIM_SECTOR_BYTES = 512;

/** Chances in [0, 1] for each call. All may be changed while the disk runs. */
export interface SimDiskFaults {
	/** A sync fails with EIO. Of the unsynced sectors some reach the medium; all are clean from then on, so that a later sync succeeds and lies. */
	syncError: number;
	/** A write fails with EIO after some of its sectors. */
	writeError: number;
	/** A write claims success, is seen in the cache, and never reaches the medium. */
	lostWrite: number;
	/** A read finds a bit of its range flipped on the medium, for good. */
	readFlip: number;
	/** Only files whose path matches suffer writes lost and bits flipped. */
	paths: RegExp;
	/** Bytes of all files together; more is ENOSPC, after what fits has been written. */
	capacityBytes: number;
	/** A sync stalls for `stallMicros` beside its latency. */
	stall: number;
}

export interface SimDiskLatency {
	/** [least, most], uniform, of a write or read, plus one microsecond for each 2 KiB. */
	readonly transferMicros: readonly [number, number];
	readonly syncMicros: readonly [number, number];
	readonly stallMicros: readonly [number, number];
}

export interface SimDiskCounters {
	syncErrors: number;
	writeErrors: number;
	full: number;
	lostWrites: number;
	bitFlips: number;
	crashes: number;
	/** Unsynced sectors that a crash did not keep. */
	sectorsLost: number;
	/** Unsynced creations, renames and removals that a crash undid. */
	namesLost: number;
	stalls: number;
	syncs: number;
}

const quietFaults: Readonly<SimDiskFaults> = {
	syncError: 0,
	writeError: 0,
	lostWrite: 0,
	readFlip: 0,
	paths: /./,
	capacityBytes: Number.POSITIVE_INFINITY,
	stall: 0,
};

export const simDiskLatency: SimDiskLatency = {
	transferMicros: [5, 20],
	syncMicros: [80, 400],
	stallMicros: [500_000, 3_000_000],
};

/** A file's content: as the cache shows it and as the medium has it. */
interface Inode {
	cache: Buffer;
	size: number;
	medium: Buffer;
	mediumSize: number;
	readonly dirty: Set<number>;
}

interface NameChange {
	readonly folder: string;
	readonly apply: (names: Map<string, Inode>) => void;
}

export class SimDisk implements Disk {
	readonly faults: SimDiskFaults;
	readonly counters: SimDiskCounters = {
		syncErrors: 0,
		writeErrors: 0,
		full: 0,
		lostWrites: 0,
		bitFlips: 0,
		crashes: 0,
		sectorsLost: 0,
		namesLost: 0,
		stalls: 0,
		syncs: 0,
	};
	readonly #random: Random;
	#latency: SimDiskLatency;
	#names = new Map<string, Inode>();
	#durableNames = new Map<string, Inode>();
	#folders = new Set<string>(['']);
	#changes: NameChange[] = [];
	#era = 0;
	#elapsedMicros = 0;
	#lastMicros = 0;

	constructor(random: Random, faults: Partial<SimDiskFaults> = {}, latency: SimDiskLatency = simDiskLatency) {
		this.#random = random;
		this.faults = { ...quietFaults, ...faults };
		this.#latency = latency;
	}

	/** From now on it does what it is told, at an ordinary pace: with a disk slower than elections are long nobody can be elected. */
	heal(): void {
		Object.assign(this.faults, quietFaults);
		this.#latency = simDiskLatency;
	}

	/** Simulated time the last call took. */
	get lastOperationMicros(): number {
		return this.#lastMicros;
	}

	/** Simulated time taken by calls since this was last asked. */
	takeElapsedMicros(): number {
		const elapsed = this.#elapsedMicros;
		this.#elapsedMicros = 0;
		return elapsed;
	}

	get usedBytes(): number {
		let used = 0;
		for (const inode of this.#names.values()) used += inode.size;
		return used;
	}

	/** The process died: open files are gone, what it wrote is still in the cache. */
	killProcess(): void {
		this.#era++;
	}

	/** The machine died: of what was not synced a random part is there. */
	crash(): void {
		this.#era++;
		this.counters.crashes++;
		const kept = this.#integer(this.#changes.length + 1);
		this.counters.namesLost += this.#changes.length - kept;
		for (const change of this.#changes.slice(0, kept)) change.apply(this.#durableNames);
		this.#changes = [];
		// Some crashes keep nothing or everything; most something between.
		const share = [0, 1, this.#random.nextFloat()][this.#integer(3)] ?? 0;
		for (const inode of new Set([...this.#names.values(), ...this.#durableNames.values()]))
			this.#crashInode(inode, share);
		this.#names = new Map(this.#durableNames);
	}

	#crashInode(inode: Inode, share: number): void {
		const grows = inode.size !== inode.mediumSize && this.#chance(share);
		if (grows) resizeMedium(inode, inode.size);
		for (const sector of inode.dirty) {
			if (this.#chance(share)) persistSector(inode, sector);
			else this.counters.sectorsLost++;
		}
		inode.dirty.clear();
		inode.size = inode.mediumSize;
		inode.cache = Buffer.from(inode.medium.subarray(0, inode.mediumSize));
	}

	/** Everything is gone: an empty disk in the machine. */
	wipe(): void {
		this.#era++;
		this.#names = new Map();
		this.#durableNames = new Map();
		this.#folders = new Set(['']);
		this.#changes = [];
	}

	/** Flips a bit on the medium and in the cache, as a latent error does. `bit` counts from the file's beginning. */
	flipBit(path: string, bit: number): void {
		const inode = this.#inode(path);
		const at = Math.floor(bit / 8);
		if (at >= inode.size) throw new RangeError(`${path} has no bit ${bit}`);
		for (const bytes of [inode.cache, inode.medium])
			if (at < bytes.length) bytes[at] = (bytes[at] ?? 0) ^ (1 << (bit % 8));
		this.counters.bitFlips++;
	}

	/** What a file holds, without latency or faults; for checks. */
	contents(path: string): Buffer {
		const inode = this.#inode(path);
		return Buffer.from(inode.cache.subarray(0, inode.size));
	}

	/** Every file's path, sorted. */
	paths(): readonly string[] {
		return [...this.#names.keys()].sort();
	}

	list(folder: string): readonly string[] {
		const prefix = folder === '' ? '' : `${folder}/`;
		const found = new Set<string>();
		for (const path of [...this.#names.keys(), ...this.#folders]) {
			const name = path.startsWith(prefix) ? path.slice(prefix.length).split('/', 1)[0] : undefined;
			if (name !== undefined && name !== '') found.add(name);
		}
		return [...found].sort();
	}

	exists(path: string): boolean {
		return this.#names.has(path) || this.#folders.has(path);
	}

	open(path: string, options: { readonly create: boolean }): DiskFile {
		this.#take(this.#latency.transferMicros);
		let inode = this.#names.get(path);
		if (inode === undefined) {
			if (!options.create) throw new DiskError('missing', `ENOENT: ${path}`);
			this.#addFolders(folderOf(path));
			inode = { cache: Buffer.alloc(0), size: 0, medium: Buffer.alloc(0), mediumSize: 0, dirty: new Set() };
			const created = inode;
			this.#change(folderOf(path), (names) => names.set(path, created));
		}
		return this.#file(path, inode);
	}

	rename(from: string, to: string): void {
		this.#take(this.#latency.transferMicros);
		const inode = this.#inode(from);
		this.#change(folderOf(to), (names) => {
			names.delete(from);
			names.set(to, inode);
		});
	}

	remove(path: string): void {
		this.#take(this.#latency.transferMicros);
		this.#inode(path);
		this.#change(folderOf(path), (names) => names.delete(path));
	}

	makeFolder(path: string): void {
		this.#addFolders(path);
	}

	syncFolder(folder: string): void {
		this.#take(this.#latency.syncMicros);
		this.#maybeFailSync(folder);
		for (const change of this.#changes) if (change.folder === folder) change.apply(this.#durableNames);
		this.#changes = this.#changes.filter((change) => change.folder !== folder);
	}

	#file(path: string, inode: Inode): DiskFile {
		const era = this.#era;
		let open = true;
		const check = (): void => {
			if (!open || era !== this.#era) throw new Error(`${path} is used after it was closed or its process died`);
		};
		return {
			read: (into, offset) => {
				check();
				return this.#read(path, inode, into, offset);
			},
			write: (bytes, offset) => {
				check();
				this.#write(path, inode, bytes, offset);
			},
			sync: () => {
				check();
				this.#sync(path, inode);
			},
			truncate: (length) => {
				check();
				this.#resize(inode, length);
			},
			size: () => {
				check();
				return inode.size;
			},
			close: () => {
				check();
				open = false;
			},
		};
	}

	#read(path: string, inode: Inode, into: Uint8Array, offset: number): number {
		const count = Math.max(0, Math.min(into.length, inode.size - offset));
		this.#take(this.#latency.transferMicros, count);
		if (count > 0 && this.faults.paths.test(path) && this.#chance(this.faults.readFlip))
			this.flipBit(path, offset * 8 + this.#integer(count * 8));
		into.set(inode.cache.subarray(offset, offset + count));
		return count;
	}

	#write(path: string, inode: Inode, bytes: Uint8Array, offset: number): void {
		this.#take(this.#latency.transferMicros, bytes.length);
		const room = this.faults.capacityBytes - this.usedBytes + Math.max(0, inode.size - offset);
		const end = offset + bytes.length;
		if (bytes.length > room && end > inode.size) {
			this.counters.full++;
			if (room > 0) this.#put(inode, bytes.subarray(0, room), offset);
			throw new DiskError('full', `ENOSPC: ${path}`);
		}
		if (this.#chance(this.faults.writeError)) {
			this.counters.writeErrors++;
			const sectors = this.#integer(Math.ceil(end / SIM_SECTOR_BYTES) - Math.floor(offset / SIM_SECTOR_BYTES) + 1);
			const until = (Math.floor(offset / SIM_SECTOR_BYTES) + sectors) * SIM_SECTOR_BYTES;
			this.#put(inode, bytes.subarray(0, Math.max(0, until - offset)), offset);
			throw new DiskError('io', `EIO: write of ${path}`);
		}
		const before = new Set(inode.dirty);
		this.#put(inode, bytes, offset);
		if (this.faults.paths.test(path) && this.#chance(this.faults.lostWrite)) {
			this.counters.lostWrites++;
			for (const sector of inode.dirty) if (!before.has(sector)) inode.dirty.delete(sector);
		}
	}

	#put(inode: Inode, bytes: Uint8Array, offset: number): void {
		const end = offset + bytes.length;
		if (end > inode.size) this.#resize(inode, end);
		inode.cache.set(bytes, offset);
		for (let at = Math.floor(offset / SIM_SECTOR_BYTES); at * SIM_SECTOR_BYTES < end; at++) inode.dirty.add(at);
	}

	#resize(inode: Inode, size: number): void {
		if (size > inode.cache.length) {
			const grown = Buffer.alloc(Math.max(size, inode.cache.length * 2));
			inode.cache.copy(grown, 0, 0, inode.size);
			inode.cache = grown;
		}
		// What is cut off reads as zeros when the file grows again.
		if (size < inode.size) inode.cache.fill(0, size, inode.size);
		inode.size = size;
	}

	#sync(path: string, inode: Inode): void {
		this.#take(this.#latency.syncMicros);
		this.counters.syncs++;
		if (this.#chance(this.faults.stall)) {
			this.counters.stalls++;
			const syncMicros = this.#lastMicros;
			this.#take(this.#latency.stallMicros);
			this.#lastMicros += syncMicros;
		}
		const failing = this.#chance(this.faults.syncError);
		resizeMedium(inode, inode.size);
		for (const sector of inode.dirty) if (!failing || this.#chance(0.5)) persistSector(inode, sector);
		inode.dirty.clear();
		if (!failing) return;
		this.counters.syncErrors++;
		throw new DiskError('io', `EIO: fdatasync of ${path}`);
	}

	#maybeFailSync(folder: string): void {
		if (!this.#chance(this.faults.syncError)) return;
		this.counters.syncErrors++;
		throw new DiskError('io', `EIO: fsync of folder ${folder}`);
	}

	#change(folder: string, apply: NameChange['apply']): void {
		apply(this.#names);
		// A rename whose source never became durable brings its target all the same: a journal writes both.
		this.#changes.push({ folder, apply });
	}

	#addFolders(path: string): void {
		// Folders are durable at once: nothing here depends on losing an empty one.
		for (let at = path; at !== ''; at = folderOf(at)) this.#folders.add(at);
	}

	#inode(path: string): Inode {
		const inode = this.#names.get(path);
		if (inode === undefined) throw new DiskError('missing', `ENOENT: ${path}`);
		return inode;
	}

	#take(range: readonly [number, number], bytes = 0): void {
		const [least, most] = range;
		this.#lastMicros = least + this.#integer(most - least + 1) + Math.floor(bytes / 2048);
		this.#elapsedMicros += this.#lastMicros;
	}

	#chance(chance: number): boolean {
		return chance > 0 && this.#random.nextFloat() < chance;
	}

	/** In [0, below). */
	#integer(below: number): number {
		return Math.floor(this.#random.nextFloat() * below);
	}
}

function folderOf(path: string): string {
	const slash = path.lastIndexOf('/');
	return slash < 0 ? '' : path.slice(0, slash);
}

function resizeMedium(inode: Inode, size: number): void {
	if (size > inode.medium.length) {
		const grown = Buffer.alloc(Math.max(size, inode.medium.length * 2));
		inode.medium.copy(grown, 0, 0, inode.mediumSize);
		inode.medium = grown;
	} else if (size < inode.mediumSize) inode.medium.fill(0, size, inode.mediumSize);
	inode.mediumSize = size;
}

function persistSector(inode: Inode, sector: number): void {
	const from = sector * SIM_SECTOR_BYTES;
	const to = Math.min(from + SIM_SECTOR_BYTES, inode.mediumSize, inode.size);
	if (from < to) inode.cache.copy(inode.medium, from, from, to);
}
