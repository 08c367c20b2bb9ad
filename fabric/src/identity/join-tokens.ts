// Owns join tokens: their text, their making, their use. The text pins the root of the mesh and carries a secret; the store has only the secret's hash.
import { createHash, randomBytes, randomUUID } from 'node:crypto';
import { MeshError } from '@infermesh/proto';
import { identityErrors } from './errors.js';
import type { JoinTokenRecord, RecordStore } from './ports.js';

/** Text form: `imj1.FINGERPRINT.SECRET`, hexadecimal SHA-256 of the root's DER and 32 random bytes in base64url. */
const form = /^imj1\.([0-9a-f]{64})\.([A-Za-z0-9_-]{43})$/;

export const joinTokenBounds = Object.freeze({
	ttlMsMin: 1000,
	ttlMsMax: 7 * 86_400_000,
	usesMax: 1000,
	labelCharsMax: 100,
	/** Tries to record a use against others who use the token at the same moment. */
	attemptsMax: 16,
	/** Kept after it expired, so that its user is told so rather than that it never was. */
	keptAfterExpiryMs: 86_400_000,
});

export interface JoinToken {
	/** SHA-256 of the root that the joiner will accept, lower-case hexadecimal. */
	readonly fingerprint: string;
	readonly secret: string;
}

/** Reads a token's text. Throws IM_IDENTITY_TOKEN_MALFORMED, without repeating the text: it may be a secret. */
export function parseJoinToken(text: string): JoinToken {
	const match = form.exec(text.trim());
	if (match === null) throw new MeshError(identityErrors, 'IM_IDENTITY_TOKEN_MALFORMED');
	return { fingerprint: match[1] ?? '', secret: match[2] ?? '' };
}

export interface NewJoinToken {
	readonly label?: string;
	readonly ttlMs: number;
	/** How many nodes it lets in; one unless said. */
	readonly uses?: number;
}

export class JoinTokens {
	readonly #store: RecordStore<JoinTokenRecord>;

	constructor(store: RecordStore<JoinTokenRecord>) {
		this.#store = store;
	}

	/** Makes a token; its text is not kept and cannot be had again. Throws IM_IDENTITY_TOKEN_LIMIT. */
	async create(
		options: NewJoinToken,
		fingerprint: string,
		nowMs: number,
	): Promise<{ readonly id: string; readonly text: string }> {
		const usesMax = options.uses ?? 1;
		const label = options.label ?? '';
		const { ttlMsMin, ttlMsMax, usesMax: most, labelCharsMax } = joinTokenBounds;
		const within = options.ttlMs >= ttlMsMin && options.ttlMs <= ttlMsMax && label.length <= labelCharsMax;
		if (!within || !Number.isInteger(usesMax) || usesMax < 1 || usesMax > most)
			throw new MeshError(identityErrors, 'IM_IDENTITY_TOKEN_LIMIT');
		const secret = randomBytes(32).toString('base64url');
		const id = idOf(secret);
		const record = { label, createdAtMs: nowMs, expiresAtMs: nowMs + options.ttlMs, usesMax, uses: [] };
		if (!(await this.#store.put(id, record, undefined))) throw new MeshError(identityErrors, 'IM_IDENTITY_TOKEN_BUSY');
		return { id, text: `imj1.${fingerprint}.${secret}` };
	}

	/**
	 * Uses a token for the key with this hash: the UUID of the node it becomes, a new one unless this key has used the token before. Throws
	 * IM_IDENTITY_TOKEN_*.
	 */
	async use(token: JoinToken, keyHash: string, nowMs: number): Promise<string> {
		const id = idOf(token.secret);
		for (let attempt = 0; attempt < joinTokenBounds.attemptsMax; attempt++) {
			const found = await this.#store.get(id);
			if (found === undefined) throw new MeshError(identityErrors, 'IM_IDENTITY_TOKEN_UNKNOWN');
			const { value: record, revision } = found;
			if (nowMs > record.expiresAtMs) throw new MeshError(identityErrors, 'IM_IDENTITY_TOKEN_EXPIRED');
			const before = record.uses.find((use) => use.keyHash === keyHash);
			if (before !== undefined) return before.nodeUuid;
			if (record.uses.length >= record.usesMax) throw new MeshError(identityErrors, 'IM_IDENTITY_TOKEN_USED');
			const use = { keyHash, nodeUuid: randomUUID(), atMs: nowMs };
			if (await this.#store.put(id, { ...record, uses: [...record.uses, use] }, revision)) return use.nodeUuid;
		}
		throw new MeshError(identityErrors, 'IM_IDENTITY_TOKEN_BUSY');
	}

	/** What there is, by id; never the secrets. */
	async list(): Promise<readonly (readonly [id: string, record: JoinTokenRecord])[]> {
		return this.#store.list();
	}

	async delete(id: string): Promise<void> {
		await this.#store.delete(id);
	}

	/** Forgets tokens that expired long ago; answers how many. */
	async purge(nowMs: number): Promise<number> {
		const old = (await this.#store.list()).filter(
			([, record]) => nowMs > record.expiresAtMs + joinTokenBounds.keptAfterExpiryMs,
		);
		for (const [id] of old) await this.#store.delete(id);
		return old.length;
	}
}

/** Secrets are 256 random bits, so one hash is enough: there is nothing to guess. */
function idOf(secret: string): string {
	return createHash('sha256').update(`infermesh join token ${secret}`).digest('hex');
}
