// Owns what this node holds of one tenant's quota: how much is asked for by what was asked of late, when it is renewed, when it lapses, and what becomes
// of it when an answer is lost. Writes to the board, never to replicated state; that is the keeper's. Time comes in as an argument.
import type { QuotaAccount } from '../records/kinds.js';
import {
	CONCURRENCY,
	DIMENSIONS,
	type QuotaBoard,
	type QuotaDimension,
	quotaDimensions,
} from '../router/admission/quota-board.js';
import type { Given, Want } from './ledger.js';
import type { TenantLimits } from './limits.js';

/** Demand is remembered for about so long. */
const DEMAND_MEMORY_MS = 2000;
/** A lease is sized for this part of its life, and asked for again when half of that is spent. */
const SIZED_FOR = 0.4;
/** Kept back of a lease's life, for clocks of different speed. */
const DRIFT_SHARE = 0.1;
/** What is held of a tenant of whom nothing has been heard for so long, and for several times as long as its requests were apart, is given back at once. */
const IDLE_MS = 1000;
const IDLE_GAPS = 4;
const REQUESTS = quotaDimensions.indexOf('requestsPerMinute');
/** Demand below this, in units a second, is none. */
const IDLE_PER_S = 0.01;
/** When places of a full tenant are looked at again. */
const SLOTS_AGAIN_MS = 1000;

export class TenantLease {
	readonly id: number;
	limits: TenantLimits;
	/** The account as last seen, with the revision it was seen at. */
	known: { readonly account: QuotaAccount | undefined; readonly revision: number } | undefined;
	moving = false;
	again = false;
	/** The last movement failed: said once, not at every try. */
	failing = false;
	readonly #board: QuotaBoard;
	readonly #leaseMs: number;
	readonly #perMs = new Float64Array(DIMENSIONS);
	readonly #spent = new Int32Array(DIMENSIONS);
	readonly #denied = new Int32Array(DIMENSIONS);
	/** Denied since the last grant: what somebody may be waiting for. */
	readonly #unmet = new Float64Array(DIMENSIONS);
	/** Let lapse and not yet given back. */
	readonly #lapsed = new Float64Array(DIMENSIONS);
	/** Of what had lapsed: taken up again by the movement under way. */
	readonly #resumed = new Float64Array(DIMENSIONS);
	#slotsDenied = 0;
	#slotsUnmet = 0;
	#measuredMs: number;
	#untilMs = 0;
	/** When something was last asked for, and how many requests a millisecond came then. */
	#activeMs: number;
	#activePerMs = 0;

	constructor(id: number, limits: TenantLimits, board: QuotaBoard, leaseMs: number, nowMs: number) {
		this.id = id;
		this.limits = limits;
		this.#board = board;
		this.#leaseMs = leaseMs;
		this.#measuredMs = nowMs;
		this.#activeMs = nowMs;
		for (let at = 0; at < DIMENSIONS; at++) {
			this.#spent[at] = board.spent(id, at);
			this.#denied[at] = board.denied(id, at);
		}
		this.#slotsDenied = board.slotsDenied(id);
		this.setLimits(limits);
	}

	setLimits(limits: TenantLimits): void {
		this.limits = limits;
		const rates = quotaDimensions.map((dimension) => limits.rates.get(dimension));
		this.#board.limit(this.id, bitsOf(limits), rates, limits.weight, limits.priority);
		quotaDimensions.forEach((dimension, at) => {
			const rate = limits.rates.get(dimension);
			// A tighter limit takes effect on what is held already.
			if (rate !== undefined)
				this.#board.takeBack(this.id, at, Math.max(0, this.#board.balance(this.id, at) - rate.burst));
		});
		if (limits.concurrency !== undefined && this.#board.slots(this.id) > limits.concurrency)
			this.#board.grantSlots(this.id, limits.concurrency);
	}

	/** The quota is no more: nothing is limited. */
	end(): void {
		this.#board.limit(this.id, 0, [], 1, 0);
	}

	/** What is to be asked for or given back now; undefined when there is no need. What is given back is taken from the board already. */
	wants(nowMs: number, urgent: boolean): Want | undefined {
		this.#measure(nowMs);
		const held = this.#untilMs > 0;
		const rests = held && !urgent && this.#rests(nowMs);
		if (rests) this.#forgetDemand();
		const due = held && nowMs >= this.#untilMs - this.#leaseMs * (0.5 - DRIFT_SHARE);
		const rates = new Map<QuotaDimension, number>();
		let needed = urgent;
		let keeps = false;
		quotaDimensions.forEach((dimension, at) => {
			const rate = this.limits.rates.get(dimension);
			if (rate === undefined) return;
			const balance = this.#board.balance(this.id, at);
			const wanted = this.#wanted(at, rate.burst);
			if (wanted > 0) keeps = true;
			let ask = 0;
			if (balance < wanted) {
				ask = Math.ceil(wanted - balance);
				if (balance < wanted / 2) needed = true;
			} else if ((due || rests) && balance > 2 * wanted)
				ask = -this.#board.takeBack(this.id, at, Math.floor(balance - wanted));
			const lapsed = this.#lapsed[at] as number;
			this.#lapsed[at] = 0;
			this.#resumed[at] = Math.min(Math.max(0, ask), lapsed);
			rates.set(dimension, ask - lapsed);
			if (ask < 0 || lapsed > 0) needed = true;
		});
		const slots = this.#wantedSlots();
		if (slots > 0) keeps = true;
		if (rests && slots < this.#board.slots(this.id)) needed = true;
		if (this.limits.concurrency !== undefined && slots > this.#board.slots(this.id)) needed = true;
		if (needed || (due && (keeps || this.#board.slots(this.id) > 0))) return { rates, slots, ...this.#asked() };
		if (due) this.#untilMs = 0;
		return undefined;
	}

	/** `askedMs`: on this node's monotonic clock, before the account was asked. */
	granted({ rates, slots, readyInMs }: Given, askedMs: number, wallMs: number): void {
		this.#untilMs = askedMs + this.#leaseMs * (1 - DRIFT_SHARE);
		this.#unmet.fill(0);
		quotaDimensions.forEach((dimension, at) => {
			this.#board.grant(this.id, at, Math.max(0, rates.get(dimension) ?? 0) + (this.#resumed[at] as number));
			this.#resumed[at] = 0;
			const inMs = readyInMs.get(dimension);
			this.#board.readyAgain(this.id, at, inMs === undefined ? 0 : wallMs + inMs);
		});
		if (this.limits.concurrency === undefined) return;
		this.#slotsUnmet = 0;
		this.#board.grantSlots(this.id, slots);
		this.#board.readyAgain(this.id, CONCURRENCY, slots < this.#wantedSlots() ? wallMs + SLOTS_AGAIN_MS : 0);
	}

	/** The account was not moved, or nobody knows whether it was. Only what certainly was not given back may still be spent. */
	refused({ rates }: Want, withoutEffect: boolean): void {
		quotaDimensions.forEach((dimension, at) => {
			const back = withoutEffect ? Math.max(0, -(rates.get(dimension) ?? 0)) : 0;
			this.#lapsed[at] = (this.#lapsed[at] as number) + (this.#resumed[at] as number) + back;
			this.#resumed[at] = 0;
		});
	}

	/** Lets go of what was not renewed in time. */
	expire(nowMs: number): void {
		if (this.#untilMs === 0 || nowMs < this.#untilMs) return;
		this.#untilMs = 0;
		quotaDimensions.forEach((_, at) => {
			const back = this.#board.takeBack(this.id, at, Math.max(0, this.#board.balance(this.id, at)));
			this.#lapsed[at] = (this.#lapsed[at] as number) + back;
		});
		this.#board.grantSlots(this.id, 0);
	}

	/** Everything, to be given back for good; undefined where nothing is held. */
	leaving(): Want | undefined {
		if (this.#untilMs === 0) return undefined;
		this.expire(Number.POSITIVE_INFINITY);
		return {
			rates: new Map(quotaDimensions.map((dimension, at) => [dimension, -(this.#lapsed[at] as number)] as const)),
			slots: 0,
		};
	}

	/** What is asked of this router: by it the account is shared where there is too little. */
	#asked(): Pick<Want, 'perMs' | 'inUse'> {
		const perMs = quotaDimensions.map((dimension, at) => [dimension, this.#perMs[at] as number] as const);
		return { perMs: new Map(perMs), inUse: this.#board.inUse(this.id) };
	}

	#rests(nowMs: number): boolean {
		return nowMs - this.#activeMs >= Math.max(IDLE_MS, IDLE_GAPS / Math.max(this.#activePerMs, Number.MIN_VALUE));
	}

	#forgetDemand(): void {
		this.#perMs.fill(0);
		this.#unmet.fill(0);
		this.#slotsUnmet = 0;
	}

	#measure(nowMs: number): void {
		const passedMs = nowMs - this.#measuredMs;
		this.#measuredMs = nowMs;
		let active = this.#board.inUse(this.id) > 0;
		const kept = Math.exp(-Math.max(0, passedMs) / DEMAND_MEMORY_MS);
		for (let at = 0; at < DIMENSIONS; at++) {
			const spent = this.#board.spent(this.id, at);
			const denied = this.#board.denied(this.id, at);
			// Counters turn over at 32 bits; a settled refund makes a difference negative, which is no demand.
			const unmet = (denied - (this.#denied[at] as number)) | 0;
			const asked = Math.max(0, (spent - (this.#spent[at] as number)) | 0) + Math.max(0, unmet);
			active ||= asked > 0;
			this.#spent[at] = spent;
			this.#denied[at] = denied;
			this.#unmet[at] = (this.#unmet[at] as number) * kept + Math.max(0, unmet);
			this.#perMs[at] = (this.#perMs[at] as number) * kept + asked / DEMAND_MEMORY_MS;
		}
		if (active) {
			this.#activeMs = nowMs;
			this.#activePerMs = this.#perMs[REQUESTS] as number;
		}
		const slotsDenied = this.#board.slotsDenied(this.id);
		this.#slotsUnmet = Math.floor(this.#slotsUnmet * kept) + Math.max(0, (slotsDenied - this.#slotsDenied) | 0);
		this.#slotsDenied = slotsDenied;
	}

	/** To be held of a dimension: what is spent in a part of the lease's life, and at least what somebody waits for. */
	#wanted(at: number, burst: number): number {
		const perMs = this.#perMs[at] as number;
		const unmet = this.#unmet[at] as number;
		const steady = perMs * 1000 < IDLE_PER_S ? 0 : Math.ceil(perMs * this.#leaseMs * SIZED_FOR);
		return Math.min(burst, Math.max(steady, Math.ceil(unmet)));
	}

	#wantedSlots(): number {
		const { concurrency } = this.limits;
		if (concurrency === undefined) return 0;
		const inUse = this.#board.inUse(this.id);
		if (inUse === 0 && this.#slotsUnmet === 0) return 0;
		return Math.min(concurrency, inUse + Math.max(1, Math.ceil(inUse / 4)) + this.#slotsUnmet);
	}
}

function bitsOf({ rates, concurrency }: TenantLimits): number {
	let bits = concurrency === undefined ? 0 : 1 << CONCURRENCY;
	quotaDimensions.forEach((dimension, at) => {
		if (rates.has(dimension)) bits |= 1 << at;
	});
	return bits;
}
