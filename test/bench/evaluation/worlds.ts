// Owns the simulated fleets and workloads of the evaluation benches. Leaves what is asked of them to the tables.
import { openTraceFile, type SimulationSpec, syntheticTrace, type Workload } from '@infermesh/host';

const ENGINE = {
	zone: 'a',
	region: 'r',
	role: 'both',
	weight: 1,
	slowFactor: 1,
	latency: { kind: 'roofline' },
	stepTokensMax: 2048,
	sequencesMax: 256,
	waitingMax: 65_536,
	loras: [],
	fetches: false,
} as const;

const COMMON = {
	speed: 1,
	model: 'm',
	network: { sameZoneMs: 0.25, sameRegionMs: 1, otherRegionMs: 40, transferBytesPerSecond: 50e9 },
	signals: { delayMs: 50, periodMs: 100, prefix: 'oracle', prefixDelayMs: 50, outputEstimate: 'mean' },
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
	},
	faults: [],
	keepRequests: true,
	timelineBins: 0,
} as const;

/** A workload and the world it meets; the assignment is the table's. */
export interface World {
	readonly spec: Omit<SimulationSpec, 'assignment'>;
	readonly workload: Workload;
}

/**
 * Two 70B engines at about three quarters of what they can do, with long prompts in bursts: blocks of some thirty requests whose attainment swings with the queue.
 * Cheap, so that a thousand can be run.
 */
export async function smallWorld(seed: number, requests: number): Promise<World> {
	const source = syntheticTrace({
		requests,
		seed,
		ratePerSecond: 4,
		arrivals: { kind: 'gamma', cv: 1.5 },
		input: { kind: 'lognormal', mean: 4000, cv: 0.8, tokensMax: 16_000 },
		output: { kind: 'lognormal', mean: 12, cv: 0.5, tokensMax: 64 },
	});
	return {
		spec: {
			...COMMON,
			name: 'small',
			seed,
			slo: { ttftMs: 1500, ttftPerTokenMs: 0, tpotMs: 1000 },
			fleet: [
				{
					...ENGINE,
					id: 'engine',
					count: 2,
					profile: 'h100-70b-tp4',
					hostKvTokens: 0,
					blockTokens: source.blockTokens,
				},
			],
		},
		workload: await collect(source),
	};
}

/** Four 70B engines through an hour in which the load swings between a half and more than all of what they can do. */
export async function swingingWorld(seed: number): Promise<World> {
	const source = syntheticTrace({
		requests: 6300,
		seed,
		ratePerSecond: 1.75,
		arrivals: { kind: 'gamma', cv: 1.5 },
		diurnal: { amplitude: 0.35, periodSeconds: 1200 },
		input: { kind: 'lognormal', mean: 12_000, cv: 1, tokensMax: 100_000 },
		output: { kind: 'lognormal', mean: 150, cv: 1, tokensMax: 1000 },
	});
	return {
		spec: {
			...COMMON,
			name: 'swinging',
			seed,
			slo: { ttftMs: 5000, ttftPerTokenMs: 0, tpotMs: 200 },
			fleet: [
				{
					...ENGINE,
					id: 'engine',
					count: 4,
					profile: 'h100-70b-tp4',
					hostKvTokens: 0,
					blockTokens: source.blockTokens,
				},
			],
		},
		workload: await collect(source),
	};
}

/** The published conversation trace on six 70B engines with a host tier of 3 million tokens, at the constants of the kernels' own bounds. */
export async function conversationWorld(trace: string, seed: number): Promise<World> {
	const source = await openTraceFile(trace, { seed });
	return {
		spec: {
			...COMMON,
			name: 'conversation',
			seed,
			slo: { ttftMs: 5000, ttftPerTokenMs: 0, tpotMs: 100 },
			fleet: [
				{
					...ENGINE,
					id: 'engine',
					count: 6,
					profile: 'h100-70b-tp4-optimistic',
					hostKvTokens: 3_000_000,
					blockTokens: source.blockTokens,
				},
			],
		},
		workload: await collect(source),
	};
}

async function collect(source: ReturnType<typeof syntheticTrace>): Promise<Workload> {
	const requests: Workload['requests'][number][] = [];
	for await (const request of source) requests.push(request);
	return { name: source.name, blockTokens: source.blockTokens, notes: source.notes(), requests };
}
