// Owns what the rest of meshd sees of the fabric: replicated state, blobs, and who this node is in it. A lone development node has a fabric in
// memory; members of a mesh have a real one behind the same interface.
import { randomUUID } from 'node:crypto';
import { type Blobs, type ConsensusEngine, createLocalEngine, type LeaseId, MemoryBlobs } from '@infermesh/fabric';
import { systemClock, systemRandom } from './clock.js';

export interface MeshFabric {
	/** UUID of this node. */
	readonly nodeId: string;
	readonly engine: ConsensusEngine;
	readonly blobs: Blobs;
	/** The lease this node's own records lie under; undefined where nothing outlives the process anyway. */
	readonly lease: () => LeaseId | undefined;
	close(): Promise<void>;
}

/** One node, all of it in memory. */
export function startLocalFabric(fault: (error: unknown) => void): MeshFabric {
	const engine = createLocalEngine({ clock: systemClock, random: systemRandom(), fault });
	return {
		nodeId: randomUUID(),
		engine,
		blobs: new MemoryBlobs(),
		lease: () => undefined,
		close: () => engine.close(),
	};
}
