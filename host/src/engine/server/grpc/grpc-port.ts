// Owns gRPC on the emulated engine's port: the HTTP/2 sessions it is handed, keys, and the way from a method to what serves it.
import {
	constants,
	createServer,
	type IncomingHttpHeaders,
	type ServerHttp2Session,
	type ServerHttp2Stream,
} from 'node:http2';
import type { Socket } from 'node:net';
import { MeshError } from '@infermesh/proto';
import { engineErrors } from '../../errors.js';
import type { EngineContext } from '../engine-context.js';
import { EngineCall } from './grpc-call.js';
import { engineMethods } from './kserve.js';

/** Asked for the key where work is done, as over HTTP. */
const KEYED = /\/(?:ModelInfer|ModelStreamInfer|Predict)$/;

export class EngineGrpcPort {
	readonly #engine: EngineContext;
	readonly #admit: (authorization: string | undefined) => boolean;
	readonly #server = createServer();
	readonly #sessions = new Set<ServerHttp2Session>();
	#draining = false;

	/** `admit`: whether a call with this authorization may work. */
	constructor(engine: EngineContext, admit: (authorization: string | undefined) => boolean) {
		this.#engine = engine;
		this.#admit = admit;
		this.#server.on('session', (session) => {
			this.#sessions.add(session);
			session.on('error', () => undefined);
			session.once('close', () => this.#sessions.delete(session));
		});
		this.#server.on('stream', (stream, headers) => this.#take(stream, headers));
		this.#server.on('sessionError', () => undefined);
	}

	/** Takes a connection that speaks HTTP/2. */
	connection(socket: Socket): void {
		socket.allowHalfOpen = false;
		this.#server.emit('connection', socket);
	}

	/** Takes no new calls; sessions end as their calls do. */
	drain(): void {
		this.#draining = true;
		for (const session of this.#sessions) session.close();
	}

	/** Cuts what is left. */
	destroy(): void {
		for (const session of this.#sessions) session.destroy();
	}

	#take(stream: ServerHttp2Stream, headers: IncomingHttpHeaders): void {
		if (stream.destroyed) return;
		const { options } = this.#engine;
		const call = new EngineCall(stream, headers, options.streamBufferBytesMax, options.onInternalError);
		call.guarded(() => {
			if (this.#draining) throw new MeshError(engineErrors, 'IM_ENGINE_DRAINING');
			const path = String(headers[constants.HTTP2_HEADER_PATH]);
			const method = engineMethods.get(path);
			if (method === undefined || headers['content-type']?.startsWith('application/grpc') !== true)
				throw new MeshError(engineErrors, 'IM_ENGINE_METHOD_INVALID', `no such gRPC method: ${path.slice(0, 200)}`);
			if (KEYED.test(path) && !this.#admit(headers.authorization))
				throw new MeshError(engineErrors, 'IM_ENGINE_UNAUTHENTICATED');
			call.serve(method(this.#engine, call), options.bodyBytesMax);
		});
	}
}
