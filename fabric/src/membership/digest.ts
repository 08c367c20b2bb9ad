// Owns the digest of a table: members spread over buckets by their id, and per bucket the sum of a hash of (id, incarnation, state) in two
// words. Equal sums mean equal beliefs but for a chance of 2^-64. Part of the wire contract of the mesh's protocol.
import type { MemberState, NodeId } from './messages.js';
import { swimBounds } from './settings.js';

const stateNumbers: Readonly<Record<MemberState, number>> = { alive: 1, suspect: 2, dead: 3, left: 4 };

export interface DigestEntry {
	readonly id: NodeId;
	/** Two 32-bit hashes of the id. */
	readonly hashes: readonly [number, number];
	readonly incarnation: number;
	readonly state: MemberState;
}

/** A power of two of about a bucket for four members, 16 to `digestBucketsMax`. */
export function bucketsFor(members: number): number {
	const wanted = 2 ** Math.ceil(Math.log2(Math.max(1, members / 4)));
	return Math.min(swimBounds.digestBucketsMax, Math.max(16, wanted));
}

/** Whether a peer's sums have a shape this node would make. */
export function isDigestShape(sums: Uint32Array): boolean {
	const buckets = sums.length / 2;
	return buckets >= 16 && buckets <= swimBounds.digestBucketsMax && (buckets & (buckets - 1)) === 0;
}

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

export function digestSums(entries: Iterable<DigestEntry>, buckets: number): Uint32Array {
	const sums = new Uint32Array(buckets * 2);
	for (const { hashes, incarnation, state } of entries) {
		const at = bucketOf(hashes[0], buckets) * 2;
		const low = incarnation >>> 0;
		const high = (Math.floor(incarnation / 0x1_0000_0000) << 3) | stateNumbers[state];
		sums[at] = (sums[at] as number) + mix(hashes[0] ^ mix(low ^ mix(high)));
		sums[at + 1] = (sums[at + 1] as number) + mix(hashes[1] ^ mix((low + 0x9e3779b9) ^ mix(high + 1)));
	}
	return sums;
}

export function differingBuckets(ours: Uint32Array, theirs: Uint32Array): number[] {
	const differing: number[] = [];
	for (let bucket = 0; bucket * 2 < ours.length; bucket++)
		if (ours[bucket * 2] !== theirs[bucket * 2] || ours[bucket * 2 + 1] !== theirs[bucket * 2 + 1])
			differing.push(bucket);
	return differing;
}
