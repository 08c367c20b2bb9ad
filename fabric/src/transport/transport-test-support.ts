// Owns what the tests of transport share: a context of a node in one line, and a small gRPC service that echoes and streams.
import type { ServiceDefinition, UntypedServiceImplementation } from '@grpc/grpc-js';
import * as grpc from '@grpc/grpc-js';
import type { Clock } from '@infermesh/proto';
import { realClock } from '../identity/identity-test-support.js';
import { RevocationList } from '../identity/revocation.js';
import { type Identity, IdentityHolder } from '../identity/source.js';
import type { IdentityMutations } from '../identity/svid.js';
import { TransportCounters } from './counters.js';
import type { TransportContext } from './peer.js';
import { SessionRegistry } from './sessions.js';

export interface TestNode {
	readonly context: TransportContext;
	readonly holder: IdentityHolder;
	readonly revocations: RevocationList;
	readonly counters: TransportCounters;
	readonly nodeUuid: string;
}

export function testNode(identity: Identity, options: { clock?: Clock; mutations?: IdentityMutations } = {}): TestNode {
	const revocations = new RevocationList();
	const counters = new TransportCounters();
	const holder = new IdentityHolder(identity);
	const mutations: IdentityMutations = options.mutations ?? new Set();
	const clock = options.clock ?? realClock;
	const context: TransportContext = {
		identity: holder,
		revocations,
		counters,
		sessions: new SessionRegistry(revocations, counters, clock, mutations),
		clock,
		mutations,
	};
	return { context, holder, revocations, counters, nodeUuid: identity.svid.nodeUuid ?? '' };
}

const bytes = {
	requestSerialize: (value: Buffer): Buffer => value,
	requestDeserialize: (value: Buffer): Buffer => value,
	responseSerialize: (value: Buffer): Buffer => value,
	responseDeserialize: (value: Buffer): Buffer => value,
};

export const echoService = {
	echo: { path: '/test.Echo/Echo', requestStream: false, responseStream: false, ...bytes },
	talk: { path: '/test.Echo/Talk', requestStream: true, responseStream: true, ...bytes },
} satisfies ServiceDefinition;

type EchoConstructor = new (...args: ConstructorParameters<typeof grpc.Client>) => EchoClient;

export interface EchoClient extends grpc.Client {
	echo(
		request: Buffer,
		metadata: grpc.Metadata,
		options: grpc.CallOptions,
		callback: (error: grpc.ServiceError | null, reply?: Buffer) => void,
	): void;
	talk(): grpc.ClientDuplexStream<Buffer, Buffer>;
}

export const EchoClient = grpc.makeGenericClientConstructor(echoService, 'Echo') as unknown as EchoConstructor;

/** Handlers that send back what they get; `onCall` sees each call. */
export function echoHandlers(onCall: (call: { getPeer(): string }) => void = () => {}): UntypedServiceImplementation {
	return {
		echo: (call: grpc.ServerUnaryCall<Buffer, Buffer>, callback: grpc.sendUnaryData<Buffer>) => {
			onCall(call);
			callback(null, call.request);
		},
		talk: (call: grpc.ServerDuplexStream<Buffer, Buffer>) => {
			onCall(call);
			call.on('data', (message: Buffer) => call.write(message));
			call.on('end', () => call.end());
			call.on('error', () => {});
		},
	};
}

/** One unary call with a deadline; rejects with gRPC's error. `wait` lets the channel reconnect first. */
export async function echo(client: EchoClient, text: string, timeoutMs = 5000, wait = false): Promise<string> {
	return new Promise((resolve, reject) => {
		const metadata = new grpc.Metadata({ waitForReady: wait });
		client.echo(Buffer.from(text), metadata, { deadline: Date.now() + timeoutMs }, (error, reply) => {
			if (error === null) resolve(String(reply));
			else reject(error);
		});
	});
}

/** A bidirectional stream on which one asks and waits, and whose end can be awaited. */
export function openTalk(client: EchoClient): {
	ask(text: string): Promise<string>;
	readonly ended: Promise<grpc.StatusObject | Error>;
	end(): void;
} {
	const stream = client.talk();
	const waiting: ((text: string) => void)[] = [];
	stream.on('data', (message: Buffer) => waiting.shift()?.(message.toString()));
	const ended = new Promise<grpc.StatusObject | Error>((resolve) => {
		stream.on('error', resolve);
		stream.on('status', resolve);
	});
	return {
		ended,
		end: () => stream.end(),
		ask: async (text) =>
			Promise.race([
				new Promise<string>((resolve) => {
					waiting.push(resolve);
					stream.write(Buffer.from(text));
				}),
				ended.then((end) => {
					throw new Error(`the stream ended: ${end instanceof Error ? end.message : end.details}`);
				}),
			]),
	};
}
