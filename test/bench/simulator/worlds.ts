// Owns the fleets and workloads of the simulator's bench: those on which routing results have been published, with the constants they name.
import path from 'node:path';
import process from 'node:process';
import { openTraceFile, type SimulationSpec, syntheticTrace, type Workload } from '@infermesh/host';
import type { BenchContext } from '../bench.js';

type EngineGroup = SimulationSpec['fleet'][number];

const TRACE = path.join('traces', 'mooncake-fast25', 'conversation_trace.jsonl');
const QUICK_REQUESTS = 2000;

/** Five replicas of a 70B model on four H100 each, with three million tokens of host memory for KV. */
export const conversationEngines: EngineGroup = {
	id: 'engine',
	count: 5,
	profile: 'h100-70b-tp4',
	latency: { kind: 'roofline' },
	zone: 'a',
	region: 'r',
	role: 'both',
	weight: 1,
	slowFactor: 1,
	hostKvTokens: 3_000_000,
	blockTokens: 512,
	stepTokensMax: 2048,
	sequencesMax: 256,
	waitingMax: 65_536,
	loras: [],
	fetches: false,
};

/** One router beside the fleet; signals as asked. */
export function specOf(fleet: readonly EngineGroup[], seed: number, speed: number, delayMs: number): SimulationSpec {
	return {
		name: 'bench',
		seed,
		speed,
		model: 'm',
		fleet,
		network: { sameZoneMs: 0.25, sameRegionMs: 1, otherRegionMs: 40, transferBytesPerSecond: 100e9 },
		signals: { delayMs, periodMs: delayMs, prefix: 'oracle', prefixDelayMs: delayMs, outputEstimate: 'mean' },
		router: {
			count: 1,
			zone: 'a',
			region: 'r',
			decisionUs: 50,
			peerDelayMs: 5,
			holdMax: 4096,
			holdMsMax: 60_000,
			holdAgeingPerS: 1,
			hedging: false,
			hedgeBudget: 0.05,
			retriesMax: 2,
			timeoutMs: 0,
			exploration: 0,
		},
		faults: [],
		assignment: { kind: 'single', arm: 0 },
		slo: { ttftMs: 5000, ttftPerTokenMs: 0, tpotMs: 100 },
		keepRequests: false,
		timelineBins: 0,
	};
}

/** Whether published figures of the conversation trace may stand beside a run. */
export function isComparable({ trace, quick }: BenchContext): boolean {
	return !quick && (trace !== undefined || process.env['INFERMESH_TEST_DATA'] !== undefined);
}

/** The trace named by the option, else that of INFERMESH_TEST_DATA, else one made up with its rate, lengths and shared beginnings. */
export async function conversation(context: BenchContext, seed: number): Promise<Workload> {
	const data = process.env['INFERMESH_TEST_DATA'];
	const file = context.trace ?? (data === undefined ? undefined : path.join(data, TRACE));
	const source =
		file === undefined
			? syntheticTrace({
					requests: 12_000,
					ratePerSecond: 3.4,
					arrivals: { kind: 'poisson' },
					input: { kind: 'lognormal', mean: 12_000, cv: 1.5, tokensMax: 126_000 },
					output: { kind: 'lognormal', mean: 343, cv: 0.7, tokensMax: 2000 },
					prefixes: { count: 2000, share: 0.4, levels: 3, levelBlocks: 40 },
					seed,
				})
			: await openTraceFile(file, { seed });
	const requests: Workload['requests'][number][] = [];
	for await (const request of source) {
		requests.push(request);
		if (context.quick && requests.length === QUICK_REQUESTS) break;
	}
	return { name: source.name, blockTokens: source.blockTokens, notes: source.notes(), requests };
}

/** Short prompts at a rate that keeps a large fleet busy; every few engines share a family of beginnings. */
export async function manyEngines(engines: number, requests: number): Promise<Workload> {
	const source = syntheticTrace({
		requests,
		ratePerSecond: 5 * engines,
		input: { kind: 'lognormal', mean: 1155, cv: 1, tokensMax: 16_000 },
		output: { kind: 'lognormal', mean: 211, cv: 1, tokensMax: 2000 },
		prefixes: { count: Math.min(10_000, engines), share: 0.5 },
		seed: 1,
	});
	const rows: Workload['requests'][number][] = [];
	for await (const request of source) rows.push(request);
	return { name: source.name, blockTokens: source.blockTokens, notes: [], requests: rows };
}
