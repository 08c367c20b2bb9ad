// The composition of a node of the mesh: identity, the agent's port, this node's part in consensus (a thread), the client of replicated state, gossip (a
// thread), blobs and the lease. Parts start in the order in which they can: without the mesh a node knows only where it last was.
import {
	type Address,
	checkTransport,
	DiskBlobs,
	type ExchangeTransport,
	FileDisk,
	hasCode,
	PeerChannels,
	ReplicatedBlobs,
	RevocationList,
	RotatingIdentity,
	SessionRegistry,
	type TransportContext,
	TransportCounters,
} from '@infermesh/fabric';
import { MeshError } from '@infermesh/proto';
import type { DiscoverReply } from '@infermesh/proto/grpc/agent/v1/agent';
import { ownNodes } from '../../cells/ownership.js';
import type { MeshConfig } from '../../config/schema.js';
import { recordKinds } from '../../records/kinds.js';
import { Mirror } from '../../records/mirror.js';
import type { Log } from '../../telemetry/logger.js';
import { systemClock, systemRandom } from '../clock.js';
import { type Closer, closeAll } from '../close-all.js';
import type { MeshFabric, TopologyView } from '../fabric.js';
import { addressOf, advertised } from './addresses.js';
import { joinTokens, openAgentPort } from './agent-port.js';
import { Autopilot } from './autopilot.js';
import { BlobHolders } from './blob-holders.js';
import { CellsPart } from './cells-part.js';
import { discover } from './discovery.js';
import { fabricNodeErrors } from './errors.js';
import { GossipThread } from './gossip-client.js';
import { GossipKeys, gossipKeyNames } from './gossip-keys.js';
import { groupControl } from './group-control.js';
import { LeaseKeeper } from './lease-keeper.js';
import { aliveAt, MeshMemory } from './mesh-memory.js';
import { consensusMetrics, etcdMetrics, gossipMetrics, topologyMetrics, transportMetrics } from './metrics.js';
import { NodeCalls } from './node-calls.js';
import { NodeFolder } from './node-folder.js';
import { openNodeIdentity } from './node-identity.js';
import { askStatus } from './node-status.js';
import { openReplicatedState } from './replicated-state.js';
import { decisionsOf, ShutOut } from './shut-out.js';
import { blobFolderOf, nodeFolderOf } from './state-folders.js';
import { TopologyPart } from './topology-part.js';
import { toWireIdentity } from './wire-identity.js';

const FIRST_STATUS_RETRY_MS = 100;
const PRUNE_MS = 60_000;
const KEEP_KEYS_MS = 2000;
/** While a node that starts gets no lease. */
const ASK_STANDING_MS = 5000;

export interface MeshFabricDeps {
	readonly log: Log;
	readonly version: string;
	readonly signal: AbortSignal | undefined;
}

const nothingKnown: TopologyView = { links: [], vector: [], heightS: 0, error: 0 };

/** Starts this node's part in the mesh. Rejects with IM_FABRIC_*, IM_IDENTITY_*, IM_LOG_*, IM_TRANSPORT_QUIC_MISSING; what had started is taken down again. */
export async function startMeshFabric(
	config: MeshConfig,
	{ log, version, signal }: MeshFabricDeps,
): Promise<MeshFabric> {
	const clock = systemClock;
	const random = systemRandom();
	const { fabric } = config;
	const closers: Closer[] = [];
	let ended = false;
	/** Why this node's part in the group of coordinators has ended for good. */
	let memberEnded: MeshError | undefined;
	/** A node whose state is of another cluster than the mesh's does not come up: what it wrote would be of neither. */
	const foreign = (): MeshError | undefined =>
		memberEnded?.code === 'IM_CONSENSUS_OTHER_CLUSTER' ? memberEnded : undefined;
	/** What the authority says to a node that was removed. */
	let removedHere: MeshError | undefined;
	const refusalOf = (): MeshError | undefined => foreign() ?? removedHere;
	const stopped = (): boolean => ended || signal?.aborted === true || refusalOf() !== undefined;
	const goOn = (): void => {
		const refusal = refusalOf();
		if (refusal !== undefined) throw refusal;
		if (stopped()) throw new MeshError(fabricNodeErrors, 'IM_FABRIC_STOPPED');
	};
	const failed = (what: string, error: unknown): void =>
		log.warn({ error: error instanceof Error ? error.message : String(error) }, what);
	const close = async (): Promise<void> => {
		ended = true;
		await closeAll(closers.splice(0).reverse(), (error) => failed('a part of this node does not end', error));
	};
	try {
		// Before anything is made or joined: a node that cannot speak what it is told to speak does not begin.
		checkTransport(fabric.transport as ExchangeTransport);
		const folder = new NodeFolder(nodeFolderOf(config));
		const memory = new MeshMemory(folder, fabric);
		const { known } = memory;
		if (known === undefined && fabric.join.length === 0 && !config.roles.includes('coordinator'))
			throw new MeshError(fabricNodeErrors, 'IM_FABRIC_NO_COORDINATOR', `roles: ${config.roles.join(', ')}`);

		const { identity, keeper, sharedTrustDomain } = await openNodeIdentity(config, {
			folder,
			memory,
			clock,
			random,
			closers,
			failed,
			stopped,
		});
		const authority = keeper?.authority;
		goOn();
		const nodeId = folder.nodeId();
		const revocations = new RevocationList();
		const counters = new TransportCounters();
		const context: TransportContext = {
			identity,
			revocations,
			counters,
			clock,
			sessions: new SessionRegistry(revocations, counters, clock),
		};
		const channels = new PeerChannels(context);
		closers.push(() => channels.close());

		// --- where the mesh is
		const onEtcd = config.consensus.engine === 'etcd';
		if (known === undefined && fabric.join.length > 0) {
			const found = await discover(fabric.join, context, clock, failed, stopped);
			goOn();
			memory.found((found?.coordinators ?? []).map((peer) => ({ nodeId: peer.nodeId, raft: peer.raftAddress })));
			if (onEtcd !== (memory.coordinators.length === 0))
				throw new MeshError(
					fabricNodeErrors,
					'IM_FABRIC_ENGINE',
					onEtcd ? 'the mesh has coordinators of its own' : 'the mesh keeps its state in an etcd cluster',
				);
		}

		// --- replicated state
		const { engine, consensus, raft, etcd } = await openReplicatedState(config, {
			nodeId,
			memory,
			context,
			clock,
			random,
			log,
			closers,
			memberEnded: (error) => (memberEnded = error),
		});

		// --- the agent's port
		let gossip: GossipThread | undefined;
		// On etcd, which keeps no large values, coordinators hold blobs all the same.
		const holdsBlobs = config.roles.includes('coordinator');
		const blobsOwn = holdsBlobs ? new DiskBlobs(new FileDisk(blobFolderOf(config))) : undefined;
		const tell = (): DiscoverReply => ({
			clusterId: memory.clusterId,
			gossipAddresses: aliveAt(gossip?.members ?? []),
			coordinators: [
				...(raft === undefined ? [] : [{ nodeId, raftAddress: raft }]),
				...memory.coordinators
					.filter((peer) => peer.nodeId !== nodeId)
					.map((peer) => ({ nodeId: peer.nodeId, raftAddress: peer.raft })),
			],
		});
		let agentOf: (id: string) => Address | undefined = () => undefined;
		let isRemoved: (id: string) => boolean = () => false;
		const calls = new NodeCalls({ agentOf: (id) => agentOf(id), acquire: (peer) => channels.acquire(peer) });
		const topology = new TopologyPart({
			clock,
			nodeId,
			view: () => gossip?.topology ?? nothingKnown,
			calls,
			transferred: (id, measured) => gossip?.send({ kind: 'transferred', nodeId: id, ...measured }),
		});
		const { server, bound } = await openAgentPort(addressOf(fabric.host, fabric.agent_port), {
			context,
			engine,
			topology,
			blobs: blobsOwn,
			authority,
			revocations,
			isRemoved: (id) => isRemoved(id),
			tell,
			closers,
		});
		const agentAddress = advertised(bound, config);

		// --- which mesh this is: known from before, or told by its state
		for (; memory.clusterId === '' && !stopped(); ) {
			try {
				memory.clusterId = (await engine.status()).clusterId;
			} catch (error) {
				// Credentials of the configuration do not get better by waiting.
				if (onEtcd && hasCode(error, 'IM_CONSENSUS_DENIED')) throw error;
				failed('asking for the state of the mesh', error);
			}
			if (memory.clusterId === '')
				await new Promise<void>((resolve) => void clock.after(FIRST_STATUS_RETRY_MS, resolve));
		}

		goOn();

		// --- gossip
		const keys = new GossipKeys(gossipKeyNames.cell, engine, clock, known?.gossipKeys ?? [], failed);
		await keys.start(stopped);
		goOn();
		closers.push(() => keys.close());
		const seeds = [...new Set([...(known?.gossip ?? []), ...(await gossipSeeds())])];
		async function gossipSeeds(): Promise<readonly Address[]> {
			// Who knows the mesh has it from there; a node that was restored is joined by the others.
			if (fabric.join.length === 0 || known !== undefined) return [];
			const found = await discover(fabric.join, context, clock, failed, stopped);
			return found?.gossipAddresses ?? [];
		}
		const thread = await GossipThread.open(
			{
				nodeId,
				folder: folder.root,
				bind: addressOf(fabric.host, fabric.gossip_port),
				advertiseHost: fabric.advertise,
				identity: toWireIdentity(identity.current()),
				// A recovered mesh has another cluster id; its gossip is the same.
				label: identity.current().bundle.trustDomain,
				keys: keys.secrets,
				seeds,
				profile: fabric.gossip_profile as 'lan' | 'wan' | 'local',
				transport: fabric.transport as ExchangeTransport,
				name: config.node.id,
				roles: config.roles,
				version,
				zone: config.node.zone,
				region: config.node.region,
				speaksFor: undefined,
			},
			failed,
		);
		gossip = thread;
		closers.push(() => thread.close());
		keys.onChange(() => thread.send({ kind: 'keys', keys: keys.secrets }));

		// --- what the mesh says of its nodes
		const leases = new LeaseKeeper({ engine, clock, ttlMs: fabric.lease_ttl_ms, failed });
		const nodes = new Mirror(recordKinds.nodes, engine, clock, { changed: () => follow() });
		const lifecycle = new Mirror(recordKinds.lifecycle, engine, clock, { changed: () => follow() });
		const removals = new Mirror(recordKinds.removals, engine, clock, { changed: () => follow() });
		const registrations = new Mirror(recordKinds.registrations, engine, clock, { changed: () => undefined });
		closers.push(
			() => nodes.close(),
			() => lifecycle.close(),
			() => removals.close(),
			() => registrations.close(),
		);
		agentOf = (id) => nodes.get(id)?.value.addresses.agent;
		isRemoved = (id) => removals.get(id) !== undefined;
		const shutOut = new ShutOut(revocations);
		shutOut.addPart((message) => thread.send(message));
		if (consensus !== undefined) shutOut.addPart((message) => consensus.send(message));
		const cells = new CellsPart({
			config,
			clock,
			random,
			nodeId,
			get clusterId() {
				return memory.clusterId;
			},
			folder: folder.root,
			agent: agentAddress,
			version,
			context,
			channels,
			server,
			engine,
			identity: () => toWireIdentity(identity.current()),
			nodes: () => nodes.all().map(({ value }) => value),
			lifecycleOf: (id) => lifecycle.get(id)?.value.state ?? 'active',
			members: () => thread.members,
			shutOut,
			isOwn: ownNodes([nodes, registrations, lifecycle, removals], () => thread.members),
			stopped,
			failed,
		});
		closers.push(() => cells.close());
		function follow(): void {
			const records = nodes.all().map(({ value }) => value);
			memory.follow(records, isRemoved);
			consensus?.send({ kind: 'peers', peers: memory.peers });
			thread.send({ kind: 'places', places: records.map(({ id, zone, region }) => [id, zone, region] as const) });
			shutOut.decided(decisionsOf(lifecycle, removals));
			keepKeys();
			remember();
		}
		/** Who is shut out must not know the key in use. Whoever leads sees to it until it is so; a leader that is shut out itself hands over first. */
		function keepKeys(): void {
			// Without a leader of our own every coordinator may: who comes second finds it done.
			const leads = onEtcd ? holdsBlobs : consensus?.state?.leader === nodeId;
			if (leads && !revocations.isRevoked(nodeId)) void keys.keepFrom(decisionsOf(lifecycle, removals).names);
		}
		function remember(): void {
			try {
				memory.remember(thread.members, keys.secrets);
			} catch (error) {
				// What it remembered before stands; it is written with the next change, or the next time round.
				failed('remembering the mesh', error);
			}
		}
		/** The mesh may have been recovered meanwhile: the same, under another cluster id. */
		async function refresh(): Promise<void> {
			try {
				const { clusterId: now } = await engine.status();
				// A member that is new has nothing to say yet.
				if (now !== '') memory.clusterId = now;
			} catch (error) {
				failed('asking for the state of the mesh', error);
			}
			remember();
		}
		keys.onChange(remember);
		closers.push(
			identity.onChange((next) => {
				consensus?.send({ kind: 'identity', identity: toWireIdentity(next) });
				thread.send({ kind: 'identity', identity: toWireIdentity(next) });
				cells.setIdentity(toWireIdentity(next));
			}),
		);
		// Peers close on whoever is shut out without a word; the authority says it.
		const standing =
			identity instanceof RotatingIdentity
				? clock.every(ASK_STANDING_MS, () => {
						const cause = identity.health().lastError?.cause;
						if (cause instanceof MeshError && cause.code === 'IM_IDENTITY_REMOVED') removedHere = cause;
						else identity.renewSoon();
					})
				: undefined;
		try {
			await leases.start(stopped);
		} finally {
			standing?.cancel();
		}
		goOn();
		await refresh();
		closers.push(() => leases.close());
		const pruning = clock.every(PRUNE_MS, () => void refresh(), { unref: true });
		const keeping = clock.every(KEEP_KEYS_MS, keepKeys, { unref: true });
		closers.push(
			() => pruning.cancel(),
			() => keeping.cancel(),
		);

		if (consensus !== undefined) {
			const autopilot = new Autopilot({
				clock,
				self: nodeId,
				votersMax: fabric.voters_max,
				state: () => consensus.state,
				coordinators: () =>
					nodes
						.all()
						.flatMap(({ value }) =>
							value.roles.includes('coordinator') && value.addresses.raft !== undefined ? [value.id] : [],
						),
				removed: () => new Set(removals.all().map(({ id }) => id)),
				shutOut: (id) => revocations.isRevoked(id),
				call: (call) => consensus.call(call),
				log: (message, fields) => log.info(fields, message),
			});
			closers.push(() => autopilot.close());
		}

		// --- blobs: every coordinator that is there holds them
		const holders = new BlobHolders(channels);
		closers.push(() => holders.close());
		const blobs = new ReplicatedBlobs({
			clock,
			own: blobsOwn,
			holders: () =>
				holders.at(
					nodes
						.all()
						.filter(({ value: { id, roles } }) => id !== nodeId && roles.includes('coordinator'))
						.map(({ value: { id, addresses } }) => ({ id, agent: addresses.agent })),
				),
		});

		void cells.start();

		return {
			nodeId,
			engine,
			blobs,
			lease: () => leases.id,
			onLease: (listener) => leases.onRenewed(listener),
			addresses: {
				agent: agentAddress,
				...(raft === undefined ? {} : { raft }),
				gossip: thread.address,
			},
			server,
			peer: (id) => calls.lease(id),
			certificate: () => {
				const { leaf, notAfterMs } = identity.current().svid;
				return { beginsMs: leaf.notBeforeMs, expiresMs: notAfterMs };
			},
			statusOf: (id) => askStatus(calls, id, clock),
			sharedTrustDomain,
			authority,
			tokens: authority === undefined ? undefined : joinTokens(engine),
			members: () => thread.members,
			inTouch: () => thread.inTouch(nodes.all().length > 1),
			topology: () => thread.topology,
			linksOf: (id) => topology.linksOf(id),
			measure: (from, to, ask) => topology.measure(from, to, ask),
			cells,
			onChange: (listener) => thread.onChange(listener),
			group: consensus === undefined ? undefined : groupControl(consensus, nodeId),
			state: () => consensus?.state,
			setLevel: (level) => consensus?.send({ kind: 'level', level }),
			memberEnded: () => memberEnded,
			degraded: () => [...(etcd?.degraded() ?? []), ...cells.degraded()],
			metrics: () => [
				...gossipMetrics('gossip', thread.figures),
				...topologyMetrics(thread.topology),
				...cells.metrics(),
				...transportMetrics([counters.snapshot(), ...thread.transport, ...cells.transport]),
				...consensusMetrics(consensus?.state, nodeId, memberEnded),
				...(etcd === undefined ? [] : etcdMetrics(etcd.members)),
				...(keeper?.metrics() ?? []),
			],
			async leave() {
				await cells.leave();
				await thread.leave();
			},
			close,
		};
	} catch (error) {
		await close();
		throw error;
	}
}
