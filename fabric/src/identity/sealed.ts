// Owns secrets at rest: bytes sealed under a passphrase (scrypt) or a 32-byte key (HKDF), both with AES-256-GCM, in a small JSON envelope that says
// how. A changed byte, another label or the wrong secret gives the one error IM_IDENTITY_KEY_SEALED.
import { createCipheriv, createDecipheriv, hkdfSync, randomBytes, scrypt } from 'node:crypto';
import { promisify } from 'node:util';
import { MeshError } from '@infermesh/proto';
import { identityErrors } from './errors.js';

export type SealingSecret =
	| { readonly kind: 'passphrase'; readonly passphrase: string }
	/** 32 bytes. */
	| { readonly kind: 'key'; readonly key: Uint8Array };

const derive = promisify<string, Uint8Array, number, { N: number; r: number; p: number; maxmem: number }, Buffer>(
	scrypt,
);

/** scrypt cost (OWASP's first choice: 128 MiB, about half a second), and the bounds within which an envelope may ask for it. */
const cost = Object.freeze({ log2N: 17, r: 8, p: 1 });
const log2NMin = 14;
const log2NMax = 20;

/** Shortest passphrase taken, characters, and largest envelope read, bytes. */
export const sealedBounds = Object.freeze({ passphraseCharsMin: 12, envelopeBytesMax: 1024 * 1024 });

interface Envelope {
	readonly version: 1;
	readonly kdf: 'scrypt' | 'hkdf-sha256';
	readonly log2N: number;
	readonly salt: string;
	readonly nonce: string;
	readonly sealed: string;
}

/**
 * Seals `plain` under `secret`. `label` names what it is and is authenticated with it. Throws IM_IDENTITY_KEY_FILE for a secret too weak.
 * `log2N` is scrypt's cost, for tests.
 */
export async function seal(
	plain: Uint8Array,
	secret: SealingSecret,
	label: string,
	log2N: number = cost.log2N,
): Promise<Uint8Array> {
	checkSecret(secret);
	const salt = randomBytes(16);
	const nonce = randomBytes(12);
	const cipher = createCipheriv('aes-256-gcm', await keyOf(secret, salt, log2N, label), nonce);
	cipher.setAAD(Buffer.from(label));
	const sealed = Buffer.concat([cipher.update(plain), cipher.final(), cipher.getAuthTag()]);
	const envelope: Envelope = {
		version: 1,
		kdf: secret.kind === 'passphrase' ? 'scrypt' : 'hkdf-sha256',
		log2N,
		salt: salt.toString('base64'),
		nonce: nonce.toString('base64'),
		sealed: sealed.toString('base64'),
	};
	return Buffer.from(`${JSON.stringify(envelope, undefined, '\t')}\n`);
}

/** Opens what `seal` made. Throws IM_IDENTITY_KEY_SEALED. */
export async function unseal(bytes: Uint8Array, secret: SealingSecret, label: string): Promise<Uint8Array> {
	const envelope = readEnvelope(bytes);
	if (envelope === undefined) throw new MeshError(identityErrors, 'IM_IDENTITY_KEY_SEALED', 'this is no sealed file');
	const wanted = secret.kind === 'passphrase' ? 'scrypt' : 'hkdf-sha256';
	if (envelope.kdf !== wanted)
		throw new MeshError(identityErrors, 'IM_IDENTITY_KEY_SEALED', `sealed by ${envelope.kdf}, opened by ${wanted}`);
	const sealed = Buffer.from(envelope.sealed, 'base64');
	try {
		const key = await keyOf(secret, Buffer.from(envelope.salt, 'base64'), envelope.log2N, label);
		const decipher = createDecipheriv('aes-256-gcm', key, Buffer.from(envelope.nonce, 'base64'), { authTagLength: 16 });
		decipher.setAAD(Buffer.from(label));
		decipher.setAuthTag(sealed.subarray(-16));
		return new Uint8Array(Buffer.concat([decipher.update(sealed.subarray(0, -16)), decipher.final()]));
	} catch (cause) {
		throw new MeshError(identityErrors, 'IM_IDENTITY_KEY_SEALED', undefined, { cause });
	}
}

async function keyOf(secret: SealingSecret, salt: Uint8Array, log2N: number, label: string): Promise<Uint8Array> {
	if (secret.kind === 'key') return new Uint8Array(hkdfSync('sha256', secret.key, salt, label, 32));
	const N = 2 ** log2N;
	return derive(secret.passphrase, salt, 32, { N, r: cost.r, p: cost.p, maxmem: 256 * N * cost.r });
}

function checkSecret(secret: SealingSecret): void {
	if (secret.kind === 'key' ? secret.key.length !== 32 : secret.passphrase.length < sealedBounds.passphraseCharsMin)
		throw new MeshError(identityErrors, 'IM_IDENTITY_KEY_FILE', 'the secret is too short', {
			hint: `a key has 32 bytes, a passphrase at least ${sealedBounds.passphraseCharsMin} characters`,
		});
}

function readEnvelope(bytes: Uint8Array): Envelope | undefined {
	if (bytes.length > sealedBounds.envelopeBytesMax) return undefined;
	let value: unknown;
	try {
		value = JSON.parse(Buffer.from(bytes).toString('utf8'));
	} catch {
		return undefined;
	}
	if (typeof value !== 'object' || value === null) return undefined;
	const one = value as Record<keyof Envelope, unknown>;
	const texts = [one.salt, one.nonce, one.sealed].every((text) => typeof text === 'string' && text.length > 0);
	if (one.version !== 1 || !texts || (one.kdf !== 'scrypt' && one.kdf !== 'hkdf-sha256')) return undefined;
	const { log2N } = one;
	if (typeof log2N !== 'number' || !Number.isInteger(log2N) || log2N < log2NMin || log2N > log2NMax) return undefined;
	return value as Envelope;
}
