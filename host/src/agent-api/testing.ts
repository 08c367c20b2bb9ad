// Owns an agent's port for tests: real mTLS between a real authority's certificates, the API over a mesh of one node, and clients as any program would
// make them. Test support only.
import {
	type CallOptions,
	type ChannelCredentials,
	type ClientReadableStream,
	credentials,
	Metadata,
	type ServiceError,
} from '@grpc/grpc-js';
import {
	CertificateAuthority,
	generateNodeKey,
	IdentityHolder,
	makeIdentity,
	pemOfCertificate,
	RevocationList,
	SecureServer,
	SessionRegistry,
	TransportCounters,
} from '@infermesh/fabric';
import { AgentClient } from '@infermesh/proto/grpc/agent/v1/agent';
import type { ExecutionContext } from 'ava';
import type { Readiness } from '../admin/schemas.js';
import { HandClock } from '../fleet/testing.js';
import { systemClock } from '../main/clock.js';
import { type LonelyMesh, type LonelyMeshOptions, lonelyMesh, SELF } from '../mesh/testing.js';
import { createLog } from '../telemetry/logger.js';
import { type AgentApi, addAgentApi } from './agent-api.js';

export const TOKEN = 'token-of-ann';
const OTHER_NODE = '99999999-9999-4999-8999-999999999999';

export interface TestAgent {
	readonly mesh: LonelyMesh;
	readonly api: AgentApi;
	readonly address: string;
	/** Of the API: what is periodic happens as it is turned. */
	readonly clock: HandClock;
	readiness: Readiness;
	/** Certificates of `/client/bob` and of another node. */
	readonly asClient: ChannelCredentials;
	readonly asNode: ChannelCredentials;
	/** Closed with the test. */
	client(credentials: ChannelCredentials): AgentClient;
}

const pem = (certificates: readonly Uint8Array[]): Buffer => Buffer.from(certificates.map(pemOfCertificate).join(''));

export async function openAgent(
	t: ExecutionContext,
	options: LonelyMeshOptions & { readonly streamsMax?: number } = {},
): Promise<TestAgent> {
	const nowMs = systemClock.wallMs();
	const authority = await CertificateAuthority.create('mesh.test', nowMs);
	const [own, bob, other] = await Promise.all([generateNodeKey(), generateNodeKey(), generateNodeKey()]);
	const identity = makeIdentity(
		await authority.issueNode(SELF, own.publicKey, nowMs),
		own.privateKey,
		authority.bundle,
		nowMs,
	);
	const show = (chain: readonly Uint8Array[], keys: typeof bob): ChannelCredentials =>
		credentials.createSsl(
			pem(authority.bundle.roots),
			Buffer.from(keys.privateKey.export({ format: 'pem', type: 'pkcs8' })),
			pem(chain),
			// The chain is verified; names of the mesh are not those of DNS.
			{ checkServerIdentity: () => undefined },
		);
	const revocations = new RevocationList();
	const counters = new TransportCounters();
	const server = new SecureServer({
		identity: new IdentityHolder(identity),
		revocations,
		counters,
		clock: systemClock,
		sessions: new SessionRegistry(revocations, counters),
	});
	const mesh = lonelyMesh(options);
	const clock = new HandClock();
	const made = {
		mesh,
		clock,
		readiness: { ready: true, reasons: [], degraded: [] } as Readiness,
		asClient: show(await authority.issueClient('bob', bob.publicKey, nowMs), bob),
		asNode: show(await authority.issueNode(OTHER_NODE, other.publicKey, nowMs), other),
	};
	const api = addAgentApi(server, {
		mesh: mesh.operations,
		self: {
			nodeId: SELF,
			name: 'one',
			version: '0.1.0',
			roles: ['router', 'coordinator'],
			certificateExpiresMs: () => identity.svid.notAfterMs,
		},
		readiness: () => Promise.resolve(made.readiness),
		tokens: [{ name: 'ann', token: TOKEN }],
		clock,
		log: createLog({ level: 'silent', wallMs: () => 0 }),
		...(options.streamsMax === undefined ? {} : { streamsMax: options.streamsMax }),
	});
	const address = await server.listen('127.0.0.1:0');
	const clients: { close(): void }[] = [];
	t.teardown(async () => {
		for (const client of clients) client.close();
		await server.close();
		await mesh.engine.close();
	});
	return Object.assign(made, {
		api,
		address,
		client: (who: ChannelCredentials) => {
			const client = new AgentClient(address, who);
			clients.push(client);
			return client;
		},
	});
}

/** Metadata with a bearer token. */
export function bearer(token: string): Metadata {
	const metadata = new Metadata();
	metadata.set('authorization', `Bearer ${token}`);
	return metadata;
}

/** One unary call. */
export function ask<Q, A>(
	call: (
		request: Q,
		metadata: Metadata,
		options: Partial<CallOptions>,
		callback: (error: ServiceError | null, answer: A) => void,
	) => unknown,
	request: Q,
	metadata = new Metadata(),
): Promise<A> {
	return new Promise((resolve, reject) => {
		call(request, metadata, {}, (error, answer) => (error === null ? resolve(answer) : reject(error)));
	});
}

/** How a call was refused: gRPC's status and the mesh's code. */
export async function refusal(work: Promise<unknown>): Promise<readonly [status: number, code: string]> {
	try {
		await work;
		return [0, 'none'];
	} catch (error) {
		const { code, metadata } = error as ServiceError;
		return [code, String(metadata?.get('x-infermesh-error')[0])];
	}
}

/** Reads a stream message by message. */
export class Reader<T> {
	readonly call: ClientReadableStream<T>;
	readonly #messages: AsyncIterator<T>;

	constructor(call: ClientReadableStream<T>) {
		this.call = call;
		this.#messages = call[Symbol.asyncIterator]() as AsyncIterator<T>;
	}

	/** The next message; undefined at the end. Rejects with the status of a stream that failed. */
	async next(): Promise<T | undefined> {
		const { done, value } = await this.#messages.next();
		return done === true ? undefined : value;
	}

	/** Messages until one fits. */
	async until(fits: (message: T) => boolean): Promise<T> {
		for (;;) {
			const message = await this.next();
			if (message === undefined) throw new Error('the stream has ended');
			if (fits(message)) return message;
		}
	}

	async rest(): Promise<readonly T[]> {
		const messages: T[] = [];
		for (let message = await this.next(); message !== undefined; message = await this.next()) messages.push(message);
		return messages;
	}
}
