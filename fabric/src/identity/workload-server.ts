// Owns the SPIFFE Workload API as this node serves it: its identity and trust bundle, to processes of the same user that can open the socket. Whoever can
// open it can act as the node, so at no moment can anybody else: it is bound inside a folder that only we can enter, and appears at its place with its
// mode, by a rename.
import { chmodSync, lstatSync, mkdirSync, mkdtempSync, renameSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
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
	let own: string | undefined;
	try {
		const folder = path.dirname(socketPath);
		mkdirSync(folder, { recursive: true, mode: 0o700 });
		await checkFree(socketPath);
		// Made with mode 0700, whatever the umask and whoever else may enter the folder above.
		own = mkdtempSync(path.join(folder, '.w-'));
		const made = path.join(own, 's');
		await new Promise<void>((resolve, reject) => {
			server.bindAsync(`unix:${made}`, ServerCredentials.createInsecure(), (error) => {
				if (error === null) resolve();
				else reject(error);
			});
		});
		chmodSync(made, 0o600);
		renameSync(made, socketPath);
	} catch (cause) {
		server.forceShutdown();
		const message = cause instanceof Error ? cause.message : 'the socket cannot be made';
		throw new MeshError(identityErrors, 'IM_IDENTITY_WORKLOAD_API', message, { cause });
	} finally {
		if (own !== undefined) rmSync(own, { recursive: true, force: true });
	}
	const { ino } = lstatSync(socketPath);
	let closed = false;
	return {
		endpoint: `unix://${socketPath}`,
		close() {
			if (closed) return;
			closed = true;
			// What Node removes is the name the socket was bound under; at its place something else may be by now.
			if (lstatSync(socketPath, { throwIfNoEntry: false })?.ino === ino) rmSync(socketPath);
			server.forceShutdown();
		},
	};
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

/** Only a socket that a process before has left may be replaced. Rejects when somebody answers at it, and for anything else that is there. */
async function checkFree(socketPath: string): Promise<void> {
	const found = lstatSync(socketPath, { throwIfNoEntry: false });
	if (found === undefined) return;
	if (!found.isSocket()) throw new Error(`${socketPath} is there and no socket`);
	await new Promise<void>((resolve, reject) => {
		const socket = connect(socketPath);
		socket.once('connect', () => {
			socket.destroy();
			reject(new Error(`another process serves at ${socketPath}`));
		});
		socket.once('error', (error: NodeJS.ErrnoException) => {
			if (error.code === 'ECONNREFUSED' || error.code === 'ENOENT') resolve();
			else reject(error);
		});
	});
}
