// Owns the router as its users see it: made from options and ports, served by a `node:http` server that also takes HTTP/2, closed in order. The way of a request is
// the pipeline's.
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { RoomChange } from './admission/waiting-room.js';
import { createEnv } from './env.js';
import { GRPC_TYPE } from './grpc/answers.js';
import { GrpcCalls } from './grpc/calls.js';
import { OwnServices } from './grpc/own.js';
import { exchangeOf } from './http2/compat.js';
import { Http2Front } from './http2/front.js';
import type { RouterOptions, RouterOptionsInput } from './options.js';
import { Pipeline } from './pipeline.js';
import type { RouterPorts } from './ports.js';
import { Routing } from './routing.js';
import { Scoring } from './scoring/scoring.js';
import { createDataServer } from './server.js';
import type { DataPlaneTls } from './tls.js';
import { WebSocketRoom } from './websocket/room.js';

export interface CloseOptions {
	/** Requests in flight may take this long to end; then their connections are reset. */
	readonly graceMs: number;
}

export interface Router {
	readonly options: RouterOptions;
	/** Not listening yet: `router.server.listen({ port, host, reusePort })`. */
	readonly server: Server;
	/** Serves one request, also of another server. Never throws. */
	handle(req: IncomingMessage, res: ServerResponse): void;
	/** Requests in the router, those whose answer is still being written included. */
	inflight(): number;
	/** Requests held back by the strategy. */
	held(): number;
	/** Keeps upstream connections for these origins only; the others close as their requests end. */
	retainOrigins(origins: ReadonlySet<string>): void;
	/** Requests that wait for room at a target. */
	waiting(): number;
	/** Uses other certificates from now on; connections there are go on. */
	setTls(tls: DataPlaneTls): void;
	/** What vouches for the owners of stored responses, from now on. */
	setResponseKey(key: string | undefined): void;
	/** The agent has looked for more of these tenants' quotas. */
	quotaGranted(tenants: readonly number[]): void;
	/** What the other queues of the mesh have waiting and have served: of this node's workers, and of other routers. */
	flowsHeard(flows: readonly RoomChange[]): void;
	/** Stops accepting, lets requests end within the grace (health is 503, answers close their connections), then resets what is left. */
	close(options: CloseOptions): Promise<void>;
}

/** Looks at idle pools in the time after which they are closed. */
const POOL_SWEEPS = 4;

/** Makes a router. Its timer runs until `close`. Throws TypeError or RangeError for options Node refuses. */
export function createRouter(input: RouterOptionsInput, ports: RouterPorts): Router {
	const env = createEnv(input, ports);
	const routing = new Routing(env);
	const scoring = new Scoring(env);
	const pipeline = new Pipeline(env, routing, scoring);
	const calls = new GrpcCalls(env, routing, new OwnServices(env, scoring));
	const front = new Http2Front(env.options, ports.clock, ports.random, env.ports.metrics, (stream, headers, raw) => {
		if (headers['content-type']?.startsWith(GRPC_TYPE) === true) return calls.handle(stream, headers, raw);
		const { req, res } = exchangeOf(stream, headers, raw, env.options.bodyBytesMax);
		pipeline.handle(req, res, stream);
	});
	front.onDismissed((session) => void env.dismissed.add(session));
	const { server, closeWaiting, renew } = createDataServer(
		env.options,
		ports.clock,
		(req, res) => pipeline.handle(req, res),
		(socket) => front.connection(socket),
	);
	const webSockets = new WebSocketRoom(env, routing, (req, res) => pipeline.handle(req, res));
	webSockets.listen(server);
	const { poolIdleMs } = env.options.upstream;
	const closeIdlePools = (): void => env.upstreams.sweep(ports.clock.nowMs());
	const sweeper = ports.clock.every(poolIdleMs / POOL_SWEEPS, closeIdlePools, { unref: true });
	return {
		options: env.options,
		server,
		handle: (req, res) => pipeline.handle(req, res),
		inflight: () => routing.active.size,
		held: () => env.holds.size,
		waiting: () => env.admission.size,
		setResponseKey: (key) => env.responseIds.setKey(key),
		quotaGranted: (tenants) => env.admission.quotaGranted(tenants),
		flowsHeard: (flows) => env.admission.heard(flows),
		setTls({ port, upstream }) {
			if (port !== undefined) renew(port);
			env.upstreams.setTls(upstream);
		},
		retainOrigins: (origins) => env.upstreams.retain(origins),
		async close({ graceMs }) {
			env.closing = true;
			const closed = new Promise<void>((resolve) => {
				if (server.listening) server.close(() => resolve());
				else resolve();
			});
			server.closeIdleConnections();
			closeWaiting();
			front.drain();
			webSockets.drain();
			await drained(routing, ports, env.options.sweepMs, graceMs);
			routing.abortAll();
			scoring.close();
			server.closeAllConnections();
			front.destroy();
			webSockets.destroy();
			sweeper.cancel();
			env.upstreams.destroy();
			await closed;
		},
	};
}

/** Resolves when nothing is in flight, or when the grace is over. */
function drained(routing: Routing, ports: RouterPorts, periodMs: number, graceMs: number): Promise<void> {
	if (routing.active.size === 0 || graceMs <= 0) return Promise.resolve();
	const until = ports.clock.nowMs() + graceMs;
	return new Promise((resolve) => {
		const timer = ports.clock.every(Math.min(periodMs, graceMs), () => {
			if (routing.active.size > 0 && ports.clock.nowMs() < until) return;
			timer.cancel();
			resolve();
		});
	});
}
