// Owns the figure of many routers: four on one fleet against one at the same load, with signals that are late, in virtual time over the engine model.
// The routers' fleet, counters, exchange of load and strategies are those of meshd; sockets and threads are left out.
import { prepareStrategy, type RoutersRigResult, runRouters, type StrategyModule } from '@infermesh/host';
import type { Aim, Bench, BenchContext, Table } from './bench.js';
import { median, quantile, ratioOfPairs, sum } from './stats.js';

const TARGETS = 20;
const ROUTERS = 4;
const SEEDS = [1, 2, 3, 4];
const DURATION_MS = 30_000;
const PROFILE = 'h100-8b';
/** Requests a second at which the fleet is busy without being saturated, and near its end. */
const RATES = [140, 200];

interface Variant {
	readonly name: string;
	readonly routers: number;
	readonly sharePeriodMs: number;
}

const one: Variant = { name: 'one router', routers: 1, sharePeriodMs: 0 };
const four: Variant = { name: 'four, told every 5 ms', routers: ROUTERS, sharePeriodMs: 5 };
const apart: Variant = { name: 'four, each for itself', routers: ROUTERS, sharePeriodMs: 0 };
const slow: Variant = { name: 'four, told every 50 ms', routers: ROUTERS, sharePeriodMs: 50 };
const variants = [one, four, slow, apart];

interface Runs {
	readonly p99Ms: number[];
	readonly p50Ms: number[];
	readonly error: number[];
	readonly imbalance: number[];
	completed: number;
}

export const routersBench: Bench = {
	name: 'routers',
	summary: 'four routers on 20 targets against one, signals 100 ms late (virtual time)',
	run: async (context) => {
		const strategies = await Promise.all(
			['hybrid_mesh', 'least_queue'].map(async (name) => ({ name, module: (await prepareStrategy(name)).module })),
		);
		return RATES.flatMap((rate) => strategies.map(({ name, module }) => measure(name, module, rate, context)));
	},
};

function measure(name: string, strategy: StrategyModule, ratePerS: number, { quick, progress }: BenchContext): Table {
	const runs = new Map<Variant, Runs>(
		variants.map((variant) => [variant, { p99Ms: [], p50Ms: [], error: [], imbalance: [], completed: 0 }]),
	);
	for (const seed of quick ? SEEDS.slice(0, 2) : SEEDS)
		for (const variant of variants)
			note(
				runs.get(variant) as Runs,
				runRouters({
					seed,
					strategy,
					targets: TARGETS,
					profile: PROFILE,
					ratePerS,
					durationMs: quick ? DURATION_MS / 3 : DURATION_MS,
					reportPeriodMs: 100,
					reportDelayMs: 100,
					shareDelayMs: 1,
					routers: variant.routers,
					sharePeriodMs: variant.sharePeriodMs,
				}),
			);
	progress(`  ${name} at ${ratePerS} requests/s`);
	const base = runs.get(one) as Runs;
	const aim: Aim = {
		what: 'p99 TTFT of four routers over that of one, median of pairs',
		figure: ratioOfPairs((runs.get(four) as Runs).p99Ms, base.p99Ms),
		atMost: 1.1,
		unit: '×',
	};
	return {
		title: `${ROUTERS} routers, ${TARGETS} targets (${PROFILE}), ${name}, ${ratePerS} requests/s, reports every 100 ms and 100 ms late`,
		columns: ['', 'requests', 'TTFT p50 ms', 'TTFT p99 ms', 'p99 ratio', 'count off by, mean', 'p99', 'most / mean'],
		rows: variants.map((variant) => {
			const { p99Ms, p50Ms, error, imbalance, completed } = runs.get(variant) as Runs;
			const [meanError, p99Error] = [
				mean(error.filter((_, at) => at % 2 === 0)),
				mean(error.filter((_, at) => at % 2)),
			];
			return [
				variant.name,
				completed,
				round(median(p50Ms)),
				round(median(p99Ms)),
				ratioOfPairs(p99Ms, base.p99Ms).toFixed(3),
				meanError.toFixed(3),
				p99Error.toFixed(1),
				mean(imbalance).toFixed(2),
			];
		}),
		notes: [
			'Pairs have the same requests at the same times; the ratio is the median over seeds.',
			'“Count off by”: a router’s count of the mesh’s requests at a target against the truth, sampled every 50 ms.',
		],
		aims: [aim],
	};
}

function note(runs: Runs, result: RoutersRigResult): void {
	runs.p99Ms.push(quantile(result.ttftMs, 0.99));
	runs.p50Ms.push(median(result.ttftMs));
	runs.error.push(mean(result.errorRequests), quantile(result.errorRequests, 0.99));
	runs.imbalance.push(mean(result.imbalance));
	runs.completed += result.completed;
}

const mean = (values: ArrayLike<number>): number => sum(values) / values.length;
const round = (value: number): number => Math.round(value * 10) / 10;
