// Owns the seeds that are kept: those that once failed, which are run again by the tests, and where each known bug was last noticed, where a search begins.
import { readFileSync, writeFileSync } from 'node:fs';

export interface KeptSeed {
	readonly scenario: string;
	readonly seed: number;
	/** What it found. */
	readonly note: string;
}

interface Kept {
	readonly failed: readonly KeptSeed[];
	readonly noticed: Readonly<Record<string, number>>;
}

/** Beside the sources, seen from where this file is compiled to. */
const file = new URL('../../sim/seeds.json', import.meta.url);

function read(): Kept {
	return JSON.parse(readFileSync(file, 'utf8')) as Kept;
}

function write(kept: Kept): void {
	writeFileSync(file, `${JSON.stringify(kept, undefined, '\t')}\n`);
}

export function failedSeeds(): readonly KeptSeed[] {
	return read().failed;
}

export function noticedMutations(): readonly string[] {
	return Object.keys(read().noticed);
}

export function noticedAt(mutation: string): number | undefined {
	return read().noticed[mutation];
}

export function keepFailed(seed: KeptSeed): void {
	const kept = read();
	const known = kept.failed.some((other) => other.scenario === seed.scenario && other.seed === seed.seed);
	if (!known) write({ ...kept, failed: [...kept.failed, seed] });
}

export function keepNoticed(mutation: string, seed: number): void {
	const kept = read();
	const noticed = Object.entries({ ...kept.noticed, [mutation]: seed }).sort(([a], [b]) => (a < b ? -1 : 1));
	write({ ...kept, noticed: Object.fromEntries(noticed) });
}
