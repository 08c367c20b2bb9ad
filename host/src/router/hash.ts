// Owns the router's own non-cryptographic hashing: two 32-bit lanes, so that no BigInt is made on the data path. Each lane is a
// MurmurHash3 (x86, 32-bit; Appleby 2011) with constants of its own. Not for anything an attacker gains by colliding:
// a collision costs a worse cache guess, never a wrong answer.

/** A 64-bit hash in two words, reused by its owner. */
export interface Hash64 {
	low: number;
	high: number;
}

export function mixLow(hash: number, word: number): number {
	let k = Math.imul(word, 0xcc9e2d51);
	k = (k << 15) | (k >>> 17);
	k = Math.imul(k, 0x1b873593) ^ hash;
	k = (k << 13) | (k >>> 19);
	return (Math.imul(k, 5) + 0xe6546b64) | 0;
}

export function mixHigh(hash: number, word: number): number {
	let k = Math.imul(word, 0x239b961b);
	k = (k << 16) | (k >>> 16);
	k = Math.imul(k, 0xab0e9789) ^ hash;
	k = (k << 17) | (k >>> 15);
	return (Math.imul(k, 5) + 0x561ccd1b) | 0;
}

/** MurmurHash3's avalanche step. */
export function finish(hash: number): number {
	let h = hash ^ (hash >>> 16);
	h = Math.imul(h, 0x85ebca6b);
	h ^= h >>> 13;
	h = Math.imul(h, 0xc2b2ae35);
	return (h ^ (h >>> 16)) >>> 0;
}

/** Hashes a short text by UTF-16 unit into `out`; the empty text is 0, every other is not. */
export function hashText(text: string, out: Hash64): void {
	if (text === '') {
		out.low = 0;
		out.high = 0;
		return;
	}
	let low = text.length;
	let high = ~text.length;
	for (let at = 0; at < text.length; at++) {
		const unit = text.charCodeAt(at);
		low = mixLow(low, unit);
		high = mixHigh(high, unit);
	}
	out.low = finish(low) || 1;
	out.high = finish(high);
}
