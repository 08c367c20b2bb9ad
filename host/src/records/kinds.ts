// Owns what the mesh keeps in replicated state: each kind of record, its key, its schema. Values are JSON, so that an operator can read a
// backup and a node one version older skips what it does not know. Units last in names; times are milliseconds since the Unix epoch.

import type { Static, TSchema } from 'typebox';
import { nodeRoles } from '../config/schema/mesh.js';
import { arms } from '../experiments/cohorts/cohort.js';
import { guardrailWindowsSchema } from '../experiments/design/guardrail-windows.js';
import { objectivesSchema } from '../experiments/objectives.js';
import { experimentRecordSchema } from '../experiments/record.js';
import { Type } from '../schema/type.js';
import { nativeRuns } from '../strategy/native/code.js';
import { splitKeys } from '../strategy/runtime/plan.js';
import { grades } from '../strategy/signing/grade.js';

const describe = (description: string) => ({ description });
const name = (description: string) =>
	Type.String({ minLength: 1, maxLength: 128, pattern: '^[A-Za-z0-9][A-Za-z0-9._:+-]*$', description });
const names = (description: string, maxItems = 256) =>
	Type.Array(Type.String({ minLength: 1, maxLength: 256 }), { maxItems, description });

/** Who has a name, under the lease of the node that has it: two nodes cannot take one name at the same time. */
export const nodeNameSchema = Type.Object({ id: Type.String(describe('UUID of the node.')) });

/** A node that has once been taken in, under no lease: whose it is stays known while it is away. */
export const registrationRecordSchema = Type.Object({ name: Type.String(describe('The last it had.')) });

/** What a node says of itself, under a lease of its own: gone when the node is. */
export const nodeRecordSchema = Type.Object({
	id: Type.String(describe('UUID of the node, as in its certificate.')),
	name: Type.String(),
	zone: Type.String(),
	region: Type.String(),
	roles: Type.Array(Type.Enum([...nodeRoles])),
	version: Type.String(),
	addresses: Type.Object({
		agent: Type.String(describe('gRPC of the agent, host:port.')),
		raft: Type.Optional(Type.String(describe('Between coordinators, host:port.'))),
		gossip: Type.Optional(Type.String(describe('host:port.'))),
		admin: Type.Optional(Type.String(describe('URL of the admin API.'))),
		data: Type.Optional(Type.String(describe('URL of the data plane.'))),
	}),
	startedAtMs: Type.Integer(),
	level: Type.Optional(Type.Integer({ minimum: 1, description: 'Newest level of formats it speaks; absent = 1.' })),
	gateway: Type.Optional(Type.Boolean(describe('It speaks for this cell to others.'))),
});
export type NodeRecord = Static<typeof nodeRecordSchema>;

/** The level of formats that every node of the mesh speaks. */
export const levelRecordSchema = Type.Object({
	level: Type.Integer({ minimum: 1 }),
	raisedBy: Type.String(describe('UUID of the coordinator.')),
	raisedAtMs: Type.Integer(),
});

export const lifecycleStates = ['active', 'cordoned', 'draining', 'drained', 'quarantined'] as const;
export type LifecycleState = (typeof lifecycleStates)[number];

/** What has been decided about a node; outlives its restarts. */
export const lifecycleRecordSchema = Type.Object({
	name: Type.String(describe('Of the node when it was decided: shown while the node is away.')),
	state: Type.Enum([...lifecycleStates]),
	reason: Type.String({ maxLength: 512 }),
	changedBy: Type.String(describe('Who asked: an operator, or `rule:NAME`.')),
	changedAtMs: Type.Integer(),
});
export type LifecycleRecord = Static<typeof lifecycleRecordSchema>;

/** An upstream, added by `infermesh target add` or announced by the node that runs it. */
export const targetRecordSchema = Type.Object({
	spec: Type.Object({
		id: Type.String(),
		url: Type.String(),
		models: Type.Array(Type.String()),
		runtime: Type.String(),
		apiKey: Type.Optional(Type.String(describe('Secret: travels and rests as the mesh’s state does.'))),
		http: Type.Optional(Type.Enum(['h2', 'auto'])),
		grpc: Type.Optional(Type.String()),
		upstreamModel: Type.Optional(Type.String()),
		dataParallelRank: Type.Optional(Type.Integer()),
		bootstrapPort: Type.Optional(Type.Integer()),
		fetchesPrefixes: Type.Optional(Type.Boolean()),
		revision: Type.Optional(Type.String()),
		quant: Type.Optional(Type.String()),
		weight: Type.Number(),
		role: Type.Enum(['both', 'prefill', 'decode']),
		node: Type.String(),
		zone: Type.String(),
		region: Type.String(),
		costPerHour: Type.Number(),
		gpus: Type.Optional(Type.Array(Type.String())),
		gpuShare: Type.Optional(Type.Number()),
		metricsPath: Type.String(),
		healthPath: Type.String(),
		kvEvents: Type.Optional(
			Type.Array(Type.Object({ endpoint: Type.String(), replay: Type.Optional(Type.String()), topic: Type.String() })),
		),
	}),
	/** Node UUID that announces it; undefined for one that an operator added. */
	announcedBy: Type.Optional(Type.String()),
	/** The source of discovery that lists it, `file:PATH` or `dns:NAME`; undefined for one that is not from there. */
	source: Type.Optional(Type.String()),
	/** Its source lists it no more: it takes no new requests and is about to be removed. */
	missing: Type.Optional(Type.Boolean()),
	draining: Type.Boolean(),
});
export type StoredTarget = Static<typeof targetRecordSchema>;

/** Where a model may run. All conditions given must hold; empty lists say nothing. */
export const placementSchema = Type.Object(
	{
		models: names('Models it applies to; `*` at the end matches any rest.'),
		tenants: Type.Optional(names('Only for requests of these tenants; absent = all.')),
		zones: Type.Optional(names('Only targets in these zones.')),
		regions: Type.Optional(names('Only targets in these regions.')),
		nodes: Type.Optional(names('Only targets on these nodes, by name.')),
		targets: Type.Optional(names('Only these targets (a pin).')),
		avoidZones: Type.Optional(names('No targets in these zones.')),
		avoidNodes: Type.Optional(names('No targets on these nodes.')),
	},
	{ additionalProperties: false },
);
const limit = (description: string) => Type.Optional(Type.Integer({ minimum: 0, maximum: 1_000_000_000, description }));
export const quotaSchema = Type.Object(
	{
		tenant: name('Tenant it limits.'),
		requestsPerSecond: limit('Requests a second, over the whole mesh.'),
		requestsPerMinute: limit('Requests a minute, over the whole mesh.'),
		concurrency: limit('Requests at once, waiting ones included, over the whole mesh.'),
		tokensInPerMinute: limit('Prompt tokens a minute.'),
		tokensOutPerMinute: limit('Generated tokens a minute: estimated before, settled by `usage`.'),
		tokensPerMinute: limit('Prompt and generated tokens a minute together.'),
		weight: Type.Optional(
			Type.Number({
				minimum: 0.01,
				maximum: 1000,
				description: 'Share of what is served when there is too little; 1 = normal.',
			}),
		),
		priority: Type.Optional(
			Type.Integer({
				minimum: -1000,
				maximum: 1000,
				description: 'Of the tenant’s requests that name none; 0 = normal.',
			}),
		),
	},
	{ additionalProperties: false },
);
/** What is left of a tenant's quota, and which routers hold places of its concurrency. */
const bucketSchema = Type.Optional(
	Type.Object({
		level: Type.Number(),
		atMs: Type.Number(),
		claims: Type.Optional(
			Type.Record(
				Type.String(),
				Type.Object({
					perMs: Type.Number(describe('What the router asks for, a millisecond.')),
					credit: Type.Number(describe('Of the level, what is put by for it.')),
					untilMs: Type.Number(),
				}),
				describe('By UUID of the router’s node.'),
			),
		),
	}),
);
export const quotaAccountSchema = Type.Object({
	buckets: Type.Object({
		requestsPerSecond: bucketSchema,
		requestsPerMinute: bucketSchema,
		tokensInPerMinute: bucketSchema,
		tokensOutPerMinute: bucketSchema,
		tokensPerMinute: bucketSchema,
	}),
	held: Type.Record(
		Type.String(),
		Type.Object({
			slots: Type.Integer({ minimum: 0 }),
			untilMs: Type.Number(),
			wanted: Type.Optional(Type.Integer(describe('As many as it would have; absent = those it has.'))),
			sinceMs: Type.Optional(Type.Number(describe('Since when it has none; absent = it has some.'))),
		}),
		describe('By UUID of the router’s node.'),
	),
});
export type QuotaAccount = Static<typeof quotaAccountSchema>;

export const sloSchema = Type.Object(
	{
		models: names('Models it applies to; `*` at the end matches any rest.'),
		tenants: Type.Optional(names('Only for requests of these tenants; absent = all.')),
		ttftMs: Type.Optional(Type.Number({ exclusiveMinimum: 0 })),
		tpotMs: Type.Optional(Type.Number({ exclusiveMinimum: 0 })),
	},
	{ additionalProperties: false },
);
export const routeSchema = Type.Object(
	{
		alias: Type.Optional(Type.String({ minLength: 1, description: 'The public name leads to this model.' })),
		revisions: Type.Optional(
			Type.Array(
				Type.Object(
					{ model: Type.String({ minLength: 1 }), weight: Type.Number({ minimum: 0 }) },
					{ additionalProperties: false },
				),
				{ minItems: 1, maxItems: 16, description: 'The public name is shared among these models.' },
			),
		),
		fallbacks: Type.Optional(names('Models tried in order when the name has no eligible target.', 8)),
	},
	{ additionalProperties: false },
);
export const policyKinds = ['placement', 'quota', 'slo', 'route'] as const;
export type PolicyKind = (typeof policyKinds)[number];
export const policySchemas = {
	placement: placementSchema,
	quota: quotaSchema,
	slo: sloSchema,
	route: routeSchema,
} as const;
export type Placement = Static<typeof placementSchema>;
export type Quota = Static<typeof quotaSchema>;
export type Slo = Static<typeof sloSchema>;
export type Route = Static<typeof routeSchema>;

export const tenantSchema = Type.Object(
	{
		displayName: Type.Optional(Type.String({ maxLength: 256 })),
		policyMask: Type.Integer({
			minimum: 0,
			maximum: 0xffff_ffff,
			description: 'Bits handed to strategies with the tenant.',
		}),
		strategies: Type.Optional(
			Type.Enum(
				[...grades],
				describe(
					'Least grade of the strategies that may decide its requests; absent = any. Others are passed over for the fallback.',
				),
			),
		),
	},
	{ additionalProperties: false },
);
export type Tenant = Static<typeof tenantSchema>;

export const apiKeySchema = Type.Object(
	{
		sha256: Type.String({ pattern: '^[0-9a-f]{64}$', description: 'Of the key; the key itself is stored nowhere.' }),
		tenant: name('Tenant its requests count for.'),
		trusted: Type.Boolean(describe('May set priority, SLO and tenant by request headers.')),
		createdAtMs: Type.Integer(),
		expiresAtMs: Type.Optional(Type.Integer()),
	},
	{ additionalProperties: false },
);
export type ApiKey = Static<typeof apiKeySchema>;

/** What routers vouch with for who made a stored response: made by whichever router comes first, and the same for all. */
export const responseKeySchema = Type.Object({
	secret: Type.String({
		minLength: 32,
		maxLength: 128,
		description: 'Secret: travels and rests as the mesh’s state does.',
	}),
	madeBy: Type.String(describe('UUID of the node.')),
	madeAtMs: Type.Integer(),
});
export type ResponseKey = Static<typeof responseKeySchema>;

/** A key that vouches for strategies, under its id; only the public half. */
export const signingKeySchema = Type.Object({
	name: Type.String({ minLength: 1, maxLength: 128, description: 'Whose it is, for people.' }),
	publicKey: Type.String({ maxLength: 1024, description: 'SPKI, PEM.' }),
	grade: Type.Enum(['signed', 'trusted'], describe('What a strategy that it has signed is worth.')),
	trustedBy: Type.String(),
	trustedAtMs: Type.Integer(),
});
export type SigningKey = Static<typeof signingKeySchema>;

export const signatureSchema = Type.Object(
	{
		key: Type.String({ pattern: '^[0-9a-f]{32}$', description: 'Id of the key that made it.' }),
		value: Type.String({ maxLength: 128, description: 'Ed25519, base64.' }),
	},
	{ additionalProperties: false },
);

/** A loaded strategy: its module lies in the blob store under `blob`, on a quorum before this record exists. */
export const strategyRecordSchema = Type.Object({
	label: Type.String(describe('`name@version`, with build metadata where the same was loaded twice.')),
	blob: Type.String({ pattern: '^[0-9a-f]{64}$', description: 'SHA-256 of the module.' }),
	sourceMapBlob: Type.Optional(Type.String({ pattern: '^[0-9a-f]{64}$' })),
	digest: Type.String(describe('Of module, instrumenter and weights, as the node that admitted it computed it.')),
	bytes: Type.Integer(),
	native: Type.Optional(Type.Enum([...nativeRuns], describe('How a native library runs; absent = it is WebAssembly.'))),
	settings: Type.Optional(Type.Record(Type.String(), Type.Union([Type.Number(), Type.Boolean()]))),
	loadedBy: Type.String(),
	loadedAtMs: Type.Integer(),
	signature: Type.Optional(signatureSchema),
});
export type StrategyRecord = Static<typeof strategyRecordSchema>;

/** Which labels stand where in one scope: the whole mesh, or a model. */
export const stagingRecordSchema = Type.Object({
	history: Type.Array(Type.String(), { maxItems: 8, description: 'Active labels, newest last.' }),
	canary: Type.Optional(Type.Object({ label: Type.String(), percent: Type.Number() })),
	shadow: Type.Optional(Type.String()),
	experiment: Type.Optional(
		Type.Object({
			id: Type.String(),
			tag: Type.Integer({ minimum: 1, maximum: 0xffff_ffff }),
			block: Type.Integer({ minimum: 0 }),
			baseline: Type.String(),
			candidate: Type.String(),
			arm: Type.Optional(Type.Enum([...arms])),
			split: Type.Optional(
				Type.Object({ percent: Type.Number(), by: Type.Enum([...splitKeys]), seed: Type.Integer({ minimum: 0 }) }),
			),
			measureFromMs: Type.Number(),
			untilMs: Type.Optional(Type.Number()),
			objectives: objectivesSchema,
		}),
	),
});
export type StagingRecord = Static<typeof stagingRecordSchema>;

/** What a router has loaded and which staging it follows; under the node's lease. */
const failureSchema = Type.Object({ code: Type.String(), message: Type.String() });
export const routerRecordSchema = Type.Object({
	loaded: Type.Array(Type.String(), describe('Labels ready on all its workers.')),
	refused: Type.Record(Type.String(), failureSchema, describe('Labels it could not load, and why.')),
	stagingRevision: Type.Integer(describe('Revision of the staging it has put in force, or tried to.')),
	stagingFailure: Type.Optional(failureSchema),
});
export type RouterRecord = Static<typeof routerRecordSchema>;

/** What a router still has in flight because of a node that is being drained; under the router's lease, `NODE/ROUTER`. */
export const drainRecordSchema = Type.Object({
	inFlight: Type.Integer({ minimum: 0 }),
	decision: Type.Integer(
		describe('Revision of the lifecycle record it answers: counts of an earlier drain say nothing of this one.'),
	),
});
export type DrainRecord = Static<typeof drainRecordSchema>;

/** A node that was taken out of the mesh for good: it is never taken in again under this UUID. */
export const removalRecordSchema = Type.Object({
	name: Type.String(),
	removedBy: Type.String(),
	removedAtMs: Type.Integer(),
});
export type RemovalRecord = Static<typeof removalRecordSchema>;

/** How the cluster with this id came to be out of another one: what an auditor asks after a restore or a recovery. */
export const lineageRecordSchema = Type.Object({
	how: Type.Enum(['restored', 'recovered']),
	from: Type.String(describe('Id of the cluster before.')),
	revision: Type.Integer(describe('Of the cluster before, as far as it is kept.')),
	index: Type.Integer(describe('Of Raft, of the last entry that is kept.')),
	term: Type.Integer(describe('Of that entry; 0 after a restore.')),
	by: Type.String(describe('Who did it: user and host.')),
	node: Type.String(describe('Name of the node it was done on.')),
	atMs: Type.Integer(),
	sha256: Type.Optional(Type.String(describe('Of the backup that was restored.'))),
});
export type LineageRecord = Static<typeof lineageRecordSchema>;

/** The degradations a node sees, of links, ranks and stores; under its lease. */
export const degradationRecordSchema = Type.Object({
	name: Type.String(describe('Of the node that sees them.')),
	inForce: Type.Array(
		Type.Object({
			rule: Type.String(),
			kind: Type.Enum(['link', 'rank', 'store']),
			node: Type.String(describe('Where it is; empty = not told.')),
			jobId: Type.String(),
			subject: Type.String(),
			sinceMs: Type.Integer(),
			value: Type.Number(),
			threshold: Type.Number(),
			detail: Type.String(),
		}),
		{ maxItems: 256 },
	),
});
export type DegradationRecord = Static<typeof degradationRecordSchema>;

/** The GPUs a node hears of that are not sound; under its lease. */
export const gpuStandingsRecordSchema = Type.Object({
	name: Type.String(describe('Of the node that judges them.')),
	held: Type.Array(
		Type.Object({
			gpu: Type.String(),
			node: Type.String(),
			standing: Type.Enum(['sound', 'degraded', 'quarantined']),
			rules: Type.Array(Type.String()),
			sinceMs: Type.Number(),
			targets: Type.Array(Type.String(), describe('Targets on it, which get no requests from that node, or fewer.')),
			heldBack: Type.Optional(
				Type.Array(Type.String(), describe('Of these: in use all the same, lest too much of a model were out.')),
			),
		}),
		{ maxItems: 256 },
	),
	condemned: Type.Optional(
		Type.Array(
			Type.Object({
				target: Type.String(),
				sinceMs: Type.Number(),
				byHand: Type.Boolean(describe('An operator says so.')),
			}),
			{ maxItems: 1024, description: 'Targets that its devices would take out: what all nodes count the bound over.' },
		),
	),
});
export type GpuStandingsRecord = Static<typeof gpuStandingsRecordSchema>;

/** The node that runs the mesh's experiments; under its lease, so that another takes over when it is gone. */
export const experimentRunnerSchema = Type.Object({
	node: Type.String(describe('UUID.')),
	incarnation: Type.String(describe('Of its process.')),
});
export type ExperimentRunnerRecord = Static<typeof experimentRunnerSchema>;

/** A kind of record: where it lies, and what it must look like. `id` is the rest of the key. */
export interface RecordKind<S extends TSchema> {
	readonly prefix: string;
	readonly schema: S;
}

const kind = <const S extends TSchema>(prefix: string, schema: S): RecordKind<S> => ({ prefix, schema });

export const recordKinds = {
	nodes: kind('nodes/', nodeRecordSchema),
	registrations: kind('registrations/', registrationRecordSchema),
	levels: kind('mesh/', levelRecordSchema),
	nodeNames: kind('node-names/', nodeNameSchema),
	lifecycle: kind('lifecycle/', lifecycleRecordSchema),
	targets: kind('targets/', targetRecordSchema),
	placements: kind('policies/placement/', placementSchema),
	quotas: kind('policies/quota/', quotaSchema),
	slos: kind('policies/slo/', sloSchema),
	quotaAccounts: kind('quota-accounts/', quotaAccountSchema),
	routes: kind('policies/route/', routeSchema),
	tenants: kind('tenants/', tenantSchema),
	apiKeys: kind('keys/', apiKeySchema),
	responseKeys: kind('response-keys/', responseKeySchema),
	strategies: kind('strategies/', strategyRecordSchema),
	signingKeys: kind('signing-keys/', signingKeySchema),
	staging: kind('staging/', stagingRecordSchema),
	routers: kind('routers/', routerRecordSchema),
	drains: kind('drains/', drainRecordSchema),
	removals: kind('removals/', removalRecordSchema),
	lineage: kind('lineage/', lineageRecordSchema),
	degradations: kind('degradations/', degradationRecordSchema),
	gpuStandings: kind('gpus/', gpuStandingsRecordSchema),
	experiments: kind('experiments/', experimentRecordSchema),
	experimentWindows: kind('experiment-windows/', guardrailWindowsSchema),
	experimentRunner: kind('experiment-runner/', experimentRunnerSchema),
} as const;

/** Key part of an id that may hold any characters: percent-encoded, so that it stays printable ASCII without spaces or slashes. */
export function keyPart(id: string): string {
	return encodeURIComponent(id);
}

export function fromKeyPart(part: string): string {
	return decodeURIComponent(part);
}
