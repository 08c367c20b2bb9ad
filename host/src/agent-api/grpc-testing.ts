// Owns what tests of the Agent API call it with: credentials as any gRPC program would make them, unary calls as promises, streams message by message.
// Test support only; also for the tests over real processes.
import {
	type CallOptions,
	type ChannelCredentials,
	type ChannelOptions,
	type ClientReadableStream,
	credentials,
	Metadata,
	type ServiceError,
} from '@grpc/grpc-js';

/** PEM, as `infermesh ca client` writes them; without key and certificate, those of nobody. */
export function meshCredentials(roots: Buffer, key?: Buffer, chain?: Buffer): ChannelCredentials {
	return credentials.createSsl(roots, key ?? null, chain ?? null);
}

/** Nodes answer to the name of their trust domain, wherever they are. */
export function meshChannel(trustDomain = 'infermesh.local'): ChannelOptions {
	return { 'grpc.ssl_target_name_override': trustDomain };
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
