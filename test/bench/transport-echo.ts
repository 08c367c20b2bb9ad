// Owns what both ends of the transport bench share: the echo service over raw bytes, and identities that fit through a process message.
import { createPrivateKey } from 'node:crypto';
import * as grpc from '@grpc/grpc-js';
import {
	type Identity,
	IdentityHolder,
	makeIdentity,
	RevocationList,
	SessionRegistry,
	type TransportContext,
	TransportCounters,
} from '@infermesh/fabric';
import { realClock } from '../support/real-clock.js';

export interface WireIdentity {
	readonly chain: readonly string[];
	readonly key: string;
	readonly trustDomain: string;
	readonly roots: readonly string[];
}

/** Addresses of the two servers. */
export interface EchoReady {
	readonly secure: string;
	readonly plain: string;
}

export function identityFrom(wire: WireIdentity): Identity {
	const bytes = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, 'base64'));
	const key = createPrivateKey({ key: Buffer.from(wire.key, 'base64'), format: 'der', type: 'pkcs8' });
	return makeIdentity(
		wire.chain.map(bytes),
		key,
		{ trustDomain: wire.trustDomain, roots: wire.roots.map(bytes) },
		Date.now(),
	);
}

export function contextOf(identity: Identity): TransportContext {
	const revocations = new RevocationList();
	const counters = new TransportCounters();
	const sessions = new SessionRegistry(revocations, counters, realClock);
	return { identity: new IdentityHolder(identity), revocations, counters, sessions, clock: realClock };
}

const raw = (value: Buffer): Buffer => value;
const serialisation = {
	requestSerialize: raw,
	requestDeserialize: raw,
	responseSerialize: raw,
	responseDeserialize: raw,
};

export const echoService = {
	ask: { path: '/bench.Echo/Ask', requestStream: false, responseStream: false, ...serialisation },
	pour: { path: '/bench.Echo/Pour', requestStream: true, responseStream: false, ...serialisation },
} satisfies grpc.ServiceDefinition;

export const echoHandlers: grpc.UntypedServiceImplementation = {
	ask: (call: grpc.ServerUnaryCall<Buffer, Buffer>, callback: grpc.sendUnaryData<Buffer>) =>
		callback(null, call.request),
	pour: (call: grpc.ServerReadableStream<Buffer, Buffer>, callback: grpc.sendUnaryData<Buffer>) => {
		call.on('data', () => {});
		call.on('end', () => callback(null, Buffer.alloc(0)));
	},
};

export class EchoClient {
	readonly #client: grpc.Client;

	constructor(channel: grpc.Channel) {
		this.#client = new grpc.Client('', grpc.credentials.createInsecure(), { channelOverride: channel });
	}

	async ask(message: Buffer): Promise<void> {
		return new Promise((resolve, reject) => {
			this.#client.makeUnaryRequest(echoService.ask.path, raw, raw, message, (error) => {
				if (error === null) resolve();
				else reject(error);
			});
		});
	}

	/** Sends `count` chunks, waiting whenever the window is full, and for the end. */
	async pour(chunk: Buffer, count: number): Promise<void> {
		return new Promise((resolve, reject) => {
			const call = this.#client.makeClientStreamRequest(echoService.pour.path, raw, raw, (error) => {
				if (error === null) resolve();
				else reject(error);
			});
			let sent = 0;
			const send = (): void => {
				while (sent < count) {
					sent++;
					if (!call.write(chunk)) {
						call.once('drain', send);
						return;
					}
				}
				call.end();
			};
			send();
		});
	}
}
