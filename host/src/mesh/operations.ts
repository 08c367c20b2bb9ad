// Owns what an operator can ask of the mesh, whichever way the question comes: the admin API over HTTP and the agent over gRPC are two forms of this
// one. Reads without quorum answer what this node last heard, marked stale; writes are refused by the engine then. Every change is audited.
import { type BandwidthAsk, type ConsensusEngine, consensusError, type LinkEstimate } from '@infermesh/fabric';
import { type Clock, MeshError } from '@infermesh/proto';
import type { MemberView, MeshFabric, TopologyView } from '../main/fabric.js';
import { recordKinds, type Tenant } from '../records/kinds.js';
import { Records } from '../records/records.js';
import { askAll } from './ask-all.js';
import { backupPieces } from './backup.js';
import { type CellRow, cellRows } from './cells-view.js';
import { type CheckedNode, judgeMesh, type MeshFinding } from './check.js';
import { type DrainProgress, drainProgress } from './drain-progress.js';
import { meshErrors } from './errors.js';
import { EventFeed } from './event-feed.js';
import { freshOrHeld, type Listing } from './listing.js';
import type { MeshMirrors } from './mirrors.js';
import { type NodeAction, Nodes, type NodeView } from './nodes.js';
import { allPairs, type Pairs } from './pairs.js';
import { Policies, type PolicyView, policyKindOf } from './policies.js';
import { quorumWithout } from './quorum.js';
import { type RaftView, raftView } from './raft-view.js';
import { type SigningKeyRequest, SigningKeys, type SigningKeyView } from './signing-keys.js';
import { type KeyRequest, type KeyView, Tenants, type TenantView } from './tenants.js';

/** One change of the mesh, for the log. */
export interface Audit {
	/** Who asked. */
	readonly by: string;
	/** `node.drain`, `policy.set`, `key.create` … */
	readonly action: string;
	/** What it was done to. */
	readonly object: string;
	readonly reason?: string;
}

export interface MeshOperationsPorts {
	readonly clock: Clock;
	readonly engine: ConsensusEngine;
	/** Of this software. */
	readonly version: string;
	readonly mirrors: MeshMirrors;
	readonly fabric: Pick<
		MeshFabric,
		'nodeId' | 'blobs' | 'members' | 'topology' | 'linksOf' | 'measure' | 'statusOf' | 'cells' | 'group'
	>;
	/** Calls back after any mirror changed, until the returned function is called. */
	readonly onChange: (listener: () => void) => () => void;
	/** Resolves once `holds` is true, looking after every change of a mirror; rejects with what `late` makes. */
	readonly until: (holds: () => boolean, timeoutMs: number, late: () => Error) => Promise<void>;
	readonly randomBytes: (count: number) => Uint8Array;
	readonly audit: (entry: Audit) => void;
}

/** Who asks: what records and the log name as the author. `token:NAME`, the SPIFFE id of a client's certificate, or `loopback` where no token is asked. */
export interface Asker {
	readonly by: string;
}

export type MemberRow = MemberView & { readonly self: boolean };

export interface LinkRow extends LinkEstimate {
	readonly nodeId: string;
	readonly name: string;
	/** Where it says it stands; undefined for a node that is away. */
	readonly zone: string | undefined;
	readonly region: string | undefined;
}

export interface PairRow extends LinkRow {
	readonly fromId: string;
	readonly fromName: string;
}

export interface PairsView extends Omit<Pairs, 'pairs'> {
	readonly pairs: readonly PairRow[];
}

export interface BandwidthRow {
	readonly from: string;
	readonly to: string;
	readonly bytes: number;
	readonly durationMs: number;
	readonly bandwidthBytesPerS: number;
}

export interface MeshCheck {
	readonly findings: readonly MeshFinding[];
	/** By name. */
	readonly nodes: readonly CheckedNode[];
}

/** This node has this long to follow what it has written; the answer goes out then anyway, because the write stands. */
const FOLLOW_MS = 5000;

export class MeshOperations {
	readonly nodes: Nodes;
	readonly policies: Policies;
	readonly tenants: Tenants;
	readonly signingKeys: SigningKeys;
	readonly events: EventFeed;
	readonly #ports: MeshOperationsPorts;
	readonly #records: Records;

	constructor(ports: MeshOperationsPorts) {
		const { clock, engine, mirrors, fabric, randomBytes } = ports;
		const records = new Records(engine);
		this.#ports = ports;
		this.#records = records;
		this.nodes = new Nodes({
			clock,
			records,
			mirrors,
			members: fabric.members,
			quorumWithout: async (nodeId) => quorumWithout(await engine.status(), mirrors, nodeId),
			inGroup: async (nodeId) => (await engine.status()).members.some(({ id }) => id === nodeId),
		});
		this.policies = new Policies({ records, mirrors });
		this.tenants = new Tenants({ clock, records, mirrors, randomBytes });
		this.signingKeys = new SigningKeys({ clock, records, mirrors });
		this.events = new EventFeed(engine);
	}

	/** Nodes by name. The mirrors answer; a linearizable read before says whether they may be behind. */
	async listNodes(): Promise<Listing<NodeView>> {
		const { engine, mirrors } = this.#ports;
		const held = (): number => Math.max(mirrors.nodes.revision, mirrors.lifecycle.revision);
		const { value, stale } = await freshOrHeld(
			engine,
			async () => {
				const [nodes, lifecycle] = await Promise.all([
					this.#records.list(recordKinds.nodes),
					this.#records.list(recordKinds.lifecycle),
				]);
				await this.#followed(
					() =>
						nodes.items.every(({ id, revision }) => behindNot(mirrors.nodes.get(id)?.revision, revision)) &&
						lifecycle.items.every(({ id, revision }) => behindNot(mirrors.lifecycle.get(id)?.revision, revision)),
				);
				return Math.min(nodes.revision, lifecycle.revision);
			},
			held,
		);
		return { items: this.nodes.list(), revision: value, stale };
	}

	/** By name or UUID. IM_NODE_UNKNOWN. */
	async getNode(nameOrId: string): Promise<{ readonly node: NodeView; readonly stale: boolean }> {
		const { stale } = await this.listNodes();
		return { node: this.nodes.find(nameOrId), stale };
	}

	/** IM_NODE_UNKNOWN, IM_NODE_STATE, IM_NODE_QUORUM. */
	async decideNode(nameOrId: string, action: NodeAction, reason: string, { by }: Asker): Promise<NodeView> {
		const node = await this.nodes.decide(nameOrId, action, reason, by);
		this.#ports.audit({ by, action: `node.${action}`, object: node.name, reason });
		await this.#followed(() => (this.#ports.mirrors.lifecycle.get(node.id)?.revision ?? 0) >= node.revision);
		return node;
	}

	/** Asking again goes on waiting for what the first time did not see the end of. IM_NODE_UNKNOWN, IM_NODE_STATE, IM_NODE_QUORUM, IM_NODE_REMOVAL_PENDING. */
	async removeNode(nameOrId: string, { by }: Asker): Promise<NodeView> {
		const { node, before } = await this.nodes.remove(nameOrId, by);
		// Before what may take long or fail: the decision stands from here on.
		if (!before) this.#ports.audit({ by, action: 'node.remove', object: node.name });
		await this.nodes.clearAway(node);
		await this.#followed(() => this.#ports.mirrors.removals.get(node.id) !== undefined);
		return node;
	}

	/** How far the draining of a node has come. IM_NODE_UNKNOWN. */
	drainProgress(nameOrId: string): DrainProgress {
		return drainProgress(this.nodes.find(nameOrId), this.#ports.mirrors);
	}

	/**
	 * The same, at once and after each change, until it is drained or `signal` aborts. Who reads slowly is told the newest. IM_NODE_UNKNOWN, and
	 * IM_NODE_STATE when the node is not being drained (any more).
	 */
	async *followDrain(nameOrId: string, signal: AbortSignal): AsyncGenerator<DrainProgress, void, undefined> {
		const { id } = this.nodes.find(nameOrId);
		let changed = Promise.withResolvers<void>();
		const wake = (): void => changed.resolve();
		const stop = this.#ports.onChange(wake);
		signal.addEventListener('abort', wake);
		try {
			for (let told = ''; !signal.aborted; await changed.promise) {
				// Made before the look, so that no change after it is slept through.
				changed = Promise.withResolvers<void>();
				const progress = this.drainProgress(id);
				const { name, state } = progress;
				if (state !== 'draining' && state !== 'drained')
					throw new MeshError(meshErrors, 'IM_NODE_STATE', `${name} is ${state}, not draining`);
				const text = JSON.stringify(progress);
				if (text !== told) yield progress;
				told = text;
				if (state === 'drained') return;
			}
		} finally {
			stop();
			signal.removeEventListener('abort', wake);
		}
	}

	async setPolicy(
		kind: string,
		name: string,
		value: unknown,
		ifRevision: number | undefined,
		{ by }: Asker,
	): Promise<PolicyView> {
		const policy = await this.policies.set(kind, name, value, ifRevision);
		this.#ports.audit({ by, action: 'policy.set', object: `${kind}/${name}` });
		await this.#followed(() => this.policies.follows(policy.kind, name, policy.revision));
		return policy;
	}

	/** False when there was none. */
	async removePolicy(kind: string, name: string, { by }: Asker): Promise<boolean> {
		const of = policyKindOf(kind);
		const existed = await this.policies.remove(of, name);
		if (!existed) return false;
		this.#ports.audit({ by, action: 'policy.delete', object: `${kind}/${name}` });
		await this.#followed(() => this.policies.follows(of, name, undefined));
		return true;
	}

	async setTenant(name: string, tenant: Tenant, ifRevision: number | undefined, { by }: Asker): Promise<TenantView> {
		const set = await this.tenants.set(name, tenant, ifRevision);
		this.#ports.audit({ by, action: 'tenant.set', object: name });
		await this.#followed(() => (this.#ports.mirrors.tenants.get(name)?.revision ?? 0) >= set.revision);
		return set;
	}

	async removeTenant(name: string, { by }: Asker): Promise<void> {
		await this.tenants.remove(name);
		this.#ports.audit({ by, action: 'tenant.delete', object: name });
		await this.#followed(() => this.#ports.mirrors.tenants.get(name) === undefined);
	}

	async createKey(request: KeyRequest, { by }: Asker): Promise<{ readonly key: string; readonly view: KeyView }> {
		const made = await this.tenants.createKey(request);
		this.#ports.audit({ by, action: 'key.create', object: request.id });
		await this.#followed(() => this.#ports.mirrors.apiKeys.get(request.id) !== undefined);
		return made;
	}

	async removeKey(id: string, { by }: Asker): Promise<void> {
		await this.tenants.removeKey(id);
		this.#ports.audit({ by, action: 'key.delete', object: id });
		await this.#followed(() => this.#ports.mirrors.apiKeys.get(id) === undefined);
	}

	async trustSigningKey(request: SigningKeyRequest, { by }: Asker): Promise<SigningKeyView> {
		const key = await this.signingKeys.trust(request, by);
		this.#ports.audit({ by, action: `signing-key.trust.${key.grade}`, object: `${key.id} (${key.name})` });
		await this.#followed(() => (this.#ports.mirrors.signingKeys.get(key.id)?.revision ?? 0) >= key.revision);
		return key;
	}

	async distrustSigningKey(id: string, { by }: Asker): Promise<void> {
		await this.signingKeys.distrust(id);
		this.#ports.audit({ by, action: 'signing-key.distrust', object: id });
		await this.#followed(() => this.#ports.mirrors.signingKeys.get(id) === undefined);
	}

	/** Whether the mesh is well, as far as this node can find out: it asks all that are there. */
	async check(): Promise<MeshCheck> {
		const { clock, fabric } = this.#ports;
		const quorum = await this.raft().then(
			(raft) => raft.quorum,
			() => false,
		);
		const nodes: CheckedNode[] = [];
		await askAll(this.nodes.list(), async (node) => {
			// A node that is away cannot be asked, and a lone one has no port to ask it at.
			const there = node.record !== undefined && node.record.addresses.agent !== '';
			if (!there) return void nodes.push({ node, answer: undefined, error: undefined });
			try {
				nodes.push({ node, answer: await fabric.statusOf(node.id), error: undefined });
			} catch (error) {
				nodes.push({ node, answer: undefined, error: error instanceof Error ? error.message : String(error) });
			}
		});
		nodes.sort((a, b) => (a.node.name < b.node.name ? -1 : 1));
		return { findings: judgeMesh(nodes, quorum, clock.wallMs()), nodes };
	}

	/** What gossip knows, by name. */
	members(): readonly MemberRow[] {
		const { nodeId, members } = this.#ports.fabric;
		return members()
			.map((member) => Object.assign({ self: member.id === nodeId }, member))
			.sort((a, b) => (a.name < b.name ? -1 : 1));
	}

	/** Distances from this node, by name. */
	topology(): { readonly links: readonly LinkRow[] } & Omit<TopologyView, 'links'> {
		const { links, ...rest } = this.#ports.fabric.topology();
		const rows = links.map(({ nodeId, estimate }) => this.#linkRow(nodeId, estimate));
		return { ...rest, links: rows.sort((a, b) => (a.name < b.name ? -1 : 1)) };
	}

	/** Distances between all nodes, each asked for its own. */
	async pairs(): Promise<PairsView> {
		const { mirrors, fabric } = this.#ports;
		const nodes = mirrors.nodes.all().map(({ value }) => value);
		const { pairs, ...rest } = await allPairs(nodes, fabric.linksOf);
		const rows = pairs.map(({ from, toId, estimate }) =>
			Object.assign({ fromId: from.id, fromName: from.name }, this.#linkRow(toId, estimate)),
		);
		return { ...rest, pairs: rows };
	}

	/** Bandwidth from one node to another, by name or UUID. IM_NODE_UNKNOWN and IM_TOPOLOGY_*. */
	async measure(from: string, to: string, ask: BandwidthAsk, { by }: Asker): Promise<BandwidthRow> {
		const [source, sink] = [this.nodes.find(from), this.nodes.find(to)];
		this.#ports.audit({ by, action: 'topology.probe', object: `${source.name} ${sink.name}` });
		const { bytes, durationMs } = await this.#ports.fabric.measure(source.id, sink.id, ask);
		return {
			from: source.name,
			to: sink.name,
			bytes,
			durationMs,
			bandwidthBytesPerS: (bytes / durationMs) * 1000,
		};
	}

	#linkRow(nodeId: string, estimate: LinkEstimate): LinkRow {
		const node = this.#ports.mirrors.nodes.get(nodeId)?.value;
		return { nodeId, name: this.#nameOf(nodeId), zone: node?.zone, region: node?.region, ...estimate };
	}

	/** This cell and what is known of the others; none for a lone node. */
	cells(): readonly CellRow[] {
		return cellRows(this.#ports.fabric.cells);
	}

	async raft(): Promise<RaftView> {
		return raftView(await this.#ports.engine.status(), (id) => this.#nameOf(id));
	}

	/** `to`: name or UUID; undefined = the most suitable voter. IM_NODE_UNKNOWN, IM_CONSENSUS_NOT_MEMBER and what the group refuses with. */
	async transferLeadership(to: string | undefined, { by }: Asker): Promise<RaftView> {
		const target = to === undefined || to === '' ? undefined : this.nodes.find(to).id;
		await this.#group().transferLeadership(target);
		this.#ports.audit({ by, action: 'raft.transfer', object: to ?? '' });
		return this.raft();
	}

	/** A backup of the whole mesh, in pieces. IM_CONSENSUS_NOT_MEMBER. */
	saveSnapshot({ by }: Asker): AsyncIterable<Uint8Array> {
		const group = this.#group();
		const { clock, engine, fabric, version, mirrors } = this.#ports;
		this.#ports.audit({ by, action: 'snapshot.save', object: '' });
		const node = mirrors.nodes.get(fabric.nodeId)?.value.name ?? fabric.nodeId;
		return backupPieces({ clock, engine, blobs: fabric.blobs, version, node }, () => group.saveSnapshot());
	}

	#group(): NonNullable<MeshFabric['group']> {
		const { group } = this.#ports.fabric;
		if (group !== undefined) return group;
		throw consensusError('IM_CONSENSUS_NOT_MEMBER', 'this node is no coordinator of a mesh', {
			hint: 'Ask a coordinator: `infermesh raft status` lists them; `--admin URL` names one. On an etcd cluster use its own tools.',
		});
	}

	#nameOf(id: string): string {
		const { mirrors, fabric } = this.#ports;
		return mirrors.nodes.get(id)?.value.name ?? fabric.members().find((member) => member.id === id)?.name ?? id;
	}

	/** Waits until this node shows what was written, so that who asks next sees it. What is written stands either way. */
	async #followed(holds: () => boolean): Promise<void> {
		await this.#ports.until(holds, FOLLOW_MS, () => new Error('late')).catch(() => undefined);
	}
}

function behindNot(held: number | undefined, read: number): boolean {
	return held === undefined ? false : held >= read;
}
