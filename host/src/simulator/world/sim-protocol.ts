// Owns what a simulated router's pipeline does with requests where protocols differ: attempts go to simulated engines, and an answer is noted instead of sent.
import type { RouterEnv } from '../../router/env.js';
import type { Refusal } from '../../router/errors.js';
import type { Protocol, RunningAttempt } from '../../router/routed-request.js';
import type { Routing } from '../../router/routing.js';
import type { AttemptPlan } from '../../router/upstream-response.js';
import type { RequestStatus } from '../result.js';
import { SimAttempt } from './sim-attempt.js';
import type { SimRequest } from './sim-request.js';
import type { World } from './world.js';

const OK = 200;
const UNAVAILABLE = 503;
const CLIENT_GONE = 499;

export class SimProtocol implements Protocol {
	/** Bound once, before the first request. */
	routing: Routing | undefined;
	readonly #world: World;
	readonly #env: RouterEnv;
	readonly #hasTimeout: boolean;

	constructor(world: World, env: RouterEnv) {
		this.#world = world;
		this.#hasTimeout = world.spec.router.firstByteTimeoutMs !== undefined;
		this.#env = env;
	}

	attempt(
		request: SimRequest,
		plan: AttemptPlan,
		ledgerEntry: number,
		onEnd: (attempt: RunningAttempt) => void,
	): RunningAttempt {
		if (request.dispatchedMs === 0) request.dispatchedMs = this.#env.ports.clock.nowMs();
		return new SimAttempt(this.#world, this.#env, request, plan, ledgerEntry, onEnd);
	}

	answer(request: SimRequest, attempt: RunningAttempt): void {
		if (attempt.end === 'relayed') return this.#close(request, 'finished', attempt.target.tableRow, OK);
		const refused = attempt.end === 'held';
		this.#close(request, refused ? 'rejected' : 'failed', attempt.target.tableRow, UNAVAILABLE);
	}

	refuse(request: SimRequest, refusal: Refusal): void {
		this.#close(request, refusal.code === 'IM_ROUTE_DEADLINE' ? 'timed_out' : 'rejected', -1, UNAVAILABLE);
	}

	/** True for a request that no look can do anything for: with thousands waiting at engines, looking at each would be most of the work. */
	check({ held, deadlineAtMs }: SimRequest): boolean {
		return !held && !this.#hasTimeout && deadlineAtMs === Number.POSITIVE_INFINITY;
	}

	abort(request: SimRequest): void {
		this.#close(request, 'failed', -1, UNAVAILABLE);
	}

	/** The client gives up: whatever is under way is cancelled. */
	giveUp(request: SimRequest): void {
		if (request.finished) return;
		this.#note(request, 'timed_out', request.attempt?.target.tableRow ?? -1);
		this.routing?.leave(request, CLIENT_GONE);
	}

	#close(request: SimRequest, status: RequestStatus, row: number, httpStatus: number): void {
		if (request.finished) return;
		this.#note(request, status, row);
		request.finished = true;
		this.routing?.leave(request, httpStatus);
	}

	#note(request: SimRequest, status: RequestStatus, row: number): void {
		const nowMs = this.#env.ports.clock.nowMs();
		const until = request.dispatchedMs === 0 ? nowMs : request.dispatchedMs;
		const heldMs = request.heldSinceMs === 0 ? 0 : Math.max(0, until - request.heldSinceMs);
		this.#world.tally.end(request, status, this.#world.queue.nowUs, row, heldMs);
		request.timeout?.cancel();
	}
}
