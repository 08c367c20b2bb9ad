// Owns one gRPC call at the emulated engine: messages in and out, a status at the end, the death of its connection. What the messages say is the service's.
import { constants, type IncomingHttpHeaders, type ServerHttp2Stream } from 'node:http2';
import { MeshError } from '@infermesh/proto';
import { FrameReader, frameOf } from '../../../router/grpc/frames.js';
import { grpcCodes, grpcMessage } from '../../../router/grpc/status.js';
import { engineErrors } from '../../errors.js';

export interface EngineCallHandler {
	/** One message of the client's. May throw a MeshError, which ends the call. */
	message(bytes: Buffer): void;
	/** The client sends no more. */
	clientEnded(): void;
	/** The call is over, however it ended. */
	closed(): void;
}

export class EngineCall {
	readonly headers: IncomingHttpHeaders;
	readonly #stream: ServerHttp2Stream;
	readonly #bufferBytesMax: number;
	readonly #onInternalError: (error: unknown) => void;
	#ended = false;

	constructor(
		stream: ServerHttp2Stream,
		headers: IncomingHttpHeaders,
		bufferBytesMax: number,
		onInternalError: (error: unknown) => void,
	) {
		this.#stream = stream;
		this.headers = headers;
		this.#bufferBytesMax = bufferBytesMax;
		this.#onInternalError = onInternalError;
		stream.on('error', () => undefined);
	}

	/** Reads messages for `handler` until the call is over. */
	serve(handler: EngineCallHandler, messageBytesMax: number): void {
		const frames = new FrameReader(messageBytesMax);
		const stream = this.#stream;
		stream.on('data', (chunk: Buffer) => {
			if (this.#ended) return;
			this.guarded(() => {
				for (const message of this.#framesOf(frames, chunk)) handler.message(message);
			});
		});
		stream.on('end', () => {
			if (!this.#ended) this.guarded(() => handler.clientEnded());
		});
		stream.once('close', () => handler.closed());
	}

	/** Runs a step of the call; what it throws is the call's end. */
	guarded(step: () => void): void {
		try {
			step();
		} catch (error) {
			this.fail(error);
		}
	}

	/** Sends a message; a reader that lets too much pile up is cut off, as one of events is. */
	send(message: Uint8Array): void {
		const stream = this.#stream;
		if (this.#ended || stream.destroyed) return;
		this.#respond();
		stream.write(frameOf(message));
		if (stream.writableLength > this.#bufferBytesMax) this.reset();
	}

	/** Ends the call well. */
	end(): void {
		this.#end(grpcCodes.OK, '');
	}

	fail(error: unknown): void {
		if (!(error instanceof MeshError)) {
			this.#onInternalError(error);
			return this.fail(new MeshError(engineErrors, 'IM_ENGINE_INTERNAL'));
		}
		const status = (error.details?.['status'] ?? 0) as number;
		const { grpcStatus } = engineErrors[error.code as keyof typeof engineErrors];
		// A fault names the HTTP status it wants; those that mean "no room" have their own in gRPC.
		const busy = status === 429 ? grpcCodes.RESOURCE_EXHAUSTED : status === 503 ? grpcCodes.UNAVAILABLE : undefined;
		this.#end(busy ?? grpcCodes[grpcStatus], error.message);
	}

	reset(): void {
		this.#ended = true;
		if (!this.#stream.destroyed) this.#stream.close(constants.NGHTTP2_INTERNAL_ERROR);
	}

	/** Breaks the connection: a death in the middle. */
	die(): void {
		this.#ended = true;
		this.#stream.session?.destroy();
	}

	/** Says nothing more, with the connection open. */
	silence(): void {
		this.#ended = true;
	}

	#framesOf(frames: FrameReader, chunk: Buffer): Buffer[] {
		try {
			return frames.push(chunk);
		} catch (cause) {
			throw new MeshError(engineErrors, 'IM_ENGINE_REQUEST_INVALID', String(cause), { cause });
		}
	}

	#respond(): void {
		const stream = this.#stream;
		if (stream.headersSent) return;
		stream.respond(
			{ [constants.HTTP2_HEADER_STATUS]: 200, 'content-type': 'application/grpc' },
			{ waitForTrailers: true },
		);
	}

	#end(code: number, message: string): void {
		const stream = this.#stream;
		if (this.#ended || stream.destroyed) return;
		this.#ended = true;
		const trailers = {
			'grpc-status': String(code),
			...(message === '' ? {} : { 'grpc-message': grpcMessage(message) }),
		};
		if (!stream.headersSent) {
			const head = { [constants.HTTP2_HEADER_STATUS]: 200, 'content-type': 'application/grpc' };
			stream.respond({ ...head, ...trailers }, { endStream: true });
			return;
		}
		stream.once('wantTrailers', () => stream.sendTrailers(trailers));
		stream.end();
	}
}
