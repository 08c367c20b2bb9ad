// Owns who may do what over the agent's gRPC API. Reading takes any certificate of the mesh, which the port has checked; changing takes a client's
// certificate, or an admin token on top of a node's.
import type { Metadata } from '@grpc/grpc-js';
import { type CallWithPeer, identityErrors, type SecureServer, type SpiffeId } from '@infermesh/fabric';
import { MeshError } from '@infermesh/proto';
import { type AdminToken, askerOfToken } from '../admin/auth.js';
import type { Asker } from '../mesh/operations.js';
import { agentApiErrors } from './errors.js';

/** The part of a call that says who makes it. */
export interface AgentCall extends CallWithPeer {
	readonly metadata: Metadata;
}

const CLIENT_PATH = '/client/';

export class Callers {
	readonly #server: Pick<SecureServer, 'peerOf'>;
	readonly #tokens: readonly AdminToken[];

	constructor(server: Pick<SecureServer, 'peerOf'>, tokens: readonly AdminToken[]) {
		this.#server = server;
		this.#tokens = tokens;
	}

	/** Throws IM_IDENTITY_NO_CERTIFICATE (the connection is gone), IM_ADMIN_UNAUTHENTICATED for a token that is none. */
	mayRead(call: AgentCall): void {
		this.#identify(call);
	}

	/** Who changes something. Throws as `mayRead`, and IM_AGENT_READ_ONLY. */
	mayChange(call: AgentCall): Asker {
		const { asker, uri } = this.#identify(call);
		if (asker !== undefined) return asker;
		throw new MeshError(agentApiErrors, 'IM_AGENT_READ_ONLY', `${uri} may read, but not change anything`);
	}

	/** The SPIFFE id of the caller's certificate. Throws IM_IDENTITY_NO_CERTIFICATE (the connection is gone). */
	uriOf(call: CallWithPeer): string {
		return this.#idOf(call).uri;
	}

	#idOf(call: CallWithPeer): SpiffeId {
		const id = this.#server.peerOf(call)?.id;
		if (id === undefined) throw new MeshError(identityErrors, 'IM_IDENTITY_NO_CERTIFICATE');
		return id;
	}

	#identify(call: AgentCall): { readonly uri: string; readonly asker: Asker | undefined } {
		const id = this.#idOf(call);
		const [authorization] = call.metadata.get('authorization');
		// A token is looked at whenever one is sent: who sends a wrong one is told, rather than let in by something else.
		if (authorization !== undefined) return { uri: id.uri, asker: askerOfToken(String(authorization), this.#tokens) };
		return { uri: id.uri, asker: id.path.startsWith(CLIENT_PATH) ? { by: id.uri } : undefined };
	}
}
