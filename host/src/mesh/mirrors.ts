// Owns the names of the mirrors that operations on the mesh read: one of each kind of record an operator sees.
import type { recordKinds } from '../records/kinds.js';
import type { Mirror } from '../records/mirror.js';

export type MirrorOf<K extends keyof typeof recordKinds> = Mirror<(typeof recordKinds)[K]['schema']>;

export type MeshMirrors = {
	readonly [K in
		| 'nodes'
		| 'levels'
		| 'lifecycle'
		| 'removals'
		| 'targets'
		| 'placements'
		| 'quotas'
		| 'slos'
		| 'routes'
		| 'tenants'
		| 'apiKeys'
		| 'signingKeys'
		| 'routers'
		| 'drains']: MirrorOf<K>;
};
