// Owns one attempt of a request at a simulated engine, as production's pipeline sees it: the way there and back, the engine's part between, and what comes
// before it (a prefill at another engine, a fetched prefix, an adapter to load). It ends exactly once. What it takes of the workload's output length goes to
// the engine only.

import { BaseAttempt } from '../../router/base-attempt.js';
import type { RouterEnv } from '../../router/env.js';
import type { RouterErrorCode } from '../../router/errors.js';
import type { RunningAttempt } from '../../router/routed-request.js';
import type { AttemptPlan } from '../../router/upstream-response.js';
import { EngineVisit } from './engine-visit.js';
import { PrefillVisit } from './prefill-visit.js';
import type { SimRequest } from './sim-request.js';
import type { World } from './world.js';

export class SimAttempt extends BaseAttempt {
	events = 0;
	readonly request: SimRequest;
	readonly #env: RouterEnv;
	readonly #world: World;
	#visit: EngineVisit | undefined;
	#prefill: PrefillVisit | undefined;

	constructor(
		world: World,
		env: RouterEnv,
		request: SimRequest,
		plan: AttemptPlan,
		ledgerEntry: number,
		onEnd: (attempt: RunningAttempt) => void,
	) {
		super(env, plan, ledgerEntry, onEnd);
		this.#world = world;
		this.#env = env;
		this.request = request;
	}

	start(): void {
		const { pair } = this;
		if (pair === undefined) return this.#go(0);
		this.#prefill = new PrefillVisit(this.#world, this.#env, this, pair, {
			done: (tokens) => this.#go(tokens),
			failed: (failure) => {
				this.failedRow = pair.row;
				this.finish('failed', failure);
			},
		});
		this.#prefill.start();
	}

	/** To the engine that answers, with so many tokens of KV that come from elsewhere. */
	#go(transferredTokens: number): void {
		this.#visit = new EngineVisit(this.#world, this.request, this.target.tableRow, {
			refused: (status) => this.#held(status),
			unreachable: () => this.finish('failed', 'IM_UPSTREAM_CONNECT'),
			died: () => this.finish('failed', 'IM_UPSTREAM_DIED'),
			firstToken: () => this.#firstToken(),
			finished: (tokensOut, tokensCached) => this.#finished(tokensOut, tokensCached),
		});
		this.#visit.send({
			leg: this.pair === undefined ? 'whole' : 'decode',
			outputTokens: this.request.row.outputTokens,
			transferredTokens,
			fetchFrom: this.fetchFrom,
		});
	}

	stop(end: 'failed' | 'cancelled', failure?: RouterErrorCode): void {
		if (this.end !== undefined) return;
		this.#prefill?.stop();
		// Another attempt of the request answers.
		this.#visit?.cancel(this.request.attempt !== this);
		this.finish(end, failure);
	}

	overdue(nowMs: number): RouterErrorCode | undefined {
		const { firstByteTimeoutMs } = this.#env.options.upstream;
		return this.firstTokenMs === 0 && nowMs - this.startedMs > firstByteTimeoutMs
			? 'IM_UPSTREAM_FIRST_BYTE_TIMEOUT'
			: undefined;
	}

	#firstToken(): void {
		if (this.end !== undefined) return;
		const { request } = this;
		if (!request.committed) request.race?.won(this);
		request.committed = true;
		this.status = 200;
		this.events = 1;
		this.firstTokenMs = this.#env.ports.clock.nowMs();
		this.#env.ports.ledger.firstToken(this.ledgerEntry);
		this.#world.tally.firstToken(request, this.#world.queue.nowUs);
	}

	#finished(tokensOut: number, tokensCached: number): void {
		if (this.end !== undefined) return;
		this.events = tokensOut;
		this.usage = { tokensIn: this.request.tokensIn, tokensOut, tokensCached, tellsCached: true };
		this.finish('relayed');
		this.request.protocol.answer(this.request, this);
	}

	#held(status: number): void {
		if (this.end !== undefined) return;
		this.status = status;
		this.finish('held');
	}
}
