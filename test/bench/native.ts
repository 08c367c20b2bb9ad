// Owns the figures of native strategies: one decision all in, in WebAssembly, native inline, native in its sandbox and in TypeScript, in one run: of
// least_queue, which is in C, and of hybrid_mesh, which is in Rust; then a soak in which a hostile strategy fails a thousand times in each of three ways, with what the process holds before and after.
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import {
	createRig,
	Decision,
	type NativeCode,
	prepareStrategy,
	type Rig,
	readOutput,
	type StrategyModule,
} from '@infermesh/host';
import { MeshError } from '@infermesh/proto';
import { type BuildTarget, buildStrategy, REQUEST_TOKENS_OUT_MAX_WORD } from '@infermesh/sdk';
import { hostileFirst, misdeeds, writeNativeProject } from '../support/native.js';
import type { Bench, BenchContext, Table } from './bench.js';
import { leastQueueReference } from './least-queue-reference.js';
import { noise, quantile, ratioOfPairs } from './stats.js';
import {
	type Decide,
	decideInTypeScript,
	decideInWasm,
	makeRing,
	openInstance,
	type RequestRing,
	writeFrame,
} from './subjects.js';

const SIZES = [16, 128, 1024];
const SEED = 20_261_126;
const ROUNDS = 30;
const SINGLES = 400;

export const nativeBench: Bench = {
	name: 'native',
	summary:
		'a decision in WebAssembly, native inline and in its sandbox, in C and in Rust; thousands of failures of a hostile one, and what they leave',
	run: async (context) => {
		const folder = mkdtempSync(path.join(tmpdir(), 'infermesh-native-bench-'));
		try {
			return [
				await leastQueueTable(folder, context),
				await hybridTable(folder, context),
				await soakTable(folder, context),
			];
		} finally {
			rmSync(folder, { recursive: true });
		}
	},
};

/** The template's strategy, with `first` at the start of its rank. */
async function compile(folder: string, name: string, first: string): Promise<NativeStrategy> {
	const dir = path.join(folder, name);
	writeNativeProject(dir, { name, first });
	return (await prepareStrategy(dir)).module as NativeStrategy;
}

/** The same with the ranking in plain TypeScript. */
function leastQueueInTypeScript(rig: Rig, leastQueue: StrategyModule, ring: RequestRing): Decide {
	const instance = openInstance(rig, leastQueue);
	const rank = leastQueueReference(instance.layout, instance.u32, instance.f32);
	const out = new Decision();
	return (index) => {
		writeFrame(instance, ring, index);
		rank();
		return readOutput(instance, [], out) === 'none';
	};
}

async function leastQueueTable(folder: string, context: BenchContext): Promise<Table> {
	const sandboxed = await compile(folder, 'in_c', '');
	const { module: wasm } = await prepareStrategy('least_queue');
	const inTypeScript = (rig: Rig, ring: RequestRing): Decide => leastQueueInTypeScript(rig, wasm, ring);
	return decisionTable(
		'least_queue, native in C',
		[...subjectsOf(wasm, sandboxed), { name: 'TypeScript', make: inTypeScript }],
		context,
	);
}

const hybridMesh = fileURLToPath(new URL('../../../plugins/hybrid_mesh', import.meta.url));

/** hybrid_mesh of the AssemblyScript original, and of its twin in Rust, as a library and as a module; without a Rust toolchain a table that says so. */
async function hybridTable(folder: string, context: BenchContext): Promise<Table> {
	const { module: wasm } = await prepareStrategy('hybrid_mesh');
	const inRust = async (target: BuildTarget, file: string): Promise<StrategyModule> => {
		const outFile = path.join(folder, file);
		await buildStrategy(hybridMesh, { source: 'rust/src/lib.rs', target, outFile });
		return (await prepareStrategy(outFile)).module;
	};
	const title = 'hybrid_mesh, native in Rust';
	try {
		const native = (await inRust('native', 'hybrid_mesh.so')) as NativeStrategy;
		const twin = await inRust('wasm32-unknown-unknown', 'hybrid_mesh.wasm');
		const subjects = [
			...subjectsOf(wasm, native),
			{ name: 'TypeScript', make: (rig: Rig, ring: RequestRing) => decideInTypeScript(rig, wasm, ring) },
			{ name: 'WASM of the Rust', make: (rig: Rig, ring: RequestRing) => decideInWasm(rig, twin, ring) },
		];
		return await decisionTable(title, subjects, context);
	} catch (error) {
		if (!(error instanceof MeshError) || error.code !== 'IM_BUILD_COMPILER') throw error;
		return { title: `One decision of ${title}`, columns: [], rows: [], notes: [error.format()], aims: [] };
	}
}

type NativeStrategy = StrategyModule & { readonly module: NativeCode };

interface Subject {
	readonly name: string;
	readonly make: (rig: Rig, ring: RequestRing) => Decide;
}

function subjectsOf(wasm: StrategyModule, sandboxed: NativeStrategy): Subject[] {
	const inline: StrategyModule = { ...sandboxed, module: { ...sandboxed.module, native: 'inline' } };
	return [
		{ name: 'WASM', make: (rig, ring) => decideInWasm(rig, wasm, ring) },
		{ name: 'native inline', make: (rig, ring) => decideInWasm(rig, inline, ring) },
		{ name: 'native process', make: (rig, ring) => decideInWasm(rig, sandboxed, ring) },
	];
}

async function decisionTable(
	what: string,
	compared: readonly Subject[],
	{ quick, progress }: BenchContext,
): Promise<Table> {
	const rows: (string | number)[][] = [];
	for (const size of SIZES) {
		const rig = createRig(size, SEED);
		const ring = makeRing(rig);
		const subjects = compared.map(({ name, make }) => ({
			name,
			decide: make(rig, ring),
			timesUs: [] as number[],
			mediansUs: [] as number[],
		}));
		for (let round = 0; round < (quick ? 5 : ROUNDS); round++)
			for (const { decide, timesUs, mediansUs } of subjects) {
				const times = timeSingles(decide);
				// The first round is for the engine to optimise.
				if (round === 0) continue;
				timesUs.push(...times);
				mediansUs.push(quantile(times, 0.5));
			}
		const yardstick = subjects[0]?.mediansUs ?? [];
		for (const { name, timesUs, mediansUs } of subjects)
			rows.push([
				name,
				size,
				quantile(timesUs, 0.5),
				quantile(timesUs, 0.99),
				`${(noise(mediansUs) * 100).toFixed(0)} %`,
				ratioOfPairs(mediansUs, yardstick).toFixed(2),
			]);
		progress(`  ${size} targets`);
	}
	const of = (name: string, at: number): number[] =>
		rows.filter((row) => row[0] === name).map((row) => row[at] as number);
	return {
		title: `One decision of ${what}, all in, µs (seed ${SEED})`,
		columns: ['', 'targets', 'p50', 'p99', 'noise', 'of WASM'],
		rows,
		notes: [
			'single calls between two clock readings, subjects taking turns; the sandbox needs a core of its own to answer while it is looked for',
		],
		aims: [
			{
				what: 'native inline of WASM, worst',
				figure: Math.max(...of('native inline', 5).map(Number)),
				atMost: 1.2,
				unit: '×',
			},
			{ what: 'worst p50 of native process', figure: Math.max(...of('native process', 2)), atMost: 15, unit: 'µs' },
			{ what: 'worst p99 of native process', figure: Math.max(...of('native process', 3)), atMost: 60, unit: 'µs' },
		],
	};
}

function timeSingles(decide: Decide): number[] {
	return Array.from({ length: SINGLES }, (_, index) => {
		const from = performance.now();
		decide(index);
		return (performance.now() - from) * 1000;
	});
}

interface Held {
	readonly rssMib: number;
	readonly descriptors: number;
	readonly shared: number;
	readonly children: number;
}

/** Collects, and waits until what was collected has been given back: that is done between turns. */
async function collect(): Promise<void> {
	setFlagsFromString('--expose-gc');
	const gc = runInNewContext('gc') as () => void;
	for (let time = 0; time < 3; time++) {
		gc();
		await new Promise((resolve) => setImmediate(resolve));
	}
}

/** What this process holds, once it has collected: memory, open files, of those in memory, and sandboxes that are its children. */
async function held(): Promise<Held> {
	await collect();
	const maps = readFileSync('/proc/self/maps', 'utf8').split('\n');
	const children = readFileSync(`/proc/self/task/${process.pid}/children`, 'utf8').trim();
	return {
		rssMib: process.memoryUsage.rss() / 2 ** 20,
		descriptors: readdirSync('/proc/self/fd').length,
		shared: maps.filter((line) => line.includes('memfd:infermesh')).length,
		children: children === '' ? 0 : children.split(' ').length,
	};
}

async function soakTable(folder: string, { quick, progress }: BenchContext): Promise<Table> {
	const hostile = await compile(folder, 'hostile', hostileFirst);
	const rig = createRig(128, SEED);
	const ring = makeRing(rig);
	const rows: (string | number)[][] = [];
	let made = 0;
	const fail = (number: number): string => {
		// A version of its own each time: one that failed before would wait, longer each time, before it starts.
		const instance = openInstance(rig, { ...hostile, digest: `${hostile.digest}-${made++}` });
		writeFrame(instance, ring, made);
		instance.u32[instance.requestWord + REQUEST_TOKENS_OUT_MAX_WORD] = number;
		const cause = instance.rank();
		instance.close();
		return cause;
	};
	for (const { number } of misdeeds) fail(number);
	for (const { name, number } of misdeeds) {
		const before = await held();
		const causes = new Map<string, number>();
		const from = performance.now();
		for (let i = 0; i < (quick ? 50 : 1000); i++) {
			const cause = fail(number);
			causes.set(cause, (causes.get(cause) ?? 0) + 1);
			// Memory that JavaScript has let go of is given back between turns.
			if (i % 50 === 49) await new Promise((resolve) => setImmediate(resolve));
		}
		const eachMs = (performance.now() - from) / (quick ? 50 : 1000);
		await new Promise((resolve) => setTimeout(resolve, 100));
		const after = await held();
		rows.push([
			name,
			[...causes].map(([cause, count]) => `${cause} ${count}`).join(', '),
			eachMs.toFixed(1),
			...(['rssMib', 'descriptors', 'shared', 'children'] as const).map(
				(key) => `${before[key].toFixed(0)} → ${after[key].toFixed(0)}`,
			),
		]);
		progress(`  ${name}`);
	}
	return {
		title:
			'A hostile strategy, each time in a new sandbox: how its decisions ended, and what the process holds before and after',
		columns: ['', 'causes', 'ms each', 'RSS MiB', 'files', 'shared maps', 'children'],
		rows,
		notes: ['ended sandboxes are reaped with the next start, at the latest when sixteen of them wait'],
		aims: [],
	};
}
