// Owns the decisions of the certificate authority towards nodes: who may join, who may renew. Requests come from strangers; each is judged before
// anything is issued, and every refusal has its name. How requests travel is not known here.

import { type Clock, MeshError } from '@infermesh/proto';
import type { IdentityReply, JoinRequest, RenewRequest, TrustReply } from '@infermesh/proto/grpc/identity/v1/identity';
import type { CertificateAuthority } from './authority.js';
import { type Certificate, readCertificate } from './certificate.js';
import { type IdentityErrorCode, identityErrors } from './errors.js';
import { keyHashOf, readCsr } from './issue.js';
import { type JoinTokens, parseJoinToken } from './join-tokens.js';
import type { IssuanceRecord, RecordStore } from './ports.js';
import { renewRequestId, renewRequestVerifies } from './renewal.js';
import { ReplayWindow } from './replay-window.js';
import type { RevocationView } from './revocation.js';
import { nodeUuidOf } from './spiffe-id.js';
import { checkLeaf, type IdentityMutations, noMutations, refusalError, validateLeaf } from './svid.js';

export const identityServiceBounds = Object.freeze({
	/** How far the signer's clock may be off, either way. */
	signedAtWindowMs: 300_000,
	replaysMax: 16_384,
	/** Requests judged at once. */
	concurrentMax: 32,
	/** Tries to record an issuance against another for the same node. */
	attemptsMax: 4,
	tokenCharsMax: 256,
});

export interface IdentityServiceOptions {
	readonly authority: CertificateAuthority;
	readonly tokens: JoinTokens;
	readonly issuances: RecordStore<IssuanceRecord>;
	readonly revocations: RevocationView;
	/** Whether a revoked node was removed for good, rather than shut out for a while. */
	readonly removed?: (nodeUuid: string) => boolean;
	readonly clock: Clock;
	readonly mutations?: IdentityMutations;
}

export class IdentityService {
	readonly #options: IdentityServiceOptions;
	readonly #replays = new ReplayWindow(2 * identityServiceBounds.signedAtWindowMs, identityServiceBounds.replaysMax);
	readonly #refusals = new Map<string, number>();
	#running = 0;

	constructor(options: IdentityServiceOptions) {
		this.#options = options;
	}

	/** Requests refused, by code. */
	get refusals(): ReadonlyMap<string, number> {
		return this.#refusals;
	}

	/** Lets a new node in. Rejects with IM_IDENTITY_TOKEN_*, IM_IDENTITY_CSR_INVALID, IM_IDENTITY_RENEW_BUSY. */
	async join(request: JoinRequest): Promise<IdentityReply> {
		return this.#counted(async () => {
			if (request.token.length > identityServiceBounds.tokenCharsMax) throw fault('IM_IDENTITY_TOKEN_MALFORMED');
			const token = parseJoinToken(request.token);
			const publicKey = await readCsr(request.csrDer);
			if (publicKey === undefined) throw fault('IM_IDENTITY_CSR_INVALID');
			const keyHash = keyHashOf(publicKey);
			const nowMs = this.#options.clock.wallMs();
			const nodeUuid = await this.#options.tokens.use(token, keyHash, nowMs);
			this.#checkRevoked(nodeUuid);
			return this.#issue(nodeUuid, request.csrDer, undefined, nowMs);
		});
	}

	/** Renews the certificate of a node, expired or not. Rejects with IM_IDENTITY_RENEW_*, IM_IDENTITY_REVOKED, IM_IDENTITY_REMOVED and what a leaf is refused for. */
	async renew(request: RenewRequest): Promise<IdentityReply> {
		return this.#counted(async () => {
			const nowMs = this.#options.clock.wallMs();
			const { leaf, nodeUuid } = this.#holder(request, nowMs);
			const offMs = Math.abs(Number(request.signedAtMs) - nowMs);
			if (offMs > identityServiceBounds.signedAtWindowMs) throw fault('IM_IDENTITY_RENEW_STALE');
			if (!renewRequestVerifies(request, leaf)) throw fault('IM_IDENTITY_RENEW_SIGNATURE');
			this.#checkRevoked(nodeUuid);
			const noted = this.#replays.note(renewRequestId(request), nowMs);
			if (noted !== 'new') throw fault(noted === 'seen' ? 'IM_IDENTITY_RENEW_REPLAYED' : 'IM_IDENTITY_RENEW_BUSY');
			return this.#issue(nodeUuid, request.csrDer, leaf, nowMs);
		});
	}

	/** Roots and revocations as of now. */
	trust(): TrustReply {
		const { authority, revocations } = this.#options;
		return {
			trustDomain: authority.trustDomain,
			rootsDer: [...authority.bundle.roots],
			revoked: [...revocations.list()],
			revision: revocations.revision,
		};
	}

	#checkRevoked(nodeUuid: string): void {
		const { revocations, removed } = this.#options;
		if (!revocations.isRevoked(nodeUuid)) return;
		throw fault(removed?.(nodeUuid) === true ? 'IM_IDENTITY_REMOVED' : 'IM_IDENTITY_REVOKED');
	}

	/** The node that a certificate of ours names, whatever has expired since. */
	#holder(request: RenewRequest, nowMs: number): { readonly leaf: Certificate; readonly nodeUuid: string } {
		const { authority, mutations } = this.#options;
		const leaf = readCertificate(request.certificateDer);
		if (leaf === undefined) throw fault('IM_IDENTITY_CERTIFICATE_MALFORMED');
		const named = checkLeaf(leaf, authority.trustDomain);
		if ('code' in named) throw refusalError(named);
		if (!authority.issued(leaf)) throw fault('IM_IDENTITY_UNTRUSTED');
		if ((mutations ?? noMutations).has('renew-needs-valid-certificate')) {
			const verdict = validateLeaf(request.certificateDer, authority.trustDomain, nowMs);
			if (!verdict.ok) throw refusalError(verdict.refusal);
		}
		const nodeUuid = nodeUuidOf(named);
		// Certificates of clients are made anew by an operator.
		if (nodeUuid === undefined) throw fault('IM_IDENTITY_ID_INVALID');
		return { leaf, nodeUuid };
	}

	/** Issues for the key of the request and records it as the node's last, `from` being the certificate it renews. */
	async #issue(
		nodeUuid: string,
		csrDer: Uint8Array,
		from: Certificate | undefined,
		nowMs: number,
	): Promise<IdentityReply> {
		const { authority, issuances } = this.#options;
		const publicKey = await readCsr(csrDer);
		if (publicKey === undefined) throw fault('IM_IDENTITY_CSR_INVALID');
		const keyHash = keyHashOf(publicKey);
		for (let attempt = 0; attempt < identityServiceBounds.attemptsMax; attempt++) {
			const last = await issuances.get(nodeUuid);
			if (from !== undefined && last !== undefined && !mayRenew(last.value, from.keyHash, keyHash))
				throw fault('IM_IDENTITY_RENEW_SUPERSEDED');
			const chain = await authority.issueNode(nodeUuid, publicKey, nowMs);
			const leaf = readCertificate(chain[0] ?? new Uint8Array());
			if (leaf === undefined) throw fault('IM_IDENTITY_AUTHORITY');
			const previousKeyHash = last?.value.keyHash === keyHash ? last.value.previousKeyHash : last?.value.keyHash;
			const record = { keyHash, previousKeyHash, serial: leaf.serial, notAfterMs: leaf.notAfterMs };
			if (await issuances.put(nodeUuid, record, last?.revision))
				return { chainDer: [...chain], trust: this.trust(), trustSignature: authority.signTrust(leaf.der) };
		}
		throw fault('IM_IDENTITY_RENEW_BUSY');
	}

	async #counted<T>(work: () => Promise<T>): Promise<T> {
		try {
			if (this.#running >= identityServiceBounds.concurrentMax) throw fault('IM_IDENTITY_RENEW_BUSY');
			this.#running++;
			try {
				return await work();
			} finally {
				this.#running--;
			}
		} catch (error) {
			const code = error instanceof MeshError ? error.code : 'unknown';
			this.#refusals.set(code, (this.#refusals.get(code) ?? 0) + 1);
			throw error;
		}
	}
}

/** The key of the last certificate may; the one before it may too, for the key that is recorded already: its answer was lost. */
function mayRenew(last: IssuanceRecord, certificateKeyHash: string, csrKeyHash: string): boolean {
	if (certificateKeyHash === last.keyHash) return true;
	return certificateKeyHash === last.previousKeyHash && csrKeyHash === last.keyHash;
}

function fault(code: IdentityErrorCode): MeshError {
	return new MeshError(identityErrors, code);
}
