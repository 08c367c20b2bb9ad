// Owns strategies for tests: written in AssemblyScript as text, built with the SDK, kept for the rest of the run; and versions of one, which
// differ in their manifest alone.
import { fork } from 'node:child_process';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { pluginDirs, readManifest, writeManifestSection } from '@infermesh/sdk';
import type { BuildAnswer, BuildOrder } from './build-child.js';

const built = new Map<string, Promise<Uint8Array<ArrayBuffer>>>();
const childPath = fileURLToPath(new URL('./build-child.js', import.meta.url));

function build(order: BuildOrder): Promise<Uint8Array<ArrayBuffer>> {
	return new Promise((resolve, reject) => {
		const child = fork(childPath, [], { serialization: 'advanced', execArgv: [] });
		child.once('message', (answer: BuildAnswer) => {
			if ('wasm' in answer) resolve(answer.wasm);
			else reject(new Error(answer.error));
		});
		child.once('error', reject);
		child.once('exit', (code) => reject(new Error(`the compiler's process ended with ${code}`)));
		child.send(order);
	});
}

/** The module of a strategy; the same text is built once. */
export function strategyFrom(manifest: string, source: string): Promise<Uint8Array<ArrayBuffer>> {
	const key = `${manifest}\0${source}`;
	const made = built.get(key) ?? build({ manifest, source });
	built.set(key, made);
	return made;
}

/** The same module under another version. */
export function withVersion(wasm: Uint8Array, version: string): Uint8Array {
	return writeManifestSection(wasm, { ...readManifest(wasm), version });
}

/** Names of all strategies that ship with the mesh. */
export const shippedNames: readonly string[] = pluginDirs(fileURLToPath(new URL('../../../', import.meta.url))).map(
	(dir) => path.basename(dir),
);

/** A strategy that ships with the mesh, as built. */
export function shipped(name: string): Uint8Array {
	return readFileSync(fileURLToPath(new URL(`../../../plugins/${name}/build/${name}.wasm`, import.meta.url)));
}

/** Always ranks one row first, the others behind it; the row is the one it was built for. */
export function fixedRow(name: string, row: number): Promise<Uint8Array<ArrayBuffer>> {
	return strategyFrom(
		`name: ${name}\nversion: 1.0.0\nabi: "1.0"\ncolumns: [load]\n`,
		`import { begin, nextEligible, putRanked, rowCount, route } from 'infermesh';
export { init } from 'infermesh';

export function rank(frame: usize): i32 {
	begin(frame);
	const wanted = nextEligible(${row}) == ${row} ? ${row} : nextEligible(0);
	if (wanted < 0) return 1;
	putRanked(0, wanted, 0);
	let count: u32 = 1;
	for (let row = nextEligible(0); row >= 0 && row < rowCount() && count < 4; row = nextEligible(row + 1)) {
		if (row != wanted) putRanked(count++, row, <f32>count);
	}
	return route(count);
}
`,
	);
}

/** Least load; its state counts the outcomes it observed and shows the count as a factor of each ranked row. */
export function counting(name: string): Promise<Uint8Array<ArrayBuffer>> {
	return strategyFrom(
		`name: ${name}\nversion: 1.0.0\nabi: "1.0"\ncolumns: [load]\nhooks: [rank, observe]\nfactors: [seen]\nstate_bytes: 64\n`,
		`import { addWeighted, begin, fillCosts, putFactor, putStateU32, rankedCount, rankLowest, scratch, setFactorCount, stateU32 } from 'infermesh';
import { columns } from './manifest';
export { init } from 'infermesh';

export function rank(frame: usize): i32 {
	begin(frame);
	const cost = scratch(0);
	fillCosts(cost, 0);
	addWeighted(cost, columns.load, 1);
	const status = rankLowest(cost);
	setFactorCount(1);
	for (let at: u32 = 0; at < rankedCount(); at++) putFactor(at, 0, <f32>stateU32(0));
	return status;
}

export function observe(frame: usize, count: i32): i32 {
	begin(frame);
	putStateU32(0, stateU32(0) + count);
	return 0;
}
`,
	);
}
