// Owns the format of simulation scenarios: every key with its default, unit, bounds and a sentence, from which checking, reading and
// docs/scenario.md follow. Names are those of SimulationSpec in snake case. Unions are unions of types, never `anyOf`, so that each
// mistake gives one message. What a schema cannot say is checked in check.ts.
import type { TSchema } from 'typebox';
import {
	choice,
	flag,
	integer,
	item,
	list,
	map,
	number,
	optional,
	required,
	section,
	text,
} from '../../config/fields.js';
import type { SchemaNode } from '../../config/tree.js';
import { Type } from '../../schema/type.js';

/** Bounds of a scenario and its grid. */
export const GROUPS_MAX = 64;
export const ENGINES_MAX = 16_384;
export const FAULTS_MAX = 256;
export const AXIS_MAX = 64;
export const SEEDS_MAX = 1000;
const MS_MAX = 86_400_000;
const TOKENS_MAX = 1_000_000_000;

const MS = { unit: 'ms', max: MS_MAX } as const;
const whatever = (description: string, schema: object): TSchema => Type.Unsafe({ ...schema, description });

const numbers = { type: 'array', items: { type: 'number' }, minItems: 1, maxItems: 4096 };
const latency = Type.Optional(
	item('How long a step takes. Left out, it is the roofline of the profile.', {
		kind: Type.Optional(
			Type.Enum(['roofline', 'polynomial', 'table'], { description: 'The form; see docs/evaluate.md.' }),
		),
		prefill: Type.Optional(
			whatever('Polynomial: `[a, b, c]`, µs; table: `{tokens: […], us: […]}`.', {
				type: ['array', 'object'],
				items: { type: 'number' },
				properties: { tokens: numbers, us: numbers },
				additionalProperties: false,
			}),
		),
		decode: Type.Optional(
			whatever('Polynomial: `[a, b, c]`, µs; table: `{context_tokens: […], batch: […], us: [[…], …]}`.', {
				type: ['array', 'object'],
				items: { type: 'number' },
				properties: { context_tokens: numbers, batch: numbers, us: { type: 'array', items: numbers } },
				additionalProperties: false,
			}),
		),
		file: optional('A file with the keys above, as `infermesh simulate calibrate` writes; the path is from this file.'),
	}),
);

/** What engines of a group are like, without what names them. */
const engineFields = {
	profile: text('h100-8b', 'Engine profile: model, GPUs and the constants of its roofline.'),
	latency,
	zone: text('zone-1', 'Zone of the targets.'),
	region: text('region-1', 'Region of the targets.'),
	role: choice(['both', 'prefill', 'decode'], 'both', 'What the engines do of a request.'),
	weight: number(1, 'Share of the traffic a target should get, to the others’.', { max: 1000 }),
	slow_factor: number(1, 'Multiplies the duration of every step.', { min: 0.01, max: 1000 }),
	kv_tokens: Type.Optional(
		Type.Integer({
			minimum: 1,
			maximum: TOKENS_MAX,
			description: 'KV cache of one engine, in tokens. Left out, the profile’s.',
		}),
	),
	host_kv_tokens: integer(0, 'Second KV tier in host memory, in tokens; 0 = none.', { max: TOKENS_MAX }),
	block_tokens: integer(16, 'Tokens of a KV block.', { min: 1, max: 4096 }),
	step_tokens_max: integer(
		2048,
		'Tokens one step may compute: 2,048 favours the time between tokens, 8,192 throughput.',
		{
			min: 1,
			max: 1_000_000,
		},
	),
	sequences_max: integer(256, 'Sequences in one step.', { min: 1, max: 65_536 }),
	waiting_max: integer(65_536, 'Requests that may wait in an engine; more are refused.', { min: 1, max: 1_000_000 }),
	loras: Type.Array(Type.String({ minLength: 1 }), {
		default: [],
		maxItems: 256,
		description: 'LoRA adapters loaded at the start.',
	}),
	lora_load_ms: number(250, 'Time in which one more adapter is loaded.', MS),
	fetches: flag(false, 'Whether an engine can fetch a cached prefix from another.'),
};

const networkSchema = section('One-way delays between router and target, and what moves KV between targets.', {
	same_zone_ms: number(0.1, 'Router and target in one zone.', MS),
	same_region_ms: number(0.5, 'In one region.', MS),
	other_region_ms: number(40, 'In different regions.', MS),
	transfer_bytes_per_second: number(25e9, 'Speed of one transfer of KV between targets: 25e9 is a 200 Gb/s card.', {
		min: 1,
		unit: 'B/s',
	}),
});

const signalsSchema = section('How fresh and how true what strategies see is.', {
	delay_ms: number(50, 'From the scrape of an engine until its values stand in the fleet table.', MS),
	period_ms: number(50, 'Between two scrapes of one engine.', { ...MS, min: 1 }),
	prefix: choice(
		['approximate', 'events', 'oracle', 'none'],
		'events',
		'Prefix hits: from the router’s own choices, from the engines’ cache events, from the caches themselves, or none.',
	),
	prefix_delay_ms: number(50, 'Delay of cache events.', MS),
	output_estimate: choice(
		['mean', 'none'],
		'mean',
		'What a strategy is told of the length of an answer: the running mean of those before, never its own.',
	),
});

const routerSchema = section('The routers in front of the fleet.', {
	count: integer(1, 'Routers that share the fleet; requests are dealt by a seeded draw.', { min: 1, max: 256 }),
	zone: text('zone-1', 'Zone of the routers.'),
	region: text('region-1', 'Region of the routers.'),
	decision_us: number(50, 'What a decision takes in the simulated world.', { unit: 'µs', max: 1e9 }),
	peer_delay_ms: number(50, 'Delay with which routers learn of each other’s requests in flight.', MS),
	hold_max: integer(1024, 'Requests a router holds for a strategy that asks for it; 0 = never.', { max: 1_000_000 }),
	hold_ms_max: number(30_000, 'Longest hold; then the request is refused.', MS),
	hold_ageing_per_s: number(1, 'What a second of waiting takes off the priority key of a held request.', { max: 1e9 }),
	hedging: flag(false, 'Whether copies a strategy asks for are sent.'),
	hedge_delay_ms: number(0, 'Wait for a first token before a copy, where the strategy names none; 0 = adaptive.', MS),
	hedge_budget: number(0.05, 'Share of all tokens that copies may compute in vain.', { max: 1 }),
	retries_max: integer(2, 'Further targets tried when one fails before the first token.', { max: 16 }),
	first_byte_timeout_ms: Type.Optional(
		Type.Number({
			minimum: 1,
			maximum: MS_MAX,
			description: 'An attempt without a first token by then counts as failed. Left out, it waits for ever.',
			'x-unit': 'ms',
		}),
	),
	timeout_ms: number(0, 'A request is given up this long after it arrived; 0 = never.', MS),
	exploration: number(0, 'Share of requests sent to a ranked target drawn evenly, logged with its propensity.', {
		max: 1,
	}),
});

const sloFields = {
	ttft_ms: number(5000, 'Longest time to the first token.', MS),
	ttft_per_token_ms: number(0, 'Added to it for every token of the prompt: above 0 the objective is length-aware.', MS),
	tpot_ms: number(100, 'Longest mean time per further token.', MS),
};

const faultFields = {
	kind: Type.Enum(['slow', 'lost', 'hung', 'flapping', 'drained'], {
		description: 'Slower; dead; takes requests and answers none; up and down; takes no new ones.',
	}),
	target: text('*', 'A target id, or `*` for one drawn by the seed.'),
	from_ms: number(0, 'Start, from the start of the workload.', MS),
	to_ms: Type.Optional(
		Type.Number({ minimum: 0, maximum: MS_MAX, description: 'End. Left out, it lasts.', 'x-unit': 'ms' }),
	),
	factor: Type.Optional(Type.Number({ minimum: 0.01, maximum: 1000, description: 'Of `slow`: times slower.' })),
	period_ms: Type.Optional(
		Type.Number({ minimum: 1, maximum: MS_MAX, description: 'Of `flapping`: time up, and time down.', 'x-unit': 'ms' }),
	),
};
const faultsSchema = list(item('One fault.', faultFields), 'What happens to targets.', FAULTS_MAX);

const lengthSchema = (mean: number, description: string) =>
	section(description, {
		mean: number(mean, 'Mean tokens, log-normal.', { min: 1, max: 4_194_304 }),
		cv: number(1, 'Coefficient of variation; 0 = all alike.', { max: 20 }),
		tokens_max: integer(32_768, 'Longest.', { min: 1, max: 4_194_304 }),
	});

const workloadSchema = section('What arrives. `--trace` takes the place of `trace`.', {
	trace: optional(
		'A trace: Azure CSV or Mooncake JSONL; the path is from this file. Left out, requests are generated.',
	),
	format: choice(['auto', 'azure', 'mooncake'], 'auto', 'Format of the trace.'),
	dequantise: choice(['auto', 'never'], 'auto', 'Whether times that sit on 3 s ticks are spread by the seed.'),
	defects: choice(
		['refuse', 'mend'],
		'refuse',
		'Prompts of no tokens and clocks that go back: refused with line and column, or mended and counted in the notes.',
	),
	requests_max: integer(1_000_000, 'Requests taken at most.', { min: 1, max: 10_000_000 }),
	generator: section('The generator of synthetic requests.', {
		requests: integer(2000, 'How many.', { min: 1, max: 10_000_000 }),
		rate_per_s: number(4, 'Mean arrivals a second.', { min: 0.001, max: 100_000 }),
		arrivals: choice(['poisson', 'constant', 'gamma', 'weibull'], 'poisson', 'Gaps between arrivals.'),
		cv: number(2, 'Of `gamma` and `weibull`: above 1 requests come in bursts.', { min: 0.1, max: 20 }),
		diurnal_amplitude: number(0, 'A wave on the rate: rate·(1 + amplitude·sin); 0 = none.', { max: 1 }),
		diurnal_period_s: number(3600, 'Length of the wave.', { min: 1, max: 604_800, unit: 's' }),
		input: lengthSchema(512, 'Prompt (with sessions: what each turn adds).'),
		output: lengthSchema(128, 'Answer.'),
		prefixes: integer(0, 'Distinct shared prefixes; 0 = none.', { max: 65_536 }),
		prefix_share: number(0.5, 'Part of a prompt that is its prefix.', { max: 1 }),
		prefix_levels: integer(1, 'Depth of the tree of prefixes: above 1 all share its root.', { min: 1, max: 8 }),
		prefix_skew: number(0, 'Zipf exponent of their popularity.', { max: 4 }),
		sessions: integer(0, 'Conversations open at a time; 0 = none.', { max: 10_000 }),
		turns: number(5, 'Mean turns of a conversation.', { min: 1, max: 1_000_000 }),
	}),
	loras: section('LoRA adapters that requests ask for.', {
		names: Type.Array(Type.String({ minLength: 1 }), {
			default: [],
			maxItems: 256,
			description: 'Drawn evenly by seed.',
		}),
		share: number(1, 'Part of requests that ask for one.', { max: 1 }),
	}),
	tenants: integer(0, 'Tenants, drawn evenly by seed; 0 = none.', { max: 1000 }),
	priorities: Type.Array(Type.Integer(), {
		default: [],
		maxItems: 16,
		description: 'Priorities, drawn evenly by seed.',
	}),
});

const assignmentSchema = section(
	'Which strategy decides a request: for simulated experiments. The baseline is arm 0, each other strategy arm 1.',
	{
		kind: choice(
			['single', 'request', 'split', 'switchback'],
			'single',
			'One alone; by request; half the fleet each; in turns.',
		),
		share: number(0.5, 'Of `request`: part of requests that the second strategy decides.', { max: 1 }),
		block_ms: number(180_000, 'Of `switchback`: length of a turn.', { ...MS, min: 1 }),
	},
);

const loadsSchema = section('Axis of loads.', {
	values: Type.Array(Type.Number({ exclusiveMinimum: 0, maximum: 10_000 }), {
		default: [1],
		minItems: 1,
		maxItems: AXIS_MAX,
		description: 'Speeds (arrival times are divided by them), or shares of a capacity.',
	}),
	of: choice(['speed', 'capacity'], 'speed', 'What the values are.'),
	capacity_of: text('', 'Of `capacity`: the strategy whose capacity is 1.0. Empty = the baseline.'),
	until: text(
		'goodput>=99%',
		'Of `capacity`: the speed up to which this holds is 1.0, found by bisection without faults.',
	),
});

const overrideFields = {
	speed: number(1, 'Multiplies every speed.', { min: 0.0001, max: 10_000 }),
	fleet: item('Changed in every group.', engineFields),
	network: networkSchema,
	signals: signalsSchema,
	router: routerSchema,
	slo: section('The objective.', sloFields),
};

/** The same without defaults and duties: what a variant may change. */
function bare(schema: SchemaNode): SchemaNode {
	const { default: _default, required: _required, ...rest } = schema as SchemaNode & { readonly required?: unknown };
	if (rest.properties === undefined) return rest;
	const properties = Object.fromEntries(Object.entries(rest.properties).map(([key, child]) => [key, bare(child)]));
	return { ...rest, properties };
}
const variantSchema = Type.Unsafe(
	bare(item('What differs from the scenario, section by section.', overrideFields) as unknown as SchemaNode),
);

const strategySchema = item('A strategy.', {
	name: required('A shipped strategy, or the path of a project folder, `.wasm` or `.so`, from this file.'),
	label: optional('What the report calls it. Left out, its name.'),
	config: Type.Record(Type.String(), Type.Unsafe({ type: ['number', 'boolean'] }), {
		default: {},
		description: 'Values of its configuration.',
	}),
});

const gridSchema = section('What is run: every combination of the axes, for every strategy on the same draws.', {
	loads: loadsSchema,
	seeds: whatever('How many seeds (1, 2, …), or a list of them.', {
		type: ['integer', 'array'],
		items: { type: 'integer', minimum: 0, maximum: 0xffff_ffff },
		minimum: 1,
		maximum: SEEDS_MAX,
		minItems: 1,
		maxItems: SEEDS_MAX,
		default: 1,
	}),
	segments: Type.Array(Type.Enum(['all', 'first_half', 'second_half']), {
		default: ['all'],
		minItems: 1,
		maxItems: 3,
		description: 'Parts of the workload, by number of requests: tune on one half, report the other.',
	}),
	faults: map(faultsSchema, 'Axis of faults: a name and its faults. Left out, only those of the scenario.', AXIS_MAX),
	variants: map(variantSchema, 'Axis of anything else: a name and what differs.', AXIS_MAX),
	slos: map(
		section('An objective.', sloFields),
		'Further objectives that every run is measured by, beside `slo`; they cost no run.',
		AXIS_MAX,
	),
	strategies: list(strategySchema, 'The strategies. `--strategies` takes their place; empty = all that ship.', 256),
	baseline: text('least_queue', 'What the others are compared with. `--baseline` takes its place.'),
});

export const scenarioSchema = item('A simulation scenario.', {
	name: required('What reports call it.'),
	description: text('', 'One or more sentences.'),
	model: text('model', 'Name of the model.'),
	seed: integer(1, 'First seed, where the grid names a number of them.', { max: 0xffff_ffff }),
	speed: number(1, 'Multiplies every speed of the grid.', { min: 0.0001, max: 10_000 }),
	fleet: Type.Array(
		item('Engines that are alike.', {
			id: required('Targets are `<id>0`, `<id>1`, …; just `<id>` when there is one.'),
			count: integer(1, 'How many.', { min: 1, max: ENGINES_MAX }),
			...engineFields,
		}),
		{ minItems: 1, maxItems: GROUPS_MAX, description: 'The engines, in groups.' },
	),
	network: networkSchema,
	signals: signalsSchema,
	router: routerSchema,
	faults: faultsSchema,
	assignment: assignmentSchema,
	slo: section('A request is good when it finished within both.', sloFields),
	workload: workloadSchema,
	grid: gridSchema,
	drain_ms: number(
		21_600_000,
		'Simulated time after the last arrival at which what is under way is left unfinished.',
		MS,
	),
	timeline_bins: integer(96, 'Bins of the timelines in the report; 0 = none.', { max: 1000 }),
});

export const scenarioNode = scenarioSchema as unknown as SchemaNode;
