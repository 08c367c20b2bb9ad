// Owns the segment files that wait to be used: fills them with zeros, in steps so that appends need not wait, and keeps a bounded number.
// Every call may throw a DiskError; after one of `sync` nothing here may be used.
import type { Disk } from '../effects/disk.js';
import type { SegmentLogOptions } from './options.js';
import { segmentPath, sparePath } from './segment-names.js';

interface Spare {
	readonly number: number;
	/** Zeros written so far. */
	filledBytes: number;
	/** Full of zeros, durably. */
	ready: boolean;
}

export class SparePool {
	readonly #disk: Disk;
	readonly #options: SegmentLogOptions;
	readonly #zeros: Uint8Array;
	readonly #spares: Spare[] = [];
	#nextNumber = 1;

	/** `found` are the numbers of spares that a log left behind; what they hold is not known. */
	constructor(disk: Disk, options: SegmentLogOptions, found: readonly number[]) {
		this.#disk = disk;
		this.#options = options;
		this.#zeros = new Uint8Array(options.fillStepBytes);
		for (const number of found) this.#add(number);
	}

	get count(): number {
		return this.#spares.length;
	}

	#add(number: number): Spare {
		const spare: Spare = { number, filledBytes: 0, ready: false };
		this.#spares.push(spare);
		this.#nextNumber = Math.max(this.#nextNumber, number + 1);
		return spare;
	}

	/** Sees to it that `count` spares are ready. */
	reserve(count: number): void {
		while (this.#spares.length < count) this.#add(this.#nextNumber);
		for (const spare of this.#spares.slice(0, count)) while (!this.#fill(spare));
	}

	/** Takes a spare out of the pool; answers its path. It is full of zeros, durably. */
	take(): string {
		this.reserve(1);
		const spare = this.#spares.shift();
		if (spare === undefined) throw new RangeError('no spare was reserved');
		return this.#path(spare);
	}

	/** Puts back a spare that was taken and not used. */
	giveBack(path: string): void {
		const number = Number(path.slice(path.lastIndexOf('-') + 1));
		this.#add(number);
	}

	/** Makes a spare of a segment that is no longer needed, or removes it when there are enough. Durable on return. */
	recycle(sequence: number, segmentBytes: number): void {
		const { folder, mutations, sparesMax } = this.#options;
		const from = segmentPath(folder, sequence);
		if (this.#spares.length < sparesMax && segmentBytes === this.#options.segmentBytes) {
			const spare = this.#add(this.#nextNumber);
			this.#disk.rename(from, this.#path(spare));
			if (mutations.has('reuse-segment-without-sequence')) spare.ready = true;
		} else this.#disk.remove(from);
		// One by one: a crash must not leave a hole between segments.
		if (!mutations.has('no-folder-sync')) this.#disk.syncFolder(folder);
	}

	/** One step towards a spare that is ready; answers whether another would do more. */
	step(): boolean {
		const spare = this.#spares[0] ?? this.#add(this.#nextNumber);
		return !spare.ready && !this.#fill(spare);
	}

	#path(spare: Spare): string {
		return sparePath(this.#options.folder, spare.number);
	}

	/** Writes the next zeros; answers whether the spare is ready. */
	#fill(spare: Spare): boolean {
		if (spare.ready) return true;
		const { segmentBytes } = this.#options;
		const file = this.#disk.open(this.#path(spare), { create: true });
		try {
			if (spare.filledBytes === 0 && file.size() > segmentBytes) file.truncate(segmentBytes);
			const count = Math.min(this.#zeros.length, segmentBytes - spare.filledBytes);
			file.write(this.#zeros.subarray(0, count), spare.filledBytes);
			// Step by step: the sync of a whole segment would hold up appends.
			file.sync();
			spare.filledBytes += count;
			spare.ready = spare.filledBytes === segmentBytes;
		} finally {
			file.close();
		}
		return spare.ready;
	}
}
