// Owns the ring in shared memory between one worker, which writes records, and the recorder's thread, which takes them. One producer, one consumer, no
// lock: the head moves when a record is whole, the tail when it has been taken. A record never wraps; what is left at the end is skipped.

const HEAD = 0;
const TAIL = 1;
const DROPPED = 2;
const OUTCOMES_LOST = 3;
/** Control words, a cache line. */
const CONTROL_WORDS = 16;
/** First word that says: go on at the start. No record has kind 0 and a length. */
const SKIP = 0x00ff_ffff;

/** A ring of `bytes`, rounded up to a power of two, at least 64 KiB. */
export function createRing(bytes: number): SharedArrayBuffer {
	const words = 2 ** Math.ceil(Math.log2(Math.max(bytes, 65_536) / 4));
	const ring = new SharedArrayBuffer((CONTROL_WORDS + words) * 4);
	// Every page is touched now, so that none is first touched by a decision.
	new Uint8Array(ring).fill(1).fill(0);
	return ring;
}

export class RingWriter {
	/** Where records are written; `reserve` says at which word. */
	readonly words: Uint32Array;
	readonly #control: Int32Array;
	readonly #mask: number;
	#head: number;
	/** Words of the reservation, the skip before it included. */
	#reserved = 0;

	constructor(ring: SharedArrayBuffer) {
		this.#control = new Int32Array(ring, 0, CONTROL_WORDS);
		this.words = new Uint32Array(ring, CONTROL_WORDS * 4);
		this.#mask = this.words.length - 1;
		this.#head = Atomics.load(this.#control, HEAD) >>> 0;
	}

	/** Words a record may have at most; a longer one never fits. */
	get recordWordsMax(): number {
		return this.words.length >>> 1;
	}

	/** Index in `words` of room for `count` words in one piece, or -1 when there is none now. */
	reserve(count: number): number {
		const size = this.words.length;
		const used = (this.#head - (Atomics.load(this.#control, TAIL) >>> 0)) >>> 0;
		const at = this.#head & this.#mask;
		const toEnd = size - at;
		if (count <= toEnd) {
			if (used + count > size) return -1;
			this.#reserved = count;
			return at;
		}
		if (used + toEnd + count > size) return -1;
		this.words[at] = SKIP;
		this.#reserved = toEnd + count;
		return 0;
	}

	/** Hands over the `count` words last reserved, or fewer from their start. */
	commit(unused = 0): void {
		this.#head = (this.#head + this.#reserved - unused) >>> 0;
		this.#reserved = 0;
		Atomics.store(this.#control, HEAD, this.#head | 0);
	}

	/** Counts a decision that found no room. */
	dropped(): void {
		Atomics.add(this.#control, DROPPED, 1);
	}

	/** Counts an outcome that found no room. */
	outcomeLost(): void {
		Atomics.add(this.#control, OUTCOMES_LOST, 1);
	}
}

export class RingReader {
	readonly #control: Int32Array;
	readonly #words: Uint32Array;
	readonly #mask: number;

	constructor(ring: SharedArrayBuffer) {
		this.#control = new Int32Array(ring, 0, CONTROL_WORDS);
		this.#words = new Uint32Array(ring, CONTROL_WORDS * 4);
		this.#mask = this.#words.length - 1;
	}

	/** Decisions dropped since the ring was made. */
	get dropped(): number {
		return Atomics.load(this.#control, DROPPED) >>> 0;
	}

	/** Outcomes lost since the ring was made. */
	get outcomesLost(): number {
		return Atomics.load(this.#control, OUTCOMES_LOST) >>> 0;
	}

	/** Visits the records that are whole now; `words` from `at` on is the payload, valid during the visit. Returns how many words were taken. */
	drain(visit: (kind: number, words: Uint32Array, at: number, length: number) => void): number {
		const head = Atomics.load(this.#control, HEAD) >>> 0;
		let tail = Atomics.load(this.#control, TAIL) >>> 0;
		const taken = (head - tail) >>> 0;
		while (tail !== head) {
			const at = tail & this.#mask;
			const first = this.#words[at] as number;
			if (first === SKIP) {
				tail = (tail + this.#words.length - at) >>> 0;
			} else {
				const length = first & 0xffffff;
				visit(first >>> 24, this.#words, at + 1, length);
				tail = (tail + 1 + length) >>> 0;
			}
			Atomics.store(this.#control, TAIL, tail | 0);
		}
		return taken;
	}
}
