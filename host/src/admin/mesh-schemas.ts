// Owns the shapes of the admin API's answers about the mesh as a whole: nodes, members, topology, consensus, policies, tenants, keys.
import { bandwidthBounds } from '@infermesh/fabric';
import type { Static, TSchema } from 'typebox';
import { REASON_CHARS_MAX } from '../mesh/nodes.js';
import { lifecycleStates, nodeRecordSchema, policySchemas, signingKeySchema, tenantSchema } from '../records/kinds.js';
import { Type } from '../schema/type.js';

const describe = (description: string) => ({ description });
const strict = { additionalProperties: false } as const;
const nullable = <S extends TSchema>(schema: S, description: string) =>
	Type.Union([schema, Type.Null()], { description });

const stale = Type.Boolean(describe('No quorum: what this node last heard; changes may be missing.'));

/** A list with the state it is from. */
export const listing = <S extends TSchema>(of: S) =>
	Type.Object({
		items: Type.Array(of),
		revision: Type.Integer(describe('Of the state the items are from: events after it are what they lack.')),
		stale,
	});

export interface Listed<T> {
	readonly items: readonly T[];
	readonly revision: number;
	readonly stale: boolean;
}

export const nodeViewSchema = Type.Object({
	id: Type.String(describe('UUID, as in the node’s certificate.')),
	name: Type.String(),
	state: Type.Enum([...lifecycleStates], describe('What has been decided about it.')),
	reason: Type.String(),
	changedBy: nullable(Type.String(), 'Who decided; null = nothing was ever decided.'),
	changedAtMs: nullable(Type.Integer(), 'When, since the Unix epoch.'),
	present: Type.Boolean(describe('Its own record is there: it is in touch with the coordinators.')),
	health: Type.String(describe('By gossip as this node sees it: alive, suspect, failed, left or unknown.')),
	record: nullable(nodeRecordSchema, 'What the node says of itself; null while it is away.'),
	revision: Type.Integer(describe('Of the decision; 0 = none.')),
});
export type NodeRow = Static<typeof nodeViewSchema>;
export const nodeAnswerSchema = Type.Object({ ...nodeViewSchema.properties, stale });

export const reasonRequestSchema = Type.Object(
	{ reason: Type.Optional(Type.String({ maxLength: REASON_CHARS_MAX, description: 'For those who see it later.' })) },
	strict,
);

export const drainProgressSchema = Type.Object({
	id: Type.String(),
	name: Type.String(),
	state: Type.Enum([...lifecycleStates]),
	present: Type.Boolean(describe('A node declares its drain over itself: one that is away stays draining.')),
	routers: Type.Array(
		Type.Object({
			id: Type.String(),
			name: Type.String(),
			inFlight: nullable(Type.Integer(), 'Requests it still has because of the node; null = it has not answered yet.'),
		}),
	),
	inFlight: Type.Integer(describe('Sum over the routers that have answered.')),
});
export type DrainRow = Static<typeof drainProgressSchema>;

export const checkSchema = Type.Object({
	findings: Type.Array(
		Type.Object({
			name: Type.String(),
			status: Type.Enum(['ok', 'warn', 'fail'], describe('fail = something to mend now.')),
			detail: Type.String(),
			hint: Type.String(),
		}),
	),
	nodes: Type.Array(
		Type.Object({
			id: Type.String(),
			name: Type.String(),
			state: Type.Enum([...lifecycleStates]),
			present: Type.Boolean(),
			health: Type.String(),
			version: nullable(Type.String(), 'As it said when it was asked; null = it did not answer.'),
			skewMs: nullable(Type.Number(), 'Its clock less that of the node that was asked.'),
			certificateExpiresMs: nullable(Type.Number(), 'Since the Unix epoch.'),
			sees: nullable(Type.Integer(), 'Nodes it sees alive, itself included.'),
			error: nullable(Type.String(), 'Why it did not answer.'),
		}),
	),
});
export type CheckRow = Static<typeof checkSchema>;

export const memberSchema = Type.Object({
	id: Type.String(),
	name: Type.String(),
	address: Type.String(describe('Gossip, host:port.')),
	state: Type.Enum(['alive', 'suspect', 'failed', 'left']),
	incarnation: Type.Number(),
	sinceMs: Type.Number(describe('Since the Unix epoch.')),
	accusers: Type.Array(Type.String(), describe('UUIDs of who accuses it, while it is suspected.')),
	self: Type.Boolean(),
});
export type MemberRow = Static<typeof memberSchema>;

const linkSchema = Type.Object({
	nodeId: Type.String(),
	name: Type.String(),
	zone: nullable(Type.String(), 'null for a node that is away.'),
	region: nullable(Type.String(), 'null for a node that is away.'),
	basis: Type.String(describe('measured, estimated, unreachable or unknown.')),
	reach: Type.String(
		describe('Whether the one gets through to the other itself: reached, unreachable or untried. No estimate says so.'),
	),
	rttMs: nullable(Type.Number(), 'Round trip; null = nothing is known. Of an unreachable node: the last one measured.'),
	ageMs: nullable(Type.Number(), 'Of the measurement, or of the coordinate behind the estimate.'),
	error: nullable(Type.Number(), 'Expected relative error of an estimate.'),
	bandwidthBytesPerS: nullable(Type.Number(), 'As transfers and measurements have shown; null = none yet.'),
	linkClass: Type.String(describe('same_node, same_zone, same_region or wan.')),
});
export type TopologyLinkRow = Static<typeof linkSchema>;

export const pairsSchema = Type.Object({
	pairs: Type.Array(Type.Object({ fromId: Type.String(), fromName: Type.String(), ...linkSchema.properties })),
	unanswered: Type.Array(
		Type.Object({ name: Type.String(), error: Type.String() }),
		describe('Nodes that could not be asked: nothing is known of the ways from them.'),
	),
	truncated: Type.Boolean(describe('There are more pairs than are shown.')),
});
export type PairsRow = Static<typeof pairsSchema>;

export const cellSchema = Type.Object({
	cell: Type.String(),
	own: Type.Boolean(describe('It is the cell of the node asked.')),
	clusterId: Type.String(describe('Empty for one of which nothing has been told.')),
	region: Type.String(describe('Of the gateway that made the summary.')),
	version: Type.String(describe('Of its software.')),
	ageMs: nullable(Type.Number(), 'Of the summary; null = there is none.'),
	stale: Type.Boolean(describe('Too old: nothing is sent to the cell.')),
	rttMs: nullable(Type.Number(), 'Between the gateways; null = not measured.'),
	routers: Type.Array(Type.String(), describe('Where requests from other cells come in.')),
	models: Type.Array(
		Type.Object({
			model: Type.String(),
			targets: Type.Integer(),
			healthy: Type.Integer(describe('Ready or degraded.')),
			capacity: Type.Integer(describe('Sequences the healthy ones run at once; 0 = not all of them say.')),
			load: Type.Number(describe('Requests waiting and running there.')),
			queue: Type.Number(),
			running: Type.Number(),
			kvUsage: Type.Number(describe('Mean, 0 to 1.')),
			ttftMs: Type.Number(describe('As the gateway’s own router sees it, smoothed; 0 = none seen.')),
			ttftP95Ms: Type.Number(describe('0 = none seen.')),
			zone: Type.String(describe('Of all healthy targets; empty when they are in several.')),
			region: Type.String(describe('Of all healthy targets; empty when they are in several.')),
		}),
	),
	modelsOmitted: Type.Integer(describe('Models beyond the bound of a summary.')),
	gateways: Type.Array(
		Type.Object({
			id: Type.String(),
			name: Type.String(),
			agent: Type.String(describe('host:port.')),
			state: Type.Enum(['alive', 'suspect', 'failed', 'left']),
		}),
		describe('As the pool of gateways sees them; empty on a node that is none.'),
	),
});
export type CellRow = Static<typeof cellSchema>;

export const probeRequestSchema = Type.Object(
	{
		from: Type.String({ minLength: 1, maxLength: 256, description: 'Name or UUID.' }),
		to: Type.String({ minLength: 1, maxLength: 256, description: 'Name or UUID.' }),
		bytesMax: Type.Optional(
			Type.Integer({
				minimum: 65_536,
				maximum: bandwidthBounds.bytesMax,
				description: `Bytes sent; default ${bandwidthBounds.bytesDefault}.`,
			}),
		),
		durationMsMax: Type.Optional(
			Type.Integer({
				minimum: 1,
				maximum: bandwidthBounds.durationMsMax,
				description: `Sending stops after this; default ${bandwidthBounds.durationMsDefault}.`,
			}),
		),
	},
	strict,
);
export const probeSchema = Type.Object({
	from: Type.String(),
	to: Type.String(),
	bytes: Type.Integer(),
	durationMs: Type.Number(),
	bandwidthBytesPerS: Type.Number(),
});
export type ProbeRow = Static<typeof probeSchema>;

export const topologySchema = Type.Object({
	links: Type.Array(linkSchema),
	vector: Type.Array(Type.Number(), describe('This node’s Vivaldi coordinate, seconds.')),
	heightS: Type.Number(),
	error: Type.Number(describe('Expected relative error of estimates.')),
});
export type TopologyRow = Static<typeof topologySchema>;

export const raftSchema = Type.Object({
	engine: Type.Enum(['raft', 'remote', 'etcd']),
	clusterId: Type.String(),
	self: nullable(Type.String(), 'This member, where the engine is one.'),
	leader: nullable(Type.String(), 'UUID.'),
	leaderName: nullable(Type.String(), 'Its name.'),
	term: Type.Number(),
	revision: Type.Number(),
	compactedRevision: Type.Number(),
	quorum: Type.Boolean(describe('Whether a write would go through now, as far as is known.')),
	noSpace: Type.Boolean(describe('The store accepts no writes for want of room.')),
	members: Type.Array(
		Type.Object({
			id: Type.String(),
			name: Type.String(),
			address: Type.String(),
			role: Type.Enum(['voter', 'learner']),
			leader: Type.Boolean(),
			matchIndex: nullable(Type.Number(), 'Highest index known to be on it, as the leader sees it; null elsewhere.'),
		}),
	),
});
export type RaftRow = Static<typeof raftSchema>;

export const transferRequestSchema = Type.Object(
	{ to: Type.Optional(Type.String({ minLength: 1, description: 'Name or UUID; absent = the most suitable voter.' })) },
	strict,
);

export const policyViewSchema = Type.Object({
	kind: Type.String(describe('placement, quota, slo or route.')),
	name: Type.String(),
	value: Type.Union(Object.values(policySchemas), describe('As the kind has it.')),
	revision: Type.Integer(),
});
export const policyAnswerSchema = Type.Object({ ...policyViewSchema.properties, stale });
export interface PolicyRow {
	readonly kind: string;
	readonly name: string;
	readonly value: unknown;
	readonly revision: number;
}

const ifRevision = Type.Optional(
	Type.Integer({
		minimum: 0,
		description: 'Only if the record still has this revision; 0 = only if there is none; absent = whatever it is.',
	}),
);
/** The value is checked against the schema of its kind, whose errors name the field. */
export const setPolicySchema = Type.Object(
	{ value: Type.Unknown({ description: 'Of the kind: placement, quota, slo or route.' }), ifRevision },
	strict,
);
export const removedSchema = Type.Object({ existed: Type.Boolean() });

export const tenantViewSchema = Type.Object({
	name: Type.String(),
	...tenantSchema.properties,
	revision: Type.Integer(),
});
export type TenantRow = Static<typeof tenantViewSchema>;
export const setTenantSchema = Type.Object(
	{
		displayName: tenantSchema.properties.displayName,
		policyMask: Type.Optional(tenantSchema.properties.policyMask),
		strategies: tenantSchema.properties.strategies,
		ifRevision,
	},
	strict,
);

export const keyViewSchema = Type.Object({
	id: Type.String(),
	tenant: Type.String(),
	trusted: Type.Boolean(),
	createdAtMs: Type.Integer(),
	expiresAtMs: Type.Optional(Type.Integer()),
	revision: Type.Integer(),
});
export type KeyRow = Static<typeof keyViewSchema>;
export const keyRequestSchema = Type.Object(
	{
		id: Type.String({ minLength: 1, maxLength: 128, description: 'Name of the key, shown in lists and logs.' }),
		tenant: Type.Optional(Type.String({ minLength: 1, maxLength: 128, description: 'Default: `default`.' })),
		trusted: Type.Optional(
			Type.Boolean({ description: 'May set priority, SLO and tenant by request headers. Default: no.' }),
		),
		expiresAtMs: Type.Optional(Type.Integer({ minimum: 0, description: 'Since the Unix epoch; absent = never.' })),
	},
	strict,
);
export const keyMadeSchema = Type.Object({
	key: Type.String(describe('The key itself: shown here once and stored nowhere.')),
	...keyViewSchema.properties,
});
export type KeyMadeRow = Static<typeof keyMadeSchema>;

export const signingKeyViewSchema = Type.Object({
	id: Type.String(describe('Of its public half; signatures name it.')),
	...signingKeySchema.properties,
	revision: Type.Integer(),
});
export type SigningKeyRow = Static<typeof signingKeyViewSchema>;
export const signingKeyRequestSchema = Type.Object(
	{
		name: signingKeySchema.properties.name,
		publicKey: signingKeySchema.properties.publicKey,
		grade: Type.Optional(signingKeySchema.properties.grade),
	},
	strict,
);

export const nameParamsSchema = Type.Object({ name: Type.String({ minLength: 1, maxLength: 256 }) });
export const policyParamsSchema = Type.Object({
	kind: Type.String({ minLength: 1, maxLength: 32 }),
	name: Type.String({ minLength: 1, maxLength: 256 }),
});
export const policyQuerySchema = Type.Object({ kind: Type.Optional(Type.String({ maxLength: 32 })) }, strict);
/** Query values are texts. */
export const eventsQuerySchema = Type.Object(
	{
		after: Type.Optional(
			Type.String({ pattern: '^\\d{1,15}$', description: 'Changes after this revision; absent or 0 = from now on.' }),
		),
	},
	strict,
);

/** A change as `GET /api/v1/events` sends it. */
export interface EventRow {
	readonly revision: number;
	readonly kind: string;
	readonly id: string;
	readonly change: 'put' | 'delete';
	readonly value: unknown;
}
