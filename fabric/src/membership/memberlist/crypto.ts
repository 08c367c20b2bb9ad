// Owns the encryption of memberlist: AES-GCM under shared keys, the primary one to seal and any to open. Whoever holds a key can speak for anyone;
// the mesh's own protocol is the one to trust.
import { createCipheriv, createDecipheriv, createSecretKey, type KeyObject, randomFillSync } from 'node:crypto';
import { MeshError } from '@infermesh/proto';
import { equalBytes } from '../../bytes/equal-bytes.js';
import { membershipErrors } from '../errors.js';

const nonceBytes = 12;
const tagBytes = 16;
/** The version of a payload: 0 pads as PKCS#7 before it is sealed, 1 does not. Only 1 is written. */
const version = { padded: 0, plain: 1 } as const;
/** Keys held at once; Serf's keyring has no bound. */
const keysMax = 8;

export const sealOverheadBytes = 1 + nonceBytes + tagBytes;

const ciphers = new Map<number, ImportedKey['cipher']>([
	[16, 'aes-128-gcm'],
	[24, 'aes-192-gcm'],
	[32, 'aes-256-gcm'],
]);

/** A key as it is given, and as it is used: imported once, since that takes longer than sealing a packet. */
interface ImportedKey {
	readonly bytes: Uint8Array;
	readonly secret: KeyObject;
	readonly cipher: 'aes-128-gcm' | 'aes-192-gcm' | 'aes-256-gcm';
}

export class MemberlistKeys {
	#keys: readonly ImportedKey[] = [];

	/** Keys of 16, 24 or 32 bytes. Throws MeshError IM_MEMBERSHIP_KEY. */
	constructor(primary: Uint8Array, others: readonly Uint8Array[] = []) {
		for (const key of [primary, ...others]) this.install(key);
	}

	/** The primary first. */
	get keys(): readonly Uint8Array[] {
		return this.#keys.map(({ bytes }) => bytes);
	}

	/** What is sealed under the key can be opened. Throws MeshError IM_MEMBERSHIP_KEY. */
	install(key: Uint8Array): void {
		const cipher = ciphers.get(key.length);
		if (cipher === undefined) throw keyError(`a key of ${key.length} bytes; 16, 24 or 32 are possible`);
		if (this.#find(key) !== undefined) return;
		if (this.#keys.length >= keysMax) throw keyError(`more than ${keysMax} keys`);
		this.#keys = [...this.#keys, { bytes: new Uint8Array(key), secret: createSecretKey(key), cipher }];
	}

	/** Seals under an installed key from here on. Throws MeshError IM_MEMBERSHIP_KEY. */
	use(key: Uint8Array): void {
		const installed = this.#find(key);
		if (installed === undefined) throw keyError('a key that is not installed cannot seal');
		this.#keys = [installed, ...this.#keys.filter((one) => one !== installed)];
	}

	/** Throws MeshError IM_MEMBERSHIP_KEY for the primary. */
	remove(key: Uint8Array): void {
		const installed = this.#find(key);
		if (installed === this.#keys[0]) throw keyError('the key in use cannot be removed');
		this.#keys = this.#keys.filter((one) => one !== installed);
	}

	seal(plain: Uint8Array, aad: Uint8Array): Uint8Array {
		const { secret, cipher: name } = this.#keys[0] as ImportedKey;
		const nonce = randomFillSync(new Uint8Array(nonceBytes));
		const cipher = createCipheriv(name, secret, nonce);
		cipher.setAAD(aad);
		const parts = [Uint8Array.of(version.plain), nonce, cipher.update(plain), cipher.final(), cipher.getAuthTag()];
		return Buffer.concat(parts);
	}

	/** Undefined when no key opens it. */
	open(sealed: Uint8Array, aad: Uint8Array): Uint8Array | undefined {
		const first = sealed[0];
		if (sealed.length < sealOverheadBytes || first === undefined || first > version.plain) return undefined;
		for (const key of this.#keys) {
			const plain = openUnder(key, sealed, aad);
			if (plain !== undefined) return first === version.padded ? unpadded(plain) : plain;
		}
		return undefined;
	}

	#find(key: Uint8Array): ImportedKey | undefined {
		return this.#keys.find(({ bytes }) => equalBytes(bytes, key));
	}
}

function openUnder({ secret, cipher }: ImportedKey, sealed: Uint8Array, aad: Uint8Array): Uint8Array | undefined {
	const decipher = createDecipheriv(cipher, secret, sealed.subarray(1, 1 + nonceBytes));
	decipher.setAAD(aad);
	decipher.setAuthTag(sealed.subarray(sealed.length - tagBytes));
	const plain = decipher.update(sealed.subarray(1 + nonceBytes, sealed.length - tagBytes));
	try {
		decipher.final();
	} catch {
		// The only thing final() says for GCM: the tag does not fit.
		return undefined;
	}
	return plain;
}

/** Takes PKCS#7 padding of blocks of 16 off. */
function unpadded(plain: Uint8Array): Uint8Array | undefined {
	const padding = plain.at(-1) ?? 0;
	return padding < 1 || padding > 16 || padding > plain.length ? undefined : plain.subarray(0, plain.length - padding);
}

function keyError(message: string): MeshError {
	return new MeshError(membershipErrors, 'IM_MEMBERSHIP_KEY', message);
}
