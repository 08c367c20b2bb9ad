// Owns the ways a decision is made in the benches, all over one synthetic pool (the host's own rig): a strategy in WebAssembly as a worker
// runs it, the whole decider of a worker, and hybrid_mesh in plain TypeScript between the same request writing and answer reading.
import {
	CONTROL_BYTES,
	createDecisionMetrics,
	createMetricsBuffer,
	Decision,
	deciderDefaults,
	emptyPlan,
	fuelDefaults,
	GENERATION_WORD,
	MetricsBlock,
	type ModelPool,
	openPolicy,
	type PrefixHits,
	type RequestFeatures,
	type Rig,
	readOutput,
	StrategyInstance,
	type StrategyModule,
	systemClock,
	systemRandom,
	WorkerDecider,
	writeHits,
	writeRequest,
} from '@infermesh/host';
import { OUTPUT_COUNT_WORD, OUTPUT_ROWS_WORD, OUTPUT_SCORES_WORD } from '@infermesh/sdk';
import { HybridMeshReference } from './hybrid-mesh-reference.js';

/** Makes one decision on request `index` of its ring; false when it was not the strategy that decided. */
export type Decide = (index: number) => boolean;

/** Requests made before timing, a power of two: making one costs more than deciding it. */
export const RING = 64;
const MESH_SEED: readonly [number, number] = [1, 2];
const PLACE = { zone: 1, region: 1, topK: deciderDefaults.topK } as const;
const NONE: readonly number[] = [];

export interface RequestRing {
	readonly features: readonly RequestFeatures[];
	readonly hits: readonly PrefixHits[];
}

export function makeRing(rig: Rig): RequestRing {
	const features: RequestFeatures[] = [];
	const hits: PrefixHits[] = [];
	for (let i = 0; i < RING; i++) {
		rig.nextRequest();
		features.push({ ...rig.features });
		const { count, rows, tokens, tiers, flags } = rig.hits;
		hits.push({
			count,
			rows: rows.slice(0, 8),
			tokens: tokens.slice(0, 8),
			tiers: tiers.slice(0, 8),
			flags: flags.slice(0, 8),
		});
	}
	return { features, hits };
}

export function openInstance(rig: Rig, strategy: StrategyModule): StrategyInstance {
	return new StrategyInstance(strategy, rig.view, fuelDefaults, MESH_SEED);
}

/** Brings the rows up to date and writes request `index`, as a worker does before it ranks. */
export function writeFrame(instance: StrategyInstance, ring: RequestRing, index: number): void {
	instance.sync();
	const at = index & (RING - 1);
	const hitCount = writeHits(instance, ring.hits[at] as PrefixHits);
	const features = ring.features[at] as RequestFeatures;
	writeRequest(instance, features, PLACE, index, instance.view.eligibleCount, hitCount);
}

/** One decision all in: rows looked at, request written, strategy run under fuel, answer checked and read. */
export function decideInWasm(rig: Rig, strategy: StrategyModule, ring: RequestRing): Decide {
	const instance = openInstance(rig, strategy);
	const out = new Decision();
	return (index) => {
		writeFrame(instance, ring, index);
		return instance.rank() === 'none' && readOutput(instance, NONE, out) === 'none';
	};
}

/** The same with the ranking in plain TypeScript, which reads and writes the same frame. */
export function decideInTypeScript(rig: Rig, hybridMesh: StrategyModule, ring: RequestRing): Decide {
	const instance = openInstance(rig, hybridMesh);
	const reference = new HybridMeshReference(instance.layout, instance.u32, instance.f32);
	const out = new Decision();
	return (index) => {
		writeFrame(instance, ring, index);
		if (!reference.rank()) return false;
		const at = instance.outputWord;
		for (let i = 0; i < reference.count; i++) {
			instance.u32[at + OUTPUT_ROWS_WORD + i] = reference.rows[i] as number;
			instance.f32[at + OUTPUT_SCORES_WORD + i] = reference.scores[i] as number;
		}
		instance.u32[at + OUTPUT_COUNT_WORD] = reference.count;
		return readOutput(instance, NONE, out) === 'none';
	};
}

/** What the router calls: plan and pool looked up, decision made, timed and counted, with a witness re-run now and then. */
export function decideInWorker(rig: Rig, strategy: StrategyModule, ring: RequestRing): Decide {
	const control = new SharedArrayBuffer(CONTROL_BYTES);
	const decider = new WorkerDecider(
		{ ...deciderDefaults, meshSeed: MESH_SEED },
		{
			clock: systemClock,
			random: systemRandom(),
			table: rig.tableReader,
			counters: rig.counters,
			control,
			metrics: createDecisionMetrics(new MetricsBlock(createMetricsBuffer()), {
				label: () => strategy.label,
				fallbackLabel: 'fallback',
				fallbackVersion: 0,
			}),
			defer: (task) => setImmediate(task),
			onStrike: (strike) => {
				throw new Error(`a benched strategy struck: ${strike.cause}`);
			},
			onLog: () => undefined,
		},
	);
	const pool = makePool(rig.rows);
	const active = { activeVersionId: strategy.versionId, canary: undefined, shadowVersionId: undefined };
	decider.runtimes.addStrategy(strategy);
	decider.runtimes.setPools([pool]);
	decider.runtimes.prepare({ ...emptyPlan, generation: 1, common: active, warm: new Set([strategy.versionId]) });
	Atomics.store(new Int32Array(control), GENERATION_WORD, 1);
	const out = new Decision();
	return (index) => {
		const at = index & (RING - 1);
		decider.decide(pool, ring.features[at] as RequestFeatures, ring.hits[at] as PrefixHits, NONE, out);
		return out.cause === 'none';
	};
}

function makePool(rows: number): ModelPool {
	const targets = Array.from({ length: rows }, (_, row) => ({
		id: `target-${row}`,
		tableRow: row,
		// The generation a rig's rows have.
		generation: 0,
		origin: 'http://127.0.0.1:1',
		pathPrefix: '',
		apiKey: undefined,
		runtime: 'vllm',
		upstreamModel: undefined,
	}));
	return { index: 0, model: 'bench', modelId: 1, revision: undefined, policy: openPolicy, targets };
}
