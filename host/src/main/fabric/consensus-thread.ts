// The composition root of the consensus thread: log, Raft group, store and engine of a coordinator, and the mTLS port on which other nodes reach them.
// Nothing else runs here, so heartbeats wait for nobody.
import { mkdirSync } from 'node:fs';
import { parentPort, workerData } from 'node:worker_threads';
import {
	emptyGroup,
	encodeCommand,
	foundedGroup,
	foundingWrite,
	GrpcRaftTransport,
	IdentityHolder,
	LogThread,
	logThreadDefaults,
	PeerChannels,
	RaftAdmin,
	RaftGroup,
	RevocationList,
	releaseMemoryOnceSettled,
	SecureServer,
	SessionRegistry,
	Store,
	StoreEngine,
	snapshotFormatAt,
	storeService,
	TransportCounters,
} from '@infermesh/fabric/consensus';
import { MeshError } from '@infermesh/proto';
import { RaftTransportClient } from '@infermesh/proto/grpc/raft/v1/raft-client';
import { StoreService } from '@infermesh/proto/grpc/store/v1/store';
import { systemClock, systemRandom } from '../clock.js';
import type {
	ConsensusStart,
	FromConsensus,
	GroupCall,
	GroupState,
	SnapshotBegun,
	ToConsensus,
} from './consensus-protocol.js';
import { OpenSnapshots } from './open-snapshots.js';
import { logOptionsOf, MESH_GROUP } from './state-folders.js';
import { fromWireIdentity } from './wire-identity.js';

const start = workerData as ConsensusStart;
const agent = parentPort;
if (agent === null) throw new Error('consensus-thread.ts runs in a worker thread only');
const send = (message: FromConsensus): void => agent.postMessage(message);

const STATE_PERIOD_MS = 1000;
/** Ticks are finer than heartbeats, so that drawn election timeouts differ enough. */
const TICKS_PER_HEARTBEAT = 4;

const clock = systemClock;
const identity = new IdentityHolder(fromWireIdentity(start.identity));
const revocations = new RevocationList();
const counters = new TransportCounters();
const context = { identity, revocations, counters, clock, sessions: new SessionRegistry(revocations, counters, clock) };
const peers = new Map(start.peers);
const channels = new PeerChannels(context);
const server = new SecureServer(context);
async function openLog(): Promise<LogThread> {
	mkdirSync(start.folder, { recursive: true, mode: 0o700 });
	return LogThread.open(start.folder, clock, { ...logThreadDefaults, log: logOptionsOf(start.segmentBytes) });
}

async function recover(log: LogThread) {
	const recovered = log.recovered.get(MESH_GROUP);
	if (recovered !== undefined) return recovered;
	if (!start.found) return emptyGroup;
	const founded = foundedGroup([start.nodeId]);
	await new Promise<void>((resolve, reject) => log.append([foundingWrite(MESH_GROUP, founded)], resolve, reject));
	return founded;
}

function refused(error: unknown): { readonly code: string; readonly message: string } {
	if (error instanceof MeshError) return { code: error.code, message: error.message };
	return { code: 'IM_CONSENSUS_INTERNAL', message: error instanceof Error ? error.message : String(error) };
}

async function main(): Promise<void> {
	const log = await openLog();
	const store = new Store({ snapshotFormatMax: snapshotFormatAt(start.level) });
	// Until the log has been applied, what was remembered; of none where there is no log.
	const remembered = log.recovered.has(MESH_GROUP) ? start.clusterId : '';
	const clusterId = (): string => (store.clusterId === '' ? remembered : store.clusterId);
	const transport = new GrpcRaftTransport({
		id: start.nodeId,
		clock,
		random: systemRandom(),
		connect(peer) {
			const address = peers.get(peer);
			if (address === undefined) return undefined;
			const lease = channels.acquire({ address, nodeUuid: peer });
			return { client: lease.client(RaftTransportClient), release: () => lease.release() };
		},
		peerOf: (call) => server.peerOf(call)?.nodeUuid,
		clusterId,
		onForeign: leaveWhenForeign,
	});
	const tickMs = Math.max(1, Math.round(start.heartbeatMs / TICKS_PER_HEARTBEAT));
	const group = new RaftGroup({
		group: MESH_GROUP,
		id: start.nodeId,
		clock,
		random: systemRandom(),
		log,
		snapshots: log.snapshots,
		transport,
		stateMachine: store,
		recovered: await recover(log),
		addressOf: (id) => peers.get(id),
		defer: setImmediate,
		settings: {
			tickMs,
			snapshotEntries: start.snapshotEntries,
			limits: { heartbeatTicks: TICKS_PER_HEARTBEAT, electionTicks: Math.round(start.electionMs / tickMs) },
		},
		onSoftState: () => setImmediate(tell),
		onFailed: (error) => send({ kind: 'failed', ...refused(error) }),
	});
	const admin = new RaftAdmin(group, clock);
	const engine = new StoreEngine({
		store,
		replicator: group,
		clock,
		random: systemRandom(),
		fault: (error) => send({ kind: 'fault', message: String(error) }),
	});
	let founding = false;
	const snapshots = new OpenSnapshots(clock);

	/** One peer alone does not end a group that works; a member that hears of no leader and is told that the mesh has gone on without it has no place. */
	function leaveWhenForeign(_peer: string, error: MeshError): void {
		if (group.ended || group.core.leader !== undefined) return;
		send({ kind: 'failed', code: error.code, message: error.message });
		void engine.close();
	}

	let told = '';

	function tell(): void {
		const { leader, role, term, members, commitIndex, appliedIndex } = group.status();
		const ids = (wanted: string): string[] => members.filter((member) => member.role === wanted).map(({ id }) => id);
		const state: GroupState = {
			clusterId: clusterId(),
			foreignRefused: transport.counters.foreignRefused,
			leader,
			role,
			term,
			commitIndex,
			appliedIndex,
			voters: ids('voter'),
			learners: ids('learner'),
			syncP99Ms: log.syncs.p99Micros / 1000,
			queuedBytes: log.queuedBytes,
			diskFull: log.full,
		};
		// An idle group says nothing: each message would wake the agent.
		const text = JSON.stringify(state);
		if (text !== told) send({ kind: 'state', state });
		told = text;
		// The first leader of a cluster names it; the command of a second one changes nothing.
		if (group.leads() && store.clusterId === '' && !founding) {
			founding = true;
			void found().finally(() => {
				founding = false;
			});
		}
	}

	/** Fails when leadership is lost meanwhile; who leads next does it then. */
	async function found(): Promise<void> {
		try {
			await group.propose(encodeCommand({ kind: 'found', clusterId: crypto.randomUUID() }), 5000);
		} catch (error) {
			send({ kind: 'fault', message: `naming the cluster: ${String(error)}` });
		}
	}

	function beginSnapshot(): SnapshotBegun {
		const { clusterId, revision, appliedIndex, appliedHash } = store;
		const snapshot = snapshots.begin(() => store.snapshot());
		return { snapshot, clusterId, revision, appliedIndex, appliedHash };
	}

	async function carryOut(call: GroupCall): Promise<unknown> {
		switch (call.call) {
			case 'addLearner':
				return admin.addLearner(call.id);
			case 'promote':
				return admin.promote(call.id);
			case 'remove':
				return admin.remove(call.id);
			case 'transfer':
				await admin.transfer(call.id);
				return group.status().leader;
			case 'status':
				return engine.status();
			case 'beginSnapshot':
				return beginSnapshot();
			case 'snapshotPiece':
				return snapshots.next(call.snapshot);
			case 'endSnapshot':
				snapshots.end(call.snapshot);
				return undefined;
		}
	}

	transport.addTo(server);
	server.addService(StoreService, storeService(engine, { clusterId }));
	send({ kind: 'listening', address: await server.listen(start.listen) });
	clock.every(STATE_PERIOD_MS, tell);
	releaseMemoryOnceSettled(clock);
	tell();

	agent?.on('message', (message: ToConsensus) => {
		switch (message.kind) {
			case 'identity':
				identity.set(fromWireIdentity(message.identity));
				break;
			case 'revoked':
				revocations.update(message.nodeIds, message.revision);
				break;
			case 'revokedElsewhere':
				revocations.updateElsewhere(message.nodeIds);
				break;
			case 'peers':
				for (const [id, address] of message.peers) peers.set(id, address);
				break;
			case 'call':
				carryOut(message.call).then(
					(value) => send({ kind: 'answer', number: message.number, value }),
					(error: unknown) => send({ kind: 'answer', number: message.number, ...refused(error) }),
				);
				break;
			case 'level':
				store.snapshotFormat = snapshotFormatAt(message.level);
				break;
			case 'close':
				void close(engine, log);
				break;
		}
	});
}

async function close(engine: StoreEngine, log: LogThread): Promise<void> {
	await engine.close();
	await server.close(500);
	channels.close();
	await log.close();
	send({ kind: 'closed' });
	process.exit(0);
}

main().catch((error: unknown) => send({ kind: 'refused', ...refused(error) }));
