// Owns the group keys: the one that seals, and those that still open while a rotation goes round. Keys are told apart by an id that reveals
// nothing of them. From each, every sender has a key of its own, so that their nonces never meet.
import { createHash, createSecretKey, hkdfSync, type KeyObject } from 'node:crypto';
import { MeshError } from '@infermesh/proto';
import { membershipErrors } from '../errors.js';
import { uuidBytes } from './wire.js';

export const groupKeyBytes = 32;

/** Keys held at once: the one in use, the one before and the one to come. */
export const ringMax = 3;

export interface GroupKey {
	/** Unsigned 32-bit. */
	readonly id: number;
	readonly secret: Uint8Array;
}

export function groupKeyOf(secret: Uint8Array): GroupKey {
	if (secret.length !== groupKeyBytes)
		throw new MeshError(membershipErrors, 'IM_MEMBERSHIP_KEY', `a group key of ${secret.length} bytes`);
	const hash = createHash('sha256').update('infermesh gossip key id').update(secret).digest();
	return { id: hash.readUInt32BE(0), secret: new Uint8Array(secret) };
}

export class KeyRing {
	readonly #label: string;
	/** The primary first, then newest first. */
	#keys: GroupKey[];

	/** `label` names the cluster: the same secret under another label gives other keys. Throws MeshError IM_MEMBERSHIP_KEY. */
	constructor(label: string, primary: Uint8Array, others: readonly Uint8Array[] = []) {
		this.#label = label;
		this.#keys = [groupKeyOf(primary)];
		for (const secret of others) this.install(secret);
	}

	get primary(): GroupKey {
		return this.#keys[0] as GroupKey;
	}

	/** Ids of the keys held, the primary first. */
	get ids(): readonly number[] {
		return this.#keys.map((key) => key.id);
	}

	find(id: number): GroupKey | undefined {
		return this.#keys.find((key) => key.id === id);
	}

	/** First step of a rotation: what is sealed under the key can be opened. The oldest goes when the ring is full. Answers the key's id. */
	install(secret: Uint8Array): number {
		const key = groupKeyOf(secret);
		if (this.find(key.id) === undefined) {
			const [primary, ...others] = this.#keys as [GroupKey, ...GroupKey[]];
			this.#keys = [primary, key, ...others].slice(0, ringMax);
		}
		return key.id;
	}

	/** Second step, once all have the key: it seals. The one before still opens. Throws MeshError IM_MEMBERSHIP_KEY for an unknown id. */
	use(id: number): void {
		const key = this.find(id);
		if (key === undefined)
			throw new MeshError(membershipErrors, 'IM_MEMBERSHIP_KEY', 'a key that is not in the ring cannot seal');
		this.#keys = [key, ...this.#keys.filter((one) => one !== key)];
	}

	/** Both steps at once, for a node that is told late, or alone. */
	rotate(secret: Uint8Array): number {
		const id = this.install(secret);
		this.use(id);
		return id;
	}

	/** Last step: what is sealed under the key is refused. Throws MeshError IM_MEMBERSHIP_KEY for the primary. */
	remove(id: number): void {
		if (this.primary.id === id)
			throw new MeshError(membershipErrors, 'IM_MEMBERSHIP_KEY', 'the key in use cannot be removed');
		this.#keys = this.#keys.filter((key) => key.id !== id);
	}

	/** Takes the whole list: the first seals, the others still open, and what was held before opens nothing any more. Throws MeshError IM_MEMBERSHIP_KEY. */
	replace(secrets: readonly Uint8Array[]): void {
		const [primary, ...others] = secrets;
		if (primary === undefined) throw new MeshError(membershipErrors, 'IM_MEMBERSHIP_KEY', 'a ring without a key');
		const next = new KeyRing(this.#label, primary, others.toReversed());
		this.#keys = next.#keys;
	}

	/** The AES-256 key of one sender under a group key: HKDF-SHA256 (RFC 5869) with the sender's id as salt. */
	senderKey(key: GroupKey, sender: string): KeyObject {
		const info = `infermesh gossip v1 ${this.#label}`;
		// As raw bytes it would be checked and imported for every packet, which takes several times as long as sealing one.
		return createSecretKey(new Uint8Array(hkdfSync('sha256', key.secret, uuidBytes(sender), info, 32)));
	}
}
