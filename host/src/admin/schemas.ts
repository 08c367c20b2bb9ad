// Owns the shapes of the admin API, as TypeBox schemas: types for the mesh and the command line, validation of requests, and
// /api/v1/openapi.json. Names are camelCase; units last.
import { runtimeNames } from '@infermesh/adapters';
import type { Static } from 'typebox';
import { signatureSchema } from '../records/kinds.js';
import { httpVersions } from '../router/upstream/http-version.js';
import { Type } from '../schema/type.js';
import { nativeRuns } from '../strategy/native/code.js';
import { grades } from '../strategy/signing/grade.js';

const describe = (description: string) => ({ description });
const nullableNumber = (description: string) => Type.Union([Type.Number(), Type.Null()], { description });
const nullableText = (description: string) => Type.Union([Type.String(), Type.Null()], { description });
const strict = { additionalProperties: false } as const;

export const errorSchema = Type.Object({
	error: Type.Object({
		code: Type.String(describe('Stable code, IM_AREA_NAME; docs/errors.md lists all.')),
		message: Type.String(),
		hint: Type.String(),
		retryable: Type.Boolean(),
		where: Type.Optional(Type.String()),
		details: Type.Optional(Type.Unknown()),
	}),
});

export const targetViewSchema = Type.Object({
	id: Type.String(),
	url: Type.String(),
	models: Type.Array(Type.String()),
	runtime: Type.String(),
	revision: nullableText('Model revision.'),
	quant: nullableText('Quantisation.'),
	role: Type.String(describe('both, prefill or decode.')),
	node: Type.String(),
	zone: Type.String(),
	region: Type.String(),
	cell: nullableText('The other cell it stands for; null for an engine of this one.'),
	weight: Type.Number(),
	state: Type.String(
		describe('Life-cycle state; `ready` and `degraded` take requests; `unwatched` = this node does not ask it.'),
	),
	heldBy: Type.Array(
		Type.String(),
		describe('Rules that hold the GPUs it runs on; `infermesh gpu list` has the devices.'),
	),
	draining: Type.Boolean(),
	health: Type.Number(describe('1 = sound, 0 = out.')),
	inFlight: Type.Number(describe('Requests this mesh has there now.')),
	load: Type.Number(describe('Waiting and running, corrected by what was sent and ended since the last report.')),
	queueDepth: Type.Number(),
	running: Type.Number(),
	kvUsage: Type.Number(describe('0 to 1.')),
	ttftMs: Type.Number(describe('Smoothed; 0 = none seen.')),
	tpotMs: Type.Number(describe('Smoothed; 0 = none seen.')),
	errorRatio: Type.Number(),
	rttMs: Type.Number(describe('From this router; `rttBasis` says how it is known.')),
	rttBasis: Type.String(describe('unknown, measured, estimated, unreachable or checked.')),
	linkClass: Type.String(describe('unknown, same_node, same_zone, same_region or wan.')),
	bandwidthMbps: Type.Number(describe('MB/s to its node; 0 = unknown.')),
	telemetryAgeMs: nullableNumber('Age of the runtime’s last report; null = none yet.'),
});
export type TargetView = Static<typeof targetViewSchema>;

/** A socket of ZeroMQ that can be connected to. */
const TCP = '^tcp://(\\[[0-9a-fA-F:.]+\\]|[^\\s:/*\\[\\]]+):[0-9]{1,5}$';

export const targetRequestSchema = Type.Object(
	{
		id: Type.Optional(Type.String({ minLength: 1, maxLength: 128, description: 'Default: host and port of the URL.' })),
		url: Type.String({ minLength: 1, maxLength: 2048 }),
		models: Type.Optional(
			Type.Array(Type.String({ minLength: 1, maxLength: 256 }), {
				maxItems: 64,
				description: 'Empty = ask its /v1/models.',
			}),
		),
		runtime: Type.Optional(Type.Enum(['auto', ...runtimeNames, 'openai'])),
		apiKey: Type.Optional(Type.String({ minLength: 1, maxLength: 4096 })),
		http: Type.Optional(
			Type.Enum([...httpVersions], { description: 'HTTP’s version to it; `auto`: what TLS agrees on.' }),
		),
		grpc: Type.Optional(
			Type.String({ minLength: 1, maxLength: 2048, description: 'Where it speaks gRPC: a URL, or `same` as `url`.' }),
		),
		upstreamModel: Type.Optional(Type.String({ minLength: 1, maxLength: 256 })),
		dataParallelRank: Type.Optional(Type.Integer({ minimum: 0, maximum: 65_535 })),
		bootstrapPort: Type.Optional(Type.Integer({ minimum: 1, maximum: 65_535 })),
		fetchesPrefixes: Type.Optional(Type.Boolean()),
		revision: Type.Optional(Type.String({ maxLength: 128 })),
		quant: Type.Optional(Type.String({ maxLength: 64 })),
		weight: Type.Optional(Type.Number({ minimum: 0, maximum: 1000 })),
		role: Type.Optional(Type.Enum(['both', 'prefill', 'decode'])),
		node: Type.Optional(Type.String({ maxLength: 128 })),
		zone: Type.Optional(Type.String({ maxLength: 128 })),
		region: Type.Optional(Type.String({ maxLength: 128 })),
		costPerHour: Type.Optional(Type.Number({ minimum: 0 })),
		gpus: Type.Optional(Type.Array(Type.String({ minLength: 1, maxLength: 200 }), { maxItems: 64 })),
		gpuShare: Type.Optional(Type.Number({ exclusiveMinimum: 0, maximum: 1 })),
		metricsPath: Type.Optional(Type.String({ maxLength: 1024 })),
		healthPath: Type.Optional(Type.String({ maxLength: 1024 })),
		kvEvents: Type.Optional(
			Type.Array(
				Type.Object(
					{
						endpoint: Type.String({ pattern: TCP, maxLength: 512, description: '`tcp://host:port`' }),
						replay: Type.Optional(Type.String({ pattern: TCP, maxLength: 512, description: '`tcp://host:port`' })),
						topic: Type.Optional(Type.String({ maxLength: 256 })),
					},
					strict,
				),
				{ maxItems: 64, description: 'Publishers of its KV events, one for each data-parallel rank.' },
			),
		),
	},
	strict,
);
export type TargetRequest = Static<typeof targetRequestSchema>;

export const stages = ['active', 'canary', 'shadow', 'loaded'] as const;
export type Stage = (typeof stages)[number];

export const strategyViewSchema = Type.Object({
	name: Type.String(),
	version: Type.String(),
	digest: Type.String(describe('Of the source module, the instrumenter and its weights.')),
	stage: Type.String(describe('active, experiment, canary, shadow, loaded (no traffic) or quarantined.')),
	models: Type.Array(Type.String(), describe('Models it is staged for; empty = the whole mesh.')),
	canaryPercent: nullableNumber('Share of a canary.'),
	previous: Type.Boolean(describe('A rollback would go back to it.')),
	strikes: Type.Integer(describe('Strikes in the present window.')),
	quarantinedForMs: nullableNumber('Time left in quarantine.'),
	loadedAt: Type.String(describe('ISO 8601.')),
	bytes: Type.Integer(describe('Size of the module as loaded.')),
	grade: Type.Enum([...grades], describe('What its signature is worth: unsigned, signed or trusted.')),
	signedBy: Type.Union([Type.String(), Type.Null()], describe('Id of the key that has signed it.')),
	runs: Type.Enum(
		['wasm', ...nativeRuns],
		describe('WebAssembly, or a native library in a sandbox (process) or inline.'),
	),
	fuelBudget: Type.Integer(describe('Budget of one decision for the largest pool now.')),
});
export type StrategyView = Static<typeof strategyViewSchema>;

export const loadRequestSchema = Type.Object(
	{
		module: Type.String({ minLength: 1, description: 'The WebAssembly module or native library, base64.' }),
		sourceMap: Type.Optional(Type.String({ description: 'Its source map, so that traps name a source line.' })),
		settings: Type.Optional(Type.Record(Type.String(), Type.Union([Type.Number(), Type.Boolean()]))),
		activate: Type.Optional(Type.Boolean({ description: 'Make it decide at once.' })),
		model: Type.Optional(Type.String({ minLength: 1, description: 'Narrows `activate` to one model.' })),
		signature: Type.Optional(signatureSchema),
		inline: Type.Optional(
			Type.Boolean({ description: 'Run a native library inside the process: one signed by a key of grade trusted.' }),
		),
	},
	strict,
);
export const loadResultSchema = Type.Object({
	strategy: strategyViewSchema,
	admissionMs: Type.Number(),
	report: Type.Unknown(describe('The admission report.')),
});
export type LoadResult = Static<typeof loadResultSchema>;

export const stageRequestSchema = Type.Object(
	{
		stage: Type.Enum([...stages]),
		percent: Type.Optional(Type.Number({ minimum: 0, maximum: 100, description: 'For canary.' })),
		model: Type.Optional(Type.String({ minLength: 1 })),
		force: Type.Optional(
			Type.Boolean(describe('With stage `loaded` only: experiments that run on it are stopped first.')),
		),
	},
	strict,
);
export type StageRequest = Static<typeof stageRequestSchema>;

export const rollbackResultSchema = Type.Object({
	strategy: Type.Union([strategyViewSchema, Type.Null()], {
		description: 'What decides now; null = the built-in fallback.',
	}),
});
export type RollbackResult = Static<typeof rollbackResultSchema>;

export const rollbackRequestSchema = Type.Object(
	{
		model: Type.Optional(Type.String({ minLength: 1 })),
		force: Type.Optional(Type.Boolean(describe('Experiments that run on it are stopped first.'))),
	},
	strict,
);
export type RollbackRequest = Static<typeof rollbackRequestSchema>;

export const trafficSchema = Type.Object({
	requestsTotal: Type.Number(),
	failedTotal: Type.Number(describe('Answered with a status of 500 or more.')),
	inFlight: Type.Number(),
	tokensOutTotal: Type.Number(),
	decisionsTotal: Type.Number(),
	fallbacksTotal: Type.Number(),
	strikesTotal: Type.Number(),
	ttft: Type.Object({
		boundsS: Type.Array(Type.Number(), describe('Upper bounds of all buckets but the last, which has none.')),
		counts: Type.Array(Type.Number(), describe('Since start, not cumulative; one more than bounds.')),
	}),
});
export type Traffic = Static<typeof trafficSchema>;

export const statusSchema = Type.Object({
	version: Type.String(),
	nodeVersion: Type.String(),
	node: Type.String(),
	startedAt: Type.String(),
	uptimeS: Type.Number(),
	roles: Type.Array(Type.String(), describe('What runs on this node.')),
	level: Type.Object(
		{ node: Type.Integer(), mesh: Type.Integer() },
		describe('Levels of formats: the newest this node speaks, and the mesh’s.'),
	),
	dataUrl: nullableText('Where clients send requests; null = no data plane runs here.'),
	adminUrl: Type.String(),
	development: Type.Boolean(describe('Loopback only, no credentials asked.')),
	workers: Type.Integer(),
	models: Type.Array(Type.String()),
	targets: Type.Object({
		total: Type.Integer(),
		watched: Type.Integer(describe('Whose signals are read here: all on a router, its own on a node of engines.')),
		serving: Type.Integer(describe('Of those watched.')),
	}),
	activeStrategy: Type.String(describe('`name@version` that decides where no model says otherwise.')),
	modelStrategies: Type.Optional(
		Type.Record(
			Type.String(),
			Type.String(),
			describe(
				'`name@version` by model, of models with a strategy of their own, as after a promotion; absent on older nodes.',
			),
		),
	),
	traffic: trafficSchema,
});
export type MeshStatus = Static<typeof statusSchema>;

export const joinTokenRequestSchema = Type.Object(
	{
		ttlMs: Type.Integer({ minimum: 1000, maximum: 604_800_000, description: 'Good for this long.' }),
		uses: Type.Optional(Type.Integer({ minimum: 1, maximum: 1000, description: 'Nodes it lets in; 1 by default.' })),
		label: Type.Optional(Type.String({ maxLength: 100 })),
	},
	strict,
);
export type JoinTokenRequest = Static<typeof joinTokenRequestSchema>;
export const joinTokenSchema = Type.Object({
	id: Type.String(),
	token: Type.String(describe('Shown once; only its hash is kept.')),
	expiresAtMs: Type.Integer(),
});
export type JoinTokenMade = Static<typeof joinTokenSchema>;

export const configRowSchema = Type.Object({
	key: Type.String(),
	value: Type.Unknown(),
	origin: Type.String(),
	kind: Type.String(describe('flag, env, file or default.')),
});

export const logLevels = ['trace', 'debug', 'info', 'warn', 'error', 'silent'] as const;
export const logLevelSchema = Type.Object({ level: Type.Enum([...logLevels]) }, strict);

export const readinessSchema = Type.Object({
	ready: Type.Boolean(),
	reasons: Type.Array(Type.String(), describe('Why it is not ready; empty when it is.')),
	degraded: Type.Array(Type.String(), describe('What it does without, although it serves.')),
});
export type Readiness = Static<typeof readinessSchema>;

export const idParamsSchema = Type.Object({ id: Type.String({ minLength: 1, maxLength: 256 }) });
export const emptySchema = Type.Object({});
export const items = <S extends ReturnType<typeof Type.Object>>(of: S) => Type.Object({ items: Type.Array(of) });
