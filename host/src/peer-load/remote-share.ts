// Owns the writing of what other routers have in flight into the shared counters, where every decision adds it to what this process has. One instance, in
// the agent: the remote share has one writer.
import {
	InflightReader,
	type InflightShared,
	InflightWriter,
	inflightCounters,
	remoteWriter,
} from '../fleet/inflight.js';
import type { LoadBook } from './book.js';

export class RemoteShare {
	readonly #book: LoadBook;
	readonly #counters: InflightReader;
	readonly #writer: InflightWriter;
	readonly #rowOf: (id: string) => number | undefined;

	/** `rowOf`: the row of a target that this router knows. */
	constructor(shared: InflightShared, book: LoadBook, rowOf: (id: string) => number | undefined) {
		this.#book = book;
		this.#counters = new InflightReader(shared);
		this.#writer = new InflightWriter(shared, remoteWriter(shared));
		this.#rowOf = rowOf;
	}

	/** Writes what the book has learned. */
	flush(): void {
		for (const id of this.#book.takeChanged()) {
			const row = this.#rowOf(id);
			if (row !== undefined) this.#write(row, id);
		}
	}

	/** So many other routers are heard. */
	setPeers(count: number): void {
		this.#writer.setPeers(count);
	}

	/** Targets came, went, or stand at other rows. */
	rowsChanged(): void {
		this.#book.takeChanged();
		const wanted = new Map<number, string>();
		for (const id of this.#book.targets()) {
			const row = this.#rowOf(id);
			if (row !== undefined) wanted.set(row, id);
		}
		for (let row = 0; row < this.#counters.rowsMax; row++) this.#write(row, wanted.get(row));
	}

	#write(row: number, id: string | undefined): void {
		let changed = false;
		for (let counter = 0; counter < inflightCounters.length; counter++) {
			const want = id === undefined ? 0 : this.#book.sum(id, counter);
			const difference = want - this.#counters.remote(counter, row);
			if (difference === 0) continue;
			this.#writer.add(counter, row, difference);
			changed = true;
		}
		if (changed) this.#writer.changed(row);
	}
}
