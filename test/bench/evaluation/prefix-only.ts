// Owns the strategy that sends every request where most of its prompt is cached and looks at nothing else: the one that every comparison by request gets wrong.
import { prepareSource, type StrategyModule } from '@infermesh/host';
import { strategyFrom } from '../../support/strategies.js';

const MANIFEST = `
name: prefix_only
version: 1.0.0
kind: inference
abi: "1.0"
description: The target that holds the longest cached prefix, whatever its load.
columns: [inflight]
hits: true
`;

const SOURCE = `
import { begin, hit, hitCount, nextEligible, rankLowest, scratch } from 'infermesh';
import { TOP_K } from './manifest';
export { init } from 'infermesh';

export function rank(frame: usize): i32 {
	begin(frame);
	const cost = scratch(0);
	for (let row = nextEligible(0); row >= 0; row = nextEligible(row + 1)) cost[row] = 0;
	for (let index = 0; index < hitCount(); index++) {
		const entry = hit(index);
		cost[entry.row] = -<f32>entry.tokens;
	}
	return rankLowest(cost, TOP_K);
}
`;

export async function prefixOnly(): Promise<StrategyModule> {
	const wasm = await strategyFrom(MANIFEST, SOURCE);
	return prepareSource({ where: 'prefix_only', dir: undefined, wasm, sourceMap: undefined }).module;
}
