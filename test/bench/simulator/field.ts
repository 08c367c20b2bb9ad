// Owns the grid in which hybrid_mesh stands beside the field: the conversation trace on five 70B engines, every shipped policy, constants, age of signals, loads, faults and
// seeds. It takes hours of processor time, so each cell is a line of a file as soon as it is done; a run goes on where the last one ended, and the tables are of
// what is there. `node test/dist/bench/simulator/field.js --trace FILE --out cells.jsonl [--minutes 30] [--policies a,b] [--only TEXT] [--tables]`
import { appendFileSync, existsSync, readFileSync } from 'node:fs';
import process from 'node:process';
import { parseArgs } from 'node:util';
import {
	bootstrapInterval,
	openTraceFile,
	prepareStrategy,
	type SimulationSpec,
	simulate,
	type Workload,
} from '@infermesh/host';
import { SeededRandom } from '@infermesh/proto';
import { renderTable } from '../table.js';
import { conversationEngines, specOf } from './worlds.js';

/** What ships for inference, the nearest first. */
const POLICIES = [
	'hybrid_mesh',
	'min_ttft',
	'vllm_smetric',
	'dynamo_lmetric',
	'llmd_default',
	'preble',
	'dynamo_linear',
	'llmd_affinity',
	'least_pending_tokens',
	'smg_least_load',
	'production_stack_loadaware',
	'aibrix_prefix',
	'smg_cache_aware',
	'least_request',
	'least_queue',
	'consistent_hash',
	'power_of_two',
	'baseline_rr',
	'random',
];
const LOADS = [0.85, 0.5, 0.95, 0.7];
const SEEDS = [1, 2, 3, 4, 5];
/** Speed at which least_request's mean time to first token is 5 s. */
const FULL = { measured: 0.838, optimistic: 1.124 } as const;
const DELAYS_MS = { fresh: 5, old: 50 } as const;
const HALVES = ['second', 'first'] as const;
/** Requests of a block of the bootstrap: some minutes of the trace, longer than a queue lives. */
const BLOCK_REQUESTS = 250;
const RESAMPLES = 500;
const LENGTH_AWARE = { baseMs: 2000, tokenMs: 0.3, tpotMs: 100 } as const;

const faults: Readonly<Record<string, SimulationSpec['faults']>> = {
	none: [],
	slow: [{ kind: 'slow', target: 'engine1', fromMs: 300_000, toMs: 900_000, factor: 4 }],
	lost: [{ kind: 'lost', target: 'engine1', fromMs: 300_000, toMs: 600_000 }],
	flapping: [{ kind: 'flapping', target: 'engine1', fromMs: 300_000, toMs: 900_000, periodMs: 30_000 }],
};

interface Setting {
	readonly half: (typeof HALVES)[number];
	readonly constants: keyof typeof FULL;
	readonly signals: keyof typeof DELAYS_MS;
	readonly load: number;
	readonly fault: string;
}

interface Cell extends Setting {
	readonly policy: string;
	readonly version: string;
	readonly seed: number;
	readonly meanMs: number;
	readonly p50Ms: number;
	readonly p99Ms: number;
	readonly tpotP99Ms: number;
	readonly hits: number;
	readonly good: number;
	/** By the objective that allows a long prompt its own prefill. */
	readonly goodForLength: number;
	/** Sum of times to first token of each block of requests, and how many came. */
	readonly blocks: readonly (readonly [sumMs: number, count: number])[];
}

interface Variant {
	readonly name: string;
	readonly strategy: string;
	readonly config: Readonly<Record<string, number>>;
	readonly fetches: boolean;
}

const variantsOf = (policies: readonly string[]): Variant[] => [
	...policies.map((strategy) => ({ name: strategy, strategy, config: {}, fetches: false })),
	{ name: 'hybrid_mesh+hold', strategy: 'hybrid_mesh', config: { hold_above_ms: 500 }, fetches: false },
	{ name: 'hybrid_mesh+fetch', strategy: 'hybrid_mesh', config: {}, fetches: true },
	{ name: 'hybrid_mesh+both', strategy: 'hybrid_mesh', config: { hold_above_ms: 500 }, fetches: true },
	{ name: 'min_ttft+fetch', strategy: 'min_ttft', config: { fetch_ratio: 1 }, fetches: true },
];

/** The most telling first: the aim's setting, then the other loads, constants and signals, then faults. */
function settings(): Setting[] {
	const out: Setting[] = [];
	for (const fault of Object.keys(faults))
		for (const constants of ['measured', 'optimistic'] as const)
			for (const signals of ['fresh', 'old'] as const)
				for (const load of LOADS)
					for (const half of HALVES)
						if (half === 'second' || (constants === 'measured' && signals === 'fresh' && fault === 'none'))
							if (fault === 'none' || (load === 0.85 && constants === 'measured' && signals === 'fresh'))
								out.push({ half, constants, signals, load, fault });
	return out;
}

function specFor(setting: Setting, seed: number, fetches: boolean): SimulationSpec {
	const profile = setting.constants === 'measured' ? 'h100-70b-tp4' : 'h100-70b-tp4-optimistic';
	const group = { ...conversationEngines, profile, fetches };
	const base = specOf([group], seed, setting.load * FULL[setting.constants], DELAYS_MS[setting.signals]);
	return { ...base, faults: faults[setting.fault] ?? [], keepRequests: true };
}

const keyOf = (cell: Setting & { policy: string; version: string; seed: number }): string =>
	[cell.half, cell.constants, cell.signals, cell.load, cell.fault, cell.policy, cell.version, cell.seed].join('|');

async function workloadOf(trace: string, seed: number, half: Setting['half']): Promise<Workload> {
	const source = await openTraceFile(trace, { seed });
	const all: Workload['requests'][number][] = [];
	for await (const request of source) all.push(request);
	const middle = Math.floor(all.length / 2);
	const requests = half === 'first' ? all.slice(0, middle) : all.slice(middle);
	return { name: source.name, blockTokens: source.blockTokens, notes: source.notes(), requests };
}

async function cellOf(
	setting: Setting,
	variant: Variant,
	version: string,
	seed: number,
	workload: Workload,
): Promise<Cell> {
	const module = (await prepareStrategy(variant.strategy)).withConfig(variant.config);
	const { summary, rows } = simulate(specFor(setting, seed, variant.fetches), workload, [module]);
	if (rows === undefined) throw new Error('the simulation kept no rows');
	const blocks: [number, number][] = [];
	let good = 0;
	for (const [at, ttftMs] of rows.ttftMs.entries()) {
		const block = Math.floor(at / BLOCK_REQUESTS);
		const [sumMs, count] = blocks[block] ?? [0, 0];
		blocks[block] = ttftMs < 0 ? [sumMs, count] : [sumMs + ttftMs, count + 1];
		const allowedMs = LENGTH_AWARE.baseMs + LENGTH_AWARE.tokenMs * (rows.inputTokens[at] as number);
		const inTime = ttftMs >= 0 && ttftMs <= allowedMs && (rows.tpotMs[at] as number) <= LENGTH_AWARE.tpotMs;
		if (inTime && rows.status[at] === 0) good++;
	}
	return {
		...setting,
		policy: variant.name,
		version,
		seed,
		meanMs: summary.ttft.mean,
		p50Ms: summary.ttft.p50,
		p99Ms: summary.ttft.p99,
		tpotP99Ms: summary.tpot.p99,
		hits: summary.hitRatio,
		good: summary.goodput,
		goodForLength: good / rows.ttftMs.length,
		blocks,
	};
}

function read(file: string): Cell[] {
	if (!existsSync(file)) return [];
	return readFileSync(file, 'utf8')
		.split('\n')
		.filter((line) => line !== '')
		.map((line) => JSON.parse(line) as Cell);
}

const mean = (values: readonly number[]): number => values.reduce((sum, one) => sum + one, 0) / values.length;

/** Relative difference of mean times to first token over the seeds both have, with a paired block bootstrap over blocks of the trace. */
function difference(ours: readonly Cell[], theirs: readonly Cell[]): string {
	const pairs = ours.flatMap((cell) => {
		const other = theirs.find(({ seed }) => seed === cell.seed);
		return other === undefined ? [] : cell.blocks.map((block, at) => [block, other.blocks[at] ?? [0, 0]] as const);
	});
	if (pairs.length === 0) return '';
	const ratio = (sample: readonly (typeof pairs)[number][]): number => {
		let [a, m, b, n] = [0, 0, 0, 0];
		for (const [[sumA, countA], [sumB, countB]] of sample) {
			a += sumA;
			m += countA;
			b += sumB;
			n += countB;
		}
		return 100 * (a / m / (b / n) - 1);
	};
	const { lower, upper } = bootstrapInterval(pairs, ratio, {
		random: new SeededRandom(7),
		resamples: RESAMPLES,
		blockLength: Math.min(4, pairs.length),
	});
	const percent = (value: number): string => `${value > 0 ? '+' : ''}${value.toFixed(1)}`;
	return `${percent(ratio(pairs))} % (${percent(lower)} … ${percent(upper)})`;
}

/** Of each policy, the cells of the version that was simulated last. */
function latest(cells: readonly Cell[]): Cell[] {
	const versions = new Map(cells.map(({ policy, version }) => [policy, version]));
	return cells.filter(({ policy, version }) => versions.get(policy) === version);
}

function tables(cells: readonly Cell[]): void {
	for (const setting of settings()) {
		const here = cells.filter((cell) =>
			(['half', 'constants', 'signals', 'load', 'fault'] as const).every((axis) => cell[axis] === setting[axis]),
		);
		if (here.length === 0) continue;
		const byPolicy = Map.groupBy(here, ({ policy }) => policy);
		const own = byPolicy.get('hybrid_mesh') ?? [];
		const seconds = (values: readonly number[]): string => (mean(values) / 1000).toFixed(2);
		const ordered = [...byPolicy].sort(([, a], [, b]) => mean(a.map((c) => c.meanMs)) - mean(b.map((c) => c.meanMs)));
		process.stdout.write(
			`\n${renderTable({
				title: `${setting.half} half, ${setting.constants} constants, ${setting.signals} signals, load ${setting.load}, fault ${setting.fault}`,
				columns: [
					'policy',
					'seeds',
					'mean s',
					'p50',
					'p99',
					'TPOT p99 ms',
					'hits %',
					'good %',
					'good by length %',
					'hybrid_mesh against it',
				],
				rows: ordered.map(([policy, list]) => [
					policy,
					list.length,
					seconds(list.map((c) => c.meanMs)),
					seconds(list.map((c) => c.p50Ms)),
					(mean(list.map((c) => c.p99Ms)) / 1000).toFixed(1),
					mean(list.map((c) => c.tpotP99Ms)).toFixed(0),
					(100 * mean(list.map((c) => c.hits))).toFixed(1),
					(100 * mean(list.map((c) => c.good))).toFixed(1),
					(100 * mean(list.map((c) => c.goodForLength))).toFixed(1),
					policy === 'hybrid_mesh' ? '' : difference(own, list),
				]),
				notes: [`blocks of ${BLOCK_REQUESTS} requests, resampled four in a row, paired by seed and block; 95 %`],
				aims: [],
			})}`,
		);
	}
}

async function main(): Promise<number> {
	const { values } = parseArgs({
		options: {
			trace: { type: 'string' },
			out: { type: 'string' },
			policies: { type: 'string' },
			only: { type: 'string' },
			minutes: { type: 'string' },
			seeds: { type: 'string' },
			tables: { type: 'boolean' },
		},
	});
	const { trace, out } = values;
	if (out === undefined || (trace === undefined && values.tables !== true)) {
		process.stderr.write('--trace FILE --out FILE [--minutes N --policies a,b --only TEXT --seeds N --tables]\n');
		return 2;
	}
	if (trace !== undefined) await fill(trace, out, values);
	tables(latest(read(out)));
	return 0;
}

async function fill(
	trace: string,
	out: string,
	values: Readonly<Record<string, string | boolean | undefined>>,
): Promise<void> {
	const policies = typeof values['policies'] === 'string' ? values['policies'].split(',') : POLICIES;
	const until = performance.now() + Number(values['minutes'] ?? 1e6) * 60_000;
	const done = new Set(read(out).map(keyOf));
	const workloads = new Map<string, Workload>();
	const seeds = SEEDS.slice(0, Number(values['seeds'] ?? SEEDS.length));
	for (const setting of settings())
		for (const variant of variantsOf(policies))
			for (const seed of seeds) {
				const { manifest } = await prepareStrategy(variant.strategy);
				const key = keyOf({ ...setting, policy: variant.name, version: manifest.version, seed });
				if (done.has(key) || (typeof values['only'] === 'string' && !key.includes(values['only']))) continue;
				if (performance.now() > until) return;
				const name = `${seed} ${setting.half}`;
				const workload = workloads.get(name) ?? (await workloadOf(trace, seed, setting.half));
				workloads.set(name, workload);
				const cell = await cellOf(setting, variant, manifest.version, seed, workload);
				appendFileSync(out, `${JSON.stringify(cell)}\n`);
				process.stderr.write(`${key}: ${(cell.meanMs / 1000).toFixed(3)} s\n`);
			}
}

process.exitCode = await main();
