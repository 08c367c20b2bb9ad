// Owns the routes of the admin API about the mesh as a whole. What they do is MeshOperations', which the agent's gRPC service calls as well.
import { bandwidthBounds } from '@infermesh/fabric';
import type { CellRow } from '../mesh/cells-view.js';
import type { CheckedNode } from '../mesh/check.js';
import type { DrainProgress } from '../mesh/drain-progress.js';
import { type NodeAction, type NodeView, nodeActions } from '../mesh/nodes.js';
import type { LinkRow, MeshOperations } from '../mesh/operations.js';
import type { RaftView } from '../mesh/raft-view.js';
import * as schemas from './mesh-schemas.js';
import { type AdminRoute, route } from './route.js';
import { idParamsSchema, items } from './schemas.js';

export function nodeRow({ changedBy, changedAtMs, record, ...same }: NodeView): schemas.NodeRow {
	return {
		...same,
		changedBy: changedBy ?? null,
		changedAtMs: changedAtMs ?? null,
		record: record ?? null,
		present: record !== undefined,
	};
}

function drainRow({ routers, ...same }: DrainProgress): schemas.DrainRow {
	return { ...same, routers: routers.map((router) => ({ ...router, inFlight: router.inFlight ?? null })) };
}

function raftRow({ self, leader, leaderName, members, ...same }: RaftView): schemas.RaftRow {
	return {
		...same,
		self: self ?? null,
		leader: leader ?? null,
		leaderName: leaderName ?? null,
		members: members.map((member) => ({ ...member, matchIndex: member.matchIndex ?? null })),
	};
}

function topologyRow({ links, vector, ...same }: ReturnType<MeshOperations['topology']>): schemas.TopologyRow {
	return { ...same, vector: [...vector], links: links.map(linkRow) };
}

function cellRow({ ageMs, rttMs, routers, models, gateways, ...same }: CellRow): schemas.CellRow {
	return {
		...same,
		ageMs: ageMs ?? null,
		rttMs: rttMs ?? null,
		routers: [...routers],
		models: [...models],
		gateways: [...gateways],
	};
}

function linkRow(link: LinkRow): schemas.TopologyLinkRow {
	const { nodeId, name, zone, region, basis, reach, linkClass, rttMs, ageMs, error, bandwidthBytesPerS } = link;
	return {
		nodeId,
		name,
		zone: zone ?? null,
		region: region ?? null,
		basis,
		reach,
		rttMs: rttMs ?? null,
		ageMs: ageMs ?? null,
		error: error ?? null,
		bandwidthBytesPerS: bandwidthBytesPerS ?? null,
		linkClass,
	};
}

function checkRow({ node, answer, error }: CheckedNode): schemas.CheckRow['nodes'][number] {
	const { id, name, state, health, record } = node;
	return {
		id,
		name,
		state,
		present: record !== undefined,
		health,
		version: answer?.version ?? null,
		skewMs: answer?.skewMs ?? null,
		certificateExpiresMs: answer?.certificate.expiresMs ?? null,
		sees: answer?.alive.length ?? null,
		error: error ?? null,
	};
}

const node = idParamsSchema;
const byName = schemas.nameParamsSchema;

const summaries: Readonly<Record<NodeAction, string>> = {
	cordon: 'Place nothing new on a node; what it serves goes on.',
	uncordon: 'Undo a cordon or a drain.',
	drain: 'Send a node nothing new, let what is open finish, hand leadership over.',
	quarantine: 'Take a node that is not to be trusted out of everything.',
	release: 'Lift a quarantine.',
};

const nodeRoutes: readonly AdminRoute[] = [
	route('GET', '/api/v1/nodes', 'All nodes that are there or known.', {
		response: schemas.listing(schemas.nodeViewSchema),
		run: async ({ mesh }) => {
			const { items: nodes, ...rest } = await mesh.listNodes();
			return { items: nodes.map(nodeRow), ...rest };
		},
	}),
	route('GET', '/api/v1/nodes/:id', 'One node, by name or UUID.', {
		params: node,
		response: schemas.nodeAnswerSchema,
		run: async ({ mesh }, { params }) => {
			const { node: found, stale } = await mesh.getNode(params.id);
			return { ...nodeRow(found), stale };
		},
	}),
	route('GET', '/api/v1/nodes/:id/drain', 'How far the draining of a node has come.', {
		params: node,
		response: schemas.drainProgressSchema,
		run: ({ mesh }, { params }) => drainRow(mesh.drainProgress(params.id)),
	}),
	...nodeActions.map((action) =>
		route('POST', `/api/v1/nodes/:id/${action}`, summaries[action], {
			params: node,
			body: schemas.reasonRequestSchema,
			response: schemas.nodeViewSchema,
			run: async ({ mesh }, { params, body, asker }) =>
				nodeRow(await mesh.decideNode(params.id, action, body.reason ?? '', asker)),
		}),
	),
	route('DELETE', '/api/v1/nodes/:id', 'Forget a node that is gone for good, with its targets and its vote.', {
		params: node,
		response: schemas.nodeViewSchema,
		run: async ({ mesh }, { params, asker }) => nodeRow(await mesh.removeNode(params.id, asker)),
	}),
];

const fabricRoutes: readonly AdminRoute[] = [
	route('GET', '/api/v1/check', 'Whether the mesh is well: every node is asked, and what they say is compared.', {
		response: schemas.checkSchema,
		run: async ({ mesh }) => {
			const { findings, nodes } = await mesh.check();
			return { findings, nodes: nodes.map(checkRow) };
		},
	}),
	route('GET', '/api/v1/members', 'Who is alive, suspected, failed or has left, by gossip.', {
		response: items(schemas.memberSchema),
		run: ({ mesh }) => ({ items: mesh.members() }),
	}),
	route('GET', '/api/v1/topology', 'Distances from this node.', {
		response: schemas.topologySchema,
		run: ({ mesh }) => topologyRow(mesh.topology()),
	}),
	route('GET', '/api/v1/cells', 'This cell and what is known of the others.', {
		response: items(schemas.cellSchema),
		run: ({ mesh }) => ({ items: mesh.cells().map(cellRow) }),
	}),
	route('GET', '/api/v1/topology/pairs', 'Distances between all nodes, each asked for its own.', {
		response: schemas.pairsSchema,
		run: async ({ mesh }) => {
			const { pairs, unanswered, truncated } = await mesh.pairs();
			return {
				pairs: pairs.map((pair) => Object.assign(linkRow(pair), { fromId: pair.fromId, fromName: pair.fromName })),
				unanswered: [...unanswered],
				truncated,
			};
		},
	}),
	route('POST', '/api/v1/topology/probe', 'Measure the bandwidth from one node to another.', {
		body: schemas.probeRequestSchema,
		response: schemas.probeSchema,
		run: ({ mesh }, { body, asker }) =>
			mesh.measure(
				body.from,
				body.to,
				{
					bytesMax: body.bytesMax ?? bandwidthBounds.bytesDefault,
					durationMsMax: body.durationMsMax ?? bandwidthBounds.durationMsDefault,
				},
				asker,
			),
	}),
	route('GET', '/api/v1/raft', 'Consensus: leader, term, members, quorum.', {
		response: schemas.raftSchema,
		run: async ({ mesh }) => raftRow(await mesh.raft()),
	}),
	route('POST', '/api/v1/raft/transfer', 'Hand leadership to another coordinator.', {
		body: schemas.transferRequestSchema,
		response: schemas.raftSchema,
		run: async ({ mesh }, { body, asker }) => raftRow(await mesh.transferLeadership(body.to, asker)),
	}),
];

const policyRoutes: readonly AdminRoute[] = [
	route('GET', '/api/v1/policies', 'Policies of one kind or of all.', {
		query: schemas.policyQuerySchema,
		response: schemas.listing(schemas.policyViewSchema),
		run: ({ mesh }, { query }) => mesh.policies.list(query.kind),
	}),
	route('GET', '/api/v1/policies/:kind/:name', 'One policy.', {
		params: schemas.policyParamsSchema,
		response: schemas.policyAnswerSchema,
		run: ({ mesh }, { params }) => mesh.policies.get(params.kind, params.name),
	}),
	route('PUT', '/api/v1/policies/:kind/:name', 'Set a policy.', {
		params: schemas.policyParamsSchema,
		body: schemas.setPolicySchema,
		response: schemas.policyViewSchema,
		run: ({ mesh }, { params, body, asker }) =>
			mesh.setPolicy(params.kind, params.name, body.value, body.ifRevision, asker),
	}),
	route('DELETE', '/api/v1/policies/:kind/:name', 'Delete a policy.', {
		params: schemas.policyParamsSchema,
		response: schemas.removedSchema,
		run: async ({ mesh }, { params, asker }) => ({ existed: await mesh.removePolicy(params.kind, params.name, asker) }),
	}),
];

const accessRoutes: readonly AdminRoute[] = [
	route('GET', '/api/v1/tenants', 'Tenants.', {
		response: schemas.listing(schemas.tenantViewSchema),
		run: ({ mesh }) => mesh.tenants.list(),
	}),
	route('PUT', '/api/v1/tenants/:name', 'Make or change a tenant.', {
		params: byName,
		body: schemas.setTenantSchema,
		response: schemas.tenantViewSchema,
		run: ({ mesh }, { params, body: { ifRevision, policyMask = 0, ...tenant }, asker }) =>
			mesh.setTenant(params.name, { ...tenant, policyMask }, ifRevision, asker),
	}),
	route('DELETE', '/api/v1/tenants/:name', 'Delete a tenant that no key counts for.', {
		params: byName,
		response: schemas.removedSchema,
		run: async ({ mesh }, { params, asker }) => {
			await mesh.removeTenant(params.name, asker);
			return { existed: true };
		},
	}),
	route('GET', '/api/v1/keys', 'API keys made at run time, without the keys themselves.', {
		response: schemas.listing(schemas.keyViewSchema),
		run: ({ mesh }) => mesh.tenants.keys(),
	}),
	route('POST', '/api/v1/keys', 'Make an API key; the answer alone has it.', {
		body: schemas.keyRequestSchema,
		response: schemas.keyMadeSchema,
		status: 201,
		run: async ({ mesh }, { body: { id, tenant = 'default', trusted = false, expiresAtMs }, asker }) => {
			const { key, view } = await mesh.createKey({ id, tenant, trusted, expiresAtMs }, asker);
			return { key, ...view };
		},
	}),
	route('GET', '/api/v1/signing-keys', 'Keys that vouch for strategies.', {
		response: schemas.listing(schemas.signingKeyViewSchema),
		run: ({ mesh }) => mesh.signingKeys.list(),
	}),
	route('POST', '/api/v1/signing-keys', 'Trust a key, or change the name or grade of one that is trusted.', {
		body: schemas.signingKeyRequestSchema,
		response: schemas.signingKeyViewSchema,
		status: 201,
		run: ({ mesh }, { body: { name, publicKey, grade = 'signed' }, asker }) =>
			mesh.trustSigningKey({ name, publicKey, grade }, asker),
	}),
	route('DELETE', '/api/v1/signing-keys/:id', 'Trust a key no more.', {
		params: idParamsSchema,
		response: schemas.removedSchema,
		run: async ({ mesh }, { params, asker }) => {
			await mesh.distrustSigningKey(params.id, asker);
			return { existed: true };
		},
	}),
	route('DELETE', '/api/v1/keys/:id', 'Delete an API key: it opens nothing from then on.', {
		params: idParamsSchema,
		response: schemas.removedSchema,
		run: async ({ mesh }, { params, asker }) => {
			await mesh.removeKey(params.id, asker);
			return { existed: true };
		},
	}),
];

export const meshRoutes: readonly AdminRoute[] = [...nodeRoutes, ...fabricRoutes, ...policyRoutes, ...accessRoutes];
