// Owns what remains of a run: a rolling hash over every event, which two runs of one seed must share, and the last readable lines for whoever has to
// understand a failure. The hash is two lanes of FNV-1a over 32-bit words, 64 bits together.

const kindHashes = new Map<string, number>();

/** FNV-1a, 32 bits, of a string's code units. */
export function hashText(text: string): number {
	let hash = 0x811c9dc5;
	for (let at = 0; at < text.length; at++) hash = Math.imul(hash ^ text.charCodeAt(at), 0x01000193);
	return hash >>> 0;
}

/** FNV-1a, 32 bits, of a length and at most `hashedBytesMax` bytes spread over the whole. */
export function hashBytes(bytes: Uint8Array): number {
	const step = Math.max(1, Math.ceil(bytes.length / hashedBytesMax));
	let hash = Math.imul(0x811c9dc5 ^ bytes.length, 0x01000193);
	for (let at = 0; at < bytes.length; at += step) hash = Math.imul(hash ^ (bytes[at] ?? 0), 0x01000193);
	return hash >>> 0;
}

const hashedBytesMax = 256;
const linesKept = 20_000;

export class Trace {
	#low = 0x811c9dc5;
	#high = 0xcbf29ce4;
	#events = 0;
	#lines: string[] = [];
	readonly #readable: boolean;

	/** `readable` keeps lines; without it the hash alone is kept, and lines are never made. */
	constructor(readable: boolean) {
		this.#readable = readable;
	}

	get readable(): boolean {
		return this.#readable;
	}

	get events(): number {
		return this.#events;
	}

	get hash(): string {
		return (this.#high >>> 0).toString(16).padStart(8, '0') + (this.#low >>> 0).toString(16).padStart(8, '0');
	}

	/** The newest lines, oldest first. */
	get lines(): readonly string[] {
		return this.#lines;
	}

	mix(word: number): void {
		this.#low = Math.imul(this.#low ^ word, 0x01000193);
		this.#high = Math.imul(this.#high ^ (word >>> 7) ^ (word << 11), 0x010001b5);
	}

	event(atUs: number, host: number, kind: string, digest: number): void {
		this.#events++;
		let kindHash = kindHashes.get(kind);
		if (kindHash === undefined) {
			kindHash = hashText(kind);
			kindHashes.set(kind, kindHash);
		}
		this.mix(atUs | 0);
		this.mix((atUs / 0x1_0000_0000) | 0);
		this.mix(kindHash ^ host);
		this.mix(digest);
	}

	/** Keeps a line; `text` is called only when lines are kept. */
	line(atUs: number, who: string, text: () => string): void {
		if (!this.#readable) return;
		this.#lines.push(`${(atUs / 1e6).toFixed(6).padStart(12)} ${who.padEnd(6)} ${text()}`);
		if (this.#lines.length > linesKept) this.#lines = this.#lines.slice(linesKept / 2);
	}
}
