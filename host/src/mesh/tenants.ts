// Owns tenants and API keys as an operator handles them. A key is made here, shown once and stored as its SHA-256 only.
import { createHash } from 'node:crypto';
import { type Clock, MeshError } from '@infermesh/proto';
import { recordErrors } from '../records/errors.js';
import { type ApiKey, recordKinds, type Tenant } from '../records/kinds.js';
import type { Records, Stored } from '../records/records.js';
import { type Listing, listing } from './listing.js';
import type { MeshMirrors } from './mirrors.js';

export type TenantView = Tenant & { readonly name: string; readonly revision: number };

/** Never with the digest: it would let its reader test guesses. */
export type KeyView = Omit<ApiKey, 'sha256'> & { readonly id: string; readonly revision: number };

export interface KeyRequest {
	readonly id: string;
	readonly tenant: string;
	readonly trusted: boolean;
	/** Milliseconds since the Unix epoch; undefined = never. */
	readonly expiresAtMs: number | undefined;
}

export interface TenantsPorts {
	readonly clock: Clock;
	readonly records: Records;
	readonly mirrors: Pick<MeshMirrors, 'tenants' | 'apiKeys'>;
	/** Bytes from the operating system's generator. */
	readonly randomBytes: (count: number) => Uint8Array;
}

const KEY_BYTES = 32;
const ID_PATTERN = /^[A-Za-z0-9][A-Za-z0-9._:+-]{0,127}$/;
/** Is there without a record. */
const DEFAULT_TENANT = 'default';

export class Tenants {
	readonly #ports: TenantsPorts;

	constructor(ports: TenantsPorts) {
		this.#ports = ports;
	}

	async list(): Promise<Listing<TenantView>> {
		const { records, mirrors } = this.#ports;
		const { items, ...rest } = await listing(records, recordKinds.tenants, mirrors.tenants);
		return { ...rest, items: items.map(({ id, value, revision }) => tenantView(id, value, revision)) };
	}

	/** IM_RECORD_INVALID, IM_RECORD_CONFLICT. */
	async set(name: string, tenant: Tenant, ifRevision: number | undefined): Promise<TenantView> {
		checkId('tenant', name);
		const options = ifRevision === undefined ? {} : { ifRevision };
		const revision = await this.#ports.records.put(recordKinds.tenants, name, tenant, options);
		return tenantView(name, tenant, revision);
	}

	/** IM_RECORD_UNKNOWN; IM_RECORD_IN_USE while keys count for it. */
	async remove(name: string): Promise<void> {
		const { records } = this.#ports;
		const { items } = await records.list(recordKinds.apiKeys);
		const users = items.filter(({ value }) => value.tenant === name).map(({ id }) => id);
		if (users.length > 0)
			throw new MeshError(recordErrors, 'IM_RECORD_IN_USE', `keys of tenant ${name}: ${users.slice(0, 10).join(', ')}`);
		if (!(await records.remove(recordKinds.tenants, name))) throw unknown('tenant', name);
	}

	async keys(): Promise<Listing<KeyView>> {
		const { records, mirrors } = this.#ports;
		const { items, ...rest } = await listing(records, recordKinds.apiKeys, mirrors.apiKeys);
		return { ...rest, items: items.map(keyView) };
	}

	/** The key itself is in this answer and nowhere else. IM_RECORD_UNKNOWN (the tenant), IM_RECORD_EXISTS, IM_RECORD_INVALID. */
	async createKey(request: KeyRequest): Promise<{ readonly key: string; readonly view: KeyView }> {
		const { clock, records, randomBytes } = this.#ports;
		const { id, tenant, trusted, expiresAtMs } = request;
		checkId('key', id);
		if (tenant !== DEFAULT_TENANT && (await records.get(recordKinds.tenants, tenant)) === undefined)
			throw new MeshError(recordErrors, 'IM_RECORD_UNKNOWN', `there is no tenant ${tenant}`, {
				hint: `Make it first: \`infermesh tenant set ${tenant}\`.`,
			});
		const key = `sk-im-${Buffer.from(randomBytes(KEY_BYTES)).toString('base64url')}`;
		const value: ApiKey = {
			sha256: createHash('sha256').update(key).digest('hex'),
			tenant,
			trusted,
			createdAtMs: Math.floor(clock.wallMs()),
			...(expiresAtMs === undefined ? {} : { expiresAtMs: Math.floor(expiresAtMs) }),
		};
		try {
			const revision = await records.put(recordKinds.apiKeys, id, value, { ifRevision: 0 });
			return { key, view: keyView({ id, value, revision }) };
		} catch (error) {
			if (!(error instanceof MeshError) || error.code !== 'IM_RECORD_CONFLICT') throw error;
			throw new MeshError(recordErrors, 'IM_RECORD_EXISTS', `there is a key ${id} already`);
		}
	}

	/** IM_RECORD_UNKNOWN. */
	async removeKey(id: string): Promise<void> {
		if (!(await this.#ports.records.remove(recordKinds.apiKeys, id))) throw unknown('key', id);
	}
}

function tenantView(name: string, tenant: Tenant, revision: number): TenantView {
	return { name, ...tenant, revision };
}

function keyView({ id, value, revision }: Stored<ApiKey>): KeyView {
	const { sha256: _digest, ...shown } = value;
	return { id, ...shown, revision };
}

function checkId(what: string, id: string): void {
	if (ID_PATTERN.test(id)) return;
	const rule = 'begins with a letter or digit and goes on with letters, digits and . _ : + -, at most 128 characters';
	throw new MeshError(recordErrors, 'IM_RECORD_INVALID', `${JSON.stringify(id)} is no name of a ${what}: it ${rule}`);
}

function unknown(what: string, name: string): MeshError {
	return new MeshError(recordErrors, 'IM_RECORD_UNKNOWN', `there is no ${what} ${name}`);
}
