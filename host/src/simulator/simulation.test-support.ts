// Owns what the tests of the simulator share: a small fleet and workloads that fit it. Test support only; nothing in production imports it.
import { SeededRandom } from '@infermesh/proto';
import type { EngineGroup, SimulationSpec, Workload } from './spec.js';

export const BLOCK_TOKENS = 64;

export function group(more: Partial<EngineGroup> = {}): EngineGroup {
	return {
		id: 'engine',
		count: 4,
		profile: 'h100-8b',
		latency: { kind: 'roofline' },
		zone: 'a',
		region: 'r',
		role: 'both',
		weight: 1,
		slowFactor: 1,
		hostKvTokens: 200_000,
		blockTokens: BLOCK_TOKENS,
		stepTokensMax: 2048,
		sequencesMax: 256,
		waitingMax: 65_536,
		loras: [],
		fetches: false,
		...more,
	};
}

export interface SpecChanges extends Partial<Omit<SimulationSpec, 'signals' | 'router' | 'network' | 'slo'>> {
	readonly signals?: Partial<SimulationSpec['signals']>;
	readonly router?: Partial<SimulationSpec['router']>;
	readonly network?: Partial<SimulationSpec['network']>;
	readonly slo?: Partial<SimulationSpec['slo']>;
}

export function specOf({ signals, router, network, slo, ...more }: SpecChanges = {}): SimulationSpec {
	return {
		name: 'test',
		seed: 7,
		speed: 1,
		model: 'm',
		fleet: [group()],
		network: {
			sameZoneMs: 0.25,
			sameRegionMs: 1,
			otherRegionMs: 40,
			transferBytesPerSecond: 50e9,
			...network,
		},
		signals: {
			delayMs: 50,
			periodMs: 100,
			prefix: 'oracle',
			prefixDelayMs: 50,
			outputEstimate: 'mean',
			...signals,
		},
		router: {
			count: 1,
			zone: 'a',
			region: 'r',
			decisionUs: 50,
			peerDelayMs: 5,
			holdMax: 1024,
			holdMsMax: 30_000,
			holdAgeingPerS: 1,
			hedging: false,
			hedgeBudget: 0.05,
			retriesMax: 2,
			timeoutMs: 0,
			exploration: 0,
			...router,
		},
		faults: [],
		assignment: { kind: 'single', arm: 0 },
		slo: { ttftMs: 5000, ttftPerTokenMs: 0, tpotMs: 100, ...slo },
		keepRequests: true,
		timelineBins: 0,
		...more,
	};
}

export interface WorkloadOptions {
	readonly seed?: number;
	readonly requests?: number;
	readonly ratePerS?: number;
	readonly inputTokens?: number;
	readonly outputTokens?: number;
	/** Prompts that share a beginning; 0 = none. */
	readonly families?: number;
}

/** Poisson arrivals, exponential lengths, prompts of a few families. */
export function workloadOf(options: WorkloadOptions = {}): Workload {
	const { seed = 11, requests = 400, ratePerS = 20, inputTokens = 900, outputTokens = 80, families = 8 } = options;
	const random = new SeededRandom(seed);
	const exponential = (mean: number): number => -mean * Math.log(1 - random.nextFloat());
	let atMs = 0;
	let fresh = 1_000_000;
	const rows: Workload['requests'][number][] = [];
	for (let index = 0; index < requests; index++) {
		atMs += exponential(1000 / ratePerS);
		const input = 1 + Math.min(8000, Math.round(exponential(inputTokens)));
		const family = families === 0 ? 0 : Math.floor(random.nextFloat() * families);
		const blocks = Array.from({ length: Math.ceil(input / BLOCK_TOKENS) }, (_, at) =>
			families > 0 && at < 8 ? family * 100 + at : fresh++,
		);
		rows.push({ atMs, inputTokens: input, outputTokens: 1 + Math.round(exponential(outputTokens)), blocks });
	}
	return { name: `poisson seed ${seed}`, blockTokens: BLOCK_TOKENS, notes: [], requests: rows };
}
