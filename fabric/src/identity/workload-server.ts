// Owns the SPIFFE Workload API as this node serves it: its identity and trust bundle, to processes of the same user that can open the socket. Whoever can
// open it can act as the node, so the socket is in a folder of ours and readable by us alone.
import { chmodSync, lstatSync, mkdirSync, rmSync } from 'node:fs';
import path from 'node:path';
import { Server, ServerCredentials, type ServerWritableStream, status } from '@grpc/grpc-js';
import { MeshError } from '@infermesh/proto';
import {
	type SpiffeWorkloadAPIServer,
	SpiffeWorkloadAPIService,
	type X509BundlesResponse,
	type X509SVIDResponse,
} from '@infermesh/proto/spiffe/workload/workloadapi';
import { identityErrors } from './errors.js';
import { privateKeyDer } from './keys.js';
import type { Identity, IdentitySource } from './source.js';

/** Streams open at once on one connection. */
const STREAMS_MAX = 64;

export interface WorkloadApiServer {
	/** For SPIFFE_ENDPOINT_SOCKET. */
	readonly endpoint: string;
	close(): void;
}

/** Serves at `socketPath`, an absolute path. Rejects with IM_IDENTITY_WORKLOAD_API when the socket cannot be made. */
export async function serveWorkloadApi(source: IdentitySource, socketPath: string): Promise<WorkloadApiServer> {
	// With channelz off, grpc-js 1.14 forgets its sessions, and a forced shutdown leaves streams open.
	const server = new Server({ 'grpc.max_concurrent_streams': STREAMS_MAX });
	const handlers: SpiffeWorkloadAPIServer = {
		fetchX509Svid: (call) => stream(call, source, svidsOf),
		fetchX509Bundles: (call) => stream(call, source, bundlesOf),
	};
	server.addService(SpiffeWorkloadAPIService, { ...handlers });
	try {
		mkdirSync(path.dirname(socketPath), { recursive: true, mode: 0o700 });
		removeStale(socketPath);
		await new Promise<void>((resolve, reject) => {
			server.bindAsync(`unix:${socketPath}`, ServerCredentials.createInsecure(), (error) => {
				if (error === null) resolve();
				else reject(error);
			});
		});
		chmodSync(socketPath, 0o600);
	} catch (cause) {
		server.forceShutdown();
		const message = cause instanceof Error ? cause.message : 'the socket cannot be made';
		throw new MeshError(identityErrors, 'IM_IDENTITY_WORKLOAD_API', message, { cause });
	}
	return { endpoint: `unix://${socketPath}`, close: () => server.forceShutdown() };
}

/** Each message is the whole: a slow reader gets the newest when it reads on. */
function stream<Request, Response>(
	call: ServerWritableStream<Request, Response>,
	source: IdentitySource,
	messageOf: (identity: Identity) => Response,
): void {
	if (call.metadata.get('workload.spiffe.io')[0] !== 'true') {
		const details = 'the header workload.spiffe.io: true is missing';
		call.emit('error', Object.assign(new Error(details), { code: status.INVALID_ARGUMENT, details }));
		return;
	}
	let full = false;
	let waiting: Identity | undefined;
	const send = (identity: Identity): void => {
		waiting = full ? identity : undefined;
		if (!full) full = !call.write(messageOf(identity));
	};
	call.on('drain', () => {
		full = false;
		if (waiting !== undefined) send(waiting);
	});
	const stop = source.onChange(send);
	for (const end of ['close', 'cancelled', 'error']) call.on(end, stop);
	try {
		send(source.current());
	} catch {
		// No identity yet: the first one is sent when it comes.
	}
}

function svidsOf(identity: Identity): X509SVIDResponse {
	const svid = {
		spiffeId: identity.svid.id.uri,
		x509Svid: Buffer.concat(identity.chain),
		x509SvidKey: Buffer.from(privateKeyDer(identity.privateKey)),
		bundle: Buffer.concat(identity.bundle.roots),
		hint: '',
	};
	return { svids: [svid], crl: [], federatedBundles: {} };
}

function bundlesOf({ bundle }: Identity): X509BundlesResponse {
	return { crl: [], bundles: { [`spiffe://${bundle.trustDomain}`]: Buffer.concat(bundle.roots) } };
}

/** A socket that a process before left; anything else at the path is not ours to remove. */
function removeStale(socketPath: string): void {
	const found = lstatSync(socketPath, { throwIfNoEntry: false });
	if (found?.isSocket() === true) rmSync(socketPath);
}
