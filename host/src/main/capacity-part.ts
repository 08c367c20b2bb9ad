// The composition of capacity advice: attempts as they end, how models stand as the agent knows it, and the advice as rows and gauges. A router's; what other
// routers have in flight is in the counters already.
import type { Clock, Timer } from '@infermesh/proto';
import { CapacityAdvisor, type CapacityView, type ModelStanding } from '../capacity/advisor.js';
import type { MeshConfig } from '../config/schema.js';
import { type InflightReader, REQUESTS } from '../fleet/inflight.js';
import type { ModelPool } from '../router/ports.js';
import { type CollectedSample, totalOf } from '../telemetry/exposition.js';
import { eachOutcome, isFailure, type OutcomeBatch } from './outcome-wire.js';
import type { TargetService } from './target-service.js';

/** Models are looked at this often: enough to know the share of a router in what is in flight. */
const LOOK_MS = 1000;

export interface CapacityParts {
	readonly config: MeshConfig;
	readonly clock: Clock;
	readonly targets: TargetService;
	readonly counters: InflightReader;
	/** Metrics of the workers. */
	readonly buffers: readonly SharedArrayBuffer[];
}

export class CapacityPart {
	readonly #parts: CapacityParts;
	readonly #advisor: CapacityAdvisor;
	readonly #looking: Timer;
	/** By index of the pool. */
	readonly #models = new Map<number, string>();

	constructor(parts: CapacityParts) {
		const { clock, config } = parts;
		const { capacity } = config;
		this.#parts = parts;
		this.#advisor = new CapacityAdvisor(
			{
				windowMs: capacity.window_ms,
				modelsMax: config.fleet.models_max,
				goodRatio: capacity.good_ratio,
				requestsMin: capacity.requests_min,
				headroomRatio: capacity.headroom_ratio,
				growthRatio: capacity.growth_ratio,
				halfLifeMs: capacity.half_life_ms,
				outAfterMs: capacity.out_after_ms,
				inAfterMs: capacity.in_after_ms,
				inStep: capacity.in_step,
				replicasMin: capacity.replicas_min,
				replicasMax: capacity.replicas_max,
			},
			clock.nowMs(),
		);
		this.#looking = clock.every(LOOK_MS, () => this.#look(), { unref: true });
	}

	observe(batch: OutcomeBatch): void {
		eachOutcome(batch, (poolIndex, status, ttftMs, tpotMs) => {
			const model = this.#models.get(poolIndex);
			if (model === undefined || status === 'cancelled') return;
			this.#advisor.ended(model, { ok: !isFailure(status), refused: status === 'rejected', ttftMs, tpotMs });
		});
	}

	views(): CapacityView[] {
		return this.#advisor.views();
	}

	samples(): CollectedSample[] {
		const samples: CollectedSample[] = [];
		for (const { model, desired, demandPerS, sustainablePerS, goodRatio } of this.views()) {
			samples.push({ metric: 'capacityDesired', labels: [model], value: desired });
			samples.push({ metric: 'capacityDemand', labels: [model], value: demandPerS });
			if (sustainablePerS !== undefined)
				samples.push({ metric: 'capacitySustainable', labels: [model], value: sustainablePerS });
			if (goodRatio !== undefined) samples.push({ metric: 'capacityGood', labels: [model], value: goodRatio });
		}
		return samples;
	}

	close(): void {
		this.#looking.cancel();
	}

	#look(): void {
		const { targets, clock } = this.#parts;
		const pools = targets.registry.pools().filter((pool) => pool.elsewhere !== true);
		this.#models.clear();
		for (const { index, model } of pools) this.#models.set(index, model);
		this.#advisor.look(
			pools.filter((pool) => pool.targets.some((target) => target !== undefined)).map((pool) => this.#standing(pool)),
			clock.nowMs(),
		);
	}

	#standing({ model, targets: upstreams, policy }: ModelPool): ModelStanding {
		const { config, targets, counters, buffers } = this.#parts;
		const { capacity } = config;
		const rows = upstreams
			.filter((target) => target !== undefined)
			.map(({ id, tableRow }) => ({
				id,
				own: counters.own(REQUESTS, tableRow),
				all: counters.total(REQUESTS, tableRow),
				state: targets.registry.has(id) ? targets.fusion.status(targets.registry.get(id)).state : 'unknown',
			}));
		const serving = rows.filter(({ state }) => state === 'ready' || state === 'degraded');
		return {
			model,
			ready: serving.length,
			objectives: {
				ttftMs: policy.slos.common?.ttftMs ?? capacity.ttft_ms,
				tpotMs: policy.slos.common?.tpotMs ?? capacity.tpot_ms,
			},
			ownInFlight: rows.reduce((sum, { own }) => sum + own, 0),
			inFlight: rows.reduce((sum, { all }) => sum + all, 0),
			refusedTotal: totalOf(
				buffers,
				'requests',
				([name, , , status, code]) => name === model && (status === '429' || status === '503') && code !== '',
			),
			targets: serving.sort((a, b) => a.all - b.all).map(({ id }) => id),
		};
	}
}
