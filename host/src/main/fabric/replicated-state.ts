// Owns how a node comes to the mesh's replicated state: its own part in the group of coordinators (a thread) where it has one, and an engine that reads and
// writes by whichever coordinator answers, or in an existing etcd.
import {
	type Address,
	type ConsensusEngine,
	nodeCredentials,
	RemoteEngine,
	type TransportContext,
} from '@infermesh/fabric';
import type { Clock, MeshError, Random } from '@infermesh/proto';
import type { MeshConfig } from '../../config/schema.js';
import { ownLevel } from '../../mesh/level-keeper.js';
import type { Log } from '../../telemetry/logger.js';
import type { Closer } from '../close-all.js';
import { addressOf, advertised } from './addresses.js';
import { ConsensusThread } from './consensus-client.js';
import { EtcdPart } from './etcd-part.js';
import type { MeshMemory } from './mesh-memory.js';
import { completeReplacement } from './offline.js';
import { raftFolderOf } from './state-folders.js';
import { toWireIdentity } from './wire-identity.js';

const HANDSHAKE_TIMEOUT_MS = 3000;

export interface ReplicatedStatePorts {
	readonly nodeId: string;
	readonly memory: MeshMemory;
	readonly context: TransportContext;
	readonly clock: Clock;
	readonly random: Random;
	readonly log: Log;
	/** Parts that have started, to be closed in turn. */
	readonly closers: Closer[];
	/** This node's part in the group has ended for good. */
	readonly memberEnded: (error: MeshError) => void;
}

export interface ReplicatedState {
	readonly engine: ConsensusEngine;
	/** This node's own part in the group. */
	readonly consensus: ConsensusThread | undefined;
	/** Where it is found by the others of the group. */
	readonly raft: Address | undefined;
	readonly etcd: EtcdPart | undefined;
}

export async function openReplicatedState(config: MeshConfig, ports: ReplicatedStatePorts): Promise<ReplicatedState> {
	const { clock, random, log, closers } = ports;
	const fault = (error: unknown): void => log.debug({ error: String(error) }, 'replicated state: a stream broke');
	if (config.consensus.engine === 'etcd') {
		const etcd = new EtcdPart({ config: config.consensus, clock, random, log, fault });
		closers.push(() => etcd.close());
		const { engine } = etcd;
		closers.push(() => engine.close());
		return { engine, consensus: undefined, raft: undefined, etcd };
	}
	const consensus = config.roles.includes('coordinator') ? await openMember(config, ports) : undefined;
	const raft = consensus === undefined ? undefined : advertised(consensus.address, config);
	const engine = remoteEngine(ports, consensus, raft, fault);
	closers.push(() => engine.close());
	return { engine, consensus, raft, etcd: undefined };
}

async function openMember(
	config: MeshConfig,
	{ nodeId, memory, context, log, closers, memberEnded }: ReplicatedStatePorts,
): Promise<ConsensusThread> {
	const { fabric, consensus: settings } = config;
	const folder = raftFolderOf(config);
	completeReplacement(folder);
	const member = await ConsensusThread.open(
		{
			nodeId,
			folder,
			listen: addressOf(fabric.host, fabric.raft_port),
			identity: toWireIdentity(context.identity.current()),
			clusterId: memory.clusterId,
			peers: memory.peers,
			found: memory.known === undefined && fabric.join.length === 0,
			heartbeatMs: settings.heartbeat_ms,
			electionMs: settings.election_ms,
			snapshotEntries: settings.snapshot_entries,
			segmentBytes: settings.log_segment_bytes,
			level: ownLevel(fabric.compat_level),
		},
		{
			state: () => undefined,
			failed: (error) => {
				memberEnded(error);
				log.error({ error: error.message, code: error.code }, 'this coordinator has stopped');
			},
			fault: (message) => log.error({ error: message }, 'a watcher of replicated state failed'),
		},
	);
	closers.push(() => member.close());
	return member;
}

/** By whichever coordinator answers, this node itself first. */
function remoteEngine(
	{ nodeId, memory, context, clock, random }: ReplicatedStatePorts,
	consensus: ConsensusThread | undefined,
	raft: Address | undefined,
	fault: (error: unknown) => void,
): RemoteEngine {
	const isCoordinator = (id: string): boolean =>
		id === nodeId || memory.coordinators.some((peer) => peer.nodeId === id);
	return new RemoteEngine({
		get addresses() {
			const others = memory.coordinators.filter((peer) => peer.nodeId !== nodeId).map((peer) => peer.raft);
			// A newcomer is no help until the group has taken it in and it hears of a leader.
			const group = consensus?.state;
			const member = group?.voters.includes(nodeId) === true || group?.learners.includes(nodeId) === true;
			if (raft === undefined || (!member && others.length > 0)) return others;
			return [raft, ...others];
		},
		credentials: nodeCredentials(context, { timeoutMs: HANDSHAKE_TIMEOUT_MS, acceptNode: isCoordinator }),
		clock,
		random,
		clusterId: () => consensus?.state?.clusterId ?? '',
		fault,
	});
}
