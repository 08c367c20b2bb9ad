// Owns the leases this node holds of its tenants' quotas: it takes them from the accounts in replicated state by what was asked for of late, puts them
// where the workers spend them, and gives back what nobody needs. A lease is let go of by this node's own clock when it could not be renewed in time,
// so a node that is cut off spends what it had, and no more. Costs nothing while no tenant has a quota, and no write while a tenant is idle.
import type { ConsensusEngine, KeyValue } from '@infermesh/fabric';
import { type Clock, MeshError, type Timer } from '@infermesh/proto';
import { type QuotaAccount, recordKinds } from '../records/kinds.js';
import { decodeRecord, encodeRecord, keyOf } from '../records/records.js';
import type { QuotaBoard } from '../router/admission/quota-board.js';
import { type Moved, move, type Want } from './ledger.js';
import type { TenantLimits } from './limits.js';
import { TenantLease } from './tenant-lease.js';

export interface QuotaKeeperOptions {
	/** What is held counts for so long without being renewed. */
	readonly leaseMs: number;
	/** Demand is looked at this often. */
	readonly periodMs: number;
}

export interface QuotaKeeperPorts {
	readonly engine: ConsensusEngine;
	readonly clock: Clock;
	readonly board: QuotaBoard;
	/** UUID of this node. */
	readonly router: string;
	/** Number of a tenant's name; 0 = there is no room for it. */
	readonly tenantId: (name: string) => number;
	/** Leases of these tenants have changed: who waits for them may look again. */
	readonly granted: (tenants: readonly number[]) => void;
	readonly failed: (what: string, error: unknown) => void;
}

/** Accounts written at once. */
const MOVES_MAX = 32;
/** Tries when somebody else was faster; then the next period is waited for. */
const ROUNDS_MAX = 8;
const MOVE_TIMEOUT_MS = 2000;
/** A refusal has no effect: what was to be given back is still here. */
const WITHOUT_EFFECT: ReadonlySet<string> = new Set([
	'IM_CONSENSUS_NO_QUORUM',
	'IM_CONSENSUS_UNAVAILABLE',
	'IM_CONSENSUS_LIMIT',
]);

export class QuotaKeeper {
	readonly #options: QuotaKeeperOptions;
	readonly #ports: QuotaKeeperPorts;
	readonly #leases = new Map<number, TenantLease>();
	#timer: Timer | undefined;
	#moving = 0;
	#closed = false;
	/** Where the next period begins, so that with more tenants than are moved at once none is left behind. */
	#turn = 0;

	constructor(options: QuotaKeeperOptions, ports: QuotaKeeperPorts) {
		this.#options = options;
		this.#ports = ports;
	}

	/** Policies changed: in force at once. */
	setLimits(limits: ReadonlyMap<string, TenantLimits>): void {
		const { board, clock, tenantId, failed } = this.#ports;
		const wanted = new Set<number>();
		for (const one of limits.values()) {
			const id = tenantId(one.tenant);
			if (id === 0 || id > board.tenantsMax) {
				failed('a quota is not enforced: there is no room for its tenant', one.tenant);
				continue;
			}
			wanted.add(id);
			const known = this.#leases.get(id);
			if (known === undefined)
				this.#leases.set(id, new TenantLease(id, one, board, this.#options.leaseMs, clock.nowMs()));
			else known.setLimits(one);
		}
		for (const [id, lease] of this.#leases) {
			if (wanted.has(id)) continue;
			lease.end();
			this.#leases.delete(id);
		}
		if (this.#leases.size === 0) {
			this.#timer?.cancel();
			this.#timer = undefined;
		} else if (!this.#closed) this.#timer ??= clock.every(this.#options.periodMs, () => this.#look(), { unref: true });
	}

	limits(tenant: number): TenantLimits | undefined {
		return this.#leases.get(tenant)?.limits;
	}

	tenants(): readonly { readonly id: number; readonly limits: TenantLimits }[] {
		return [...this.#leases].map(([id, { limits }]) => ({ id, limits }));
	}

	/** A worker has run dry for a tenant. Answered by `granted`, if anything can be got. */
	want(tenant: number): void {
		const lease = this.#leases.get(tenant);
		if (lease === undefined) this.#ports.granted([tenant]);
		else void this.#move(lease, true);
	}

	/** Accounts as they stand in replicated state, by tenant; without a quorum as they were last seen. */
	async accounts(): Promise<ReadonlyMap<string, QuotaAccount>> {
		const found = new Map<string, QuotaAccount>();
		for (const { limits, known } of this.#leases.values()) {
			const account = await this.#account(limits.tenant).catch(() => known?.account);
			if (account !== undefined) found.set(limits.tenant, account);
		}
		return found;
	}

	async #account(tenant: string): Promise<QuotaAccount | undefined> {
		const { items } = await this.#ports.engine.read({ key: keyOf(recordKinds.quotaAccounts, tenant) });
		return accountOf(items[0]);
	}

	/** Gives everything back, as far as it can be reached. */
	async close(): Promise<void> {
		this.#closed = true;
		this.#timer?.cancel();
		await Promise.all(
			[...this.#leases.values()].map(async (lease) => {
				const want = lease.leaving();
				if (want !== undefined) await this.#transact(lease, want).catch(() => undefined);
			}),
		);
	}

	#look(): void {
		const leases = [...this.#leases.values()];
		const { length } = leases;
		for (let n = 0; n < length; n++) {
			const lease = leases[(this.#turn + n) % length] as TenantLease;
			lease.expire(this.#ports.clock.nowMs());
			void this.#move(lease, false);
		}
		this.#turn = (this.#turn + MOVES_MAX) % Math.max(1, length);
	}

	/** One movement of an account at a time; what is asked for meanwhile follows it. */
	async #move(lease: TenantLease, urgent: boolean): Promise<void> {
		if (this.#closed) return;
		if (lease.moving) {
			lease.again ||= urgent;
			return;
		}
		if (!urgent && this.#moving >= MOVES_MAX) return;
		const { clock, failed, granted } = this.#ports;
		const want = lease.wants(clock.nowMs(), urgent);
		if (want === undefined) {
			if (urgent) granted([lease.id]);
			return;
		}
		lease.moving = true;
		this.#moving++;
		try {
			const askedMs = clock.nowMs();
			const moved = await this.#transact(lease, want);
			if (moved === undefined) lease.refused(want, true);
			else lease.granted(moved.given, askedMs, clock.wallMs());
			lease.failing = false;
		} catch (error) {
			lease.refused(want, error instanceof MeshError && WITHOUT_EFFECT.has(error.code));
			if (!lease.failing) failed('leasing a quota', error);
			lease.failing = true;
		} finally {
			lease.moving = false;
			this.#moving--;
		}
		granted([lease.id]);
		if (!lease.again) return;
		lease.again = false;
		void this.#move(lease, true);
	}

	/** Undefined when others were faster every time. */
	async #transact(lease: TenantLease, want: Want): Promise<Moved | undefined> {
		const { engine, clock, router } = this.#ports;
		const key = keyOf(recordKinds.quotaAccounts, lease.limits.tenant);
		for (let round = 0; round < ROUNDS_MAX; round++) {
			const { known } = lease;
			const nowMs = clock.wallMs();
			const moved = move(known?.account, lease.limits, want, router, nowMs, nowMs + this.#options.leaseMs);
			const { held, revision, results } = await engine.transact(
				{
					when: [known === undefined ? { key, exists: false } : { key, modRevision: known.revision }],
					then: [{ put: key, value: encodeRecord(moved.account) }],
					otherwise: [{ get: { key } }],
				},
				{ timeoutMs: MOVE_TIMEOUT_MS },
			);
			if (held) {
				lease.known = { account: moved.account, revision };
				return moved;
			}
			const [result] = results;
			const present = result?.kind === 'get' ? result.items[0] : undefined;
			lease.known = present === undefined ? undefined : { account: accountOf(present), revision: present.modRevision };
		}
		return undefined;
	}
}

/** An account this version does not understand counts as one that was never written: it begins anew. */
function accountOf(item: KeyValue | undefined): QuotaAccount | undefined {
	return item === undefined ? undefined : decodeRecord(recordKinds.quotaAccounts, item.value);
}
