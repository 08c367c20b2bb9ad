// Owns the proof that the simulation tests anything: each known bug, switched on, must be noticed within a bounded number of seeds.
import { noticedAt } from './corpus.js';
import { runSeed, type Scenario, type SeedResult } from './scenario.js';

export interface Notice {
	readonly mutation: string;
	/** Where it was noticed; undefined when it was not. */
	readonly result: SeedResult | undefined;
	readonly seedsTried: number;
}

/** Seeds after which a bug counts as not noticed. */
export const proofSeedsMax = 400;

/** Looks for a seed that notices `mutation`: the one that did last time, then `from` and on. */
export async function hunt(
	scenario: Scenario,
	mutation: string,
	options: { readonly from?: number; readonly seedsMax?: number; readonly useKept?: boolean } = {},
): Promise<Notice> {
	const { from = 1, seedsMax = proofSeedsMax, useKept = true } = options;
	const kept = useKept ? noticedAt(mutation) : undefined;
	let seedsTried = 0;
	const seeds = [...(kept === undefined ? [] : [kept]), ...Array.from({ length: seedsMax }, (_, at) => from + at)];
	for (const seed of seeds.slice(0, seedsMax)) {
		const result = await runSeed(scenario, seed, { mutation });
		seedsTried++;
		if (result.violation !== undefined) return { mutation, result, seedsTried };
	}
	return { mutation, result: undefined, seedsTried };
}
