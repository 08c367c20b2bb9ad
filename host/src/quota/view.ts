// Owns what is told of quotas: per tenant its limits, what is left in the mesh's account, what this node holds, has spent and refuses. Pure.
import type { QuotaAccount } from '../records/kinds.js';
import { type QuotaBoard, quotaDimensions } from '../router/admission/quota-board.js';
import { levelAt } from './ledger.js';
import type { TenantLimits } from './limits.js';

export interface QuantityView {
	readonly quantity: string;
	readonly limit: number;
	/** Left in the mesh's account, what routers hold not included; for concurrency the places nobody holds. */
	readonly left: number;
	/** Held by this node and not spent; negative = owed. For concurrency the places it holds. */
	readonly leased: number;
	/** Through this node since it began; for concurrency the requests open now. */
	readonly spent: number;
}

export interface QuotaView {
	readonly tenant: string;
	readonly weight: number;
	readonly priority: number;
	readonly quantities: readonly QuantityView[];
	/** Places of its concurrency by UUID of the node that holds them. */
	readonly holders: readonly { readonly node: string; readonly slots: number; readonly self: boolean }[];
	/** Requests that wait in this router. */
	readonly waiting: number;
	/** Requests this router has not admitted since it began. */
	readonly refused: number;
}

export function quotaViews(
	tenants: readonly { readonly id: number; readonly limits: TenantLimits }[],
	accounts: ReadonlyMap<string, QuotaAccount>,
	board: QuotaBoard,
	self: string,
	nowMs: number,
): readonly QuotaView[] {
	return tenants
		.map(({ id, limits }) => viewOf(id, limits, accounts.get(limits.tenant), board, self, nowMs))
		.sort((a, b) => (a.tenant < b.tenant ? -1 : 1));
}

function viewOf(
	id: number,
	limits: TenantLimits,
	account: QuotaAccount | undefined,
	board: QuotaBoard,
	self: string,
	nowMs: number,
): QuotaView {
	const held = Object.entries(account?.held ?? {}).filter(([, { slots, untilMs }]) => slots > 0 && untilMs > nowMs);
	const quantities: QuantityView[] = quotaDimensions.flatMap((quantity, at) => {
		const rate = limits.rates.get(quantity);
		if (rate === undefined) return [];
		const left = Math.floor(levelAt(account?.buckets[quantity], rate, nowMs));
		return [{ quantity, limit: rate.burst, left, leased: board.balance(id, at), spent: board.spent(id, at) >>> 0 }];
	});
	const { concurrency, tenant, weight, priority } = limits;
	if (concurrency !== undefined) {
		const taken = held.reduce((sum, [, { slots }]) => sum + slots, 0);
		quantities.push({
			quantity: 'concurrency',
			limit: concurrency,
			left: Math.max(0, concurrency - taken),
			leased: board.slots(id),
			spent: board.inUse(id),
		});
	}
	return {
		tenant,
		weight,
		priority,
		quantities,
		holders: held.map(([node, { slots }]) => ({ node, slots, self: node === self })),
		waiting: board.waiting(id),
		refused: board.refusals(id),
	};
}
