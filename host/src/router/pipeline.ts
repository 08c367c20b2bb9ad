// Owns the order in which an HTTP request passes the stages; this file reads top to bottom as a request lives:
// accept → headers → authenticate → receive → parse, then, in routing.ts and shared with other protocols, decide → dispatch → outcome. Each stage is a
// small function in a file of its own; streaming back is the attempt's. It is also what HTTP does where protocols differ: attempts, answers, cuts.
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { ServerHttp2Stream } from 'node:http2';
import { type OwnAnswer, passThrough } from '@infermesh/adapters';
import { type Accepted, accept } from './accept.js';
import { Attempt } from './attempt.js';
import { authenticate } from './authenticate.js';
import { type RouterEnv, stageEnded } from './env.js';
import { type Refusal, type RouterErrorCode, routerErrors } from './errors.js';
import { Exchange } from './exchange.js';
import { isOpen, ownAnswer } from './own-answers.js';
import { parse } from './parse.js';
import { dropBody, receive } from './receive.js';
import { readHeaders } from './request-headers.js';
import { resolve } from './resolve.js';
import { cut, cutClient, sendEmpty, sendHeld, sendJson, sendRefusal } from './respond.js';
import type { Protocol, RunningAttempt } from './routed-request.js';
import type { Routing } from './routing.js';
import { reportAnswer, type ScoringAnswer, scoringAnswer } from './scoring/http.js';
import { LineTalk } from './scoring/line-talk.js';
import { isReport, scoringPath } from './scoring/paths.js';
import type { Scoring } from './scoring/scoring.js';
import type { AttemptPlan } from './upstream-response.js';

/** A report on what was admitted for another router to dispatch, or a stream of questions. */
function posted(method: string, label: string): Accepted {
	if (method === 'POST') return { kind: 'forward', dialect: passThrough, label };
	return { kind: 'refuse', refusal: { code: 'IM_REQUEST_METHOD', allow: 'POST' } };
}

export class Pipeline implements Protocol {
	readonly #env: RouterEnv;
	readonly #routing: Routing;
	readonly #scoring: Scoring;

	constructor(env: RouterEnv, routing: Routing, scoring: Scoring) {
		this.#env = env;
		this.#routing = routing;
		this.#scoring = scoring;
	}

	/** Takes a request from the server; `stream2` is the stream it came on, if it came by HTTP/2. Never throws. */
	handle(req: IncomingMessage, res: ServerResponse, stream2?: ServerHttp2Stream): void {
		const env = this.#env;
		const target = req.url ?? '/';
		const query = target.indexOf('?');
		const full = query < 0 ? target : target.slice(0, query);
		const scoring = scoringPath(full, req.headers['content-type']);
		const path = scoring?.path ?? full;
		const method = req.method ?? 'GET';
		const accepted =
			scoring !== undefined && (scoring.streams || isReport(scoring.verb))
				? posted(method, scoring.label)
				: accept(method, path, env.options.passThrough);
		const exchange = this.#exchange(accepted, req, res, path, target, stream2);
		exchange.scoring = scoring?.verb;
		if (scoring !== undefined) exchange.label = scoring.label;
		this.#enter(exchange);
		try {
			const own = accepted.kind === 'own' && scoring === undefined;
			if (own && isOpen(accepted.answer)) return this.#own(exchange, accepted.answer, '');
			const refusal = this.#routing.saturated() ?? this.#identify(exchange);
			if (refusal !== undefined) return this.refuse(exchange, refusal);
			if (accepted.kind === 'refuse') return this.refuse(exchange, accepted.refusal);
			if (accepted.kind === 'options') return sendEmpty(exchange, 204, ['allow', accepted.allow]);
			if (accepted.kind === 'own')
				return own
					? this.#own(exchange, accepted.answer, accepted.model)
					: this.refuse(exchange, { code: 'IM_REQUEST_PATH' });
			if (scoring?.streams === true) return new LineTalk(env, this.#scoring, exchange, scoring.verb).begin();
			receive(env, exchange, (refused) => this.#routing.guarded(exchange, () => this.#received(exchange, refused)));
		} catch (error) {
			this.#routing.broken(exchange, error);
		}
	}

	#exchange(
		accepted: Accepted,
		req: IncomingMessage,
		res: ServerResponse,
		path: string,
		target: string,
		stream2: ServerHttp2Stream | undefined,
	): Exchange {
		const dialect = accepted.kind === 'forward' ? accepted.dialect : passThrough;
		const exchange = new Exchange(this, req, res, dialect, path, target, this.#env.ports.clock.nowMs(), stream2);
		if (accepted.kind === 'forward' || accepted.kind === 'own') exchange.label = accepted.label;
		if (accepted.kind !== 'forward') return exchange;
		exchange.pathModel = accepted.model;
		exchange.pathId = accepted.id;
		return exchange;
	}

	#enter(exchange: Exchange): void {
		const { res } = exchange;
		this.#routing.enter(exchange);
		if (this.#env.closing && exchange.stream2 === undefined) res.shouldKeepAlive = false;
		res.on('close', () => {
			this.#routing.leave(exchange, res.statusCode);
			dropBody(this.#env, exchange);
		});
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
		const verb = exchange.scoring;
		if (isReport(verb))
			return this.#scored(
				exchange,
				refused === undefined ? reportAnswer(this.#scoring, exchange, verb) : { refusal: refused },
			);
		const refusal = refused ?? parse(env, exchange) ?? resolve(env, exchange);
		stageEnded(env, exchange, 'parse');
		if (refusal !== undefined) return this.refuse(exchange, refusal);
		if (verb !== undefined) return this.#scored(exchange, scoringAnswer(this.#scoring, exchange, verb));
		this.#routing.begin(exchange);
	}

	attempt(
		exchange: Exchange,
		plan: AttemptPlan,
		ledgerEntry: number,
		onEnd: (attempt: RunningAttempt) => void,
	): Attempt {
		return new Attempt(this.#env, exchange, plan, ledgerEntry, onEnd);
	}

	answer(exchange: Exchange, attempt: Attempt): void {
		const env = this.#env;
		const { failure, relay } = attempt;
		if (failure === undefined) return sendHeld(env, exchange, attempt);
		if (exchange.committed) return cut(env, exchange, failure, relay !== undefined, relay?.midEvent === true);
		const refusal = this.#upstreamRefusal(failure);
		sendRefusal(exchange, refusal, attempt, env.ports.clock.nowMs(), env.options.lingerMs);
	}

	#upstreamRefusal(code: RouterErrorCode): Refusal {
		const { retryable, httpStatus } = routerErrors[code];
		return retryable && (httpStatus === 429 || httpStatus === 503)
			? { code, retryAfterS: this.#env.options.saturatedRetryAfterS }
			: { code };
	}

	refuse(exchange: Exchange, refusal: Refusal): void {
		if (exchange.finished) return;
		sendRefusal(exchange, refusal, undefined, this.#env.ports.clock.nowMs(), this.#env.options.lingerMs);
	}

	check(exchange: Exchange, now: number): boolean {
		const { cutAtMs, lingerUntilMs } = exchange;
		if (cutAtMs !== 0 && now > cutAtMs) cutClient(exchange);
		else if (lingerUntilMs !== 0 && now > lingerUntilMs) exchange.res.end();
		else if (exchange.standing?.check(now) === true) return true;
		else if (exchange.receiving && now - exchange.startMs > this.#env.options.requestTimeoutMs)
			this.refuse(exchange, { code: 'IM_REQUEST_TIMEOUT' });
		else return false;
		return true;
	}

	abort(exchange: Exchange): void {
		cutClient(exchange);
	}

	#scored(exchange: Exchange, answer: ScoringAnswer): void {
		if ('refusal' in answer) this.refuse(exchange, answer.refusal);
		else sendJson(exchange, 200, JSON.stringify(answer));
	}

	/** Answers what the router knows of itself. */
	#own(exchange: Exchange, answer: OwnAnswer, model: string): void {
		const { status, body, refusal } = ownAnswer(this.#env, answer, model);
		if (refusal === undefined) sendJson(exchange, status, body);
		else this.refuse(exchange, refusal);
	}
}
