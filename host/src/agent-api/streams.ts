// Owns the streams open at the agent's gRPC API: that each goes at its reader's pace, and how they end when the node does.
// Nothing is queued here: what a reader has not taken is not made.
import type { ServerDuplexStream, ServerWritableStream } from '@grpc/grpc-js';
import { type CallWithPeer, grpcErrorOf } from '@infermesh/fabric';
import { MeshError } from '@infermesh/proto';
import type { StreamBounds } from '../mesh/stream-bounds.js';
import { agentApiErrors } from './errors.js';

type AnyStream = ServerWritableStream<never, never> | ServerDuplexStream<never, never>;

/** Events a stream ends by, for whatever reason. */
const endings = ['cancelled', 'close', 'finish', 'error'] as const;

export interface OpenStreamsPorts {
	readonly toError: (error: unknown) => MeshError;
	readonly bounds: StreamBounds;
	/** Whose stream it is. */
	readonly callerOf: (call: CallWithPeer) => string;
}

export class OpenStreams {
	readonly #ports: OpenStreamsPorts;
	readonly #open = new Map<AnyStream, AbortController>();
	#stopping = false;

	constructor(ports: OpenStreamsPorts) {
		this.#ports = ports;
	}

	/** Takes a stream in, until it ends; the signal aborts then. Throws IM_NODE_STREAMS_MAX, IM_AGENT_STOPPING. */
	admit<Request, Reply>(call: ServerWritableStream<Request, Reply> | ServerDuplexStream<Request, Reply>): AbortSignal {
		if (this.#stopping) throw new MeshError(agentApiErrors, 'IM_AGENT_STOPPING');
		const { bounds, callerOf } = this.#ports;
		const release = bounds.admit(callerOf(call));
		const stream = call as unknown as AnyStream;
		const ended = new AbortController();
		this.#open.set(stream, ended);
		for (const ending of endings)
			call.once(ending, () => {
				if (this.#open.delete(stream)) release();
				ended.abort();
			});
		return ended.signal;
	}

	/**
	 * Sends what `items` yields, each when the one before has been taken, and ends the stream as they end. Resolves with what it was refused by, if it
	 * was.
	 */
	async send<Request, Reply>(
		call: ServerWritableStream<Request, Reply>,
		items: (signal: AbortSignal) => AsyncIterable<Reply>,
	): Promise<MeshError | undefined> {
		let signal: AbortSignal | undefined;
		try {
			signal = this.admit(call);
			for await (const item of items(signal)) {
				if (signal.aborted) return undefined;
				if (!call.write(item)) await drained(call, signal);
			}
			call.end();
			return undefined;
		} catch (error) {
			// What fails because nobody reads any more is told to nobody.
			if (signal?.aborted === true) return undefined;
			const refusal = this.#ports.toError(error);
			call.emit('error', grpcErrorOf(refusal));
			return refusal;
		}
	}

	/** Ends all of them by IM_AGENT_STOPPING, and lets no more in. */
	close(): void {
		this.#stopping = true;
		for (const call of this.#open.keys())
			call.emit('error', grpcErrorOf(new MeshError(agentApiErrors, 'IM_AGENT_STOPPING')));
	}
}

/** Resolves when there is room again, or nobody reads any more. */
async function drained(
	call: { once(event: 'drain', listener: () => void): unknown; off(event: 'drain', listener: () => void): unknown },
	signal: AbortSignal,
): Promise<void> {
	const { promise, resolve } = Promise.withResolvers<void>();
	const done = (): void => resolve();
	call.once('drain', done);
	signal.addEventListener('abort', done);
	if (signal.aborted) done();
	await promise;
	call.off('drain', done);
	signal.removeEventListener('abort', done);
}
