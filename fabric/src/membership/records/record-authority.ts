// Owns the signing and checking of claims with node identities: this node's with its own key, those of others with the keys of certificates
// that have been admitted. Checks are remembered, and bounded a second.
import { createHash, randomBytes } from 'node:crypto';
import { ByteWriter } from '../../bytes/binary.js';
import { equalBytes } from '../../bytes/equal-bytes.js';
import { signFor, verifyFor } from '../../identity/keys.js';
import type { Identity } from '../../identity/source.js';
import { nonceBytes, writeSignable } from '../mesh-codec/claim-bytes.js';
import { type Claim, type NodeId, signerOf, type UserMessage } from '../messages.js';
import type { ProbeAnswer, RecordSigner, RecordVerifier, Signable, Verdict } from '../ports.js';
import { RateLimit } from '../rate-limit.js';
import { type Admission, type Credential, CredentialStore } from './credential-store.js';

export const recordBounds = Object.freeze({
	/** Signatures and chains checked a second, and in a burst: about 0.1 ms each. */
	checksPerSecondMax: 1_000,
	checksBurst: 8_000,
	/** Verdicts remembered. */
	verdictsMax: 16_384,
});

export class RecordAuthority implements RecordSigner, RecordVerifier {
	readonly #store: CredentialStore;
	readonly #purpose: string;
	#identity: Identity;
	readonly #self: NodeId;
	readonly #verdicts = new Map<string, boolean>();
	readonly #checks: RateLimit;
	/** Signatures checked, and answers given from memory. */
	checked = 0;
	remembered = 0;

	/** `label` names the cluster: claims of another one do not verify. The identity must be a node's. */
	constructor(
		label: string,
		identity: Identity,
		limits: { readonly checksPerSecondMax: number; readonly checksBurst: number } = recordBounds,
	) {
		const { nodeUuid } = identity.svid;
		if (nodeUuid === undefined) throw new TypeError('membership needs the identity of a node');
		this.#self = nodeUuid;
		this.#identity = identity;
		this.#purpose = `infermesh gossip claim ${label}`.slice(0, 200);
		this.#store = new CredentialStore(identity.bundle);
		this.#checks = new RateLimit(limits.checksPerSecondMax, limits.checksBurst);
	}

	/** SHA-256 of this node's leaf, for its alive claim. */
	get credential(): Uint8Array {
		return new Uint8Array(Buffer.from(this.#identity.svid.leaf.fingerprint, 'hex'));
	}

	/** After a rotation; the caller then updates its alive claim with the new `credential`. */
	setIdentity(identity: Identity): void {
		this.#identity = identity;
		this.#store.setBundle(identity.bundle);
	}

	/** Claims of these nodes no longer verify, whatever was remembered; replaces the former list. */
	setRevoked(ids: Iterable<NodeId>): void {
		this.#store.setRevoked(ids);
	}

	sign(claim: Signable): Uint8Array {
		return signFor(this.#purpose, bytesOf(claim), this.#identity.privateKey);
	}

	nonce(): Uint8Array {
		return new Uint8Array(randomBytes(nonceBytes));
	}

	provesAnswer(answer: ProbeAnswer, proof: Uint8Array): boolean {
		const bytes = bytesOf(answer);
		return this.#store.of(answer.id).some((one) => verifyFor(this.#purpose, bytes, proof, one.publicKey));
	}

	verify(claim: Claim | UserMessage, nowMs: number): Verdict {
		const signer = signerOf(claim);
		if (this.#store.isRevoked(signer) || claim.proof.length === 0) return 'forged';
		const credentials = this.#credentialsFor(claim, signer);
		if (credentials.length === 0) return 'unknown';
		const bytes = bytesOf(claim);
		const name = createHash('sha256').update(bytes).update(claim.proof).digest('base64');
		const known = this.#verdicts.get(name);
		if (known !== undefined) {
			this.remembered++;
			return known ? 'valid' : 'forged';
		}
		if (!this.#checks.take(nowMs)) return 'busy';
		this.checked++;
		const valid = credentials.some((one) => verifyFor(this.#purpose, bytes, claim.proof, one.publicKey));
		// An accuser's newer certificate may still be on its way, so that only a certificate named by the claim settles a refusal for good.
		if (valid || claim.kind === 'alive') this.#remember(name, valid);
		return valid ? 'valid' : 'forged';
	}

	/** Judges a chain that a peer has sent; undefined when this second's checks are used up. */
	admit(chain: Uint8Array, nowMs: number, wallMs: number): Admission | undefined {
		return this.#checks.take(nowMs) ? this.#store.admit(chain, wallMs) : undefined;
	}

	/** The chains held of these nodes, this node's own included. */
	chainsOf(ids: readonly NodeId[]): Uint8Array[] {
		return ids.flatMap((id) => {
			if (id === this.#self) return [new Uint8Array(Buffer.concat(this.#identity.chain))];
			return this.#store
				.of(id)
				.slice(0, 1)
				.map((one) => one.chain);
		});
	}

	/** An alive claim names its certificate; other claims are tried with what is held of their signer. */
	#credentialsFor(claim: Claim | UserMessage, signer: NodeId): readonly Pick<Credential, 'digest' | 'publicKey'>[] {
		const held = signer === this.#self ? [this.#ownCredential(), ...this.#store.of(signer)] : this.#store.of(signer);
		if (claim.kind !== 'alive') return held;
		return held.filter((one) => equalBytes(one.digest, claim.credential));
	}

	#ownCredential(): Pick<Credential, 'digest' | 'publicKey'> {
		return { digest: this.credential, publicKey: this.#identity.svid.leaf.publicKey };
	}

	#remember(name: string, valid: boolean): void {
		this.#verdicts.set(name, valid);
		if (this.#verdicts.size <= recordBounds.verdictsMax) return;
		const [oldest] = this.#verdicts.keys();
		if (oldest !== undefined) this.#verdicts.delete(oldest);
	}
}

function bytesOf(claim: Signable): Uint8Array {
	const writer = new ByteWriter(512);
	writeSignable(writer, claim);
	return writer.finish();
}
