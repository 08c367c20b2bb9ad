// Owns the cells of the grid in which hybrid_mesh stands beside the field: what is varied, in which order the cells are worth having, and how one is simulated.
import {
	openTraceFile,
	prepareStrategy,
	type SimulationSpec,
	simulate,
	syntheticTrace,
	type Workload,
} from '@infermesh/host';
import { conversationEngines, specOf } from './worlds.js';

/** The strategy of this house, and those of the others that come nearest to it: the first tables are theirs. */
const NEAREST = ['hybrid_mesh', 'min_ttft', 'vllm_smetric', 'preble', 'dynamo_lmetric', 'llmd_default'];
/** The others that ship for inference. */
const FURTHER = [
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
/** Enough for a first interval, then the others. */
const ROUNDS = [
	[1, 2, 3],
	[4, 5],
] as const;
export const SEEDS = ROUNDS.flat().length;

/**
 * Speed that is called a load of 1: that at which least_request's mean time to first token is 5 s on the trace; of the made-up requests, of which seven eighths are cached somewhere, that of
 * min_ttft, because least_request is lost there long before the others have anything to do.
 */
const FULL = {
	trace: { measured: 0.838, optimistic: 1.124 },
	synthetic: { measured: 1.24, optimistic: 1.46 },
} as const;
const DELAYS_MS = { fresh: 5, old: 50 } as const;
/** Requests of a block of the bootstrap: some minutes of the trace, longer than a queue lives. */
export const BLOCK_REQUESTS = 250;
const LENGTH_AWARE = { baseMs: 2000, tokenMs: 0.3, tpotMs: 100 } as const;

/** Times are from the first arrival. */
const faults: Readonly<Record<string, SimulationSpec['faults']>> = {
	none: [],
	slow: [{ kind: 'slow', target: 'engine1', fromMs: 300_000, toMs: 900_000, factor: 4 }],
	lost: [{ kind: 'lost', target: 'engine1', fromMs: 300_000, toMs: 600_000 }],
	flapping: [{ kind: 'flapping', target: 'engine1', fromMs: 300_000, toMs: 900_000, periodMs: 30_000 }],
};

export interface Setting {
	/** Half of the trace, or requests that are made up: nothing was tuned on `second` and `synthetic`. */
	readonly half: 'second' | 'first' | 'synthetic';
	readonly constants: keyof (typeof FULL)['trace'];
	readonly signals: keyof typeof DELAYS_MS;
	readonly load: number;
	readonly fault: string;
}

export interface Cell extends Setting {
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

export interface Variant {
	readonly name: string;
	readonly strategy: string;
	readonly config: Readonly<Record<string, number>>;
	readonly fetches: boolean;
}

/** A cell to come. */
export interface Task {
	readonly setting: Setting;
	readonly variant: Variant;
	readonly seed: number;
}

const plain = (strategy: string): Variant => ({ name: strategy, strategy, config: {}, fetches: false });

/** With what else these strategies can be asked to do. */
const extended: readonly Variant[] = [
	{ name: 'hybrid_mesh+hold', strategy: 'hybrid_mesh', config: { hold_above_ms: 500 }, fetches: false },
	{ name: 'hybrid_mesh+fetch', strategy: 'hybrid_mesh', config: {}, fetches: true },
	{ name: 'hybrid_mesh+both', strategy: 'hybrid_mesh', config: { hold_above_ms: 500 }, fetches: true },
	{ name: 'min_ttft+fetch', strategy: 'min_ttft', config: { fetch_ratio: 1 }, fetches: true },
];

/** The most telling first: 0.85 of each kind of constants and signals, then faults there, a workload unlike the trace, the other loads, and the half that was tuned on. */
export function settings(): Setting[] {
	const out: Setting[] = [];
	const usual = { constants: 'measured', signals: 'fresh', fault: 'none' } as const;
	const clean = (load: number): void => {
		for (const constants of ['measured', 'optimistic'] as const)
			for (const signals of ['fresh', 'old'] as const)
				out.push({ half: 'second', constants, signals, load, fault: 'none' });
	};
	clean(0.85);
	for (const fault of Object.keys(faults))
		if (fault !== 'none') out.push({ ...usual, half: 'second', load: 0.85, fault });
	out.push({ ...usual, half: 'synthetic', load: 0.85 }, { ...usual, half: 'synthetic', signals: 'old', load: 0.85 });
	for (const load of [0.5, 0.95, 0.7]) {
		clean(load);
		out.push({ ...usual, half: 'synthetic', load });
	}
	for (const load of [0.85, 0.5, 0.95, 0.7]) out.push({ ...usual, half: 'first', load });
	return out;
}

/** Every cell in the order in which it is worth having; `policies` in place of all. */
export function tasks(policies: readonly string[] | undefined): Task[] {
	const groups =
		policies === undefined
			? [[...NEAREST.map(plain), ...extended], FURTHER.map(plain)]
			: [[...policies, ...extended.map(({ name }) => name)].flatMap(variantOf)];
	return groups.flatMap((variants) =>
		ROUNDS.flatMap((seeds) =>
			settings().flatMap((setting) => variants.flatMap((variant) => seeds.map((seed) => ({ setting, variant, seed })))),
		),
	);
}

function variantOf(name: string, at: number, all: readonly string[]): Variant[] {
	if (all.indexOf(name) !== at) return [];
	return [extended.find((variant) => variant.name === name) ?? plain(name)];
}

export async function keyOf({ setting, variant, seed }: Task): Promise<string> {
	const { manifest } = await prepareStrategy(variant.strategy);
	return keyOfCell({ ...setting, policy: variant.name, version: manifest.version, seed });
}

export function keyOfCell(cell: Setting & Pick<Cell, 'policy' | 'version' | 'seed'>): string {
	return [cell.half, cell.constants, cell.signals, cell.load, cell.fault, cell.policy, cell.version, cell.seed].join(
		'|',
	);
}

export async function workloadOf(trace: string, seed: number, half: Setting['half']): Promise<Workload> {
	const source = half === 'synthetic' ? agentsTrace(seed) : await openTraceFile(trace, { seed });
	const all: Workload['requests'][number][] = [];
	for await (const request of source) all.push(request);
	const middle = Math.floor(all.length / 2);
	const halves = { first: () => all.slice(0, middle), second: () => all.slice(middle), synthetic: () => all };
	return { name: source.name, blockTokens: source.blockTokens, notes: source.notes(), requests: halves[half]() };
}

/** Unlike the trace in all that matters: bursts, a few hundred long conversations whose contexts grow, forty system prompts, and prompts that are mostly cached somewhere. */
function agentsTrace(seed: number): ReturnType<typeof syntheticTrace> {
	return syntheticTrace({
		requests: 6000,
		ratePerSecond: 4,
		arrivals: { kind: 'gamma', cv: 2 },
		sessions: { active: 240, turns: 12, contextTokensMax: 100_000 },
		input: { kind: 'lognormal', mean: 2500, cv: 2, tokensMax: 60_000 },
		output: { kind: 'lognormal', mean: 250, cv: 1, tokensMax: 2000 },
		prefixes: { count: 40, share: 0.5, levels: 2, levelBlocks: 32 },
		seed,
	});
}

function specFor({ setting, variant, seed }: Task, workload: Workload): SimulationSpec {
	const profile = setting.constants === 'measured' ? 'h100-70b-tp4' : 'h100-70b-tp4-optimistic';
	const full = FULL[setting.half === 'synthetic' ? 'synthetic' : 'trace'][setting.constants];
	const group = { ...conversationEngines, profile, fetches: variant.fetches };
	const base = specOf([group], seed, setting.load * full, DELAYS_MS[setting.signals]);
	const firstMs = (workload.requests[0]?.atMs ?? 0) / base.speed;
	const later = (fault: SimulationSpec['faults'][number]) => ({
		...fault,
		fromMs: fault.fromMs + firstMs,
		...(fault.toMs === undefined ? {} : { toMs: fault.toMs + firstMs }),
	});
	return { ...base, faults: (faults[setting.fault] ?? []).map(later), keepRequests: true };
}

export async function cellOf(task: Task, workload: Workload): Promise<Cell> {
	const { setting, variant, seed } = task;
	const module = await prepareStrategy(variant.strategy);
	const { summary, rows } = simulate(specFor(task, workload), workload, [module.withConfig(variant.config)]);
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
		version: module.manifest.version,
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
