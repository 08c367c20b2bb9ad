// Owns the service `infermesh.agent.v1.Agent`: each call as one operation on the mesh, the same that the admin API calls over HTTP.
import type { handleServerStreamingCall, handleUnaryCall, ServerUnaryCall, sendUnaryData } from '@grpc/grpc-js';
import { bandwidthBounds, grpcErrorOf } from '@infermesh/fabric';
import { type Clock, MeshError } from '@infermesh/proto';
import type * as wire from '@infermesh/proto/grpc/agent/v1/agent';
import { adminErrors } from '../admin/errors.js';
import type { Readiness } from '../admin/schemas.js';
import type { CertificateLife } from '../main/fabric.js';
import { cutOff } from '../mesh/listing.js';
import { type NodeAction, REASON_CHARS_MAX } from '../mesh/nodes.js';
import type { Asker, MeshOperations } from '../mesh/operations.js';
import type { RaftView } from '../mesh/raft-view.js';
import type { Callers } from './callers.js';
import {
	toCell,
	toDrainProgress,
	toEvents,
	toMember,
	toNode,
	toPairs,
	toPolicy,
	toTopology,
	toUint,
} from './messages.js';
import type { OpenStreams } from './streams.js';

/** What a node says of itself. */
export interface AgentSelf {
	readonly nodeId: string;
	readonly name: string;
	readonly version: string;
	readonly roles: readonly string[];
	readonly certificate: () => CertificateLife | undefined;
}

export interface AgentServiceParts {
	readonly mesh: MeshOperations;
	readonly self: AgentSelf;
	readonly readiness: () => Promise<Readiness>;
	readonly clock: Clock;
	readonly callers: Callers;
	readonly streams: OpenStreams;
	/** An error as it may be told: one without a code is logged and told without its message. */
	readonly toError: (error: unknown) => MeshError;
	/** Told of each call that has ended: ok, or the code it was refused by. */
	readonly called: (method: string, result: string) => void;
}

const methodOf = (call: { getPath(): string }): string => call.getPath().split('/').at(-1) ?? '';

export function createAgentService(parts: AgentServiceParts): wire.AgentServer {
	const { mesh, callers, streams, toError, called } = parts;

	async function answer<Request, Reply>(
		call: ServerUnaryCall<Request, Reply>,
		reply: sendUnaryData<Reply>,
		run: () => Reply | Promise<Reply>,
	): Promise<void> {
		let value: Reply;
		try {
			value = await run();
		} catch (error) {
			const refusal = toError(error);
			called(methodOf(call), refusal.code);
			reply(grpcErrorOf(refusal));
			return;
		}
		called(methodOf(call), 'ok');
		reply(null, value);
	}

	const read =
		<Request, Reply>(run: (request: Request) => Reply | Promise<Reply>): handleUnaryCall<Request, Reply> =>
		(call, reply) =>
			void answer(call, reply, () => {
				callers.mayRead(call);
				return run(call.request);
			});
	const change =
		<Request, Reply>(run: (request: Request, asker: Asker) => Promise<Reply>): handleUnaryCall<Request, Reply> =>
		(call, reply) =>
			void answer(call, reply, () => run(call.request, callers.mayChange(call)));
	const decide = (action: NodeAction) =>
		change<wire.NodeDecision, wire.Node>(async ({ node, reason }, asker) => {
			if (reason.length > REASON_CHARS_MAX) throw invalid(`a reason has at most ${REASON_CHARS_MAX} characters`);
			return toNode(await mesh.decideNode(node, action, reason, asker));
		});
	const stream =
		<Request, Reply>(
			items: (request: Request, signal: AbortSignal) => AsyncIterable<Reply>,
		): handleServerStreamingCall<Request, Reply> =>
		(call) => {
			const sent = streams.send(call, (signal) => {
				callers.mayRead(call);
				return items(call.request, signal);
			});
			void sent.then((refusal) => called(methodOf(call), refusal?.code ?? 'ok'));
		};

	return {
		getStatus: read<wire.GetStatusRequest, wire.StatusReply>(() => statusOf(parts)),
		listNodes: read<wire.ListNodesRequest, wire.ListNodesReply>(async () => {
			const { items, revision, stale } = await mesh.listNodes();
			return { nodes: items.map(toNode), revision: toUint(revision), stale };
		}),
		getNode: read<wire.NodeName, wire.GetNodeReply>(async (request) => {
			const { node, stale } = await mesh.getNode(request.node);
			return { node: toNode(node), stale };
		}),
		cordonNode: decide('cordon'),
		uncordonNode: decide('uncordon'),
		drainNode: decide('drain'),
		quarantineNode: decide('quarantine'),
		releaseNode: decide('release'),
		removeNode: change<wire.NodeName, wire.Node>(async ({ node }, asker) => toNode(await mesh.removeNode(node, asker))),
		followDrain: stream<wire.NodeName, wire.DrainProgress>(async function* ({ node }, signal) {
			for await (const progress of mesh.followDrain(node, signal)) yield toDrainProgress(progress);
		}),
		listPolicies: read<wire.ListPoliciesRequest, wire.ListPoliciesReply>(async ({ kind }) => {
			const { items, revision, stale } = await mesh.policies.list(kind === '' ? undefined : kind);
			return { policies: items.map(toPolicy), revision: toUint(revision), stale };
		}),
		getPolicy: read<wire.PolicyName, wire.GetPolicyReply>(async ({ kind, name }) => {
			const { stale, ...policy } = await mesh.policies.get(kind, name);
			return { policy: toPolicy(policy), stale };
		}),
		setPolicy: change<wire.SetPolicyRequest, wire.Policy>(async (request, asker) => {
			const { kind, name, valueJson, ifRevision } = request;
			return toPolicy(await mesh.setPolicy(kind, name, valueOf(valueJson), revisionOf(ifRevision), asker));
		}),
		deletePolicy: change<wire.PolicyName, wire.DeletePolicyReply>(async ({ kind, name }, asker) => ({
			existed: await mesh.removePolicy(kind, name, asker),
		})),
		listMembers: read<wire.ListMembersRequest, wire.ListMembersReply>(() => ({
			members: mesh.members().map(toMember),
		})),
		getTopology: read<wire.GetTopologyRequest, wire.TopologyReply>(() => toTopology(mesh.topology())),
		listPairs: read<wire.ListPairsRequest, wire.ListPairsReply>(async () => toPairs(await mesh.pairs())),
		measureBandwidth: change<wire.MeasureBandwidthRequest, wire.Bandwidth>(
			({ from, to, bytesMax, durationMsMax }, asker) =>
				mesh.measure(
					from,
					to,
					{
						bytesMax: bytesMax || bandwidthBounds.bytesDefault,
						durationMsMax: durationMsMax || bandwidthBounds.durationMsDefault,
					},
					asker,
				),
		),
		listCells: read<wire.ListCellsRequest, wire.ListCellsReply>(() => ({ cells: mesh.cells().map(toCell) })),
		subscribeEvents: stream<wire.SubscribeEventsRequest, wire.EventsReply>(async function* (request, signal) {
			const after = revisionOf(request.afterRevision) ?? 0;
			await mesh.events.check(after);
			for await (const batch of mesh.events.follow(after, signal)) yield* toEvents(batch);
		}),
	};
}

async function statusOf({ mesh, self, readiness, clock }: AgentServiceParts): Promise<wire.StatusReply> {
	const certificate = self.certificate();
	const [raft, { reasons, degraded }] = await Promise.all([knownRaft(mesh), readiness()]);
	return {
		nodeId: self.nodeId,
		name: self.name,
		version: self.version,
		roles: [...self.roles],
		clusterId: raft?.clusterId ?? '',
		leader: raft?.leader ?? '',
		term: toUint(raft?.term),
		revision: toUint(raft?.revision),
		quorum: raft?.quorum ?? false,
		notReady: [...reasons],
		degraded: [...degraded],
		timeMs: toUint(clock.wallMs()),
		certificateBeginsMs: toUint(certificate?.beginsMs),
		certificateExpiresMs: toUint(certificate?.expiresMs),
		alive: mesh
			.members()
			.filter(({ state }) => state === 'alive')
			.map(({ id }) => id),
	};
}

/** Undefined while no coordinator answers: the node still has something to say of itself. */
async function knownRaft(mesh: MeshOperations): Promise<RaftView | undefined> {
	try {
		return await mesh.raft();
	} catch (error) {
		if (cutOff(error)) return undefined;
		throw error;
	}
}

function valueOf(json: string): unknown {
	try {
		return JSON.parse(json) as unknown;
	} catch (cause) {
		throw invalid(`value_json is no JSON: ${cause instanceof Error ? cause.message : String(cause)}`);
	}
}

function revisionOf(revision: bigint | undefined): number | undefined {
	if (revision !== undefined && revision > BigInt(Number.MAX_SAFE_INTEGER)) throw invalid('no revision is that high');
	return revision === undefined ? undefined : Number(revision);
}

function invalid(message: string): MeshError {
	return new MeshError(adminErrors, 'IM_ADMIN_INVALID_REQUEST', message, { hint: 'agent.proto says what is wanted.' });
}
