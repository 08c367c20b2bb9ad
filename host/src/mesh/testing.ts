// Owns a mesh of one node for tests of what an operator does: real operations over a store in memory, and a second, made-up node where a test wants one.
import {
	type ConsensusEngine,
	consensusError,
	createLocalEngine,
	type EngineStatus,
	MemoryBlobs,
} from '@infermesh/fabric';
import { systemClock, systemRandom } from '../main/clock.js';
import type { CellsView, GroupControl, MemberView, NodeStatus } from '../main/fabric.js';
import { type NodeRecord, recordKinds } from '../records/kinds.js';
import { Mirror } from '../records/mirror.js';
import { Records } from '../records/records.js';
import type { MeshMirrors } from './mirrors.js';
import { type Audit, MeshOperations } from './operations.js';

export interface LonelyMesh {
	readonly operations: MeshOperations;
	readonly engine: ConsensusEngine;
	readonly records: Records;
	readonly mirrors: MeshMirrors;
	readonly audits: readonly Audit[];
	/** Resolves once `holds` after a change of a mirror; rejects after five seconds. */
	until(holds: () => boolean): Promise<void>;
}

export interface LonelyMeshOptions {
	/** Put in the place of what the engine says of itself and does. */
	readonly engine?: (real: ConsensusEngine) => ConsensusEngine;
	readonly status?: Partial<EngineStatus>;
	readonly members?: readonly MemberView[];
	readonly group?: GroupControl;
	readonly cells?: CellsView;
	readonly statusOf?: (nodeId: string) => Promise<NodeStatus>;
}

export const SELF = '11111111-1111-4111-8111-111111111111';

export function nodeRecord(id: string, name: string): NodeRecord {
	return {
		id,
		name,
		zone: 'z1',
		region: 'r1',
		roles: ['router'],
		version: '0.1.0',
		addresses: { agent: '127.0.0.1:8082' },
		startedAtMs: 1,
	};
}

const kindsMirrored = [
	'nodes',
	'levels',
	'lifecycle',
	'removals',
	'targets',
	'placements',
	'quotas',
	'slos',
	'routes',
	'tenants',
	'apiKeys',
	'signingKeys',
	'routers',
	'drains',
] as const;

/** The calls of an engine as an object whose parts can be replaced. */
function calls(real: ConsensusEngine): ConsensusEngine {
	return {
		read: (selection, options) => real.read(selection, options),
		transact: (transaction, options) => real.transact(transaction, options),
		watch: (selection, from, handlers) => real.watch(selection, from, handlers),
		grantLease: (ttlMs) => real.grantLease(ttlMs),
		keepAlive: (id) => real.keepAlive(id),
		revokeLease: (id) => real.revokeLease(id),
		compact: (revision) => real.compact(revision),
		status: () => real.status(),
		close: () => real.close(),
	};
}

/** Without quorum, as the engine of a node that is cut off behaves; `known` says whether it knows. */
export function withoutQuorum(real: ConsensusEngine, known = true): ConsensusEngine {
	const refuse = (): Promise<never> => Promise.reject(consensusError('IM_CONSENSUS_NO_QUORUM'));
	return {
		...calls(real),
		read: (selection, options) => (options?.consistency === 'serializable' ? real.read(selection, options) : refuse()),
		transact: refuse,
		status: async () => ({ ...(await real.status()), quorum: !known, leader: undefined }),
	};
}

export function lonelyMesh(options: LonelyMeshOptions = {}): LonelyMesh {
	const real = createLocalEngine({
		clock: systemClock,
		random: systemRandom(),
		fault: (error) => {
			throw error;
		},
	});
	const { status } = options;
	const described: ConsensusEngine =
		status === undefined ? real : { ...calls(real), status: async () => ({ ...(await real.status()), ...status }) };
	const engine = options.engine?.(described) ?? described;
	const listeners = new Set<() => void>();
	const changed = (): void => {
		for (const listener of listeners) listener();
	};
	const mirrors = Object.fromEntries(
		kindsMirrored.map((kind) => [kind, new Mirror(recordKinds[kind] as never, real, systemClock, { changed })]),
	) as unknown as MeshMirrors;
	const until = (holds: () => boolean, timeoutMs: number, late: () => Error): Promise<void> => {
		if (holds()) return Promise.resolve();
		return new Promise((resolve, reject) => {
			const timer = systemClock.after(timeoutMs, () => {
				listeners.delete(look);
				reject(late());
			});
			const look = (): void => {
				if (!holds()) return;
				timer.cancel();
				listeners.delete(look);
				resolve();
			};
			listeners.add(look);
		});
	};
	const audits: Audit[] = [];
	const members = options.members ?? [
		{
			id: SELF,
			name: 'one',
			address: '127.0.0.1:8946',
			state: 'alive' as const,
			incarnation: 1,
			sinceMs: 1,
			accusers: [],
		},
	];
	const operations = new MeshOperations({
		clock: systemClock,
		engine,
		mirrors,
		version: '0.1.0',
		fabric: {
			nodeId: SELF,
			blobs: new MemoryBlobs(),
			members: () => members,
			topology: () => ({ links: [], vector: [], heightS: 0, error: 0 }),
			linksOf: () => Promise.resolve({ links: [], vector: [], heightS: 0, error: 0 }),
			cells: options.cells,
			measure: () => Promise.resolve({ bytes: 1024, durationMs: 2 }),
			statusOf: options.statusOf ?? (() => Promise.reject(new Error('nobody is asked in this test'))),
			group: options.group,
		},
		onChange: (listener) => {
			listeners.add(listener);
			return () => void listeners.delete(listener);
		},
		until,
		randomBytes: (count) => new Uint8Array(count).fill(7),
		audit: (entry) => void audits.push(entry),
	});
	return {
		operations,
		engine,
		records: new Records(real),
		mirrors,
		audits,
		until: (holds) => until(holds, 5000, () => new Error('not within 5 s')),
	};
}
