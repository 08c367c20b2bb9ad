// Owns putting an emulated engine together and its life as a server of HTTP/1.1 and gRPC on one port: routes, keys, failures, drain and close.
import { createHash, timingSafeEqual } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse, STATUS_CODES } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { MeshError, SeededRandom } from '@infermesh/proto';
import { Sniffer } from '../../router/http2/sniff.js';
import { engineErrors } from '../errors.js';
import { EngineModel } from '../model/engine-model.js';
import { REALTIME_PATH, RealtimeSessions } from './dialects/realtime.js';
import { ResponseStore } from './dialects/responses.js';
import { dialectPath, dialectPaths, type Handler, type Methods } from './dialects/routes.js';
import { serveEmbeddings } from './embeddings-route.js';
import type { EngineContext } from './engine-context.js';
import { EngineDriver } from './engine-driver.js';
import { type FaultSettings, FaultSwitches } from './faults.js';
import { serveChat, serveCompletion } from './generate-route.js';
import { assertModel } from './generation-request.js';
import { EngineGrpcPort } from './grpc/grpc-port.js';
import { sendError } from './http-io.js';
import {
	changeFaults,
	serveFaults,
	serveHealth,
	serveMetrics,
	serveModels,
	serveTokenize,
	serveVersion,
} from './info-routes.js';
import { KvPublisher } from './kv-publisher.js';
import { KvTransfer } from './kv-transfer.js';
import { EngineMetrics } from './metrics.js';
import { type EngineOptions, type ResolvedEngineOptions, resolveEngineOptions } from './options.js';
import { FlushQueue } from './sse-stream.js';

/** A running engine. */
export interface EngineHandle {
	/** `http://HOST:PORT`, without a trailing slash. */
	readonly url: string;
	readonly port: number;
	/** Where it publishes KV events and replays them, `tcp://host:port`; undefined when it does not. */
	readonly kvEvents: { readonly endpoint: string; readonly replay: string } | undefined;
	/** Changes fault switches as `POST /_fault` does; throws `IM_ENGINE_REQUEST_INVALID`. */
	setFaults(patch: FaultSettings): void;
	/**
	 * Takes no new requests, waits up to `drainTimeoutMs` for those in flight, then cuts the rest. May be called twice.
	 */
	close(): Promise<void>;
}

const ROUTES: Readonly<Record<string, Methods>> = {
	...dialectPaths,
	'/v1/chat/completions': { POST: serveChat },
	'/v1/completions': { POST: serveCompletion },
	'/v1/embeddings': { POST: serveEmbeddings },
	'/v1/models': { GET: serveModels },
	'/health': { GET: serveHealth },
	'/version': { GET: serveVersion },
	'/metrics': { GET: serveMetrics },
	'/tokenize': { POST: serveTokenize },
	'/_kv': { POST: (engine, request, response) => engine.transfer.serve(request, response) },
	'/_fault': { GET: serveFaults, POST: changeFaults },
};

/** Random stream of request ids; texts use low numbers, faults those from 1,000. */
const ID_STREAM = 2000;
const IDLE_SWEEP_MS = 20;

/**
 * Starts an emulated engine. Resolves when it listens; rejects with `IM_ENGINE_OPTIONS_INVALID` or
 * `IM_ENGINE_PROFILE_UNKNOWN` for wrong options and with the system's error when it cannot listen.
 */
export async function startEngine(options: EngineOptions): Promise<EngineHandle> {
	const resolved = resolveEngineOptions(options);
	const engine = buildContext(resolved);
	const state = { draining: false };
	const server = createServer(
		{ keepAliveTimeout: resolved.keepAliveTimeoutMs, requestTimeout: resolved.requestTimeoutMs, noDelay: true },
		(request, response) => void handle(engine, state, request, response),
	);
	server.maxConnections = resolved.connectionsMax;
	const realtime = new RealtimeSessions(engine);
	server.on('upgrade', (request, socket, head) => upgrade(engine, state, realtime, request, socket, head));
	const { apiKey } = resolved;
	const grpc = new EngineGrpcPort(engine, (authorization) => apiKey === undefined || isKey(apiKey, authorization));
	const sniffer = partWays(engine, server, grpc);
	const { publisher } = engine;
	await publisher?.listen(resolved.host);
	try {
		await listen(server, resolved);
	} catch (error) {
		await publisher?.close();
		throw error;
	}
	const { port } = server.address() as AddressInfo;
	engine.transfer.self = { host: resolved.host, port };
	let closing: Promise<void> | undefined;
	return {
		url: `http://${resolved.host.includes(':') ? `[${resolved.host}]` : resolved.host}:${port}`,
		port,
		kvEvents: publisher?.endpoints,
		setFaults: (patch) => engine.faults.apply(patch),
		close: () => {
			state.draining = true;
			closing ??= drain(engine, { server, realtime, grpc, sniffer });
			return closing;
		},
	};
}

function buildContext(options: ResolvedEngineOptions): EngineContext {
	const { clock, kvEvents, config } = options;
	const publisher = kvEvents === undefined ? undefined : new KvPublisher(kvEvents, config.blockTokens, clock);
	const model = new EngineModel({ config, latency: options.latency, observer: publisher });
	const metrics = new EngineMetrics(options.speed, options.contextTokensMax);
	const queue = new FlushQueue();
	const driver = new EngineDriver({
		clock: options.clock,
		model,
		speed: options.speed,
		lagMsMax: options.lagMsMax,
		observe: (sequence, sincePreviousUs) => metrics.token(sequence, sincePreviousUs, model.nowUs),
		afterTurn: () => {
			publisher?.flush();
			queue.flush();
		},
	});
	const faults = new FaultSwitches(options.seed, options.faults, (settings) => {
		model.slowFactor = settings.slow?.factor ?? 1;
	});
	const transfer = new KvTransfer(options.transfer, options.clock, driver, {
		bytesPerToken: options.profile.roofline.kvBytesPerToken,
		speed: options.speed,
	});
	return {
		options,
		driver,
		metrics,
		faults,
		transfer,
		publisher,
		responses: new ResponseStore(),
		queue,
		ids: new SeededRandom(options.seed, ID_STREAM),
		startedWallMs: options.clock.wallMs(),
	};
}

function listen(server: Server, options: ResolvedEngineOptions): Promise<void> {
	return new Promise((resolve, reject) => {
		server.once('error', reject);
		server.listen(options.port, options.host, () => {
			server.off('error', reject);
			resolve();
		});
	});
}

async function handle(
	engine: EngineContext,
	state: { readonly draining: boolean },
	request: IncomingMessage,
	response: ServerResponse,
): Promise<void> {
	try {
		const path = (request.url ?? '/').split('?', 1)[0] as string;
		if (state.draining) {
			response.shouldKeepAlive = false;
			throw new MeshError(engineErrors, 'IM_ENGINE_DRAINING');
		}
		authenticate(engine.options.apiKey, path, request);
		await route(path, request.method ?? 'GET')(engine, request, response);
	} catch (error) {
		fail(engine, request, response, error);
	}
}

/** A handshake for a realtime session; any other is cut. */
function upgrade(
	engine: EngineContext,
	state: { readonly draining: boolean },
	realtime: RealtimeSessions,
	request: IncomingMessage,
	socket: Duplex,
	head: Buffer,
): void {
	socket.on('error', () => socket.destroy());
	const { pathname, searchParams } = new URL(request.url ?? '/', 'http://engine');
	try {
		if (pathname !== REALTIME_PATH) throw new MeshError(engineErrors, 'IM_ENGINE_PATH_UNKNOWN');
		if (state.draining) throw new MeshError(engineErrors, 'IM_ENGINE_DRAINING');
		authenticate(engine.options.apiKey, pathname, request);
		const model = searchParams.get('model') ?? '';
		assertModel(model, engine.options.models);
		realtime.upgrade(request, socket, head, model);
	} catch (error) {
		const status = error instanceof MeshError ? error.entry.httpStatus : 500;
		socket.end(`HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n`);
	}
}

function route(path: string, method: string): Handler {
	const methods = Object.hasOwn(ROUTES, path) ? ROUTES[path] : dialectPath(path);
	if (methods === undefined) {
		throw new MeshError(engineErrors, 'IM_ENGINE_PATH_UNKNOWN', `no such path: ${path.slice(0, 200)}`);
	}
	const handler = Object.hasOwn(methods, method) ? methods[method] : undefined;
	if (handler !== undefined) return handler;
	const allow = Object.keys(methods).join(', ');
	throw new MeshError(engineErrors, 'IM_ENGINE_METHOD_INVALID', `${path} takes ${allow}`, { details: { allow } });
}

/** As vLLM, asks for the key where work is done, not for health and metrics. */
function authenticate(apiKey: string | undefined, path: string, request: IncomingMessage): void {
	if (apiKey === undefined || !(path.startsWith('/v1/') || path === '/tokenize')) return;
	if (isKey(apiKey, request.headers.authorization)) return;
	throw new MeshError(engineErrors, 'IM_ENGINE_UNAUTHENTICATED');
}

function isKey(apiKey: string, authorization: string | undefined): boolean {
	const digest = (text: string): Buffer => createHash('sha256').update(text).digest();
	return timingSafeEqual(digest(authorization ?? ''), digest(`Bearer ${apiKey}`));
}

/** Connections that begin as HTTP/2 does are gRPC's. */
function partWays(engine: EngineContext, server: Server, grpc: EngineGrpcPort): Sniffer {
	const { clock, requestTimeoutMs } = engine.options;
	const listeners = server.listeners('connection') as ((this: Server, socket: Socket) => void)[];
	server.removeAllListeners('connection');
	const sniffer = new Sniffer(
		{
			http1: (socket) => {
				for (const listener of listeners) listener.call(server, socket);
			},
			http2: (socket) => grpc.connection(socket),
			late: (socket) => socket.destroy(),
		},
		clock,
		requestTimeoutMs,
	);
	server.on('connection', (socket: Socket) => {
		if (engine.faults.fires('resetOnAccept')) socket.resetAndDestroy();
		else sniffer.listen(socket);
	});
	return sniffer;
}

function fail(engine: EngineContext, request: IncomingMessage, response: ServerResponse, error: unknown): void {
	// A client that went away while sending makes reading fail, and there is nobody to tell.
	if (request.socket.destroyed) return;
	if (error instanceof MeshError) {
		sendError(response, error);
		return;
	}
	engine.options.onInternalError(error);
	sendError(response, new MeshError(engineErrors, 'IM_ENGINE_INTERNAL'));
}

/** What an engine is served by. */
interface Served {
	readonly server: Server;
	readonly realtime: RealtimeSessions;
	readonly grpc: EngineGrpcPort;
	readonly sniffer: Sniffer;
}

/** Stops listening, lets requests in flight finish until the drain time is over, then cuts what is left. */
function drain(engine: EngineContext, { server, realtime, grpc, sniffer }: Served): Promise<void> {
	const { clock, drainTimeoutMs } = engine.options;
	const sweep = clock.every(IDLE_SWEEP_MS, () => {
		server.closeIdleConnections();
		sniffer.closeWaiting();
	});
	const deadline = clock.after(drainTimeoutMs, () => {
		server.closeAllConnections();
		realtime.cut();
		grpc.destroy();
	});
	realtime.close();
	grpc.drain();
	return new Promise((resolve) => {
		server.close(() => {
			sweep.cancel();
			deadline.cancel();
			engine.driver.close();
			engine.transfer.close();
			resolve(engine.publisher?.close());
		});
	});
}
