// Owns the table of what each way of comparing two strategies says, beside the truth: each alone, a split by request, by halves of the fleet, switchbacks, all on the
// published conversation trace with the library's strategies.
import { type AssignmentSpec, mean, type RequestRows, type StrategyModule, simulate, variance } from '@infermesh/host';
import type { BenchContext, Table } from '../bench.js';
import { conversationWorld, type World } from './worlds.js';

export interface Comparison {
	readonly name: string;
	readonly baseline: StrategyModule;
	readonly candidate: StrategyModule;
}

interface Way {
	readonly name: string;
	readonly assignment: AssignmentSpec;
	readonly blockMs: number;
	readonly burnInMs: number;
}

const ways: readonly Way[] = [
	{ name: 'per request, 50 %', assignment: { kind: 'request', share: 0.5 }, blockMs: 0, burnInMs: 0 },
	{ name: 'per request, 10 %', assignment: { kind: 'request', share: 0.1 }, blockMs: 0, burnInMs: 0 },
	{ name: 'fleet in halves', assignment: { kind: 'split' }, blockMs: 0, burnInMs: 0 },
	switchback(15, 0),
	switchback(60, 30),
	switchback(180, 45),
	switchback(300, 45),
];

function switchback(blockS: number, burnInS: number): Way {
	return {
		name: `switchback ${blockS} s, burn-in ${burnInS} s`,
		assignment: { kind: 'switchback', blockMs: blockS * 1000 },
		blockMs: blockS * 1000,
		burnInMs: burnInS * 1000,
	};
}

interface Effect {
	/** Candidate − baseline: mean TTFT in seconds, attainment in points. */
	readonly ttftS: number;
	readonly points: number;
	/** Of the difference of means, taking requests for independent. */
	readonly z: number;
}

export async function comparisonTable(
	{ name, baseline, candidate }: Comparison,
	trace: string,
	{ quick, progress }: BenchContext,
): Promise<Table> {
	const seeds = quick ? [1] : [1, 2, 3, 4];
	const seen = new Map<string, Effect[]>();
	const note = (way: string, effect: Effect): void => void seen.set(way, [...(seen.get(way) ?? []), effect]);
	for (const seed of seeds) {
		const world = await conversationWorld(trace, seed);
		progress(`  ${name}: seed ${seed}`);
		const alone = [baseline, candidate].map((strategy) => rowsOf(world, { kind: 'single', arm: 0 }, [strategy]));
		note('truth: each alone', effectOf(values(alone[0]), values(alone[1])));
		for (const way of ways) {
			const rows = rowsOf(world, way.assignment, [baseline, candidate]);
			note(way.name, effectOf(values(rows, 0, way), values(rows, 1, way)));
		}
	}
	return table(name, seen, seeds.length);
}

function table(name: string, seen: ReadonlyMap<string, readonly Effect[]>, seeds: number): Table {
	const truth = mean((seen.get('truth: each alone') ?? []).map((one) => one.ttftS));
	return {
		title: `${name}: difference in mean TTFT by way of comparing (conversation trace, six 70B engines, ${seeds} seeds)`,
		columns: ['way', 'seconds', 'sd over seeds', 'off the truth %', 'attainment, points', '|z| per request'],
		rows: [...seen].map(([way, effects]) => {
			const seconds = effects.map((one) => one.ttftS);
			const effect = mean(seconds);
			return [
				way,
				effect,
				Math.sqrt(variance(seconds)),
				way.startsWith('truth') ? '' : (100 * (effect - truth)) / Math.abs(truth),
				mean(effects.map((one) => one.points)),
				mean(effects.map((one) => Math.abs(one.z))),
			];
		}),
		notes: [
			'negative seconds: the candidate is faster; off the truth: negative says that the candidate looks better than it is',
			'|z| as a dashboard would have it, requests taken for independent: far beyond 2 also where the size is wrong',
		],
		aims: [],
	};
}

function rowsOf(world: World, assignment: AssignmentSpec, arms: readonly StrategyModule[]): RequestRows {
	const { rows } = simulate({ ...world.spec, assignment }, world.workload, arms);
	if (rows === undefined) throw new Error('the simulation kept no rows');
	return rows;
}

interface Values {
	readonly ttftS: number[];
	readonly good: number[];
}

/** Of one arm, without the burn-in of its blocks. */
function values(rows: RequestRows | undefined, arm?: number, way?: Way): Values {
	const ttftS: number[] = [];
	const good: number[] = [];
	rows?.ttftMs.forEach((ttftMs, index) => {
		if (arm !== undefined && rows.arm[index] !== arm) return;
		if (way !== undefined && way.blockMs > 0 && (rows.arrivalMs[index] as number) % way.blockMs < way.burnInMs) return;
		good.push(rows.good[index] as number);
		if (ttftMs >= 0) ttftS.push(ttftMs / 1000);
	});
	return { ttftS, good };
}

function effectOf(baseline: Values, candidate: Values): Effect {
	const difference = mean(candidate.ttftS) - mean(baseline.ttftS);
	const error = Math.sqrt(
		variance(candidate.ttftS) / candidate.ttftS.length + variance(baseline.ttftS) / baseline.ttftS.length,
	);
	return { ttftS: difference, points: 100 * (mean(candidate.good) - mean(baseline.good)), z: difference / error };
}
