// Owns the order in which a request passes the stages; this file reads top to bottom as a request lives:
// accept → headers → authenticate → receive → parse → decide → dispatch → stream back → outcome. Each stage is a small function in a file
// of its own; streaming back is the attempt's. Invariants: every request is answered or cut exactly once; every attempt ends in one
// ledger entry closed and one outcome recorded; nothing waits without a bound in number and in time.
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Timer } from '@infermesh/proto';
import { accept } from './accept.js';
import { ActiveExchanges } from './active-exchanges.js';
import type { Attempt } from './attempt.js';
import { authenticate } from './authenticate.js';
import { decide, noTarget, resolveRoute } from './decide.js';
import { dispatch } from './dispatch.js';
import { type RouterEnv, stageEnded } from './env.js';
import { type Refusal, type RouterErrorCode, routerErrors } from './errors.js';
import { Exchange } from './exchange.js';
import { modelBody, modelsBody } from './models.js';
import { recordOutcome } from './outcome.js';
import { parse } from './parse.js';
import { dropBody, receive } from './receive.js';
import { readHeaders } from './request-headers.js';
import { cut, sendEmpty, sendHeld, sendJson, sendRefusal } from './respond.js';
import { retryReason } from './retry.js';

export class Pipeline {
	readonly active = new ActiveExchanges();
	readonly #env: RouterEnv;
	#waking = false;
	#watching: Timer | undefined;

	constructor(env: RouterEnv) {
		this.#env = env;
	}

	/** Takes a request from the server. Never throws. */
	handle(req: IncomingMessage, res: ServerResponse): void {
		const env = this.#env;
		const target = req.url ?? '/';
		const query = target.indexOf('?');
		const path = query < 0 ? target : target.slice(0, query);
		const accepted = accept(req.method ?? 'GET', path, env.options.passThrough);
		const endpoint = accepted.kind === 'forward' ? accepted.endpoint : 'other';
		const exchange = new Exchange(req, res, endpoint, path, target, env.ports.clock.nowMs());
		this.#enter(exchange);
		try {
			const full = this.active.size > env.options.inflightMax;
			if (accepted.kind === 'health') return this.#health(exchange);
			if (full)
				return this.#refuse(exchange, { code: 'IM_ROUTE_SATURATED', retryAfterS: env.options.saturatedRetryAfterS });
			const refusal = this.#identify(exchange);
			if (refusal !== undefined) return this.#refuse(exchange, refusal);
			if (accepted.kind === 'refuse') return this.#refuse(exchange, accepted.refusal);
			if (accepted.kind === 'options') return sendEmpty(exchange, 204, ['allow', accepted.allow]);
			if (accepted.kind === 'models') return sendJson(exchange, 200, modelsBody(env.ports.directory));
			if (accepted.kind === 'model') return this.#model(exchange, accepted.id);
			receive(env, exchange, (refused) => this.#guarded(exchange, () => this.#received(exchange, refused)));
		} catch (error) {
			this.#broken(exchange, error);
		}
	}

	#identify(exchange: Exchange): Refusal | undefined {
		const refusal = readHeaders(this.#env, exchange);
		stageEnded(this.#env, exchange, 'headers');
		if (refusal !== undefined) return refusal;
		const refused = authenticate(this.#env, exchange);
		stageEnded(this.#env, exchange, 'authenticate');
		return refused;
	}

	#received(exchange: Exchange, refused: Refusal | undefined): void {
		const env = this.#env;
		stageEnded(env, exchange, 'receive');
		const refusal = refused ?? parse(env, exchange) ?? resolveRoute(env, exchange);
		stageEnded(env, exchange, 'parse');
		if (refusal !== undefined) return this.#refuse(exchange, refusal);
		env.retries.earn();
		this.#route(exchange, undefined);
	}

	/** Decides and dispatches. `last` is the attempt before, answered with if there is nowhere else to go. */
	#route(exchange: Exchange, last: Attempt | undefined): void {
		const env = this.#env;
		const step = decide(env, exchange);
		stageEnded(env, exchange, 'decide');
		if (step.kind === 'go') {
			dispatch(env, exchange, step, (attempt) => this.#guarded(exchange, () => this.#attemptEnded(exchange, attempt)));
			return stageEnded(env, exchange, 'dispatch');
		}
		if (step.kind === 'hold') return this.#hold(exchange, step.pool.index, step.key, last);
		if (last !== undefined) return this.#answer(exchange, last);
		this.#refuse(exchange, step.refusal);
	}

	#hold(exchange: Exchange, pool: number, key: number, last: Attempt | undefined): void {
		const env = this.#env;
		if (exchange.heldSinceMs === 0) exchange.heldSinceMs = env.ports.clock.nowMs();
		exchange.held = env.holds.push(pool, exchange, key, exchange.heldSinceMs);
		if (exchange.held) return;
		if (last !== undefined) return this.#answer(exchange, last);
		this.#refuse(exchange, { code: 'IM_ROUTE_HELD', retryAfterS: env.options.saturatedRetryAfterS });
	}

	#attemptEnded(exchange: Exchange, attempt: Attempt): void {
		const env = this.#env;
		stageEnded(env, exchange, 'stream_back');
		recordOutcome(env, exchange, attempt);
		exchange.attempt = undefined;
		if (attempt.end === 'held' || attempt.end === 'failed') {
			const reason = retryReason(env, exchange, attempt);
			if (reason === undefined) this.#answer(exchange, attempt);
			else {
				env.ports.metrics.retry(attempt.pool, reason);
				this.#route(exchange, attempt);
			}
		}
		this.#wake(attempt.pool.index);
	}

	/** Answers with what the last attempt brought. */
	#answer(exchange: Exchange, attempt: Attempt): void {
		if (exchange.finished) return;
		const failure = attempt.failure;
		if (failure === undefined) return sendHeld(this.#env, exchange, attempt);
		// What checks had said of the target was right: the request is told what it would have been told without the attempt.
		if (attempt.inDoubt && !exchange.committed) return this.#refuse(exchange, noTarget(this.#env));
		if (exchange.committed)
			return cut(this.#env, exchange, failure, attempt.relay !== undefined, attempt.relay?.midEvent === true);
		sendRefusal(
			exchange,
			this.#upstreamRefusal(failure),
			attempt,
			this.#env.ports.clock.nowMs(),
			this.#env.options.lingerMs,
		);
	}

	#upstreamRefusal(code: RouterErrorCode): Refusal {
		const { retryable, httpStatus } = routerErrors[code];
		return retryable && (httpStatus === 429 || httpStatus === 503)
			? { code, retryAfterS: this.#env.options.saturatedRetryAfterS }
			: { code };
	}

	/** Room has appeared at a pool: its most urgent held requests are decided again, until one is held again. */
	#wake(pool: number): void {
		const { holds } = this.#env;
		if (this.#waking || holds.size === 0) return;
		this.#waking = true;
		try {
			for (let left = holds.held(pool); left > 0; left--) {
				const exchange = holds.pop(pool);
				if (exchange === undefined) return;
				exchange.held = false;
				this.#guarded(exchange, () => this.#route(exchange, undefined));
				if (exchange.held) return;
			}
		} finally {
			this.#waking = false;
		}
	}

	/** Sees to it that what becomes overdue is found. One timer for all requests, and none while there are none. */
	#watch(): void {
		const { ports, options } = this.#env;
		this.#watching ??= ports.clock.after(options.sweepMs, () => this.#sweep(), { unref: true });
	}

	#sweep(): void {
		const env = this.#env;
		const now = env.ports.clock.nowMs();
		this.#watching = undefined;
		this.active.forEach((exchange) => this.#guarded(exchange, () => this.#check(exchange, now)));
		for (const pool of env.holds.pools()) this.#wake(pool);
		if (this.active.size > 0) this.#watch();
	}

	#check(exchange: Exchange, now: number): void {
		const { clientWriteTimeoutMs, hold } = this.#env.options;
		if (exchange.cutAtMs !== 0 && now > exchange.cutAtMs) return void exchange.res.destroy();
		if (exchange.lingerUntilMs !== 0 && now > exchange.lingerUntilMs) return void exchange.res.end();
		if (exchange.blockedSinceMs !== 0 && now - exchange.blockedSinceMs > clientWriteTimeoutMs)
			return void exchange.res.destroy();
		if (exchange.finished) {
			// Answered, and still being written: the client has as long for the rest as for any other write.
			if (exchange.blockedSinceMs === 0) exchange.blockedSinceMs = now;
			return;
		}
		if (exchange.held && now - exchange.heldSinceMs > hold.waitMaxMs) return this.#release(exchange, 'IM_ROUTE_HELD');
		if (exchange.held && now > exchange.deadlineAtMs) return this.#release(exchange, 'IM_ROUTE_DEADLINE');
		const { attempt } = exchange;
		if (attempt === undefined) return;
		if (now > exchange.deadlineAtMs && !exchange.committed) return attempt.stop('failed', 'IM_ROUTE_DEADLINE');
		const overdue = attempt.overdue(now);
		if (overdue !== undefined) attempt.stop('failed', overdue);
	}

	#release(exchange: Exchange, code: RouterErrorCode): void {
		this.#env.holds.remove(exchange);
		exchange.held = false;
		this.#refuse(exchange, { code, retryAfterS: this.#env.options.saturatedRetryAfterS });
	}

	/** Resets everything that is still here. */
	abortAll(): void {
		this.#watching?.cancel();
		this.active.forEach((exchange) => {
			exchange.attempt?.stop('cancelled');
			exchange.res.destroy();
		});
	}

	#health(exchange: Exchange): void {
		const { closing } = this.#env;
		sendJson(exchange, closing ? 503 : 200, JSON.stringify({ status: closing ? 'closing' : 'ok' }));
	}

	#model(exchange: Exchange, id: string): void {
		const body = modelBody(this.#env.ports.directory, id);
		if (body === undefined) this.#refuse(exchange, { code: 'IM_ROUTE_MODEL_UNKNOWN', param: 'model' });
		else sendJson(exchange, 200, body);
	}

	#refuse(exchange: Exchange, refusal: Refusal): void {
		if (exchange.finished) return;
		sendRefusal(exchange, refusal, undefined, this.#env.ports.clock.nowMs(), this.#env.options.lingerMs);
	}

	#enter(exchange: Exchange): void {
		const env = this.#env;
		exchange.sampled = (env.requests++ & env.options.stageSampleMask) === 0;
		this.active.add(exchange);
		this.#watch();
		env.ports.metrics.requestStarted();
		if (env.closing) exchange.res.shouldKeepAlive = false;
		exchange.res.on('close', () => this.#leave(exchange));
	}

	/** The response is over: sent whole, cut, or the client has gone. The one place where a request's resources are given back. */
	#leave(exchange: Exchange): void {
		const env = this.#env;
		const cancelled = !exchange.finished;
		exchange.finished = true;
		if (exchange.held) env.holds.remove(exchange);
		exchange.held = false;
		this.active.remove(exchange);
		exchange.attempt?.stop('cancelled');
		dropBody(env, exchange);
		if (env.promptOf === exchange) env.promptOf = undefined;
		const { res, pool, path, refusal, requestId } = exchange;
		const status = cancelled ? CLIENT_CLOSED : res.statusCode;
		const durationMs = env.ports.clock.nowMs() - exchange.startMs;
		env.ports.metrics.requestEnded(pool, path, status, refusal?.code, durationMs);
		exchange.span?.end(refusal?.code);
		if (!env.options.logRequests) return;
		env.ports.log.info(
			{ requestId, path, status, durationMs, error: refusal?.code, attempts: exchange.attempts },
			'request',
		);
	}

	#guarded(exchange: Exchange, step: () => void): void {
		try {
			step();
		} catch (error) {
			this.#broken(exchange, error);
		}
	}

	/** A bug must cost one request, not the router. */
	#broken(exchange: Exchange, error: unknown): void {
		this.#env.ports.log.error(
			{ requestId: exchange.requestId, error: String(error) },
			'request failed inside the router',
		);
		exchange.attempt?.stop('cancelled');
		if (exchange.committed) exchange.res.destroy();
		else this.#refuse(exchange, { code: 'IM_ROUTE_INTERNAL' });
	}
}

/** Status in metrics of a request whose client left first, as nginx counts it. */
const CLIENT_CLOSED = 499;
