// Owns the quotas of a node with a data plane: the board its workers spend from, the keeper that leases for it, and what is told of both.
import type { ConsensusEngine } from '@infermesh/fabric';
import type { Clock } from '@infermesh/proto';
import type { NameTable } from '../fleet/interner.js';
import { QuotaKeeper } from '../quota/keeper.js';
import { limitsOf } from '../quota/limits.js';
import { type QuotaView, quotaViews } from '../quota/view.js';
import type { Quota } from '../records/kinds.js';
import { createQuotaBoard, QuotaBoard, type QuotaShared } from '../router/admission/quota-board.js';
import type { CollectedSample } from '../telemetry/exposition.js';

export interface QuotaPartDeps {
	readonly leaseMs: number;
	readonly periodMs: number;
	readonly tenantsMax: number;
	readonly workerCount: number;
	readonly engine: ConsensusEngine;
	readonly clock: Clock;
	readonly tenants: NameTable;
	/** UUID of this node. */
	readonly nodeId: string;
	readonly granted: (tenants: readonly number[]) => void;
	readonly failed: (what: string, error: unknown) => void;
}

export class QuotaPart {
	readonly shared: QuotaShared;
	readonly board: QuotaBoard;
	readonly #deps: QuotaPartDeps;
	readonly #keeper: QuotaKeeper;

	constructor(deps: QuotaPartDeps) {
		this.#deps = deps;
		this.shared = createQuotaBoard(deps.tenantsMax, deps.workerCount);
		this.board = new QuotaBoard(this.shared);
		const { leaseMs, periodMs, engine, clock, tenants, nodeId, granted, failed } = deps;
		this.#keeper = new QuotaKeeper(
			{ leaseMs, periodMs },
			{
				engine,
				clock,
				board: this.board,
				router: nodeId,
				tenantId: (name) => tenants.intern(name),
				granted,
				failed,
			},
		);
	}

	/** In force at once. */
	set(quotas: readonly Quota[]): void {
		this.#keeper.setLimits(limitsOf(quotas));
	}

	want(tenant: number): void {
		this.#keeper.want(tenant);
	}

	/** Of all tenants with a quota, in the order of their names. */
	async views(): Promise<readonly QuotaView[]> {
		return this.#viewsOf(await this.#keeper.accounts());
	}

	#viewsOf(accounts: Awaited<ReturnType<QuotaKeeper['accounts']>>): readonly QuotaView[] {
		const { nodeId, clock } = this.#deps;
		return quotaViews(this.#keeper.tenants(), accounts, this.board, nodeId, clock.wallMs());
	}

	samples(): readonly CollectedSample[] {
		return this.#viewsOf(new Map()).flatMap(({ tenant, quantities }) =>
			quantities.flatMap(({ quantity, limit, leased, spent }): CollectedSample[] => {
				const labels = [tenant, quantity];
				const now: CollectedSample[] = [
					{ metric: 'quotaLimit', labels, value: limit },
					{ metric: 'quotaLeased', labels, value: leased },
				];
				if (quantity !== 'concurrency') now.push({ metric: 'quotaSpent', labels, value: spent });
				return now;
			}),
		);
	}

	close(): Promise<void> {
		return this.#keeper.close();
	}
}
