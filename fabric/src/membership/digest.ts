// Owns the digest of a table: members spread over buckets by their id, and per bucket the sum of a hash of (id, incarnation, state) in two
// words. Equal sums mean equal beliefs but for a chance of 2^-64. Sums are kept up to date in the largest number of buckets and folded to what
// a comparison needs. Part of the wire contract of the mesh's protocol.
import type { MemberState } from './messages.js';
import { swimBounds } from './settings.js';

const stateNumbers: Readonly<Record<MemberState, number>> = { alive: 1, suspect: 2, dead: 3, left: 4 };

/** Fewest buckets of a digest. */
const bucketsMin = 16;

/** A power of two of about a bucket for four members. */
export function bucketsFor(members: number): number {
	const wanted = 2 ** Math.ceil(Math.log2(Math.max(1, members / 4)));
	return Math.min(swimBounds.digestBucketsMax, Math.max(bucketsMin, wanted));
}

/** Whether a peer's sums have a shape this node would make. */
export function isDigestShape(sums: Uint32Array): boolean {
	const buckets = sums.length / 2;
	return buckets >= bucketsMin && buckets <= swimBounds.digestBucketsMax && (buckets & (buckets - 1)) === 0;
}

/** `hash` is the first hash of the member's id. */
export function bucketOf(hash: number, buckets: number): number {
	return hash & (buckets - 1);
}

/** Murmur3's finaliser. */
function mix(word: number): number {
	let h = word;
	h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
	h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
	return (h ^ (h >>> 16)) >>> 0;
}

export class Digest {
	readonly #sums = new Uint32Array(swimBounds.digestBucketsMax * 2);

	/** Adds what is believed of a member, by the two hashes of its id; with `sign` -1 takes it out again. */
	add(sign: 1 | -1, hash0: number, hash1: number, incarnation: number, state: MemberState): void {
		const sums = this.#sums;
		const at = bucketOf(hash0, swimBounds.digestBucketsMax) * 2;
		const low = incarnation >>> 0;
		const high = (Math.floor(incarnation / 0x1_0000_0000) << 3) | stateNumbers[state];
		sums[at] = (sums[at] as number) + sign * mix(hash0 ^ mix(low ^ mix(high)));
		sums[at + 1] = (sums[at + 1] as number) + sign * mix(hash1 ^ mix((low + 0x9e3779b9) ^ mix(high + 1)));
	}

	/** The sums in `buckets` buckets, two words each. */
	sums(buckets: number): Uint32Array {
		const folded = new Uint32Array(buckets * 2);
		for (let i = 0; i < this.#sums.length; i++) {
			const at = i & (buckets * 2 - 1);
			folded[at] = (folded[at] as number) + (this.#sums[i] as number);
		}
		return folded;
	}
}

export function differingBuckets(ours: Uint32Array, theirs: Uint32Array): number[] {
	const differing: number[] = [];
	for (let bucket = 0; bucket * 2 < ours.length; bucket++)
		if (ours[bucket * 2] !== theirs[bucket * 2] || ours[bucket * 2 + 1] !== theirs[bucket * 2 + 1])
			differing.push(bucket);
	return differing;
}
