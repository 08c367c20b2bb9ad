// Owns what the id of a stored response says: which target has it and, vouched for by a keyed hash, which tenant made it. Both are put into the id on its
// way to the client and taken out again when a request comes back with it. So any worker and any router of the mesh finds the target and knows the owner, and
// nobody keeps a list. An id of somebody else's, one that was made up and one that never was are told apart by nothing: they are refused before a
// target is looked for. A response relayed from another cell has the marks of both cells, the outer one on the outside.
import { createHmac, timingSafeEqual } from 'node:crypto';
import { type Hash64, hashText } from './hash.js';

export const RESPONSE_PREFIX = 'resp_';
/** Target, then seal, both of fixed length; the rest is the id as the target knows it. */
const MARKED = /^resp_im([\w-]{8})([\w-]{16})_(.+)$/;
const TAG_BYTES = 6;
/** 96 bits: who guesses a million a second finds one in 10^15 years. */
const SEAL_BYTES = 12;
/** Keeps the seal apart from whatever else the key may come to be used for. */
const PURPOSE = 'infermesh response owner 1';

const hash: Hash64 = { low: 0, high: 0 };

/** 8 characters that stand for a target: 48 bits of a hash of its id. */
export function targetTag(targetId: string): string {
	hashText(targetId, hash);
	const bytes = Buffer.alloc(8);
	bytes.writeUInt32LE(hash.low, 0);
	bytes.writeUInt32LE(hash.high, 4);
	return bytes.toString('base64url', 0, TAG_BYTES);
}

/** A stored response as the mesh finds it. */
export interface OwnedResponse {
	readonly tag: string;
	/** As its target knows it. */
	readonly id: string;
}

export class ResponseIds {
	#key: string | undefined;

	/** `key`: the mesh's secret; undefined = not known yet. */
	constructor(key: string | undefined) {
		this.#key = key;
	}

	/** Without the mesh's key no id can be marked, and no owner known. */
	get ready(): boolean {
		return this.#key !== undefined;
	}

	/** Ids marked by another key are nobody's from now on. */
	setKey(key: string | undefined): void {
		this.#key = key;
	}

	/** What is put between `resp_` and the rest of the id that a target gave. */
	mark(tag: string, tenant: string, id: string): string {
		return `im${tag}${this.#seal(tag, tenant, id).toString('base64url')}_`;
	}

	/** What an id names, if it is the tenant's own; undefined in every other case. The time it takes says nothing of what the seal should have been. */
	owned(name: string, tenant: string): OwnedResponse | undefined {
		const match = MARKED.exec(name);
		if (match === null || !this.ready) return undefined;
		const [, tag, seal, rest] = match as unknown as readonly [string, string, string, string];
		const id = `${RESPONSE_PREFIX}${rest}`;
		return timingSafeEqual(this.#seal(tag, tenant, id), Buffer.from(seal, 'base64url')) ? { tag, id } : undefined;
	}

	#seal(tag: string, tenant: string, id: string): Buffer {
		const said = JSON.stringify([PURPOSE, tag, tenant, id]);
		return createHmac('sha256', this.#key ?? '')
			.update(said)
			.digest()
			.subarray(0, SEAL_BYTES);
	}
}
