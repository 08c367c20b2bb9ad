// Owns the prefill of a pair: one token at the engine that prefills, its entry in the ledger and its outcome, then the way of the KV to the engine that decodes.
import type { RouterEnv } from '../../router/env.js';
import type { RouterErrorCode } from '../../router/errors.js';
import { type EndedPrefill, recordPrefill } from '../../router/outcome.js';
import type { PairPlan } from '../../router/pd/pair.js';
import type { OutcomeStatusName } from '../../router/ports.js';
import type { Usage } from '../../router/usage.js';
import { EngineVisit } from './engine-visit.js';
import { EventClass } from './event-queue.js';
import type { SimAttempt } from './sim-attempt.js';
import type { SimEngine } from './sim-engine.js';
import type { World } from './world.js';

export interface PrefillEvents {
	/** The KV of so many tokens is where the request is decoded. */
	done(tokens: number): void;
	failed(failure: RouterErrorCode): void;
}

export class PrefillVisit implements EndedPrefill {
	readonly plan: SimAttempt;
	readonly pair: PairPlan;
	readonly startedMs: number;
	readonly ledgerEntry: number;
	status = 0;
	usage: Usage | undefined;
	readonly #world: World;
	readonly #env: RouterEnv;
	readonly #events: PrefillEvents;
	readonly #visit: EngineVisit;
	#ended = false;
	#stopped = false;

	constructor(world: World, env: RouterEnv, attempt: SimAttempt, pair: PairPlan, events: PrefillEvents) {
		const { request } = attempt;
		this.#world = world;
		this.#env = env;
		this.plan = attempt;
		this.pair = pair;
		this.#events = events;
		this.startedMs = env.ports.clock.nowMs();
		this.ledgerEntry = env.ports.ledger.dispatch(pair.target, request.tokensIn, pair.uncachedTokens);
		this.#visit = new EngineVisit(world, request, pair.target.tableRow, {
			refused: (status) =>
				status === 503
					? this.#fail('IM_UPSTREAM_SATURATED', 'rejected', false)
					: this.#fail('IM_UPSTREAM_ERROR', 'ok', false),
			unreachable: () => this.#fail('IM_UPSTREAM_CONNECT', 'upstream_error', true),
			died: () => this.#fail('IM_UPSTREAM_DIED', 'upstream_error', false),
			firstToken: () => env.ports.ledger.firstToken(this.ledgerEntry),
			finished: (tokensOut, tokensCached) => this.#done(tokensOut, tokensCached),
		});
	}

	start(): void {
		this.#visit.send({ leg: 'prefill', outputTokens: 1, transferredTokens: 0, fetchFrom: this.pair.fetchFrom });
	}

	/** The attempt has ended: nobody needs this any more. */
	stop(): void {
		this.#stopped = true;
		if (this.#ended) return;
		this.#visit.cancel(false);
		this.#end('cancelled', false);
	}

	#done(tokensOut: number, tokensCached: number): void {
		const { request, target } = this.plan;
		this.status = 200;
		this.usage = { tokensIn: request.tokensIn, tokensOut, tokensCached, tellsCached: true };
		this.#end('ok', false);
		const { queue, engines } = this.#world;
		const from = engines[this.pair.target.tableRow] as SimEngine;
		const to = engines[target.tableRow] as SimEngine;
		const transferUs = this.#world.transferUs(from, to, request.tokensIn);
		queue.at(queue.nowUs + transferUs, EventClass.wire, () => {
			if (!this.#stopped) this.#events.done(request.tokensIn);
		});
	}

	#fail(failure: RouterErrorCode, status: OutcomeStatusName, unreachable: boolean): void {
		this.#end(status, unreachable);
		this.#events.failed(failure);
	}

	#end(status: OutcomeStatusName, unreachable: boolean): void {
		this.#ended = true;
		recordPrefill(this.#env, this.plan.request, this, status, unreachable);
	}
}
