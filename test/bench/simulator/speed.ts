// Owns how fast the simulator is: requests a second on one core with strategies in WebAssembly, on the conversation trace and on large fleets. Processor time is
// what is counted, because the machine may have other work.
import { cpuUsage, memoryUsage } from 'node:process';
import { prepareStrategy, type SimulationResult, type SimulationSpec, simulate, type Workload } from '@infermesh/host';
import type { Aim, BenchContext, Table } from '../bench.js';
import { conversation, conversationEngines, manyEngines, specOf } from './worlds.js';

const ROUNDS = 4;
const AIM_PER_S = 15_000;
/** For blocks of 16 tokens, of which a prompt of the trace has 750. */
const AIM_SMALL_BLOCKS_PER_S = 3000;

interface Timed {
	readonly result: SimulationResult;
	readonly cpuS: number;
}

function timed(spec: SimulationSpec, workload: Workload, strategy: Parameters<typeof simulate>[2][number]): Timed {
	const before = cpuUsage();
	const result = simulate(spec, workload, [strategy]);
	const { user, system } = cpuUsage(before);
	return { result, cpuS: (user + system) / 1e6 };
}

export async function speedTables(context: BenchContext): Promise<readonly Table[]> {
	return [await conversationSpeed(context), await fleetSpeed(context)];
}

/** Strategies where routers read prefixes from the caches in the trace's blocks, and one with cache events in these and in an engine's own. */
const CASES = [
	...['baseline_rr', 'least_queue', 'hybrid_mesh', 'min_ttft'].map(
		(strategy) => ({ strategy, prefix: 'oracle', blockTokens: 512, aimPerS: AIM_PER_S }) as const,
	),
	{ strategy: 'hybrid_mesh', prefix: 'events', blockTokens: 512, aimPerS: AIM_PER_S },
	{ strategy: 'hybrid_mesh', prefix: 'oracle', blockTokens: 16, aimPerS: AIM_SMALL_BLOCKS_PER_S },
	{ strategy: 'hybrid_mesh', prefix: 'events', blockTokens: 16, aimPerS: AIM_SMALL_BLOCKS_PER_S },
] as const;

async function conversationSpeed(context: BenchContext): Promise<Table> {
	const workload = await conversation(context, 1);
	const rows: (string | number)[][] = [];
	const aims: Aim[] = [];
	for (const { strategy, prefix, blockTokens, aimPerS } of CASES) {
		const { module } = await prepareStrategy(strategy);
		const base = specOf([{ ...conversationEngines, blockTokens }], 1, 0.7, 50);
		const spec = { ...base, signals: { ...base.signals, prefix } };
		const runs = Array.from({ length: ROUNDS }, () => timed(spec, workload, module));
		const best = runs.reduce((least, run) => (run.cpuS < least.cpuS ? run : least));
		const perS = workload.requests.length / best.cpuS;
		rows.push([
			strategy,
			prefix,
			blockTokens,
			workload.requests.length,
			best.cpuS.toFixed(2),
			Math.round(perS),
			Math.round(best.result.events / best.cpuS),
			Math.round(best.result.simulatedMs / 1000 / best.cpuS),
			new Set(runs.map(({ result }) => result.digest)).size === 1 ? 'yes' : 'no',
		]);
		aims.push({
			what: `processor time a request, ${strategy}, ${prefix}, blocks of ${blockTokens}`,
			figure: (best.cpuS * 1e6) / workload.requests.length,
			atMost: 1e6 / aimPerS,
			unit: 'µs',
		});
		context.progress(`  speed: ${strategy}, ${prefix}, blocks of ${blockTokens}`);
	}
	return {
		title: `Simulated requests a second on one core: ${workload.name}, five replicas, best of ${ROUNDS} rounds`,
		columns: [
			'strategy',
			'prefixes',
			'block tokens',
			'requests',
			'CPU s',
			'requests/s',
			'events/s',
			'× real time',
			'same digest',
		],
		rows,
		notes: ['CPU s: processor time of the process, garbage collection included'],
		aims,
	};
}

async function fleetSpeed(context: BenchContext): Promise<Table> {
	const { module } = await prepareStrategy('hybrid_mesh');
	const rows: (string | number)[][] = [];
	for (const engines of context.quick ? [8, 512] : [8, 64, 512, 2048, 10_000]) {
		const workload = await manyEngines(engines, context.quick ? 2000 : 20_000);
		const group = { ...conversationEngines, count: engines, profile: 'h100-8b', blockTokens: 64, hostKvTokens: 0 };
		const base = specOf([group], 1, 1, 50);
		const spec = { ...base, signals: { ...base.signals, periodMs: 500, prefix: 'approximate' as const } };
		const { result, cpuS } = timed(spec, workload, module);
		rows.push([
			engines,
			workload.requests.length,
			(result.simulatedMs / 1000).toFixed(1),
			cpuS.toFixed(1),
			Math.round(workload.requests.length / cpuS),
			Math.round(result.events / cpuS),
			Math.round(memoryUsage().rss / 1e6),
			result.summary.ttft.p99.toFixed(0),
		]);
		context.progress(`  ${engines} engines`);
	}
	return {
		title: 'Size of the fleet: hybrid_mesh, five requests a second and engine, reports every 500 ms',
		columns: ['engines', 'requests', 'simulated s', 'CPU s', 'requests/s', 'events/s', 'RSS MB', 'TTFT p99 ms'],
		rows,
		notes: [
			'the making of the fleet is counted: every engine has its own KV blocks, and the agent’s look at every target five times a second is production’s',
		],
		aims: [],
	};
}
