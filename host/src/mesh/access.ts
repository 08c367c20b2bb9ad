// Owns who may call the data plane, joined from this node's configuration and the mesh's records: API keys by digest, tenants with their numbers, and what
// vouches for the owners of stored responses.
// Numbers are given out once and only ever added to, because workers and metrics hold them.
import type { NameTable } from '../fleet/interner.js';
import type { WorkerKey } from '../main/worker-protocol.js';
import type { ApiKey, Tenant } from '../records/kinds.js';
import type { Stored } from '../records/records.js';
import { rankOf } from '../strategy/signing/grade.js';

export interface AccessSnapshot {
	readonly keys: readonly WorkerKey[];
	/** In the order of their numbers, from 1. */
	readonly tenants: readonly string[];
	/** See `RouterPorts`. */
	readonly responseKey: string | undefined;
}

export interface ConfiguredKey {
	readonly sha256: string;
	readonly tenant: string;
	readonly policy_mask: number;
	readonly trusted: boolean;
}

export function accessOf(
	table: NameTable,
	configured: readonly ConfiguredKey[],
	keys: readonly Stored<ApiKey>[],
	tenants: readonly Stored<Tenant>[],
	nowMs: number,
	responseKey: string | undefined,
): AccessSnapshot {
	const masks = new Map(tenants.map(({ id, value }) => [id, value.policyMask]));
	const leastGrades = new Map(tenants.map(({ id, value }) => [id, rankOf(value.strategies ?? 'unsigned')]));
	for (const name of ['default', ...configured.map((key) => key.tenant), ...masks.keys()]) table.intern(name);
	const known = new Map<string, WorkerKey>();
	for (const { value } of keys) {
		if (value.expiresAtMs !== undefined && value.expiresAtMs <= nowMs) continue;
		known.set(value.sha256, {
			sha256: value.sha256,
			tenant: value.tenant,
			tenantId: table.intern(value.tenant),
			policyMask: masks.get(value.tenant) ?? 0,
			leastGrade: leastGrades.get(value.tenant) ?? 0,
			trusted: value.trusted,
			...(value.expiresAtMs === undefined ? {} : { expiresAtMs: value.expiresAtMs }),
		});
	}
	// What the operator of this node has written down holds on this node.
	for (const key of configured)
		known.set(key.sha256, {
			sha256: key.sha256,
			tenant: key.tenant,
			tenantId: table.intern(key.tenant),
			policyMask: key.policy_mask | (masks.get(key.tenant) ?? 0),
			leastGrade: leastGrades.get(key.tenant) ?? 0,
			trusted: key.trusted,
		});
	return { keys: [...known.values()], tenants: table.entries(), responseKey };
}
