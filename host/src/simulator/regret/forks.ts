// Owns the true regret of decisions in a simulation: a run is repeated from its start with one decision changed, same arrivals and draws, and what becomes of all
// requests is compared. What a predictor thinks of a choice plays no part in it. Each fork is a whole run; a sample of decisions on a short trace is what is affordable.
import { SeededRandom } from '@infermesh/proto';
import { bootstrapInterval } from '../../statistics/bootstrap.js';
import type { Interval } from '../../statistics/interval.js';
import { mean } from '../../statistics/moments.js';
import type { StrategyModule } from '../../strategy/runtime/instance.js';
import type { RequestRows, SimulationResult } from '../result.js';
import { simulate } from '../simulate.js';
import type { SimulationSpec, Workload } from '../spec.js';

/** Streams of the seed. */
const SAMPLE_STREAM = 31;
const BOOTSTRAP_STREAM = 32;
export const FORKS_MAX = 100_000;

export interface ForkOptions {
	/** Decisions sampled, without replacement. */
	readonly decisions: number;
	/** Other targets tried for each, drawn without replacement. */
	readonly alternatives: number;
	readonly seed: number;
	/** Called after each run; true ends it with what there is. */
	readonly after?: (runs: number, total: number) => Promise<boolean> | boolean;
}

/** One decision and what other choices would have brought, in milliseconds of waiting for first tokens. */
export interface Fork {
	readonly request: number;
	/** Of the fleet, as chosen. */
	readonly row: number;
	/** Of all requests together, and of this one alone: with the other choice less with the one that was made. Negative = the other was better. */
	readonly others: readonly { readonly row: number; readonly allMs: number; readonly ownMs: number }[];
}

export interface ForkFigure {
	/** Milliseconds a decision. */
	readonly mean: number;
	/** 95 %, bootstrap over the sampled decisions. */
	readonly interval: Interval;
}

export interface TrueRegret {
	readonly forks: readonly Fork[];
	readonly runs: number;
	readonly requests: number;
	/** The best of the tried choices with hindsight against the one that was made: waiting of all requests, and of the own one. Never below 0. */
	readonly regretMs: ForkFigure;
	readonly ownRegretMs: ForkFigure;
	/** What one of the other choices, drawn evenly, would have cost more. Above 0 = better than chance. */
	readonly advantageMs: ForkFigure;
	/** By the common predictor over all decisions of the run, for comparison. */
	readonly predictedRegretMs: number;
	/** Ended before all forks were run. */
	readonly partial: boolean;
}

/** Throws a RangeError for counts out of range or a workload in which nothing finishes, and what `simulate` throws. */
export async function trueRegret(
	spec: SimulationSpec,
	workload: Workload,
	strategy: StrategyModule,
	{ decisions, alternatives, seed, after = () => false }: ForkOptions,
): Promise<TrueRegret> {
	if (!(decisions >= 1 && alternatives >= 1 && decisions * alternatives <= FORKS_MAX))
		throw new RangeError(`1 to ${FORKS_MAX} forks, not ${decisions} × ${alternatives}`);
	const kept: SimulationSpec = { ...spec, keepRequests: true, timelineBins: 0 };
	const base = simulate(kept, workload, [strategy]);
	const rows = rowsOf(base);
	const random = new SeededRandom(seed, SAMPLE_STREAM);
	const decided = [...rows.target.keys()].filter((request) => (rows.target[request] as number) >= 0);
	if (decided.length === 0) throw new RangeError('no request of this workload was served');
	const sampled = draw(decided, decisions, random);
	const total = 1 + sampled.length * Math.min(alternatives, base.targets.length - 1);
	const forks: Fork[] = [];
	let runs = 1;
	let partial = await after(runs, total);
	for (const request of sampled) {
		if (partial) break;
		const row = rows.target[request] as number;
		const tried = draw(
			base.targets.map((_, at) => at).filter((at) => at !== row),
			alternatives,
			random,
		);
		const others: Fork['others'][number][] = [];
		for (const other of tried) {
			const forked = simulate({ ...kept, router: { ...kept.router, forced: { request, row: other } } }, workload, [
				strategy,
			]);
			runs++;
			const result = rowsOf(forked);
			// A target that could not take it at that moment was no choice.
			if (result.target[request] === other)
				others.push({
					row: other,
					allMs: waitedMs(forked) - waitedMs(base),
					ownMs: ownMs(forked, request) - ownMs(base, request),
				});
			partial = await after(runs, total);
			if (partial) break;
		}
		if (others.length > 0 && !partial) forks.push({ request, row, others });
	}
	return {
		...figuresOf(forks, seed),
		runs,
		requests: workload.requests.length,
		predictedRegretMs: base.summary.regretMs,
		partial,
	};
}

function figuresOf(forks: readonly Fork[], seed: number) {
	const figure = (of: (fork: Fork) => number): ForkFigure => {
		const values = forks.map(of);
		if (values.length === 0) return { mean: Number.NaN, interval: { lower: Number.NaN, upper: Number.NaN } };
		return {
			mean: mean(values),
			interval: bootstrapInterval(values, mean, { random: new SeededRandom(seed, BOOTSTRAP_STREAM) }),
		};
	};
	const least = (values: readonly number[]): number => Math.max(0, -Math.min(...values));
	return {
		forks,
		regretMs: figure(({ others }) => least(others.map(({ allMs }) => allMs))),
		ownRegretMs: figure(({ others }) => least(others.map((one) => one.ownMs))),
		advantageMs: figure(({ others }) => mean(others.map(({ allMs }) => allMs))),
	};
}

/** Waiting for first tokens of all requests; one that has none waits to the end of the run. */
function waitedMs(result: SimulationResult): number {
	let sum = 0;
	for (let request = 0; request < result.summary.requests; request++) sum += ownMs(result, request);
	return sum;
}

function ownMs(result: SimulationResult, request: number): number {
	const { ttftMs, arrivalMs } = rowsOf(result);
	const ttft = ttftMs[request] as number;
	return ttft >= 0 ? ttft : Math.max(0, result.simulatedMs - (arrivalMs[request] as number));
}

function rowsOf({ rows }: SimulationResult): RequestRows {
	if (rows === undefined) throw new Error('the simulation kept no rows');
	return rows;
}

/** Up to `count` of them without replacement, in a drawn order. */
function draw<T>(from: readonly T[], count: number, random: SeededRandom): T[] {
	const left = [...from];
	for (let at = 0; at < Math.min(count, left.length); at++) {
		const other = at + Math.floor(random.nextFloat() * (left.length - at));
		[left[at], left[other]] = [left[other] as T, left[at] as T];
	}
	return left.slice(0, count);
}

const ms = (value: number): string => (Number.isNaN(value) ? '-' : `${value.toFixed(2)} ms`);
const figureText = ({ mean: value, interval }: ForkFigure): string =>
	`${ms(value)}  [${ms(interval.lower)}, ${ms(interval.upper)}]`;

export function renderTrueRegret(label: string, regret: TrueRegret): string {
	const { forks, runs, requests } = regret;
	return [
		`${label}: ${forks.length} decisions forked, ${runs} runs of ${requests} requests${regret.partial ? ' (stopped before its end)' : ''}`,
		'a decision, in waiting for first tokens (intervals at 95 %, bootstrap over decisions)',
		`  regret, all requests    ${figureText(regret.regretMs)}   the best tried choice with hindsight; what later decisions happen to do is in it`,
		`  regret, own request     ${figureText(regret.ownRegretMs)}`,
		`  advantage over chance   ${figureText(regret.advantageMs)}   what another target drawn evenly would have cost more`,
		`  predicted regret        ${ms(regret.predictedRegretMs)}   by the common predictor, for comparison`,
		'',
	].join('\n');
}
