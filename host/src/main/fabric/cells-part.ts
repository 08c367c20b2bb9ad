// The composition of a node's part among cells: on a gateway the pool of gateways (a gossip thread of its own, with its own port, keys and coordinates) and
// the service that others call; on every node the book of summaries and the asking that fills it.
import path from 'node:path';
import { Metadata, type ServerUnaryCall, type ServiceError, type sendUnaryData } from '@grpc/grpc-js';
import {
	type Address,
	type ConsensusEngine,
	type ExchangeTransport,
	grpcErrorOf,
	meshErrorOf,
	nodeCredentials,
	type PeerChannels,
	type SecureServer,
	type TransportContext,
	type TransportCounts,
} from '@infermesh/fabric';
import type { Clock, Random } from '@infermesh/proto';
import {
	CellsService,
	type GetSummariesRequest,
	type Hello,
	type Summaries,
	type Summary,
} from '@infermesh/proto/grpc/cells/v1/cells';
import { CellsClient } from '@infermesh/proto/grpc/cells/v1/cells-client';
import { cellErrors } from '../../cells/errors.js';
import { CellExchange, type CellPeer, type Gateway } from '../../cells/exchange.js';
import { GatewayCells, shutOutBy } from '../../cells/ownership.js';
import { routersOf } from '../../cells/routers.js';
import { type SummarisedTarget, summarise } from '../../cells/summary.js';
import type { MeshConfig } from '../../config/schema.js';
import type { LifecycleState, NodeRecord } from '../../records/kinds.js';
import type { CollectedSample } from '../../telemetry/exposition.js';
import type { CellsView, MemberView } from '../fabric.js';
import { GossipThread } from './gossip-client.js';
import { GossipKeys, gossipKeyNames } from './gossip-keys.js';
import { cellMetrics, gossipMetrics } from './metrics.js';
import type { ShutOut } from './shut-out.js';
import type { WireIdentity } from './wire-identity.js';

export interface CellsPartPorts {
	readonly config: MeshConfig;
	readonly clock: Clock;
	readonly random: Random;
	readonly nodeId: string;
	readonly clusterId: string;
	/** Folder of the node. */
	readonly folder: string;
	/** Where others call this node's agent. */
	readonly agent: Address;
	readonly version: string;
	readonly context: TransportContext;
	readonly channels: PeerChannels;
	readonly server: SecureServer;
	readonly engine: ConsensusEngine;
	readonly identity: () => WireIdentity;
	readonly nodes: () => readonly NodeRecord[];
	readonly lifecycleOf: (nodeId: string) => LifecycleState;
	readonly members: () => readonly MemberView[];
	/** Whether a node is of this cell, there or away: what others say of it is for this cell to decide. */
	readonly isOwn: (nodeId: string) => boolean;
	/** Is told whom other cells have shut out: they are to be nobody's here either. */
	readonly shutOut: ShutOut;
	readonly stopped: () => boolean;
	readonly failed: (what: string, error: unknown) => void;
}

const CALL_TIMEOUT_MS = 3000;
const OPEN_RETRY_MS = 2000;
const HANDSHAKE_TIMEOUT_MS = 3000;

export class CellsPart implements CellsView {
	readonly name: string;
	readonly gateway: boolean;
	readonly #ports: CellsPartPorts;
	readonly #exchange: CellExchange;
	readonly #keys: GossipKeys;
	readonly #listeners = new Set<() => void>();
	readonly #gatewayCells = new GatewayCells();
	#targets: (() => readonly SummarisedTarget[]) | undefined;
	#pool: GossipThread | undefined;
	#poolFailure: string | undefined;
	#quarantinedElsewhere: readonly string[] = [];
	#closed = false;

	constructor(ports: CellsPartPorts) {
		this.#ports = ports;
		const { fabric } = ports.config;
		this.name = fabric.cell;
		this.gateway = fabric.gateway;
		this.#keys = new GossipKeys(gossipKeyNames.gateways, ports.engine, ports.clock, [], ports.failed);
		this.#exchange = new CellExchange(
			{
				cell: fabric.cell,
				gateway: fabric.gateway,
				periodMs: fabric.cells.period_ms,
				staleAfterMs: fabric.cells.stale_after_ms,
				forgetAfterMs: fabric.cells.forget_after_ms,
				join: fabric.wan_join,
			},
			{
				clock: ports.clock,
				random: ports.random,
				ownSummary: () => this.own(),
				ownClusterId: () => ports.clusterId,
				gateways: () => this.#gateways(),
				ownGateways: () => this.#ownGateways(),
				gossipKeys: () => this.#keys.secrets,
				gossipAddresses: () => this.#poolMembers().map(({ address }) => address),
				meet: (keys, addresses, joins) => this.#meet(keys, addresses, joins),
				ofItsOwn: (summary) => this.#gatewayCells.ofItsOwn(summary),
				callExchange: async (peer, hello) => {
					let nodeId = typeof peer === 'string' ? '' : peer.nodeId;
					const answer = await this.#call<Hello>(
						peer,
						(client, done) => client.exchange(hello, new Metadata(), this.#deadline(), done),
						(proved) => void (nodeId = proved),
					);
					return { nodeId, hello: answer };
				},
				callSummaries: (peer) =>
					this.#call<Summaries>(peer, (client, done) =>
						client.getSummaries({}, new Metadata(), this.#deadline(), done),
					),
				changed: () => this.#changed(),
				failed: ports.failed,
			},
		);
		ports.server.addService(CellsService, {
			exchange: (call: ServerUnaryCall<Hello, Hello>, reply: sendUnaryData<Hello>) =>
				this.#answer(reply, () => this.#exchange.answer(ports.server.nodeOf(call), call.request)),
			getSummaries: (call: ServerUnaryCall<GetSummariesRequest, Summaries>, reply: sendUnaryData<Summaries>) =>
				this.#answer(reply, () => {
					ports.server.nodeOf(call);
					return { known: this.#exchange.book.known(ports.clock.nowMs()) };
				}),
		});
	}

	/**
	 * Opens the pool of gateways, where this node is one, and tries again for as long as that does not succeed; what the cell itself does never waits for it.
	 */
	async start(): Promise<void> {
		if (!this.gateway) return;
		const stopped = (): boolean => this.#closed || this.#ports.stopped();
		await this.#keys.start(stopped);
		while (!stopped() && this.#pool === undefined) {
			try {
				await this.#openPool();
				this.#poolFailure = undefined;
			} catch (error) {
				const failure = error instanceof Error ? error.message : String(error);
				// What lasts is told once.
				if (failure !== this.#poolFailure) this.#ports.failed('opening the pool of gateways', error);
				this.#poolFailure = failure;
				await new Promise<void>((resolve) => void this.#ports.clock.after(OPEN_RETRY_MS, resolve, { unref: true }));
			}
		}
	}

	/** Rejects with IM_MEMBERSHIP_BIND when the port is taken. */
	async #openPool(): Promise<void> {
		const { config, nodeId, folder, agent, version, failed } = this.#ports;
		const { fabric, node, roles } = config;
		const pool = await GossipThread.open(
			{
				nodeId,
				folder: path.join(folder, 'gateways'),
				bind: `${fabric.host.includes(':') ? `[${fabric.host}]` : fabric.host}:${fabric.wan_port}`,
				advertiseHost: fabric.advertise,
				identity: this.#ports.identity(),
				label: `gateways of ${fabric.trust_domain}`,
				keys: this.#keys.secrets,
				seeds: [],
				profile: fabric.wan_profile as 'lan' | 'wan' | 'local',
				transport: fabric.transport as ExchangeTransport,
				name: node.id,
				roles,
				version,
				zone: node.zone,
				region: node.region,
				speaksFor: { cell: fabric.cell, agent },
			},
			failed,
		);
		if (this.#closed) return pool.close();
		this.#pool = pool;
		this.#ports.shutOut.addPart((message) => pool.send(message));
		pool.onChange(() => this.#noteGateways());
		this.#keys.onChange(() => pool.send({ kind: 'keys', keys: this.#keys.secrets }));
		this.#exchange.round();
	}

	/** Why this gateway speaks for nobody, although it serves. */
	degraded(): readonly string[] {
		if (this.#poolFailure === undefined) return [];
		return [`no gateway: the pool of gateways does not open: ${this.#poolFailure}`];
	}

	setIdentity(identity: WireIdentity): void {
		this.#pool?.send({ kind: 'identity', identity });
	}

	/** What connections within the pool of gateways did. */
	get transport(): readonly TransportCounts[] {
		return this.#pool?.transport ?? [];
	}

	/** From here on this gateway can tell what its cell serves. */
	describe(targets: () => readonly SummarisedTarget[]): void {
		this.#targets = targets;
	}

	own(): Summary | undefined {
		const { config, nodeId, clusterId, version } = this.#ports;
		if (this.#targets === undefined || clusterId === '') return undefined;
		return summarise({
			cell: this.name,
			clusterId,
			nodeId,
			version,
			region: config.node.region,
			routers: this.#routers(),
			quarantined: this.#ports.context.revocations.list(),
			targets: this.#targets(),
		});
	}

	others(): ReturnType<CellsView['others']> {
		return this.#exchange.cells();
	}

	pool(): readonly MemberView[] {
		return this.#pool?.members ?? [];
	}

	onChange(listener: () => void): () => void {
		this.#listeners.add(listener);
		return () => void this.#listeners.delete(listener);
	}

	metrics(): readonly CollectedSample[] {
		const open = this.gateway ? this.#pool !== undefined : undefined;
		return [
			...cellMetrics(this.#exchange.cells(), this.#exchange.figures, open),
			...gossipMetrics('wanGossip', this.#pool?.figures),
		];
	}

	/** Tells the other gateways that this one goes. */
	async leave(): Promise<void> {
		await this.#pool?.leave();
	}

	async close(): Promise<void> {
		this.#closed = true;
		this.#exchange.close();
		this.#keys.close();
		await this.#pool?.close();
	}

	#changed(): void {
		this.#applyQuarantines();
		for (const listener of this.#listeners) listener();
	}

	#applyQuarantines(): void {
		const summaries = this.#exchange.cells().map(({ summary }) => summary);
		const nodeIds = shutOutBy(summaries, this.#ports.isOwn);
		if (nodeIds.join() === this.#quarantinedElsewhere.join()) return;
		this.#quarantinedElsewhere = nodeIds;
		this.#ports.shutOut.elsewhere(nodeIds);
	}

	/** Each says itself which cell it is of, in a claim that it signs. */
	#noteGateways(): void {
		for (const { id, speaksFor } of this.pool())
			if (speaksFor !== undefined) this.#gatewayCells.note(id, speaksFor.cell);
	}

	#poolMembers(): readonly MemberView[] {
		return this.pool().filter(({ state }) => state === 'alive');
	}

	#gateways(): readonly Gateway[] {
		const links = new Map(this.#pool?.topology.links.map(({ nodeId, estimate }) => [nodeId, estimate]));
		return this.#poolMembers().flatMap(({ id, speaksFor }) => {
			if (speaksFor === undefined || id === this.#ports.nodeId) return [];
			const link = links.get(id);
			return [
				{
					nodeId: id,
					address: speaksFor.agent,
					cell: speaksFor.cell,
					rttMs: link?.reach === 'reached' ? link.rttMs : undefined,
				},
			];
		});
	}

	#ownGateways(): readonly CellPeer[] {
		const alive = this.#alive();
		return this.#ports
			.nodes()
			.filter(({ id, gateway }) => gateway === true && id !== this.#ports.nodeId && alive.has(id))
			.map(({ id, addresses }) => ({ nodeId: id, address: addresses.agent }));
	}

	#routers(): readonly string[] {
		const { config, nodes, lifecycleOf } = this.#ports;
		const { url } = config.fabric.cells;
		const alive = this.#alive();
		return url === undefined ? routersOf(nodes(), (id) => alive.has(id), lifecycleOf) : [url];
	}

	#alive(): ReadonlySet<string> {
		return new Set(
			this.#ports
				.members()
				.filter(({ state }) => state === 'alive')
				.map(({ id }) => id),
		);
	}

	#meet(keys: readonly Uint8Array[], addresses: readonly Address[], joins: boolean): void {
		if (this.#pool === undefined) return;
		this.#keys.adopt(keys, joins);
		// Once one of them is known here, gossip tells of the others.
		const known = new Set(this.#poolMembers().map(({ address }) => address));
		if (!addresses.some((address) => known.has(address))) this.#pool.send({ kind: 'join', seeds: [...addresses] });
	}

	#answer<T>(reply: sendUnaryData<T>, of: () => T): void {
		try {
			reply(null, of());
		} catch (error) {
			reply(grpcErrorOf(error));
		}
	}

	#deadline(): { readonly deadline: number } {
		return { deadline: this.#ports.clock.wallMs() + CALL_TIMEOUT_MS };
	}

	/** A peer is called under the UUID it is known by; an address to join may be any node's of the trust domain, and `proved` hears whose. */
	async #call<T>(
		peer: CellPeer | string,
		start: (client: CellsClient, done: (error: ServiceError | null, reply: T) => void) => void,
		proved: (nodeId: string) => void = () => undefined,
	): Promise<T> {
		const lease =
			typeof peer === 'string'
				? undefined
				: this.#ports.channels.acquire({ address: peer.address, nodeUuid: peer.nodeId });
		const client = lease?.client(CellsClient) ?? this.#strange(peer as string, proved);
		try {
			return await new Promise<T>((resolve, reject) =>
				start(client, (error, reply) => (error === null ? resolve(reply) : reject(meshErrorOf(error, cellErrors)))),
			);
		} finally {
			if (lease === undefined) client.close();
			else lease.release();
		}
	}

	#strange(address: Address, proved: (nodeId: string) => void): CellsClient {
		const acceptNode = (nodeId: string): boolean => {
			proved(nodeId);
			return true;
		};
		const credentials = nodeCredentials(this.#ports.context, { timeoutMs: HANDSHAKE_TIMEOUT_MS, acceptNode });
		return new CellsClient(address, credentials, {
			'grpc.enable_http_proxy': 0,
			'grpc.service_config_disable_resolution': 1,
		});
	}
}
