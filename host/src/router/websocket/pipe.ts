// Owns the way of a piped session through the router: authenticated, admitted and decided as any request, then held open by its attempt. It is what WebSockets do where
// protocols differ.
import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { authenticate } from '../authenticate.js';
import { resolveRoute } from '../decide.js';
import type { RouterEnv } from '../env.js';
import { type Refusal, routerErrors } from '../errors.js';
import type { WebSocketCloseReason } from '../ports.js';
import { forwardable, readNames } from '../request-headers.js';
import type { Protocol, RunningAttempt } from '../routed-request.js';
import type { Routing } from '../routing.js';
import type { AttemptPlan } from '../upstream-response.js';
import type { GuardedSocket } from './guarded-socket.js';
import type { Offer } from './handshake.js';
import { PipeAttempt } from './pipe-attempt.js';
import { PipeRequest, readModel } from './pipe-request.js';
import { refuseHandshake } from './refuse.js';

const INTERNAL = 1011;
const GOING_AWAY = 1001;
/** Status of a session in metrics and logs. */
const SWITCHED = 101;

/** Answers a client's handshake; undefined when it has gone. */
export type AcceptClient = (
	request: PipeRequest,
	protocol: string,
	onClosed: (reason: WebSocketCloseReason, code: number, text: string) => void,
) => GuardedSocket | undefined;

export class Pipe implements Protocol {
	readonly #env: RouterEnv;
	readonly #routing: Routing;
	readonly #acceptClient: AcceptClient;

	constructor(env: RouterEnv, routing: Routing, acceptClient: AcceptClient) {
		this.#env = env;
		this.#routing = routing;
		this.#acceptClient = acceptClient;
	}

	/** Takes a handshake that is well formed. */
	begin(req: IncomingMessage, socket: Duplex, head: Buffer, offer: Offer, label: string): void {
		const env = this.#env;
		const request = new PipeRequest(this, req, socket, head, offer, env.ports.clock.nowMs());
		request.label = label;
		this.#routing.enter(request);
		// Until it is open: then the client's socket tells of its end.
		socket.on('close', () => {
			if (request.client === undefined) this.#leave(request);
		});
		this.#routing.guarded(request, () => {
			const refusal = this.#routing.saturated() ?? this.#read(request);
			if (refusal !== undefined) return this.refuse(request, refusal);
			this.#routing.begin(request);
		});
	}

	#read(request: PipeRequest): Refusal | undefined {
		const env = this.#env;
		request.forwarded = forwardable(request.req.rawHeaders, request.req.headers.connection);
		readNames(env, request);
		const refusal = authenticate(env, request);
		if (refusal !== undefined) return refusal;
		const fault = readModel(request);
		if (fault !== undefined) return { code: 'IM_REQUEST_FIELD', param: 'model', message: fault };
		return resolveRoute(env, request);
	}

	attempt(
		request: PipeRequest,
		plan: AttemptPlan,
		ledgerEntry: number,
		onEnd: (attempt: RunningAttempt) => void,
	): PipeAttempt {
		const open = (_request: PipeRequest, protocol: string): GuardedSocket | undefined => {
			request.client = this.#acceptClient(request, protocol, (_reason, code, text) => {
				(request.attempt as PipeAttempt | undefined)?.clientClosed(code, text);
				request.finished = true;
				this.#leave(request);
			});
			return request.client;
		};
		return new PipeAttempt(this.#env, request, plan, ledgerEntry, open, onEnd);
	}

	/** A session that has begun is closed by its attempt; before that, the handshake is answered with what the runtime said. */
	answer(request: PipeRequest, attempt: PipeAttempt): void {
		const { failure, status } = attempt;
		if (request.committed) {
			request.refusal = failure === undefined ? undefined : { code: failure };
			return;
		}
		if (failure !== undefined) return this.refuse(request, this.#withRetry({ code: failure }));
		const full = status === 429 || status === 503;
		const passed = status >= 400 ? { status } : {};
		this.refuse(request, this.#withRetry({ code: full ? 'IM_UPSTREAM_SATURATED' : 'IM_UPSTREAM_ERROR', ...passed }));
	}

	#withRetry(refusal: Refusal): Refusal {
		const status = refusal.status ?? routerErrors[refusal.code].httpStatus;
		if (status !== 429 && status !== 503) return refusal;
		return { ...refusal, retryAfterS: this.#env.options.saturatedRetryAfterS };
	}

	refuse(request: PipeRequest, refusal: Refusal): void {
		if (request.finished) return;
		request.finished = true;
		request.refusal = refusal;
		if (request.client === undefined) refuseHandshake(request.socket, refusal, [`x-request-id: ${request.requestId}`]);
		else request.client.close(INTERNAL, refusal.code, 'closed');
	}

	check(): boolean {
		return false;
	}

	abort(request: PipeRequest): void {
		if (request.client === undefined) request.socket.destroy();
		else if (request.blockedSinceMs !== 0) request.client.terminate('too_slow');
		else request.client.close(GOING_AWAY, 'the router is closing', 'shutdown');
	}

	#leave(request: PipeRequest): void {
		const { refusal, committed } = request;
		const status = committed
			? SWITCHED
			: refusal === undefined
				? SWITCHED
				: (refusal.status ?? routerErrors[refusal.code].httpStatus);
		this.#routing.leave(request, status);
	}
}
