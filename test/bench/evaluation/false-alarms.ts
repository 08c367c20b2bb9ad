// Owns the figure of false alarms: experiments between a strategy and itself, on real queues, looked at after every pair of blocks.
import {
	binomialUpper,
	makeDesign,
	mean,
	type RequestRows,
	type StrategyModule,
	SwitchbackTrial,
	signFlipTest,
	simulate,
	variance,
} from '@infermesh/host';
import { SeededRandom } from '@infermesh/proto';
import type { BenchContext, Table } from '../bench.js';
import { closedBlocks } from './blocks.js';
import { smallWorld } from './worlds.js';

const ALPHA = 0.05;
/** Looks before which the comparisons that assume a normal mean stay silent: they are no worse than their users. */
const LOOKS_MIN = 5;
const Z = 1.959964;
const PAIRS = 40;
/** Some thirty requests a block; shorter than the rule asks for, so that what one block leaves behind is the next one's. */
const BLOCK_MS = 8000;
const BURN_IN_MS = 1000;

interface Method {
	readonly name: string;
	readonly looks: string;
	alarms: number;
}

export async function falseAlarms(strategy: StrategyModule, { quick, progress }: BenchContext): Promise<Table> {
	const runs = quick ? 60 : 1000;
	const bold: Method = { name: 'betting interval, bets up to 0.75 (the design’s)', looks: 'every pair', alarms: 0 };
	const paper: Method = { name: 'betting interval, bets up to 0.5', looks: 'every pair', alarms: 0 };
	const flips: Method = { name: 'sign-flip test', looks: 'the last pair', alarms: 0 };
	const z: Method = { name: 'z test of the pairs', looks: 'every pair', alarms: 0 };
	const requests: Method = { name: 'z test of the requests', looks: 'every pair', alarms: 0 };
	const methods = [bold, paper, flips, z, requests];
	const differences: number[] = [];
	for (let seed = 1; seed <= runs; seed++) {
		if (seed % 50 === 0) progress(`  ${seed} of ${runs} experiments`);
		const world = await smallWorld(seed, Math.ceil(2 * PAIRS * (BLOCK_MS / 1000) * 4 * 1.15));
		const assignment = { kind: 'switchback', blockMs: BLOCK_MS } as const;
		const { rows } = simulate({ ...world.spec, assignment }, world.workload, [strategy, strategy]);
		if (rows === undefined) throw new Error('the simulation kept no rows');
		const trial = runTrial(rows, seed, 0.75);
		if (isAlarm(trial)) bold.alarms++;
		if (isAlarm(runTrial(rows, seed, 0.5))) paper.alarms++;
		const pairs = trial.pairs.map((pair) => pair.difference);
		differences.push(...pairs);
		// An experiment that was stopped has fewer pairs: the other methods look at all of them.
		const all = allDifferences(rows, seed);
		const random = new SeededRandom(seed, 9);
		if (signFlipTest(all, { alternative: 'two-sided', draws: 1999, random }).p <= ALPHA) flips.alarms++;
		if (peekedZ(all)) z.alarms++;
		if (peekedRequests(rows)) requests.alarms++;
	}
	return table(methods, runs, differences);
}

function table(methods: readonly Method[], runs: number, differences: readonly number[]): Table {
	const upper = ({ alarms }: Method): number => binomialUpper(alarms, runs) * 100;
	const [bold] = methods as [Method];
	return {
		title: `False alarms in ${runs} experiments of a strategy against itself (alpha 5 %, ${PAIRS} pairs, real queues)`,
		columns: ['method', 'looks', 'false alarms', '%', '95 % upper bound %'],
		rows: methods.map((one) => [one.name, one.looks, one.alarms, (100 * one.alarms) / runs, upper(one)]),
		notes: [
			`each experiment is a simulation of its own: two 70B engines at 83 % with bursts, blocks of ${BLOCK_MS / 1000} s with ${BURN_IN_MS / 1000} s burn-in, its own seed for arrivals, lengths and order`,
			`standard deviation of a pair’s difference in attainment: ${(100 * Math.sqrt(variance(differences))).toFixed(1)} points, mean ${(100 * mean(differences)).toFixed(2)}`,
			`the two z tests look from the ${LOOKS_MIN}th pair on; the last one takes requests for independent`,
		],
		aims: [
			{
				what: 'false alarms of the betting interval, 95 % upper bound',
				figure: upper(bold),
				atMost: 100 * ALPHA + 2,
				unit: '%',
			},
		],
	};
}

/** With a margin of 0 a verdict is an interval that excludes no difference. */
function trialOf(seed: number, truncation: number): SwitchbackTrial {
	const { design } = makeDesign(
		{
			kind: 'switchback',
			baseline: 'same@1',
			candidate: 'same@2',
			seed,
			objectives: { ttftMs: 1500, tpotMs: 1000, ttftPerTokenMs: 0 },
			alpha: ALPHA,
			margin: 0,
			clip: 0.5,
			truncation,
			blockMs: BLOCK_MS,
			burnInMs: BURN_IN_MS,
			blockRequestsMin: 5,
			pairsMax: PAIRS,
		},
		{ e2eP50Ms: 1800, e2eP95Ms: 5000, cacheTurnoverMs: 0 },
	);
	return new SwitchbackTrial(design);
}

function runTrial(rows: RequestRows, seed: number, truncation: number): SwitchbackTrial {
	const trial = trialOf(seed, truncation);
	for (const block of closedBlocks(rows, BLOCK_MS, BURN_IN_MS).slice(0, 2 * PAIRS)) trial.add(block);
	return trial;
}

function isAlarm({ verdict }: SwitchbackTrial): boolean {
	return verdict === 'win' || verdict === 'loss';
}

/** Differences of all pairs, whatever a trial would have concluded. */
function allDifferences(rows: RequestRows, seed: number): number[] {
	const blocks = closedBlocks(rows, BLOCK_MS, BURN_IN_MS).slice(0, 2 * PAIRS);
	const differences: number[] = [];
	for (let at = 0; at + 1 < blocks.length; at += 2) {
		const pair = trialOf(seed, 0.5);
		pair.add(blocks[at] as (typeof blocks)[number]);
		pair.add(blocks[at + 1] as (typeof blocks)[number]);
		differences.push(...pair.pairs.map((one) => one.difference));
	}
	return differences;
}

function peekedZ(differences: readonly number[]): boolean {
	for (let looks = LOOKS_MIN; looks <= differences.length; looks++) {
		const seen = differences.slice(0, looks);
		if (Math.abs(mean(seen)) > Z * Math.sqrt(variance(seen) / looks)) return true;
	}
	return false;
}

/** Two proportions over all requests so far, burn-in or not: what a dashboard would show. */
function peekedRequests(rows: RequestRows): boolean {
	const counts = [0, 0];
	const good = [0, 0];
	let look = LOOKS_MIN * 2 * BLOCK_MS;
	for (let index = 0; index < rows.arrivalMs.length; index++) {
		if ((rows.arrivalMs[index] as number) >= look) {
			if (isProportionDifferent(counts, good)) return true;
			look += 2 * BLOCK_MS;
		}
		const arm = rows.arm[index] as number;
		counts[arm] = (counts[arm] as number) + 1;
		good[arm] = (good[arm] as number) + (rows.good[index] as number);
	}
	return false;
}

function isProportionDifferent([n = 0, m = 0]: readonly number[], [a = 0, b = 0]: readonly number[]): boolean {
	const pooled = (a + b) / (n + m);
	return Math.abs(a / n - b / m) > Z * Math.sqrt(pooled * (1 - pooled) * (1 / n + 1 / m));
}
