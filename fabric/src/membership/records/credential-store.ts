// Owns the certificates of members whose claims are to be checked: a chain is judged once by the rules of X509-SVID, then its key is kept by node.
// Of each node the newest two are held, so that claims made before a rotation still count. Bounded; the node heard of first makes room.
import { createHash, type KeyObject } from 'node:crypto';
import { equalBytes } from '../../bytes/equal-bytes.js';
import { splitDerCertificates } from '../../identity/certificate.js';
import { CHAIN_LENGTH_MAX, type TrustBundle, validateSvidChain } from '../../identity/svid.js';
import type { NodeId } from '../messages.js';

export interface Credential {
	/** SHA-256 of the leaf (DER). */
	readonly digest: Uint8Array;
	readonly publicKey: KeyObject;
	/** DER, leaf first, one after the other. */
	readonly chain: Uint8Array;
	readonly notBeforeMs: number;
}

export type Admission = 'admitted' | 'known' | 'refused' | 'revoked';

export const credentialBounds = Object.freeze({ nodesMax: 16_384, perNodeMax: 2 });

export class CredentialStore {
	#bundle: TrustBundle;
	readonly #byNode = new Map<NodeId, readonly Credential[]>();
	readonly #revoked = new Set<NodeId>();

	constructor(bundle: TrustBundle) {
		this.#bundle = bundle;
	}

	get size(): number {
		return this.#byNode.size;
	}

	/** A new trust bundle counts for what is admitted from now on. */
	setBundle(bundle: TrustBundle): void {
		this.#bundle = bundle;
	}

	/** Judges a chain. `wallMs` is since the epoch. Never throws. */
	admit(chain: Uint8Array, wallMs: number): Admission {
		const certificates = splitDerCertificates(chain, CHAIN_LENGTH_MAX + 1);
		const [leaf] = certificates ?? [];
		if (certificates === undefined || leaf === undefined) return 'refused';
		const digest = createHash('sha256').update(leaf).digest();
		const verdict = validateSvidChain(certificates, this.#bundle, wallMs);
		if (!verdict.ok || verdict.svid.nodeUuid === undefined) return 'refused';
		const id = verdict.svid.nodeUuid;
		if (this.#revoked.has(id)) return 'revoked';
		const held = this.#byNode.get(id) ?? [];
		if (held.some((one) => equalBytes(one.digest, digest))) return 'known';
		const { publicKey, notBeforeMs } = verdict.svid.leaf;
		const credential: Credential = { digest, publicKey, chain: new Uint8Array(chain), notBeforeMs };
		const newestFirst = [...held, credential].sort((a, b) => b.notBeforeMs - a.notBeforeMs);
		this.#byNode.delete(id);
		this.#byNode.set(id, newestFirst.slice(0, credentialBounds.perNodeMax));
		this.#makeRoom();
		return 'admitted';
	}

	/** The newest first. */
	of(id: NodeId): readonly Credential[] {
		return this.#byNode.get(id) ?? [];
	}

	isRevoked(id: NodeId): boolean {
		return this.#revoked.has(id);
	}

	/** The nodes whose claims are worth nothing from now on; replaces the former list. */
	setRevoked(ids: Iterable<NodeId>): void {
		this.#revoked.clear();
		for (const id of ids) {
			this.#revoked.add(id);
			this.#byNode.delete(id);
		}
	}

	#makeRoom(): void {
		if (this.#byNode.size <= credentialBounds.nodesMax) return;
		const [oldest] = this.#byNode.keys();
		if (oldest !== undefined) this.#byNode.delete(oldest);
	}
}
