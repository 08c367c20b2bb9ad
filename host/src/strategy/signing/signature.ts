// Owns signatures of strategy modules: Ed25519 (RFC 8032) over a text that names their purpose and the module's SHA-256, so that a signature made for
// anything else is none here. Keys are PEM, PKCS #8 and SPKI (RFC 8410). Which keys are trusted belongs to the mesh.
import {
	createHash,
	createPrivateKey,
	createPublicKey,
	generateKeyPairSync,
	type KeyObject,
	sign,
	verify,
} from 'node:crypto';
import { MeshError } from '@infermesh/proto';
import { signingErrors } from './errors.js';

export interface StrategySignature {
	/** Id of the key that made it. */
	readonly key: string;
	/** 64 bytes, base64. */
	readonly value: string;
}

const PURPOSE = 'infermesh strategy signature 1\n';
const ID_DIGITS = 32;
const SIGNATURE_BYTES = 64;

function message(module: Uint8Array): Buffer {
	return Buffer.from(`${PURPOSE}${createHash('sha256').update(module).digest('hex')}\n`);
}

/** 128 bits of the SHA-256 of the public key's SPKI, in hexadecimal. */
export function keyId(publicKey: KeyObject): string {
	return createHash('sha256')
		.update(publicKey.export({ type: 'spki', format: 'der' }))
		.digest('hex')
		.slice(0, ID_DIGITS);
}

export interface KeyPair {
	readonly id: string;
	/** PKCS #8. */
	readonly privatePem: string;
	/** SPKI. */
	readonly publicPem: string;
}

export function newKeyPair(): KeyPair {
	const { privateKey, publicKey } = generateKeyPairSync('ed25519');
	return {
		id: keyId(publicKey),
		privatePem: privateKey.export({ type: 'pkcs8', format: 'pem' }) as string,
		publicPem: publicKey.export({ type: 'spki', format: 'pem' }) as string,
	};
}

/** Throws IM_SIGNING_KEY. `where` is named in the error. */
export function readPublicKey(pem: string, where: string): KeyObject {
	// A private key would be taken for its public half, and be sent and shown as one.
	if (pem.includes('PRIVATE KEY')) throw noKey(where, 'it is a private key: keep it to yourself');
	return ed25519(() => createPublicKey(pem), where);
}

/** Throws IM_SIGNING_KEY. */
export function readPrivateKey(pem: string, where: string): KeyObject {
	return ed25519(() => createPrivateKey(pem), where);
}

function ed25519(read: () => KeyObject, where: string): KeyObject {
	let key: KeyObject;
	try {
		key = read();
	} catch (cause) {
		throw noKey(where, 'it is no key in PEM', cause);
	}
	if (key.asymmetricKeyType !== 'ed25519')
		throw noKey(where, `it is a key for ${key.asymmetricKeyType ?? 'something else'}`);
	return key;
}

function noKey(where: string, why: string, cause?: unknown): MeshError {
	return new MeshError(signingErrors, 'IM_SIGNING_KEY', why, { where, cause });
}

export function signModule(module: Uint8Array, privateKey: KeyObject): StrategySignature {
	return {
		key: keyId(createPublicKey(privateKey)),
		value: sign(null, message(module), privateKey).toString('base64'),
	};
}

/** Whether `publicKey` has signed this module. False for anything malformed. */
export function isSignedBy(module: Uint8Array, signature: StrategySignature, publicKey: KeyObject): boolean {
	const value = Buffer.from(signature.value, 'base64');
	if (value.length !== SIGNATURE_BYTES || signature.key !== keyId(publicKey)) return false;
	return verify(null, message(module), publicKey, value);
}
