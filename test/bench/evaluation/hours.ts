// Owns the figure of hours to a verdict: what pairs of 180 s blocks of one strategy differ by, and how long the registered rule then takes for effects of given size.

import {
	armOfBlock,
	attainmentOf,
	forecastExperiment,
	makeDesign,
	mean,
	type StrategyModule,
	simulate,
	variance,
} from '@infermesh/host';
import type { BenchContext, Table } from '../bench.js';
import { closedBlocks } from './blocks.js';
import { conversationWorld, swingingWorld, type World } from './worlds.js';

const BLOCK_MS = 180_000;
const BURN_IN_MS = 45_000;
/** Relative to the baseline’s attainment. */
const EFFECTS = [0.05, 0.2];

export async function hoursToVerdict(strategy: StrategyModule, context: BenchContext): Promise<Table> {
	const { quick, progress, trace } = context;
	const seeds = quick ? [1] : [1, 2, 3, 4];
	const worlds: { readonly name: string; readonly open: (seed: number) => Promise<World> }[] = [
		{ name: 'swinging load', open: swingingWorld },
		...(trace === undefined
			? []
			: [{ name: 'conversation trace', open: (seed: number) => conversationWorld(trace, seed) }]),
	];
	const rows: (string | number)[][] = [];
	for (const { name, open } of worlds) {
		progress(`  ${name}`);
		const { attainment, pilot } = await pilotOf(strategy, open, seeds);
		for (const relative of EFFECTS) rows.push(rowOf(name, relative, attainment, pilot, quick));
	}
	return {
		title: 'Hours of a switchback until its verdict, by the size of the effect (180 s blocks, alpha 5 %)',
		columns: [
			'workload',
			'effect',
			'baseline %',
			'sd of a pair',
			'pairs p50',
			'pairs p90',
			'hours p50',
			'hours p90',
			'% decided in 48 h',
		],
		rows,
		notes: [
			'an effect of 5 % raises a baseline’s attainment by a twentieth of itself (up to 100 %); pairs’ differences are drawn from those of a strategy against itself, shifted',
			'the forecast is the one a user gets before an experiment starts; a win asks for more than the margin of 0.5 points',
		],
		aims: [],
	};
}

function rowOf(
	name: string,
	relative: number,
	attainment: number,
	pilot: readonly number[],
	quick: boolean,
): (string | number)[] {
	const { design } = makeDesign(
		{
			kind: 'switchback',
			baseline: 'same@1',
			candidate: 'same@2',
			seed: 1,
			objectives: { ttftMs: 5000, tpotMs: 100, ttftPerTokenMs: 0 },
			blockMs: BLOCK_MS,
			burnInMs: BURN_IN_MS,
		},
		{ e2eP50Ms: 5000, e2eP95Ms: 45_000, cacheTurnoverMs: 0 },
	);
	const effect = Math.min(1 - attainment, attainment * relative);
	const forecast = forecastExperiment(design, effect, { pilot }, quick ? 50 : 300);
	return [
		name,
		`${relative * 100} % (${(effect * 100).toFixed(1)} points)`,
		attainment * 100,
		`${(100 * Math.sqrt(variance(pilot))).toFixed(1)} points`,
		forecast.pairsP50,
		forecast.pairsP90,
		forecast.hoursP50,
		forecast.hoursP90,
		100 * (1 - forecast.shares.undecided),
	];
}

async function pilotOf(strategy: StrategyModule, open: (seed: number) => Promise<World>, seeds: readonly number[]) {
	const pilot: number[] = [];
	const attainments: number[] = [];
	for (const seed of seeds) {
		const world = await open(seed);
		const { rows } = simulate({ ...world.spec, assignment: { kind: 'single', arm: 0 } }, world.workload, [strategy]);
		if (rows === undefined) throw new Error('the simulation kept no rows');
		const blocks = closedBlocks(rows, BLOCK_MS, BURN_IN_MS);
		for (let at = 0; at + 1 < blocks.length; at += 2) {
			const [first, second] = [attainmentOf(blocks[at] as never), attainmentOf(blocks[at + 1] as never)];
			attainments.push(first, second);
			pilot.push(armOfBlock(seed, at) === 'candidate' ? first - second : second - first);
		}
	}
	return { pilot, attainment: mean(attainments) };
}
