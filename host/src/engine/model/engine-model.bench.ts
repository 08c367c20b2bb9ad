// Owns the micro-benchmark of the step model: steps/s and requests/s in plain JS, one core. Prints a table; judges
// nothing. Run the compiled file with the pinned Node.

import { engineModelConfig } from './engine-config.js';
import { EngineModel } from './engine-model.js';
import { type Arrival, replay, seededArrivals } from './engine-model.test-support.js';
import { engineProfile } from './profiles.js';
import { RooflineLatency } from './roofline.js';

interface Workload {
	readonly name: string;
	readonly profile: string;
	readonly blockTokens: number;
	readonly hostTokens: number;
	readonly arrivals: Arrival[];
}

const SEED = 1;

const WORKLOADS: readonly Workload[] = [
	{
		name: 'chat: 1,155 in, 211 out, 10/s',
		profile: 'h100-8b',
		blockTokens: 16,
		hostTokens: 0,
		arrivals: chat(100_000),
	},
	{
		name: 'chat, saturated: 25/s',
		profile: 'h100-8b',
		blockTokens: 16,
		hostTokens: 0,
		arrivals: chat(40_000),
	},
	{
		name: 'code: 2,048 in, 28 out, shared prefixes, 10/s',
		profile: 'h100-8b',
		blockTokens: 16,
		hostTokens: 0,
		arrivals: shared(2048, 28, 100_000, 16),
	},
	{
		name: 'long: 12,035 in, 343 out, blocks of 512, host tier',
		profile: 'h100-70b-tp4-optimistic',
		blockTokens: 512,
		hostTokens: 3_000_000,
		arrivals: shared(12_035, 343, 1_600_000, 512),
	},
];

function chat(gapUsMean: number): Arrival[] {
	return seededArrivals({
		seed: SEED,
		requests: 10_000,
		gapUsMean,
		promptTokensMean: 1155,
		outputTokensMean: 211,
		families: 0,
		blockTokens: 16,
	});
}

function shared(promptTokensMean: number, outputTokensMean: number, gapUsMean: number, blockTokens: number): Arrival[] {
	return seededArrivals({
		seed: SEED,
		requests: 10_000,
		gapUsMean,
		promptTokensMean,
		outputTokensMean,
		families: 50,
		blockTokens,
	});
}

function run(workload: Workload): Record<string, string | number> {
	const profile = engineProfile(workload.profile);
	const config = engineModelConfig(profile, {
		blockTokens: workload.blockTokens,
		hostBlocks: Math.floor(workload.hostTokens / workload.blockTokens),
	});
	const model = new EngineModel({ config, latency: new RooflineLatency(profile.roofline) });
	const startMs = performance.now();
	const sequences = replay(model, workload.arrivals);
	const seconds = (performance.now() - startMs) / 1000;
	model.checkInvariants();
	const { steps, generatedTokens, prefixHitTokens, prefixQueryTokens, busyUs } = model.counters;
	const last = Math.max(...sequences.map((sequence) => sequence.finishedUs));
	return {
		workload: workload.name,
		'steps/s': Math.round(steps / seconds),
		'requests/s': Math.round(sequences.length / seconds),
		'tokens/s': Math.round(generatedTokens / seconds),
		'steps/request': (steps / sequences.length).toFixed(1),
		'busy %': Math.round((100 * busyUs) / last),
		'hit %': Math.round((100 * prefixHitTokens) / prefixQueryTokens),
		'x real time': Math.round(last / 1e6 / seconds),
	};
}

console.table(WORKLOADS.map((workload) => (run(workload), run(workload))));
