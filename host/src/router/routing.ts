// Owns the way of a request that has been read, whatever its protocol: decide → hold or dispatch → retry → outcome, what becomes overdue on the way,
// and the giving back of what it held. Invariants: every request is answered or cut exactly once; every attempt ends in one ledger entry closed and
// one outcome recorded; nothing waits without a bound in number and in time.
import type { Timer } from '@infermesh/proto';
import { ActiveRequests } from './active-requests.js';
import { attemptsOf, stopAttempts } from './attempts.js';
import { decide, expectedTokensOut, noTarget, type Step } from './decide.js';
import { dispatch } from './dispatch.js';
import { type RouterEnv, stageEnded } from './env.js';
import type { Refusal, RouterErrorCode } from './errors.js';
import { recordOutcome } from './outcome.js';
import type { ModelPool } from './ports.js';
import { backoffMs, retryReason } from './retry.js';
import type { RoutedRequest, RunningAttempt } from './routed-request.js';
import { tenantOf } from './tenant-policy.js';
import { tokenize } from './tokenize.js';
import { begin, end } from './trial.js';

export class Routing {
	readonly active = new ActiveRequests();
	readonly #env: RouterEnv;
	#waking = false;
	#watching: Timer | undefined;

	constructor(env: RouterEnv) {
		this.#env = env;
		env.admission.bind({
			admitted: (request) => this.guarded(request, () => this.#admitted(request)),
			look: (pool) => this.#wake(pool),
			expected: (request, pool) => expectedTokensOut(env, request, pool),
			held: (pool) => env.holds.held(pool),
		});
	}

	/** Counts a request in. Whoever enters it sees to it that `leave` is called. */
	enter(request: RoutedRequest): void {
		const env = this.#env;
		request.sampled = (env.requests++ & env.options.stageSampleMask) === 0;
		this.active.add(request);
		this.#watch();
		env.ports.metrics.requestStarted();
	}

	/** What a request is told that comes when the router is full; undefined when it is not. */
	saturated(): Refusal | undefined {
		return this.active.size <= this.#env.options.inflightMax ? undefined : this.full();
	}

	/** What a request is told for which there is no room. */
	full(): Refusal {
		return { code: 'IM_ROUTE_SATURATED', retryAfterS: this.#env.options.saturatedRetryAfterS };
	}

	/** Takes a request that has been read and whose route is known. */
	begin(request: RoutedRequest): void {
		const env = this.#env;
		env.retries.earn();
		const admitted = request.route === undefined || env.admission.admit(request, request.route.pool);
		stageEnded(env, request, 'admit');
		if (admitted) this.#admitted(request);
		// Its ids are made while it waits for its turn; where only others of the mesh wait, that may be now.
		else if (request.ticket?.entry !== undefined) tokenize(env, request, () => this.#wakeAlone(request.route?.pool));
	}

	#admitted(request: RoutedRequest): void {
		tokenize(this.#env, request, () => this.guarded(request, () => this.#route(request, undefined)));
	}

	/** Decides and dispatches. `last` is the attempt before, answered with if there is nowhere else to go. */
	#route(request: RoutedRequest, last: RunningAttempt | undefined): void {
		const step = decide(this.#env, request);
		begin(this.#env, request);
		stageEnded(this.#env, request, 'decide');
		this.#follow(request, step, last);
	}

	#follow(request: RoutedRequest, step: Step, last: RunningAttempt | undefined): void {
		const env = this.#env;
		if (step.kind === 'go') {
			dispatch(env, request, step, (attempt) => this.guarded(request, () => this.#attemptEnded(request, attempt)));
			return stageEnded(env, request, 'dispatch');
		}
		if (step.kind === 'full') return env.admission.wait(request, step.pool, last);
		if (step.kind === 'hold') return this.#hold(request, step.pool.index, step.key, last);
		if (last === undefined) return request.protocol.refuse(request, step.refusal);
		const waitMs = backoffMs(env, request, last);
		if (waitMs === undefined) return this.#answer(request, last);
		env.ports.metrics.retry(last.pool, 'all_tried');
		request.waiting = env.ports.clock.after(waitMs, () => this.guarded(request, () => this.#again(request, last)), {
			unref: true,
		});
	}

	/** All targets have failed once: after a pause they may be asked again. */
	#again(request: RoutedRequest, last: RunningAttempt): void {
		request.waiting = undefined;
		if (!request.finished) this.#route(request, last);
	}

	#hold(request: RoutedRequest, pool: number, key: number, last: RunningAttempt | undefined): void {
		const env = this.#env;
		if (request.heldSinceMs === 0) request.heldSinceMs = env.ports.clock.nowMs();
		request.held = env.holds.push(pool, request, key, request.heldSinceMs);
		if (request.held) return;
		if (last !== undefined) return this.#answer(request, last);
		request.protocol.refuse(request, { code: 'IM_ROUTE_HELD', retryAfterS: env.options.saturatedRetryAfterS });
	}

	#attemptEnded(request: RoutedRequest, attempt: RunningAttempt): void {
		const env = this.#env;
		stageEnded(env, request, 'stream_back');
		const lane = request.race?.left(attempt);
		recordOutcome(env, request, attempt, lane);
		if (lane?.awaitsOthers === true) return this.#wake(attempt.pool.index);
		env.admission.spent(request, attempt);
		request.attempt = undefined;
		request.race = undefined;
		if (attempt.end === 'held' || attempt.end === 'failed') {
			const reason = retryReason(env, request, attempt);
			if (reason === undefined) this.#answer(request, attempt);
			else {
				env.ports.metrics.retry(attempt.pool, reason);
				this.#route(request, attempt);
			}
		}
		this.#wake(attempt.pool.index);
	}

	/** Answers with what the last attempt brought. */
	#answer(request: RoutedRequest, attempt: RunningAttempt): void {
		if (request.finished) return;
		// What checks had said of the target was right: the request is told what it would have been told without the attempt.
		if (attempt.failure !== undefined && attempt.inDoubt && !request.committed)
			return request.protocol.refuse(request, noTarget(this.#env));
		request.protocol.answer(request, attempt);
	}

	#wakeAlone(pool: ModelPool | undefined): void {
		if (pool !== undefined && this.#env.admission.isAlone(pool.index)) this.#wake(pool.index);
	}

	/** Room may have appeared at a pool: its most urgent held requests are decided again, then those that wait for their turn. */
	#wake(pool: number): void {
		const { holds, admission } = this.#env;
		if (this.#waking || (holds.size === 0 && admission.size === 0)) return;
		this.#waking = true;
		try {
			this.#wakeHeld(pool);
			this.#wakeWaiting(pool);
		} finally {
			this.#waking = false;
		}
	}

	/** Until one is held again. */
	#wakeHeld(pool: number): void {
		const { holds } = this.#env;
		for (let left = holds.held(pool); left > 0; left--) {
			const request = holds.pop(pool);
			if (request === undefined) return;
			request.held = false;
			this.guarded(request, () => this.#route(request, undefined));
			if (request.held) return;
		}
	}

	/** In fair order, until one finds no room. One that may not go everywhere holds up only its own tenant. */
	#wakeWaiting(pool: number): void {
		const { admission } = this.#env;
		let passedOver = 0;
		for (let entry = admission.next(pool); entry !== undefined; entry = admission.next(pool)) {
			const request = entry.item;
			const step = this.#decided(request);
			if (step?.kind !== 'full') {
				const last = admission.serve(entry);
				if (step !== undefined) this.guarded(request, () => this.#follow(request, step, last));
				continue;
			}
			if (!isConfined(request, step.pool) || ++passedOver > PASSED_OVER_MAX) break;
			admission.passOver(pool, entry);
		}
		admission.lookedAll(pool);
	}

	/** Undefined when deciding failed, and the request with it. */
	#decided(request: RoutedRequest): Step | undefined {
		let step: Step | undefined;
		this.guarded(request, () => {
			step = decide(this.#env, request);
			begin(this.#env, request);
			stageEnded(this.#env, request, 'decide');
		});
		return step;
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
		this.active.forEach((request) => this.guarded(request, () => this.#check(request, now)));
		for (const pool of env.holds.pools()) this.#wake(pool);
		if (this.active.size > 0) this.#watch();
	}

	#check(request: RoutedRequest, now: number): void {
		const { clientWriteTimeoutMs, hold } = this.#env.options;
		if (request.protocol.check(request, now)) return;
		if (request.blockedSinceMs !== 0 && now - request.blockedSinceMs > clientWriteTimeoutMs)
			return request.protocol.abort(request);
		if (request.finished) {
			// Answered, and still being written: the client has as long for the rest as for any other write.
			if (request.blockedSinceMs === 0) request.blockedSinceMs = now;
			return;
		}
		if (this.#env.admission.check(request, now)) return;
		if (request.held && now - request.heldSinceMs > hold.waitMaxMs) return this.#release(request, 'IM_ROUTE_HELD');
		if (request.held && now > request.deadlineAtMs) return this.#release(request, 'IM_ROUTE_DEADLINE');
		// Also of an answer that has begun: who asked wants no more of it, and its engine has others to serve.
		if (now > request.deadlineAtMs) return stopAttempts(request, 'failed', 'IM_ROUTE_DEADLINE');
		for (const attempt of attemptsOf(request)) {
			this.#env.admission.soFar(request, attempt);
			const overdue = attempt.overdue(now);
			if (overdue !== undefined) attempt.stop('failed', overdue);
		}
	}

	#release(request: RoutedRequest, code: RouterErrorCode): void {
		this.#env.holds.remove(request);
		request.held = false;
		request.protocol.refuse(request, { code, retryAfterS: this.#env.options.saturatedRetryAfterS });
	}

	/**
	 * The response is over: sent whole, cut, or the client has gone. The one place where a request's resources are given back. `status` is the one
	 * that metrics and logs name.
	 */
	leave(request: RoutedRequest, status: number): void {
		const env = this.#env;
		const cancelled = !request.finished;
		request.finished = true;
		if (request.held) env.holds.remove(request);
		request.held = false;
		request.waiting?.cancel();
		this.active.remove(request);
		stopAttempts(request, 'cancelled');
		env.admission.leave(request);
		env.bodyBytes -= request.bodyBytes;
		request.bodyBytes = 0;
		if (env.promptOf === request) env.promptOf = undefined;
		const { pool, path, label, refusal, requestId, attempts } = request;
		const shown = cancelled ? CLIENT_CLOSED : status;
		const durationMs = env.ports.clock.nowMs() - request.startMs;
		end(env, request, shown, durationMs);
		env.ports.metrics.requestEnded(pool, label, shown, refusal?.code, durationMs);
		request.span?.end(refusal?.code);
		if (!env.options.logRequests) return;
		env.ports.log.info({ requestId, path, status: shown, durationMs, error: refusal?.code, attempts }, 'request');
	}

	/** Resets everything that is still here. */
	abortAll(): void {
		this.#watching?.cancel();
		this.#env.admission.close();
		this.active.forEach((request) => {
			stopAttempts(request, 'cancelled');
			request.protocol.abort(request);
		});
	}

	guarded(request: RoutedRequest, step: () => void): void {
		try {
			step();
		} catch (error) {
			this.broken(request, error);
		}
	}

	/** A bug must cost one request, not the router. */
	broken(request: RoutedRequest, error: unknown): void {
		this.#env.ports.log.error(
			{ requestId: request.requestId, error: String(error) },
			'request failed inside the router',
		);
		stopAttempts(request, 'cancelled');
		if (request.committed) request.protocol.abort(request);
		else request.protocol.refuse(request, { code: 'IM_ROUTE_INTERNAL' });
	}
}

/** Requests that may not go everywhere are passed over so often in one look. */
const PASSED_OVER_MAX = 8;

/** Whether there may be room for others where there is none for it. */
function isConfined(request: RoutedRequest, pool: ModelPool): boolean {
	return request.tried.length > 0 || pool.policy.closedTo.has(tenantOf(request));
}

/** Status in metrics of a request whose client left first, as nginx counts it. */
const CLIENT_CLOSED = 499;
