// Owns the figures of one decision, all in, at four fleet sizes: hybrid_mesh in WebAssembly, the same policy in TypeScript, the
// other shipped strategies, the whole decider of a worker; and what bringing rows up to date costs, apart.
import { createRig, prepareStrategy, type Rig, type StrategyModule } from '@infermesh/host';
import { COLUMN_QUEUE_DEPTH } from '@infermesh/sdk';
import type { Aim, Bench, BenchContext, Table } from './bench.js';
import { noise, quantile, ratioOfPairs } from './stats.js';
import {
	type Decide,
	decideInTypeScript,
	decideInWasm,
	decideInWorker,
	makeRing,
	openInstance,
	type RequestRing,
} from './subjects.js';

const SIZES = [16, 128, 1024, 10_240];
const SEED = 20_261_123;
const ROUNDS = 60;
/** What one batch of decisions should take: long against the clock's cost, short against the scheduler's slice. */
const BATCH_NS = 100_000;

interface Subject {
	readonly name: string;
	readonly make: (rig: Rig, ring: RequestRing) => Decide;
}

interface Timed {
	readonly batchNs: number[];
	readonly singleNs: number[];
}

const elapsedNs = (sinceMs: number): number => (performance.now() - sinceMs) * 1e6;

export const decisionBench: Bench = {
	name: 'decision',
	summary: 'one decision all in, at 16 to 10,240 targets; row sync apart',
	run: async (context) => {
		const [hybrid, least, robin] = await Promise.all(
			['hybrid_mesh', 'least_queue', 'baseline_rr'].map(async (name) => (await prepareStrategy(name)).module),
		);
		const subjects = subjectsOf(hybrid as StrategyModule, least as StrategyModule, robin as StrategyModule);
		const timed = new Map<number, ReadonlyMap<string, Timed>>();
		for (const size of SIZES) {
			timed.set(size, timeSize(size, subjects, context));
			context.progress(`  ${size} targets`);
		}
		return [decisionTable(subjects, timed), syncTable(hybrid as StrategyModule, context)];
	},
};

function subjectsOf(hybrid: StrategyModule, least: StrategyModule, robin: StrategyModule): readonly Subject[] {
	return [
		{ name: 'hybrid_mesh, WASM', make: (rig, ring) => decideInWasm(rig, hybrid, ring) },
		{ name: 'hybrid_mesh, whole decider', make: (rig, ring) => decideInWorker(rig, hybrid, ring) },
		{ name: 'hybrid_mesh, TypeScript', make: (rig, ring) => decideInTypeScript(rig, hybrid, ring) },
		{ name: 'least_queue, WASM', make: (rig, ring) => decideInWasm(rig, least, ring) },
		{ name: 'baseline_rr, WASM', make: (rig, ring) => decideInWasm(rig, robin, ring) },
	];
}

const emptyTimed = (): Timed => ({ batchNs: [], singleNs: [] });

/** All subjects on one rig, taking turns within each round. */
function timeSize(size: number, subjects: readonly Subject[], { quick }: BenchContext): ReadonlyMap<string, Timed> {
	const rig = createRig(size, SEED);
	const ring = makeRing(rig);
	const runs = subjects.map(({ name, make }) => {
		const decide = make(rig, ring);
		return { name, decide, calls: warmUp(name, decide), timed: emptyTimed() };
	});
	for (let round = 0; round < (quick ? 5 : ROUNDS); round++)
		for (const { decide, calls, timed } of runs) {
			timeBatches(decide, calls, timed);
			timeSingles(decide, calls, timed);
		}
	return new Map(runs.map(({ name, timed }) => [name, timed]));
}

/** Runs until optimised; returns how many calls make a batch. */
function warmUp(name: string, decide: Decide): number {
	let calls = 0;
	const from = performance.now();
	for (; calls < 20_000 && performance.now() - from < 400; calls++)
		if (!decide(calls)) throw new Error(`${name}: the strategy did not decide`);
	const again = performance.now();
	const probe = Math.min(calls, 500);
	for (let i = 0; i < probe; i++) decide(i);
	return Math.max(1, Math.round(BATCH_NS / (elapsedNs(again) / probe)));
}

const BATCHES = 8;

function timeBatches(decide: Decide, calls: number, timed: Timed): void {
	for (let batch = 0; batch < BATCHES; batch++) {
		const from = performance.now();
		for (let i = 0; i < calls; i++) decide(i);
		timed.batchNs.push(elapsedNs(from) / calls);
	}
}

/** Single calls, less the least that two looks at the clock cost. */
function timeSingles(decide: Decide, calls: number, timed: Timed): void {
	let clockNs = Number.POSITIVE_INFINITY;
	for (let i = 0; i < 50; i++) clockNs = Math.min(clockNs, elapsedNs(performance.now()));
	for (let i = 0; i < Math.min(400, calls * 4); i++) {
		const from = performance.now();
		decide(i);
		timed.singleNs.push(Math.max(0, elapsedNs(from) - clockNs));
	}
}

function decisionTable(subjects: readonly Subject[], timed: ReadonlyMap<number, ReadonlyMap<string, Timed>>): Table {
	const of = (size: number, subject: string): Timed => timed.get(size)?.get(subject) as Timed;
	const yardstick = (subjects[2] as Subject).name;
	const rows = SIZES.flatMap((size) =>
		subjects.map(({ name }) => {
			const { batchNs, singleNs } = of(size, name);
			return [
				name,
				size,
				quantile(batchNs, 0.5) / 1000,
				quantile(singleNs, 0.5) / 1000,
				quantile(singleNs, 0.99) / 1000,
				`${(noise(batchNs) * 100).toFixed(0)} %`,
				name.startsWith('hybrid') ? ratioOfPairs(batchNs, of(size, yardstick).batchNs).toFixed(2) : '',
			];
		}),
	);
	const wasm = (subjects[0] as Subject).name;
	const us = (size: number, share: number, kind: keyof Timed): number => quantile(of(size, wasm)[kind], share) / 1000;
	const aims: Aim[] = [
		{ what: 'p50 at 16 targets', figure: us(16, 0.5, 'batchNs'), atMost: 1, unit: 'µs' },
		{ what: 'p99 at 1,024 targets', figure: us(1024, 0.99, 'singleNs'), atMost: 5, unit: 'µs' },
		{ what: 'p50 at 10,240 targets', figure: us(10_240, 0.5, 'batchNs'), atMost: 25, unit: 'µs' },
	];
	return {
		title: `One decision, all in, µs (seed ${SEED})`,
		columns: ['', 'targets', 'p50', 'p50 single', 'p99 single', 'noise', 'of TypeScript'],
		rows,
		aims,
		notes: [
			'all in: dirty rows looked for, request and hits written, strategy run under fuel, answer checked and read back',
			'whole decider: WorkerDecider.decide with plan and pool lookup, two clock readings, counters, witness re-runs',
			'p50: of batches of about 100 µs; single: one call between two clock readings, less the clock; noise: half the quartile distance',
			'of TypeScript: time relative to the same policy in TypeScript on the same frames, in the same rounds',
		],
	};
}

/** What it costs to bring rows up to date: one row as after a scrape, and all of them. */
function syncTable(strategy: StrategyModule, { quick }: BenchContext): Table {
	const rows = SIZES.map((size) => {
		const rig = createRig(size, SEED);
		const instance = openInstance(rig, strategy);
		const one: number[] = [];
		const all: number[] = [];
		for (let round = 0; round < (quick ? 50 : 400); round++) {
			rig.touch(round % size);
			const from = performance.now();
			instance.sync();
			one.push(elapsedNs(from));
		}
		for (let round = 0; round < (quick ? 10 : 60); round++) {
			touchAll(rig);
			const from = performance.now();
			instance.sync();
			all.push(elapsedNs(from));
		}
		return [size, quantile(one, 0.5) / 1000, quantile(one, 0.99) / 1000, quantile(all, 0.5) / 1000];
	});
	return {
		title: 'Row sync of hybrid_mesh (16 columns), µs',
		columns: ['targets', 'one row p50', 'one row p99', 'all rows p50'],
		rows,
		aims: [],
		notes: ['table to view to strategy memory; part of the first decision after a change, none of the others'],
	};
}

function touchAll(rig: Rig): void {
	for (let row = 0; row < rig.rows; row++) rig.table.setF32(COLUMN_QUEUE_DEPTH, row, rig.random.nextFloat());
	rig.table.publish();
}
