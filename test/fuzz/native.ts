// Owns the fuzzing of native strategies with libFuzzer under AddressSanitizer and UndefinedBehaviorSanitizer, and the hand-off under ThreadSanitizer: what is
// built of host/native/fuzz, and one run of it. A run may be given other sources than the tree's, so that a test can plant a bug and see it found.
import { cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { cSdkDir } from '@infermesh/sdk';
import { program, run } from '../support/programs.js';

export const nativeSources = fileURLToPath(new URL('../../../host/native', import.meta.url));

/** What is compiled: the folders of the host's and the C SDK's sources. */
export interface Sources {
	readonly host: string;
	readonly sdk: string;
}

export const treeSources: Sources = { host: nativeSources, sdk: cSdkDir };

/** A copy of the sources that may be changed. */
export function copySources(folder: string): Sources {
	const sources = { host: path.join(folder, 'host'), sdk: path.join(folder, 'sdk') };
	cpSync(treeSources.host, sources.host, { recursive: true, filter: (from) => path.basename(from) !== 'build' });
	cpSync(treeSources.sdk, sources.sdk, { recursive: true });
	return sources;
}

/** Puts a bug into a file of such a copy. */
export function plant(file: string, right: string, wrong: string): void {
	const text = readFileSync(file, 'utf8');
	if (!text.includes(right)) throw new Error(`${path.basename(file)} has no ${right}`);
	writeFileSync(file, text.replace(right, wrong));
}

const fuzzers = {
	frame: { source: 'frame.c', compiler: 'clang', standard: 'c11', lengthMax: 512 },
	page: { source: 'page.cc', compiler: 'clang++', standard: 'c++17', lengthMax: 2048 },
} as const;

export type FuzzTarget = keyof typeof fuzzers;
export const fuzzTargets = Object.keys(fuzzers) as readonly FuzzTarget[];

function common({ host, sdk }: Sources): string[] {
	return ['-O2', '-g', '-fno-omit-frame-pointer', '-Wall', '-Wextra', '-Werror', `-I${sdk}`, `-I${host}`];
}

async function compile(compiler: string, args: readonly string[]): Promise<void> {
	const { code, output } = await run(program(compiler, 'clang libclang-rt-14-dev'), args);
	if (code !== 0) throw new Error(`${compiler} ended with ${code}:\n${output}`);
}

/** Builds a fuzzer into `folder`; returns its path. Rejects with the compiler's words. */
export async function buildFuzzer(target: FuzzTarget, folder: string, sources: Sources = treeSources): Promise<string> {
	const { source, compiler, standard } = fuzzers[target];
	const binary = path.join(folder, target);
	const sanitizers = ['-fsanitize=fuzzer,address,undefined', '-fno-sanitize-recover=all'];
	const file = path.join(sources.host, 'fuzz', source);
	await compile(compiler, [`-std=${standard}`, ...sanitizers, ...common(sources), file, '-lm', '-o', binary]);
	return binary;
}

export interface FuzzRun {
	readonly ok: boolean;
	/** Inputs that were tried. */
	readonly runs: number;
	readonly output: string;
}

/** Tries the seeds, then what comes of them for `seconds`; 0 = the seeds alone. Finds and what is learned stay in `folder`. */
export async function runFuzzer(target: FuzzTarget, binary: string, folder: string, seconds: number): Promise<FuzzRun> {
	const learned = path.join(folder, `${target}-learned`);
	mkdirSync(learned, { recursive: true });
	const { code, output } = await run(binary, [
		seconds === 0 ? '-runs=0' : `-max_total_time=${seconds}`,
		'-timeout=20',
		'-rss_limit_mb=1024',
		'-len_control=10',
		`-max_len=${fuzzers[target].lengthMax}`,
		`-artifact_prefix=${folder}/`,
		learned,
		path.join(nativeSources, 'fuzz/corpus', target),
	]);
	const runs = [...output.matchAll(/^#(\d+)\s/gm)].at(-1)?.[1] ?? '0';
	return { ok: code === 0, runs: Number(runs), output };
}

/** Builds the hand-off as two threads under ThreadSanitizer. */
export async function buildRace(folder: string, sources: Sources = treeSources): Promise<string> {
	const binary = path.join(folder, 'handoff-race');
	const file = path.join(sources.host, 'fuzz/handoff-race.cc');
	await compile('clang++', ['-std=c++17', '-fsanitize=thread', ...common(sources), file, '-pthread', '-o', binary]);
	return binary;
}

export interface RaceRun {
	readonly ok: boolean;
	readonly answered: number;
	/** Given up, and waited for before the next one. */
	readonly late: number;
	readonly output: string;
}

export async function runRace(binary: string, calls: number): Promise<RaceRun> {
	const { code, output } = await run(binary, [String(calls)]);
	const counted = /\{"answered": (\d+), "late": (\d+)/.exec(output);
	return { ok: code === 0, answered: Number(counted?.[1] ?? 0), late: Number(counted?.[2] ?? 0), output };
}
