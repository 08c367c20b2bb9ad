// Owns who may do what over the agent's gRPC API. That a certificate is of the trust domain the port has checked; which of them may read and which may
// change is said here, or by an admin token on top of any.
import type { Metadata } from '@grpc/grpc-js';
import { type CallWithPeer, identityErrors, type SecureServer, type VerifiedSvid } from '@infermesh/fabric';
import { MeshError } from '@infermesh/proto';
import { type AdminToken, askerOfToken } from '../admin/auth.js';
import type { Asker } from '../mesh/operations.js';
import { agentApiErrors } from './errors.js';

/** The part of a call that says who makes it. */
export interface AgentCall extends CallWithPeer {
	readonly metadata: Metadata;
}

/** Which SPIFFE ids may do what, beside nodes, which may read. */
export interface CallerRules {
	readonly admins: readonly string[];
	readonly readers: readonly string[];
	/** Without ids above, whoever is `/client/NAME` may change. Only where the mesh's own authority alone issues such certificates. */
	readonly clientsChange: boolean;
}

const CLIENT_PATH = '/client/';

export class Callers {
	readonly #server: Pick<SecureServer, 'peerOf'>;
	readonly #tokens: readonly AdminToken[];
	readonly #admins: ReadonlySet<string>;
	readonly #readers: ReadonlySet<string>;
	readonly #clientsChange: boolean;

	constructor(server: Pick<SecureServer, 'peerOf'>, tokens: readonly AdminToken[], rules: CallerRules) {
		this.#server = server;
		this.#tokens = tokens;
		this.#admins = new Set(rules.admins);
		this.#readers = new Set(rules.readers);
		this.#clientsChange = rules.clientsChange && rules.admins.length === 0 && rules.readers.length === 0;
	}

	/** Throws IM_IDENTITY_NO_CERTIFICATE (the connection is gone), IM_ADMIN_UNAUTHENTICATED for a token that is none, IM_AGENT_DENIED. */
	mayRead(call: AgentCall): void {
		this.#identify(call);
	}

	/** Who changes something. Throws as `mayRead`, and IM_AGENT_READ_ONLY. */
	mayChange(call: AgentCall): Asker {
		const { asker, uri } = this.#identify(call);
		if (asker !== undefined) return asker;
		throw new MeshError(agentApiErrors, 'IM_AGENT_READ_ONLY', `${uri} may read, but not change anything`);
	}

	/** Who reports what it observes: nodes, and whoever may change something. Throws as `mayChange`. */
	mayReport(call: AgentCall): string {
		const { asker, uri, node } = this.#identify(call);
		if (asker !== undefined) return asker.by;
		if (node) return uri;
		throw new MeshError(agentApiErrors, 'IM_AGENT_READ_ONLY', `${uri} may read, but not report anything`);
	}

	/** The SPIFFE id of the caller's certificate. Throws IM_IDENTITY_NO_CERTIFICATE (the connection is gone). */
	uriOf(call: CallWithPeer): string {
		return this.#peerOf(call).id.uri;
	}

	#peerOf(call: CallWithPeer): VerifiedSvid {
		const peer = this.#server.peerOf(call);
		if (peer === undefined) throw new MeshError(identityErrors, 'IM_IDENTITY_NO_CERTIFICATE');
		return peer;
	}

	#identify(call: AgentCall): { readonly uri: string; readonly asker: Asker | undefined; readonly node: boolean } {
		const peer = this.#peerOf(call);
		const { uri, path } = peer.id;
		const node = peer.nodeUuid !== undefined;
		const [authorization] = call.metadata.get('authorization');
		// A token is looked at whenever one is sent: who sends a wrong one is told, rather than let in by something else.
		if (authorization !== undefined) return { uri, asker: askerOfToken(String(authorization), this.#tokens), node };
		if (this.#admins.has(uri) || (this.#clientsChange && path.startsWith(CLIENT_PATH)))
			return { uri, asker: { by: uri }, node };
		if (node || this.#readers.has(uri)) return { uri, asker: undefined, node };
		throw new MeshError(agentApiErrors, 'IM_AGENT_DENIED', `${uri} is neither a node nor in the configuration`);
	}
}
