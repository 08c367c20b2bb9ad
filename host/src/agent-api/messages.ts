// Owns the messages of the agent's gRPC API: what the mesh knows in the form of agent.proto. Absent texts are empty there, absent numbers 0.
import type * as wire from '@infermesh/proto/grpc/agent/v1/agent';
import type { CellRow } from '../mesh/cells-view.js';
import type { DrainProgress } from '../mesh/drain-progress.js';
import type { EventBatch, MeshEvent } from '../mesh/events.js';
import type { NodeView } from '../mesh/nodes.js';
import type { LinkRow, MemberRow, MeshOperations, PairsView } from '../mesh/operations.js';
import type { PolicyView } from '../mesh/policies.js';

/** A message of events is closed after the revision that fills it: readers take 4 MiB by default. */
const MESSAGE_CHARS = 1 << 20;

/** Whole numbers; times may come with fractions. */
export const toUint = (value: number | undefined): bigint => BigInt(Math.max(0, Math.floor(value ?? 0)));

export function toNode({ record, ...node }: NodeView): wire.Node {
	return {
		id: node.id,
		name: node.name,
		zone: record?.zone ?? '',
		region: record?.region ?? '',
		roles: [...(record?.roles ?? [])],
		version: record?.version ?? '',
		agentAddress: record?.addresses.agent ?? '',
		state: node.state,
		reason: node.reason,
		changedBy: node.changedBy ?? '',
		changedAtMs: toUint(node.changedAtMs),
		present: record !== undefined,
		health: node.health,
		revision: toUint(node.revision),
	};
}

export function toDrainProgress({ id, routers, inFlight, ...same }: DrainProgress): wire.DrainProgress {
	return {
		...same,
		nodeId: id,
		routers: routers.map((router) => ({
			nodeId: router.id,
			name: router.name,
			inFlight: router.inFlight === undefined ? undefined : toUint(router.inFlight),
		})),
		inFlight: toUint(inFlight),
	};
}

export function toPolicy({ kind, name, value, revision }: PolicyView): wire.Policy {
	return { kind, name, valueJson: JSON.stringify(value), revision: toUint(revision) };
}

export function toMember({ self: _asked, accusers, incarnation, sinceMs, ...same }: MemberRow): wire.Member {
	return { ...same, incarnation: toUint(incarnation), sinceMs: toUint(sinceMs), accusers: [...accusers] };
}

export function toTopology({
	links,
	vector,
	heightS,
	error,
}: ReturnType<MeshOperations['topology']>): wire.TopologyReply {
	return { links: links.map(toLink), coordinate: [...vector], heightS, error };
}

function toLink({ zone = '', region = '', ageMs, ...same }: LinkRow): wire.Link {
	return { ...same, zone, region, ageMs: ageMs === undefined ? undefined : toUint(ageMs) };
}

export function toPairs({ pairs, unanswered, truncated }: PairsView): wire.ListPairsReply {
	return {
		pairs: pairs.map(({ fromId, fromName, ...link }) => ({ fromId, fromName, link: toLink(link) })),
		unanswered: [...unanswered],
		truncated,
	};
}

export function toCell({ routers, models, gateways, ...same }: CellRow): wire.Cell {
	return { ...same, routers: [...routers], models: [...models], gateways: [...gateways] };
}

function toEvent({ revision, kind, id, change, value }: MeshEvent): wire.Event {
	return { revision: toUint(revision), kind, id, change, valueJson: change === 'delete' ? '' : JSON.stringify(value) };
}

/** A batch in messages of bounded size, cut between revisions and never inside one. */
export function* toEvents({ events, revision }: EventBatch): Generator<wire.EventsReply> {
	let message: wire.Event[] = [];
	let chars = 0;
	for (const event of events) {
		const told = toEvent(event);
		message.push(told);
		chars += told.valueJson.length;
		if (event.more || chars < MESSAGE_CHARS || event.revision === revision) continue;
		yield { events: message, revision: told.revision };
		message = [];
		chars = 0;
	}
	yield { events: message, revision: toUint(revision) };
}
