// Owns signed reports: a document, a statement of what it is, and an Ed25519 signature (RFC 8032) over the statement, which has the document's SHA-256. One form for
// reports of experiments and of gates. The purpose stands before what is signed, so that a signature made for a strategy, or for anything else, is none here. Which keys
// are trusted belongs to whoever verifies.
import { createHash, createPublicKey, type KeyObject, sign, verify } from 'node:crypto';
import { MeshError } from '@infermesh/proto';
import { keyId, type StrategySignature } from '../strategy/signing/signature.js';
import { canonicalJson } from './canonical-json.js';
import { signedErrors } from './errors.js';

const PURPOSE = 'infermesh report signature 1\n';
const SIGNATURE_BYTES = 64;
export const SIGNED_SCHEMA = 'infermesh.signed.v1';

export type SignedKind = 'experiment' | 'gate';

/** What the signature says; all of it is signed. */
export interface SignedStatement {
	readonly kind: SignedKind;
	/** Which one: id of an experiment, or label of a strategy. */
	readonly subject: string;
	/** SHA-256, hexadecimal, of the document as canonical JSON (RFC 8785). */
	readonly sha256: string;
	/** Milliseconds since the Unix epoch, by the clock of whoever signed: nobody else vouches for it. */
	readonly signedAtMs: number;
}

export interface SignedDocument<T = unknown> {
	readonly schema: typeof SIGNED_SCHEMA;
	readonly statement: SignedStatement;
	readonly signature: StrategySignature;
	readonly document: T;
}

/** What a signature of such a document does and does not say, in words. */
export const signedMeaning =
	'Signed are all members of the document and of the statement, whatever their order and spacing; not a page or table drawn from them. It says that the holder of the key vouches for them, not that the run was sound.';

export function signDocument<T>(
	document: T,
	what: Pick<SignedStatement, 'kind' | 'subject' | 'signedAtMs'>,
	privateKey: KeyObject,
): SignedDocument<T> {
	const statement: SignedStatement = { ...what, sha256: digestOf(document) };
	return {
		schema: SIGNED_SCHEMA,
		statement,
		signature: {
			key: keyId(createPublicKey(privateKey)),
			value: sign(null, messageOf(statement), privateKey).toString('base64'),
		},
		document,
	};
}

/** Reads the text of a signed report; says nothing yet of its signature. IM_REPORT_FORMAT. */
export function readSigned(text: string, where: string): SignedDocument {
	const wrong = (why: string, cause?: unknown): MeshError =>
		new MeshError(signedErrors, 'IM_REPORT_FORMAT', why, { where, cause });
	let read: Partial<SignedDocument> | null;
	try {
		read = JSON.parse(text) as Partial<SignedDocument> | null;
	} catch (cause) {
		throw wrong('it is no JSON', cause);
	}
	if (read === null || typeof read !== 'object' || read.schema !== SIGNED_SCHEMA)
		throw wrong(`its schema is not ${SIGNED_SCHEMA}`);
	const { statement, signature, document } = read;
	if (statement === undefined || signature === undefined || document === undefined)
		throw wrong('statement, signature or document is missing');
	const { kind, subject, sha256, signedAtMs } = statement;
	if (![kind, subject, sha256, signature.key, signature.value].every((one) => typeof one === 'string'))
		throw wrong('statement or signature is not whole');
	if (!Number.isFinite(signedAtMs)) throw wrong('statement.signedAtMs is no time');
	return { schema: SIGNED_SCHEMA, statement, signature, document };
}

/** Throws IM_REPORT_SIGNATURE unless `publicKey` has signed exactly this. */
export function verifySigned(signed: SignedDocument, publicKey: KeyObject, where: string): void {
	const refuse = (why: string): MeshError => new MeshError(signedErrors, 'IM_REPORT_SIGNATURE', why, { where });
	const { statement, signature, document } = signed;
	const id = keyId(publicKey);
	if (signature.key !== id) throw refuse(`it names key ${signature.key}, not ${id}`);
	const value = Buffer.from(signature.value, 'base64');
	if (value.length !== SIGNATURE_BYTES || !verify(null, messageOf(statement), publicKey, value))
		throw refuse(`key ${id} has not signed this statement`);
	let digest: string;
	try {
		digest = digestOf(document);
	} catch (cause) {
		throw new MeshError(signedErrors, 'IM_REPORT_FORMAT', 'the document cannot be digested', { where, cause });
	}
	if (digest !== statement.sha256) throw refuse(`the document has digest ${digest}, signed was ${statement.sha256}`);
}

function digestOf(document: unknown): string {
	return createHash('sha256').update(canonicalJson(document)).digest('hex');
}

function messageOf(statement: SignedStatement): Buffer {
	return Buffer.from(`${PURPOSE}${canonicalJson(statement)}\n`);
}
