// Owns the chained hash that names a KV block by its content and everything before it.
// A chain is a Uint32Array with two words (low, high) for each full block; equal prefixes give equal words.
// The hash is not cryptographic: 64 bits keep accidental collisions out of reach, not a hostile tenant's.

const C1 = 0xcc9e2d51;
const C2 = 0x1b873593;

function mix(h: number, word: number): number {
	let k = Math.imul(word, C1);
	k = (k << 15) | (k >>> 17);
	const x = h ^ Math.imul(k, C2);
	return (Math.imul((x << 13) | (x >>> 19), 5) + 0xe6546b64) | 0;
}

function finish(h: number): number {
	let x = h ^ (h >>> 16);
	x = Math.imul(x, 0x85ebca6b);
	x ^= x >>> 13;
	x = Math.imul(x, 0xc2b2ae35);
	return x ^ (x >>> 16);
}

/**
 * Hashes every full block of `bytes` (two MurmurHash3 lanes over little-endian words, chained from block to block).
 * `blockBytes` is a positive multiple of 4; a partial last block gets no hash. `salt` starts the chain: sequences with
 * different salts never share blocks.
 */
export function hashByteBlocks(bytes: Uint8Array, blockBytes: number, salt = 0): Uint32Array {
	const blocks = Math.floor(bytes.length / blockBytes);
	const chain = new Uint32Array(blocks * 2);
	const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
	let low = salt | 0;
	let high = ~salt;
	for (let block = 0; block < blocks; block++) {
		const end = (block + 1) * blockBytes;
		for (let offset = block * blockBytes; offset < end; offset += 4) {
			const word = view.getInt32(offset, true);
			low = mix(low, word);
			high = mix(high, word ^ low);
		}
		low = finish(low);
		high = finish(high ^ low);
		chain[block * 2] = low;
		chain[block * 2 + 1] = high;
	}
	return chain;
}

/**
 * A chain from content ids (such as the hash ids of a published trace, which already name content and all before it):
 * each id becomes `blocksPerId` blocks, so that a trace of 512-token ids can drive an engine of smaller blocks.
 */
export function chainFromIds(ids: readonly number[], blocksPerId: number): Uint32Array {
	const chain = new Uint32Array(ids.length * blocksPerId * 2);
	let at = 0;
	for (const id of ids) {
		for (let part = 0; part < blocksPerId; part++) {
			const low = finish(mix(mix(0x9747b28c, id), part));
			chain[at++] = low;
			chain[at++] = finish(mix(low ^ Math.floor(id / 2 ** 32), id));
		}
	}
	return chain;
}
