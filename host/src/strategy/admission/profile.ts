// Owns reading a fuel profile: the counters of a module made by `instrumentProfile`, spread over the instructions they pay for,
// summed by source line. The sum over all lines is the fuel spent since the instance was made.
import type { WasmGlobal } from './engine.js';
import { opcodes } from './opcodes.js';
import type { ProfiledModule } from './result.js';
import { PROFILE_EXPORT } from './rewrite.js';
import type { FunctionScan, InstructionBuffer } from './scanned-function.js';
import { sourcePosition } from './source-map.js';
import { checkWeight } from './weights.js';

/** Cost of every instruction of one function, by region (-1 = outside loops). */
export interface InstructionWeights {
	readonly functionIndex: number;
	readonly offsets: readonly number[];
	readonly regions: readonly number[];
	readonly costs: number[];
}

export interface ProfileLine {
	readonly function: string;
	/** Source file; absent without a source map. */
	readonly source?: string;
	/** 1-based; 0 without a source map. */
	readonly line: number;
	readonly fuel: number;
}

/** Keeps the weights of a function just scanned into `buffer`. The check of a region counts at its first instruction. */
export function weighInstructions(buffer: InstructionBuffer, scan: FunctionScan): InstructionWeights {
	const offsets: number[] = [scan.codeAt, ...scan.loops.map((loop) => loop.bodyAt)];
	const regions: number[] = [-1, ...scan.loops.map((loop) => loop.index)];
	const costs: number[] = regions.map(() => checkWeight);
	for (let i = 0; i < buffer.count; i++) {
		const weight = opcodes[buffer.keys[i] as number]?.weight ?? 0;
		if (weight === 0) continue;
		offsets.push(buffer.offsets[i] as number);
		regions.push(buffer.regions[i] as number);
		costs.push(weight);
	}
	return { functionIndex: scan.index, offsets, regions, costs };
}

/** Fuel by source line, most first, from an instance's exports. */
export function readProfile(module: ProfiledModule, exports: Readonly<Record<string, unknown>>): ProfileLine[] {
	const lines = new Map<string, { function: string; source?: string; line: number; fuel: number }>();
	const add = (functionIndex: number, offset: number, fuel: number): void => {
		if (fuel === 0) return;
		const name = module.functionNames.get(functionIndex) ?? `function ${functionIndex}`;
		const position = module.sourceMap === undefined ? undefined : sourcePosition(module.sourceMap, offset);
		const key = position === undefined ? name : `${position.source}:${position.line}`;
		const line = lines.get(key);
		if (line !== undefined) line.fuel += fuel;
		else
			lines.set(key, {
				function: name,
				...(position === undefined ? {} : { source: position.source }),
				line: position?.line ?? 0,
				fuel,
			});
	};
	const runs = new Map<string, number>();
	for (const [i, site] of module.sites.entries()) {
		const count = Number((exports[`${PROFILE_EXPORT}${i}`] as WasmGlobal<bigint>).value);
		if (site.kind === 'bulk') add(site.functionIndex, site.at, count);
		else runs.set(`${site.functionIndex}:${site.region}`, count);
	}
	for (const { functionIndex, offsets, regions, costs } of module.weights)
		for (let i = 0; i < offsets.length; i++)
			add(
				functionIndex,
				offsets[i] as number,
				(costs[i] as number) * (runs.get(`${functionIndex}:${regions[i]}`) ?? 0),
			);
	return [...lines.values()].sort((a, b) => b.fuel - a.fuel);
}
