// Owns the Identity service on a port: joining and renewing, for peers without a certificate too. Decisions are in identity.
import type { ServerUnaryCall, sendUnaryData } from '@grpc/grpc-js';
import type { IdentityReply } from '@infermesh/proto/grpc/identity/v1/identity';
import { IdentityService as Definition, type IdentityServer } from '@infermesh/proto/grpc/identity/v1/identity';
import type { IdentityService } from '../identity/identity-service.js';
import { grpcErrorOf } from './grpc-errors.js';
import type { SecureServer } from './secure-server.js';

/** Adds the service to a server made with `joining`. */
export function addIdentityEndpoint(server: SecureServer, service: IdentityService): void {
	const handlers: IdentityServer = {
		join: (call, callback) => void answer(call, callback, async (request) => service.join(request)),
		renew: (call, callback) => void answer(call, callback, async (request) => service.renew(request)),
	};
	server.addService(Definition, { ...handlers });
	server.addJoinService(Definition, { ...handlers });
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
