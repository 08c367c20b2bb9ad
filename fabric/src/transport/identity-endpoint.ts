// Owns the Identity service on a port: joining and renewing for peers without a certificate, the watch of trust for nodes. Decisions are in identity.
import type { ServerUnaryCall, ServerWritableStream, sendUnaryData } from '@grpc/grpc-js';
import { MeshError } from '@infermesh/proto';
import type { IdentityReply, TrustReply, WatchTrustRequest } from '@infermesh/proto/grpc/identity/v1/identity';
import { IdentityService as Definition, type IdentityServer } from '@infermesh/proto/grpc/identity/v1/identity';
import type { IdentityService } from '../identity/identity-service.js';
import { transportErrors } from './errors.js';
import { grpcErrorOf } from './grpc-errors.js';
import type { SecureServer } from './secure-server.js';

/** Something that tells when trust has changed: the authority's roots or the revocations. */
export interface TrustChanges {
	onChange(listener: () => void): () => void;
}

/** Adds the service to a server made with `joining`. */
export function addIdentityEndpoint(server: SecureServer, service: IdentityService, changes: TrustChanges): void {
	const handlers: IdentityServer = {
		join: (call, callback) => void answer(call, callback, async (request) => service.join(request)),
		renew: (call, callback) => void answer(call, callback, async (request) => service.renew(request)),
		watchTrust: (call) => watch(call, service, changes),
	};
	server.addService(Definition, { ...handlers });
	const refuse = (call: ServerWritableStream<WatchTrustRequest, TrustReply>): void =>
		void call.emit('error', grpcErrorOf(new MeshError(transportErrors, 'IM_TRANSPORT_NOT_A_NODE')));
	server.addJoinService(Definition, { ...handlers, watchTrust: refuse });
}

async function answer<Request>(
	call: ServerUnaryCall<Request, IdentityReply>,
	callback: sendUnaryData<IdentityReply>,
	handle: (request: Request) => Promise<IdentityReply>,
): Promise<void> {
	let reply: IdentityReply;
	try {
		reply = await handle(call.request);
	} catch (error) {
		callback(grpcErrorOf(error));
		return;
	}
	callback(null, reply);
}

function watch(
	call: ServerWritableStream<WatchTrustRequest, TrustReply>,
	service: IdentityService,
	changes: TrustChanges,
): void {
	// Each message is the whole: a slow reader gets the newest when it reads on, and nothing piles up for it.
	let full = false;
	let stale = false;
	const send = (): void => {
		stale = full;
		if (!full) full = !call.write(service.trust());
	};
	call.on('drain', () => {
		full = false;
		if (stale) send();
	});
	const stop = changes.onChange(send);
	call.on('close', stop);
	call.on('cancelled', stop);
	call.on('error', stop);
	send();
}
