// Owns what a node says of itself to the mesh, made from its configuration and the addresses it has got.
import { COMPAT_LEVEL_FIRST } from '@infermesh/fabric';
import type { MeshConfig } from '../config/schema.js';
import { ownLevel } from '../mesh/level-keeper.js';
import type { NodeRecord } from '../records/kinds.js';
import type { MeshFabric } from './fabric.js';
import { meshVersion } from './version.js';

/** `urls` are known once admin API and data plane listen; a node without a router has no data plane. */
export function nodeRecordOf(
	{ node, roles, fabric }: MeshConfig,
	{ nodeId, addresses }: Pick<MeshFabric, 'nodeId' | 'addresses'>,
	startedAtMs: number,
	urls: { readonly admin?: string; readonly data?: string | undefined } = {},
): NodeRecord {
	const level = ownLevel(fabric.compat_level);
	return {
		id: nodeId,
		name: node.id,
		zone: node.zone,
		region: node.region,
		roles: [...roles],
		version: meshVersion,
		addresses: {
			...addresses,
			...(urls.admin === undefined ? {} : { admin: urls.admin }),
			...(urls.data === undefined ? {} : { data: urls.data }),
		},
		startedAtMs: Math.floor(startedAtMs),
		...(level > COMPAT_LEVEL_FIRST ? { level } : {}),
		...(fabric.gateway ? { gateway: true } : {}),
	};
}
