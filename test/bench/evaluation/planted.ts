// Owns the figure of a planted effect: a switchback between two strategies that differ, beside the truth of each alone, and the time its verdict took beside the
// forecast that a user would have had.
import {
	armOfBlock,
	attainmentOf,
	BettingSequence,
	forecastExperiment,
	type Interval,
	makeDesign,
	mean,
	quantile,
	type RequestRows,
	type StrategyModule,
	SwitchbackTrial,
	simulate,
	variance,
} from '@infermesh/host';
import { SeededRandom } from '@infermesh/proto';
import type { BenchContext, Table } from '../bench.js';
import { closedBlocks } from './blocks.js';
import { swingingWorld } from './worlds.js';

const BLOCK_MS = 180_000;
const BURN_IN_MS = 45_000;
const BLOCKS_AN_HOUR = 20;
/** Experiments made from the hours at hand, each with its own order of them. */
const SHUFFLES = 100;

interface Hour {
	/** Attainments of the baseline's and the candidate's block of each pair, as they came. */
	readonly pairs: readonly { readonly baseline: number; readonly candidate: number }[];
	/** Attainment of each alone. */
	readonly alone: { readonly baseline: number; readonly candidate: number };
}

export async function plantedEffect(
	baseline: StrategyModule,
	candidate: StrategyModule,
	context: BenchContext,
): Promise<Table> {
	const hours: Hour[] = [];
	for (let seed = 1; seed <= (context.quick ? 4 : 40); seed++) {
		context.progress(`  hour ${seed}`);
		hours.push(await runHour(seed, baseline, candidate));
	}
	const truth = mean(hours.map(({ alone }) => alone.candidate - alone.baseline));
	const seen = hours.flatMap(({ pairs }) => pairs.map((pair) => pair.candidate - pair.baseline));
	const whole = runTrial(hours, 0);
	const counts = Array.from({ length: SHUFFLES }, (_, shuffle) => runTrial(shuffled(hours, shuffle), shuffle));
	const forecast = forecastExperiment(designOf(0, seen.length), truth, { pilot: seen });
	const toHours = (pairs: number): number => (pairs * 2 * BLOCK_MS) / 3_600_000;
	const points = (value: number): string => `${(100 * value).toFixed(1)} points`;
	return {
		title: 'A planted effect: least_request against round robin, 180 s blocks, load swinging past capacity',
		columns: ['figure', 'seen'],
		rows: [
			['truth: each alone', points(truth)],
			['mean of the pairs’ differences', `${points(mean(seen))} (sd of a pair ${points(Math.sqrt(variance(seen)))})`],
			['interval after all pairs', range(whole.all)],
			[
				'verdicts',
				[...new Set(counts.map(({ verdict }) => verdict))]
					.map((one) => `${one} ${counts.filter(({ verdict }) => verdict === one).length}`)
					.join(', '),
			],
			[
				'hours to the verdict, p50 and p90',
				`${quantile(
					counts.map(({ pairs }) => toHours(pairs)),
					0.5,
				).toFixed(1)}, ${quantile(
					counts.map(({ pairs }) => toHours(pairs)),
					0.9,
				).toFixed(1)}`,
			],
			['forecast, p50 and p90', `${forecast.hoursP50.toFixed(1)}, ${forecast.hoursP90.toFixed(1)}`],
		],
		notes: [
			`${hours.length} simulated hours of ${BLOCKS_AN_HOUR / 2} pairs each; ${SHUFFLES} experiments take them in an order of their own until the verdict`,
			'where the pairs’ mean is nearer to 0 than the truth, one block carries over into the next',
		],
		aims: [],
	};
}

async function runHour(seed: number, baseline: StrategyModule, candidate: StrategyModule): Promise<Hour> {
	const world = await swingingWorld(seed);
	const run = (
		arms: readonly StrategyModule[],
		assignment: Parameters<typeof simulate>[0]['assignment'],
	): RequestRows => {
		const { rows } = simulate({ ...world.spec, assignment }, world.workload, arms);
		if (rows === undefined) throw new Error('the simulation kept no rows');
		return rows;
	};
	const single = { kind: 'single', arm: 0 } as const;
	const alone = (strategy: StrategyModule): number =>
		mean(closedBlocks(run([strategy], single), BLOCK_MS, BURN_IN_MS).map(attainmentOf));
	const blocks = closedBlocks(
		run([baseline, candidate], { kind: 'switchback', blockMs: BLOCK_MS }),
		BLOCK_MS,
		BURN_IN_MS,
	);
	const pairs: Hour['pairs'][number][] = [];
	for (let at = 0; at + 1 < blocks.length; at += 2) {
		const [first = 0, second = 0] = blocks.slice(at, at + 2).map(attainmentOf);
		pairs.push(
			armOfBlock(seed, at) === 'candidate'
				? { candidate: first, baseline: second }
				: { candidate: second, baseline: first },
		);
	}
	return { pairs, alone: { baseline: alone(baseline), candidate: alone(candidate) } };
}

function designOf(seed: number, pairsMax: number) {
	return makeDesign(
		{
			kind: 'switchback',
			baseline: 'baseline_rr@1',
			candidate: 'least_request@1',
			seed,
			objectives: { ttftMs: 5000, tpotMs: 200, ttftPerTokenMs: 0 },
			blockMs: BLOCK_MS,
			burnInMs: BURN_IN_MS,
			pairsMax,
		},
		{ e2eP50Ms: 8500, e2eP95Ms: BURN_IN_MS, cacheTurnoverMs: 0 },
	).design;
}

/** The trial over the hours as they stand; `all`: the interval of all pairs, had nobody stopped it. */
function runTrial(hours: readonly Hour[], seed: number): { verdict: string; pairs: number; all: Interval } {
	const pairs = hours.flatMap((hour) => hour.pairs);
	const design = designOf(seed, pairs.length);
	const trial = new SwitchbackTrial(design);
	const { alpha, clip, truncation } = design;
	const unstopped = new BettingSequence({ range: { lower: -clip, upper: clip }, alpha, truncation });
	pairs.forEach((pair, index) => {
		for (const block of [2 * index, 2 * index + 1]) {
			const attainment = pair[armOfBlock(seed, block)];
			const closed = { block, requests: 1000, good: Math.round(1000 * attainment), burnIn: 0, ttftP99Ms: 0 };
			trial.add(closed);
		}
		unstopped.observe(pair.candidate - pair.baseline);
	});
	return { verdict: trial.verdict, pairs: trial.pairsSeen, all: unstopped.interval };
}

function shuffled<T>(items: readonly T[], seed: number): T[] {
	const random = new SeededRandom(seed, 5);
	const all = [...items];
	for (let at = all.length - 1; at > 0; at--) {
		const other = Math.floor(random.nextFloat() * (at + 1));
		[all[at], all[other]] = [all[other] as T, all[at] as T];
	}
	return all;
}

function range({ lower, upper }: Interval): string {
	return `${(100 * lower).toFixed(1)} to ${(100 * upper).toFixed(1)} points`;
}
