// Owns where a node keeps its parts of the mesh below `state_dir`, and the number of the one group of coordinators.
import path from 'node:path';
import { type SegmentLogOptions, segmentLogDefaults } from '@infermesh/fabric/consensus';
import type { MeshConfig } from '../../config/schema.js';

/** All the mesh keeps is in one group; the log has room for more. */
export const MESH_GROUP = 1;

/** Identity, UUID and what is remembered of the mesh. */
export const nodeFolderOf = (config: MeshConfig): string => path.join(config.state_dir, 'node');
/** Log and snapshots of the group of coordinators. */
export const raftFolderOf = (config: MeshConfig): string => path.join(config.state_dir, 'raft');
/** Blobs that records name. */
export const blobFolderOf = (config: MeshConfig): string => path.join(config.state_dir, 'store');

export function logOptionsOf(segmentBytes: number): SegmentLogOptions {
	return { ...segmentLogDefaults, segmentBytes };
}
