// Owns what is decided about nodes (cordon, drain, quarantine and the ways back) and who may be in which state: transitions as a table, changes as
// records with author and reason. What a decision means for traffic is target-sync's, for the node itself drain.ts's.
import { type Clock, MeshError } from '@infermesh/proto';
import type { MemberView } from '../main/fabric.js';
import {
	type LifecycleRecord,
	type LifecycleState,
	type NodeRecord,
	type RemovalRecord,
	recordKinds,
} from '../records/kinds.js';
import { encodeRecord, keyOf, type Records } from '../records/records.js';
import { meshErrors } from './errors.js';
import type { MeshMirrors } from './mirrors.js';

export const nodeActions = ['cordon', 'uncordon', 'drain', 'quarantine', 'release'] as const;
export type NodeAction = (typeof nodeActions)[number];

/** Characters of the reason for a decision. */
export const REASON_CHARS_MAX = 512;

/** The leader looks every second; a removal that takes longer waits for something. */
const OUT_OF_GROUP_MS = 15_000;
const OUT_OF_GROUP_RETRY_MS = 200;

interface Transition {
	readonly from: readonly LifecycleState[];
	readonly to: LifecycleState;
}

/** Quarantine may be put on anything and is only lifted by `release`, so that no drain or uncordon undoes it by the way. */
const transitions: Readonly<Record<NodeAction, Transition>> = {
	cordon: { from: ['active', 'cordoned'], to: 'cordoned' },
	drain: { from: ['active', 'cordoned', 'draining', 'drained'], to: 'draining' },
	uncordon: { from: ['active', 'cordoned', 'draining', 'drained'], to: 'active' },
	quarantine: { from: ['active', 'cordoned', 'draining', 'drained', 'quarantined'], to: 'quarantined' },
	release: { from: ['quarantined'], to: 'active' },
};

/** What is known of a node. */
export interface NodeView {
	readonly id: string;
	readonly name: string;
	readonly state: LifecycleState;
	readonly reason: string;
	readonly changedBy: string | undefined;
	readonly changedAtMs: number | undefined;
	/** Undefined while the node is away. */
	readonly record: NodeRecord | undefined;
	/** By gossip as this node sees it. */
	readonly health: MemberView['state'] | 'unknown';
	/** Revision of its lifecycle record; 0 when nothing was ever decided. */
	readonly revision: number;
}

export interface NodesPorts {
	readonly clock: Clock;
	readonly records: Records;
	readonly mirrors: Pick<MeshMirrors, 'nodes' | 'lifecycle' | 'removals'>;
	/** By gossip. */
	readonly members: () => readonly MemberView[];
	/** Whether the voters other than this node make a quorum of all voters; undefined = it is no voter. */
	readonly quorumWithout: (nodeId: string) => Promise<boolean | undefined>;
	/** Whether it is a member of the group of coordinators. */
	readonly inGroup: (nodeId: string) => Promise<boolean>;
}

export class Nodes {
	readonly #ports: NodesPorts;

	constructor(ports: NodesPorts) {
		this.#ports = ports;
	}

	/** All nodes that are there, about which something was decided or of which gossip knows, by name. */
	list(): readonly NodeView[] {
		const { mirrors, members } = this.#ports;
		const known = new Map(members().map((member) => [member.id, member]));
		const ids = new Set([
			...mirrors.nodes.all().map(({ id }) => id),
			...mirrors.lifecycle.all().map(({ id }) => id),
			...known.keys(),
		]);
		return [...ids]
			.filter((id) => mirrors.removals.get(id) === undefined || mirrors.nodes.get(id) !== undefined)
			.map((id) => this.#view(id, known.get(id)))
			.sort((a, b) => (a.name < b.name ? -1 : 1));
	}

	/** By UUID or name; of two with one name, the one that is there. Throws IM_NODE_UNKNOWN. */
	find(nameOrId: string): NodeView {
		const fitting = this.list().filter(({ id, name }) => id === nameOrId || name === nameOrId);
		const found = fitting.find(({ record }) => record !== undefined) ?? fitting[0];
		if (found === undefined) throw new MeshError(meshErrors, 'IM_NODE_UNKNOWN', `no node is called ${nameOrId}`);
		return found;
	}

	/** Decides something about a node. IM_NODE_UNKNOWN, IM_NODE_STATE, IM_NODE_QUORUM. */
	async decide(nameOrId: string, action: NodeAction, reason: string, by: string): Promise<NodeView> {
		const { clock, records } = this.#ports;
		const before = this.find(nameOrId);
		const { id, name } = before;
		if ((action === 'drain' || action === 'quarantine') && (await this.#ports.quorumWithout(id)) === false)
			throw new MeshError(meshErrors, 'IM_NODE_QUORUM', `${action} of ${name} would leave no quorum of coordinators`);
		const { from, to } = transitions[action];
		const written = await records.update(recordKinds.lifecycle, id, (present) => {
			const state = present?.state ?? 'active';
			if (!from.includes(state))
				throw new MeshError(meshErrors, 'IM_NODE_STATE', `${name} is ${state}; it cannot be changed by ${action}`);
			// Asking again for what is so already changes nothing, not even the time.
			if (state === to || (action === 'drain' && state === 'drained')) return undefined;
			return { name, state: to, reason, changedBy: by, changedAtMs: Math.floor(clock.wallMs()) };
		});
		return { ...before, ...viewOf(written?.value), revision: written?.revision ?? 0 };
	}

	/**
	 * Forgets a node that is gone for good, with its targets, and resolves once it has no part in the group of coordinators any more: whoever leads takes
	 * it out (autopilot.ts). The record of it revokes the node's certificate. IM_NODE_STATE while it is there, IM_NODE_QUORUM, IM_NODE_REMOVAL_PENDING.
	 */
	async remove(nameOrId: string, by: string): Promise<NodeView> {
		const { clock, records, quorumWithout } = this.#ports;
		const node = this.find(nameOrId);
		const { id, name } = node;
		if (node.record !== undefined) throw new MeshError(meshErrors, 'IM_NODE_STATE', `${name} is there; stop it first`);
		if ((await quorumWithout(id)) === false)
			throw new MeshError(meshErrors, 'IM_NODE_QUORUM', `without ${name} there would be no quorum of coordinators`);
		const removal: RemovalRecord = {
			name,
			removedBy: by,
			removedAtMs: Math.floor(clock.wallMs()),
		};
		await records.engine.transact({
			when: [],
			then: [
				{ put: keyOf(recordKinds.removals, id), value: encodeRecord(removal) },
				// A quarantine stands: what the node knows was changed when it was decided.
				...(node.state === 'quarantined' ? [] : [{ delete: { key: keyOf(recordKinds.lifecycle, id) } }]),
			],
		});
		const { items } = await records.list(recordKinds.targets);
		for (const { id, value } of items) if (value.announcedBy === node.id) await records.remove(recordKinds.targets, id);
		await this.#outOfGroup(id, name);
		return node;
	}

	async #outOfGroup(id: string, name: string): Promise<void> {
		const { clock, inGroup } = this.#ports;
		const deadlineMs = clock.nowMs() + OUT_OF_GROUP_MS;
		while (await inGroup(id)) {
			if (clock.nowMs() >= deadlineMs) throw new MeshError(meshErrors, 'IM_NODE_REMOVAL_PENDING', name);
			await new Promise<void>((resolve) => void clock.after(OUT_OF_GROUP_RETRY_MS, resolve));
		}
	}

	#view(id: string, member: MemberView | undefined): NodeView {
		const { mirrors } = this.#ports;
		const record = mirrors.nodes.get(id)?.value;
		const lifecycle = mirrors.lifecycle.get(id);
		return {
			id,
			name: record?.name ?? member?.name ?? lifecycle?.value.name ?? id,
			...viewOf(lifecycle?.value),
			record,
			health: member?.state ?? 'unknown',
			revision: lifecycle?.revision ?? 0,
		};
	}
}

function viewOf(
	lifecycle: LifecycleRecord | undefined,
): Pick<NodeView, 'state' | 'reason' | 'changedBy' | 'changedAtMs'> {
	return {
		state: lifecycle?.state ?? 'active',
		reason: lifecycle?.reason ?? '',
		changedBy: lifecycle?.changedBy,
		changedAtMs: lifecycle?.changedAtMs,
	};
}
