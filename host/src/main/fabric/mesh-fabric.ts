// The composition of a node of the mesh: identity, the agent's port, this node's part in consensus (a thread), the client of replicated state, gossip (a
// thread), blobs and the lease. Parts start in the order in which they can: without the mesh a node knows only where it last was.
import path from 'node:path';
import {
	type Address,
	addIdentityEndpoint,
	type BlobHolder,
	type ConsensusEngine,
	checkTransport,
	createBlobService,
	DiskBlobs,
	type ExchangeTransport,
	FileDisk,
	hasCode,
	IdentityService,
	JoinTokens,
	nodeCredentials,
	PeerChannels,
	type PeerLease,
	RemoteEngine,
	ReplicatedBlobs,
	RevocationList,
	RotatingIdentity,
	SecureServer,
	SessionRegistry,
	serveWorkloadApi,
	type TransportContext,
	TransportCounters,
} from '@infermesh/fabric';
import { MeshError } from '@infermesh/proto';
import {
	BlobsClient,
	BlobsService,
	CoordinationService,
	type DiscoverReply,
} from '@infermesh/proto/grpc/agent/v1/agent';
import { TopologyService } from '@infermesh/proto/grpc/topology/v1/topology';
import { ownNodes } from '../../cells/ownership.js';
import { isLoopback } from '../../config/rules.js';
import type { MeshConfig } from '../../config/schema.js';
import { ownLevel } from '../../mesh/level-keeper.js';
import { recordKinds } from '../../records/kinds.js';
import { Mirror } from '../../records/mirror.js';
import type { Log } from '../../telemetry/logger.js';
import { systemClock, systemRandom } from '../clock.js';
import { type Closer, closeAll } from '../close-all.js';
import type { GroupControl, MeshFabric, TopologyView } from '../fabric.js';
import { authorityDirectory, authorityExists, authorityFolder } from './authority-folder.js';
import { AuthorityKeeper } from './authority-keeper.js';
import { Autopilot } from './autopilot.js';
import { CellsPart } from './cells-part.js';
import { ConsensusThread } from './consensus-client.js';
import type { SnapshotBegun } from './consensus-protocol.js';
import { discover, discoverHandler } from './discovery.js';
import { EngineRecords } from './engine-records.js';
import { fabricNodeErrors } from './errors.js';
import { EtcdPart } from './etcd-part.js';
import { GossipThread } from './gossip-client.js';
import { GossipKeys, gossipKeyNames } from './gossip-keys.js';
import { openIdentity } from './identity.js';
import { LeaseKeeper } from './lease-keeper.js';
import { consensusMetrics, etcdMetrics, gossipMetrics, topologyMetrics, transportMetrics } from './metrics.js';
import { NodeCalls } from './node-calls.js';
import { type KnownPeer, NodeFolder } from './node-folder.js';
import { askStatus } from './node-status.js';
import { completeReplacement } from './offline.js';
import { decisionsOf, ShutOut } from './shut-out.js';
import { blobFolderOf, nodeFolderOf, raftFolderOf } from './state-folders.js';
import { TopologyPart } from './topology-part.js';
import { toWireIdentity } from './wire-identity.js';
import { openWorkloadIdentity } from './workload-identity.js';

const HANDSHAKE_TIMEOUT_MS = 3000;
const FIRST_STATUS_RETRY_MS = 100;
const PRUNE_MS = 60_000;
const KEEP_KEYS_MS = 2000;
const KNOWN_AGENTS_MAX = 64;
/** While a node that starts gets no lease. */
const ASK_STANDING_MS = 5000;

export interface MeshFabricDeps {
	readonly log: Log;
	readonly version: string;
	readonly signal: AbortSignal | undefined;
}

const nothingKnown: TopologyView = { links: [], vector: [], heightS: 0, error: 0 };

const addressOf = (host: string, port: number): Address => `${host.includes(':') ? `[${host}]` : host}:${port}`;

/** The bound port at the host that others are told. */
function advertised(bound: Address, config: MeshConfig): Address {
	const port = Number(bound.slice(bound.lastIndexOf(':') + 1));
	return addressOf(config.fabric.advertise ?? config.fabric.host, port);
}

async function openAuthority(
	config: MeshConfig,
	folder: NodeFolder,
	failed: (what: string, error: unknown) => void,
): Promise<AuthorityKeeper | undefined> {
	const { fabric } = config;
	const root = authorityFolder(config);
	const ports = () => ({ directory: authorityDirectory(root, fabric.ca_passphrase), clock: systemClock, failed });
	if (authorityExists(root)) return AuthorityKeeper.open(ports());
	// A mesh on this machine alone needs no ceremony; off loopback an operator decides where the authority lives. A node that has been someone before has
	// one elsewhere: one of its own would renew its certificate to what nobody trusts.
	const begins =
		fabric.join.length === 0 &&
		fabric.authorities.length === 0 &&
		!folder.hasNodeId() &&
		config.roles.includes('coordinator') &&
		isLoopback(fabric.host);
	return begins ? AuthorityKeeper.create(fabric.trust_domain, ports()) : undefined;
}

async function* snapshotPieces(consensus: ConsensusThread, snapshot: number): AsyncGenerator<Uint8Array> {
	for (;;) {
		const piece = await consensus.call<Uint8Array | undefined>({ call: 'snapshotPiece', snapshot });
		if (piece === undefined) return;
		yield piece;
	}
}

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
		const known = folder.mesh();
		let coordinators: readonly KnownPeer[] = known?.coordinators ?? [];
		let agents: readonly Address[] = [...new Set([...fabric.authorities, ...fabric.join, ...(known?.agents ?? [])])];
		if (known === undefined && fabric.join.length === 0 && !config.roles.includes('coordinator'))
			throw new MeshError(fabricNodeErrors, 'IM_FABRIC_NO_COORDINATOR', `roles: ${config.roles.join(', ')}`);

		const workloadApi = fabric.spiffe_socket ?? process.env['SPIFFE_ENDPOINT_SOCKET'];
		const keeper = workloadApi === undefined ? await openAuthority(config, folder, failed) : undefined;
		if (keeper !== undefined) closers.push(() => keeper.close());
		const authority = keeper?.authority;
		const identity =
			workloadApi === undefined
				? await openIdentity({
						folder,
						clock,
						random,
						authority,
						join: fabric.authorities.length > 0 ? fabric.authorities : fabric.join,
						joinToken: fabric.join_token,
						authorities: () => agents,
						log: failed,
						stopped,
					})
				: await openWorkloadIdentity({
						endpoint: workloadApi,
						trustDomain: fabric.trust_domain,
						folder,
						clock,
						random,
						log: failed,
						stopped,
					});
		closers.push(() => identity.close());
		if (keeper !== undefined && identity instanceof RotatingIdentity)
			keeper.onChange(() => identity.updateBundle(keeper.authority.bundle));
		if (fabric.workload_socket !== undefined) {
			const served = await serveWorkloadApi(identity, path.resolve(fabric.workload_socket));
			closers.push(() => served.close());
		}
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
		const ownsGroup = config.roles.includes('coordinator') && !onEtcd;
		let clusterId = known?.clusterId ?? '';
		if (known === undefined && fabric.join.length > 0) {
			const found = await discover(fabric.join, context, clock, failed, stopped);
			goOn();
			coordinators = (found?.coordinators ?? []).map((peer) => ({ nodeId: peer.nodeId, raft: peer.raftAddress }));
			if (onEtcd !== (coordinators.length === 0))
				throw new MeshError(
					fabricNodeErrors,
					'IM_FABRIC_ENGINE',
					onEtcd ? 'the mesh has coordinators of its own' : 'the mesh keeps its state in an etcd cluster',
				);
		}

		// --- consensus
		let gossip: GossipThread | undefined;
		if (ownsGroup) completeReplacement(raftFolderOf(config));
		const consensus = ownsGroup
			? await ConsensusThread.open(
					{
						nodeId,
						folder: raftFolderOf(config),
						listen: addressOf(fabric.host, fabric.raft_port),
						identity: toWireIdentity(identity.current()),
						clusterId,
						peers: coordinators.map((peer) => [peer.nodeId, peer.raft] as const),
						found: known === undefined && fabric.join.length === 0,
						heartbeatMs: config.consensus.heartbeat_ms,
						electionMs: config.consensus.election_ms,
						snapshotEntries: config.consensus.snapshot_entries,
						segmentBytes: config.consensus.log_segment_bytes,
						level: ownLevel(fabric.compat_level),
					},
					{
						state: () => undefined,
						failed: (error) => {
							memberEnded = error;
							log.error({ error: error.message, code: error.code }, 'this coordinator has stopped');
						},
						fault: (message) => log.error({ error: message }, 'a watcher of replicated state failed'),
					},
				)
			: undefined;
		if (consensus !== undefined) closers.push(() => consensus.close());
		const ownRaft = consensus === undefined ? undefined : advertised(consensus.address, config);

		// --- replicated state: by whichever coordinator answers, this node itself first
		const accepted = (): ReadonlySet<string> => new Set([nodeId, ...coordinators.map((peer) => peer.nodeId)]);
		const fault = (error: unknown): void => log.debug({ error: String(error) }, 'replicated state: a stream broke');
		const etcd = onEtcd ? new EtcdPart({ config: config.consensus, clock, random, log, fault }) : undefined;
		if (etcd !== undefined) closers.push(() => etcd.close());
		const remote = {
			get addresses() {
				const others = coordinators.filter((peer) => peer.nodeId !== nodeId).map((peer) => peer.raft);
				// A newcomer is no help until the group has taken it in and it hears of a leader.
				const group = consensus?.state;
				const member = group?.voters.includes(nodeId) === true || group?.learners.includes(nodeId) === true;
				if (ownRaft === undefined || (!member && others.length > 0)) return others;
				return [ownRaft, ...others];
			},
			credentials: nodeCredentials(context, {
				timeoutMs: HANDSHAKE_TIMEOUT_MS,
				acceptNode: (uuid) => accepted().has(uuid),
			}),
			clock,
			random,
			clusterId: () => consensus?.state?.clusterId ?? '',
			fault,
		};
		const engine: ConsensusEngine = etcd?.engine ?? new RemoteEngine(remote);
		closers.push(() => engine.close());

		// --- the agent's port
		const server = new SecureServer(context, { joining: authority !== undefined });
		// On etcd, which keeps no large values, coordinators hold blobs all the same.
		const holdsBlobs = config.roles.includes('coordinator');
		const blobsOwn = holdsBlobs ? new DiskBlobs(new FileDisk(blobFolderOf(config))) : undefined;
		const tell = (): DiscoverReply => ({
			clusterId,
			gossipAddresses: (gossip?.members ?? [])
				.filter(({ state }) => state === 'alive')
				.slice(0, 16)
				.map(({ address }) => address),
			coordinators: [
				...(ownRaft === undefined ? [] : [{ nodeId, raftAddress: ownRaft }]),
				...coordinators
					.filter((peer) => peer.nodeId !== nodeId)
					.map((peer) => ({ nodeId: peer.nodeId, raftAddress: peer.raft })),
			],
		});
		server.addService(CoordinationService, { discover: discoverHandler(tell) });
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
		server.addService(TopologyService, { ...topology.handlers() });
		if (blobsOwn !== undefined) server.addService(BlobsService, { ...createBlobService(blobsOwn) });
		if (authority !== undefined) {
			const service = new IdentityService({
				authority,
				tokens: new JoinTokens(new EngineRecords(engine, 'identity/tokens/')),
				issuances: new EngineRecords(engine, 'identity/issuances/'),
				revocations,
				removed: (id) => isRemoved(id),
				clock,
			});
			addIdentityEndpoint(server, service);
		}
		const agentAddress = advertised(await server.listen(addressOf(fabric.host, fabric.agent_port)), config);
		closers.push(() => server.close(1000));

		// --- which mesh this is: known from before, or told by its state
		for (; clusterId === '' && !stopped(); ) {
			try {
				clusterId = (await engine.status()).clusterId;
			} catch (error) {
				// Credentials of the configuration do not get better by waiting.
				if (onEtcd && hasCode(error, 'IM_CONSENSUS_DENIED')) throw error;
				failed('asking for the state of the mesh', error);
			}
			if (clusterId === '') await new Promise<void>((resolve) => void clock.after(FIRST_STATUS_RETRY_MS, resolve));
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
				return clusterId;
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
		let remembered = '';
		function follow(): void {
			const records = nodes.all().map(({ value }) => value);
			const raft = records.flatMap(({ id, addresses }) =>
				addresses.raft === undefined ? [] : [{ nodeId: id, raft: addresses.raft }],
			);
			if (raft.length > 0) {
				// A coordinator that is away keeps its place in the list: it may come back, and the others may be away too.
				const others = coordinators.filter(
					(peer) => !raft.some((one) => one.nodeId === peer.nodeId) && removals.get(peer.nodeId) === undefined,
				);
				coordinators = [...raft, ...others].slice(0, 64);
			}
			// Before the first reading, and cut off for long, those remembered are all there is.
			if (records.length > 0)
				agents = [
					...new Set([...records.map(({ addresses }) => addresses.agent), ...fabric.authorities, ...fabric.join]),
				];
			consensus?.send({ kind: 'peers', peers: coordinators.map((peer) => [peer.nodeId, peer.raft] as const) });
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
			const mesh = {
				clusterId,
				coordinators,
				gossip: thread.members
					.filter(({ state }) => state === 'alive')
					.slice(0, 16)
					.map(({ address }) => address),
				gossipKeys: keys.secrets.map((secret) => Buffer.from(secret).toString('base64')),
				agents: agents.slice(0, KNOWN_AGENTS_MAX),
			};
			const text = JSON.stringify(mesh);
			if (text === remembered) return;
			try {
				folder.setMesh(mesh);
				remembered = text;
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
				if (now !== '') clusterId = now;
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
		const holders = new Map<
			string,
			{ readonly address: Address; readonly lease: PeerLease; readonly holder: BlobHolder }
		>();
		const blobs = new ReplicatedBlobs({
			clock,
			own: blobsOwn,
			holders() {
				const wanted = nodes
					.all()
					.map(({ value }) => value)
					.filter(({ id, roles }) => id !== nodeId && roles.includes('coordinator'));
				for (const [id, { address, lease }] of holders) {
					if (wanted.some((node) => node.id === id && node.addresses.agent === address)) continue;
					lease.release();
					holders.delete(id);
				}
				return wanted.map(({ id, addresses }) => {
					const have = holders.get(id);
					if (have !== undefined) return have.holder;
					const lease = channels.acquire({ address: addresses.agent, nodeUuid: id });
					const holder = { nodeId: id, client: lease.client(BlobsClient) };
					holders.set(id, { address: addresses.agent, lease, holder });
					return holder;
				});
			},
		});
		closers.push(() => {
			for (const { lease } of holders.values()) lease.release();
		});

		void cells.start();

		const group: GroupControl | undefined =
			consensus === undefined
				? undefined
				: {
						transferLeadership: async (to) =>
							(await consensus.call<string | undefined>({ call: 'transfer', id: to })) ?? '',
						leads: () => consensus.state?.leader === nodeId,
						async saveSnapshot() {
							const begun = await consensus.call<SnapshotBegun>({ call: 'beginSnapshot' });
							return {
								...begun,
								pieces: snapshotPieces(consensus, begun.snapshot),
								close: () => consensus.call<void>({ call: 'endSnapshot', snapshot: begun.snapshot }),
							};
						},
					};
		return {
			nodeId,
			engine,
			blobs,
			lease: () => leases.id,
			onLease: (listener) => leases.onRenewed(listener),
			addresses: {
				agent: agentAddress,
				...(ownRaft === undefined ? {} : { raft: ownRaft }),
				gossip: thread.address,
			},
			server,
			peer: (id) => calls.lease(id),
			certificate: () => {
				const { leaf, notAfterMs } = identity.current().svid;
				return { beginsMs: leaf.notBeforeMs, expiresMs: notAfterMs };
			},
			statusOf: (id) => askStatus(calls, id, clock),
			sharedTrustDomain: workloadApi !== undefined,
			authority,
			tokens: authority === undefined ? undefined : new JoinTokens(new EngineRecords(engine, 'identity/tokens/')),
			members: () => thread.members,
			inTouch: () => thread.inTouch(nodes.all().length > 1),
			topology: () => thread.topology,
			linksOf: (id) => topology.linksOf(id),
			measure: (from, to, ask) => topology.measure(from, to, ask),
			cells,
			onChange: (listener) => thread.onChange(listener),
			group,
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
