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

export interface RemovedNode {
	readonly node: NodeView;
	/** It had been decided before. */
	readonly before: boolean;
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
		const found = this.#find(nameOrId);
		if (found === undefined) throw unknown(nameOrId);
		return found;
	}

	#find(nameOrId: string): NodeView | undefined {
		const fitting = this.list().filter(({ id, name }) => id === nameOrId || name === nameOrId);
		return fitting.find(({ record }) => record !== undefined) ?? fitting[0];
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
	 * Decides that a node is gone for good; the record of it revokes the node's certificate, `clearAway` does the rest. Asking again for what was decided
	 * changes nothing. IM_NODE_UNKNOWN, IM_NODE_STATE while it is there, IM_NODE_QUORUM.
	 */
	async remove(nameOrId: string, by: string): Promise<RemovedNode> {
		const { clock, records, quorumWithout } = this.#ports;
		const node = this.#find(nameOrId);
		// By the records, not the mirror: whoever asks again may ask another node, which need not have heard of it yet.
		const before = node?.record === undefined ? await this.#removedAs(node?.id ?? nameOrId) : undefined;
		if (before !== undefined) return { node: before, before: true };
		if (node === undefined) throw unknown(nameOrId);
		const { id, name } = node;
		const isThere = new MeshError(meshErrors, 'IM_NODE_STATE', `${name} is there; stop it first`);
		if (node.record !== undefined) throw isThere;
		if ((await quorumWithout(id)) === false)
			throw new MeshError(meshErrors, 'IM_NODE_QUORUM', `without ${name} there would be no quorum of coordinators`);
		const removal: RemovalRecord = {
			name,
			removedBy: by,
			removedAtMs: Math.floor(clock.wallMs()),
		};
		const { held } = await records.engine.transact({
			// It may have come back while this was asked.
			when: [{ key: keyOf(recordKinds.nodes, id), exists: false }],
			then: [
				{ put: keyOf(recordKinds.removals, id), value: encodeRecord(removal) },
				{ delete: { key: keyOf(recordKinds.registrations, id) } },
				// A quarantine stands: what the node knows was changed when it was decided.
				...(node.state === 'quarantined' ? [] : [{ delete: { key: keyOf(recordKinds.lifecycle, id) } }]),
			],
		});
		if (!held) throw isThere;
		return { node, before: false };
	}

	/**
	 * Forgets the targets of a removed node, and resolves once it has no part in the group of coordinators any more: whoever leads takes it out
	 * (autopilot.ts). IM_NODE_REMOVAL_PENDING.
	 */
	async clearAway({ id, name }: NodeView): Promise<void> {
		const { records } = this.#ports;
		const { items } = await records.list(recordKinds.targets);
		for (const target of items)
			if (target.value.announcedBy === id) await records.remove(recordKinds.targets, target.id);
		await this.#outOfGroup(id, name);
	}

	/** The last node removed under this name, or the one with this UUID. */
	async #removedAs(nameOrId: string): Promise<NodeView | undefined> {
		const { items } = await this.#ports.records.list(recordKinds.removals);
		const found = items
			.filter(({ id, value }) => id === nameOrId || value.name === nameOrId)
			.reduce<(typeof items)[number] | undefined>(
				(last, each) => (last === undefined || each.value.removedAtMs > last.value.removedAtMs ? each : last),
				undefined,
			);
		return found === undefined ? undefined : { ...this.#view(found.id, undefined), name: found.value.name };
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

function unknown(nameOrId: string): MeshError {
	return new MeshError(meshErrors, 'IM_NODE_UNKNOWN', `no node is called ${nameOrId}`);
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
