// Owns the decider that a simulated router's pipeline asks: it brings the router's table up to date, lets the arm of the request decide, and adds what the
// scenario asks for (exploration). It notes every decision.
import type { Random } from '@infermesh/proto';
import type { Decider, ModelPool, RowStanding } from '../../router/ports.js';
import type { WorkerDecider } from '../../strategy/runtime/decider.js';
import { Decision, type PrefixHits, type RequestFeatures } from '../../strategy/runtime/decision.js';
import { exploreEvenly } from '../../strategy/runtime/explore.js';
import { predictedTtftMs } from './predictor.js';
import type { SimEngine } from './sim-engine.js';
import type { SimRequest } from './sim-request.js';
import type { World } from './world.js';

/** Targets looked at for each decision on average, to tell its regret. */
const ROWS_EACH = 64;

export interface SimDeciderParts {
	readonly world: World;
	readonly random: Random;
	readonly exploration: Random;
	/** By arm. */
	readonly deciders: readonly WorkerDecider[];
	readonly deciding: () => SimRequest | undefined;
	/** Whether a pool row could take a request, as far as the simulation knows. */
	readonly mayTake: (pool: ModelPool, row: number) => boolean;
	/** Makes the router's table show what it knows by now. */
	readonly bringUp: () => void;
}

export class SimDecider implements Decider {
	readonly #parts: SimDeciderParts;
	readonly #asked = new Decision();
	#decisions = 0;
	#isForced = false;

	constructor(parts: SimDeciderParts) {
		this.#parts = parts;
	}

	decide(
		pool: ModelPool,
		features: RequestFeatures,
		hits: PrefixHits,
		excluded: readonly number[],
		out: Decision,
	): void {
		const { world, bringUp } = this.#parts;
		bringUp();
		if (world.spec.signals.outputEstimate === 'none') features.tokensOut = 0;
		this.#arm().decide(pool, features, hits, excluded, out);
		this.#explore(out);
		this.#force(pool, excluded, out);
		this.#note(pool, out);
		this.#ask(pool, features, hits, excluded, out);
		this.#regret(pool, excluded, out);
	}

	decideInDoubt(pool: ModelPool, excluded: readonly number[], out: Decision): void {
		this.#parts.bringUp();
		this.#arm().decideInDoubt(pool, excluded, out);
		this.#note(pool, out);
	}

	standing(pool: ModelPool, row: number, out: RowStanding): boolean {
		this.#parts.bringUp();
		return this.#arm().standing(pool, row, out);
	}

	ready(pool: ModelPool): boolean {
		return this.#arm().ready(pool);
	}

	decideForced(pool: ModelPool, row: number, out: Decision): void {
		this.#arm().decideForced(pool, row, out);
	}

	remember(): void {
		// Nobody asks a simulation to explain one decision afterwards.
	}

	#arm(): WorkerDecider {
		const { deciders, deciding } = this.#parts;
		return deciders[deciding()?.arm ?? 0] as WorkerDecider;
	}

	/** Sends a share of requests to one of the ranked rows, drawn evenly. */
	#explore(out: Decision): void {
		const share = this.#parts.world.spec.router.exploration;
		if (share === 0 || out.verdict !== 'route' || out.count < 2) return;
		exploreEvenly(out, share, this.#parts.exploration.nextFloat());
	}

	/** Another choice at one decision, with all else as it was: the strategy has been asked, and every draw was made. */
	#force(pool: ModelPool, excluded: readonly number[], out: Decision): void {
		const { world, deciding, mayTake } = this.#parts;
		const { forced } = world.spec.router;
		if (forced === undefined || this.#isForced || deciding()?.index !== forced.request) return;
		if (out.verdict !== 'route' || out.count === 0) return;
		this.#isForced = true;
		const row = pool.targets.findIndex((target) => target?.tableRow === forced.row);
		if (row < 0 || row === out.rows[out.chosen] || excluded.includes(row) || !mayTake(pool, row)) return;
		const ranked = out.rows.subarray(0, out.count).indexOf(row);
		if (ranked >= 0) out.chosen = ranked;
		else out.rows[out.chosen] = row;
		// It was for the target that was chosen.
		out.fetchFromRow = -1;
	}

	/** What the arm that is only asked would have chosen on the same frame. */
	#ask(pool: ModelPool, features: RequestFeatures, hits: PrefixHits, excluded: readonly number[], out: Decision): void {
		const { world, deciders, deciding } = this.#parts;
		const arm = world.spec.router.askedArm;
		const request = deciding();
		if (arm === undefined || request === undefined || out.verdict !== 'route' || out.count === 0) return;
		const asked = this.#asked;
		deciders[arm]?.decide(pool, features, hits, excluded, asked);
		const row = asked.verdict === 'route' && asked.count > 0 ? (asked.rows[asked.chosen] as number) : -1;
		const drawable = out.rows.subarray(0, out.count).includes(row);
		world.tally.asked(request, !drawable ? -1 : row === out.rows[out.chosen] ? 1 : 0);
	}

	/** How much more the choice costs than the best one, by the common predictor. In a large pool not every decision is looked at. */
	#regret(pool: ModelPool, excluded: readonly number[], out: Decision): void {
		const { world, deciding, mayTake } = this.#parts;
		const request = deciding();
		const every = Math.ceil(pool.targets.length / ROWS_EACH);
		if (request === undefined || out.verdict !== 'route' || out.count === 0 || this.#decisions++ % every !== 0) return;
		const chosen = out.rows[out.chosen] as number;
		let least = Number.POSITIVE_INFINITY;
		let own = 0;
		for (let row = 0; row < pool.targets.length; row++) {
			const target = pool.targets[row];
			if (target === undefined || (row !== chosen && (excluded.includes(row) || !mayTake(pool, row)))) continue;
			const engine = world.engines[target.tableRow] as SimEngine;
			const blocks = engine.prompts.blocks(request.index);
			const costMs = predictedTtftMs(engine, blocks, request.tokensIn, world.wayUs[target.tableRow] as number);
			least = Math.min(least, costMs);
			if (row === chosen) own = costMs;
		}
		world.tally.regretted(own - least);
	}

	#note(pool: ModelPool, out: Decision): void {
		const request = this.#parts.deciding();
		if (request === undefined) return;
		const routes = out.verdict === 'route' && out.count > 0;
		const row = routes ? (pool.targets[out.rows[out.chosen] as number]?.tableRow ?? -1) : -1;
		const { tally, queue } = this.#parts.world;
		tally.decided(request, queue.nowUs, row, out.propensity);
	}
}
