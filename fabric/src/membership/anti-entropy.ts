// Owns the exchanges that bring two tables together: joining by a seed, the periodic comparison with a random member, and the attempts to
// reach failed members, which heal a partition. By digest first where the protocol has it, so that equal tables cost a few kilobytes.
import type { Address } from '../effects/packets.js';
import type { ClaimKeeper } from './claim-keeper.js';
import { bucketOf, bucketsFor, differingBuckets, isDigestShape } from './digest.js';
import { type Exchanges, type Purpose, sameBelief } from './exchanges.js';
import { emptyBytes, type MemberRecord, type NodeId, type StreamMessage } from './messages.js';
import { Seeds } from './seeds.js';
import type { Self } from './self.js';
import type { SwimState } from './state.js';

type Comparison = Extract<Purpose, { kind: 'join' | 'digest' }>;

/** The pool size above which exchanges become rarer (memberlist). */
const scaleAboveMembers = 32;

export class AntiEntropy {
	readonly #state: SwimState;
	readonly #self: Self;
	readonly #keeper: ClaimKeeper;
	readonly #exchanges: Exchanges;
	readonly #seeds: Seeds;
	#nextSyncMs = Number.POSITIVE_INFINITY;
	/** The pause between comparisons now: short while they find differences, doubling to the full interval while they do not. */
	#syncSpanMs: number;
	#nextReconnectMs = Number.POSITIVE_INFINITY;

	constructor(state: SwimState, self: Self, keeper: ClaimKeeper, exchanges: Exchanges) {
		this.#state = state;
		this.#self = self;
		this.#keeper = keeper;
		this.#exchanges = exchanges;
		this.#seeds = new Seeds(state.settings, state.random);
		this.#syncSpanMs = state.settings.pushPullIntervalMs;
	}

	start(): void {
		const { nowMs, random, settings } = this.#state;
		this.#nextSyncMs = nowMs + random.nextFloat() * settings.pushPullIntervalMs;
		this.#nextReconnectMs = nowMs + random.nextFloat() * settings.reconnectIntervalMs;
	}

	join(seeds: readonly Address[]): void {
		this.#seeds.add(seeds, this.#state.nowMs);
	}

	nextDeadlineMs(): number {
		if (this.#state.leaving) return Number.POSITIVE_INFINITY;
		return Math.min(this.#nextSyncMs, this.#nextReconnectMs, this.#seeds.nextDeadlineMs());
	}

	tick(): void {
		const { nowMs, settings, table, leaving } = this.#state;
		if (leaving) return;
		for (const seed of this.#seeds.due(nowMs, (id, address) => this.#isLiveSeed(id, address))) this.#trySeed(seed);
		if (nowMs >= this.#nextReconnectMs) {
			this.#nextReconnectMs = nowMs + settings.reconnectIntervalMs;
			this.#reconnect();
		}
		if (nowMs < this.#nextSyncMs) return;
		this.#syncSpanMs = Math.min(this.#syncSpanMs * 2, pushPullSpanMs(settings.pushPullIntervalMs, this.#state.members));
		this.#nextSyncMs = nowMs + this.#syncSpanMs;
		const [slot] = table.pick(1, this.#state.random, (one) => table.stateOf(one) === 'alive');
		if (slot !== undefined) this.#compare(table.aliveOf(slot).address, table.aliveOf(slot).id, undefined);
	}

	/** The answer to a peer's question, whose records are merged. */
	answer(message: StreamMessage, from: Address): StreamMessage {
		if (message.kind === 'digest') return this.#answerDigest(message.sums);
		if (message.kind === 'pushPull') {
			// Answered with what was known before: a peer that restarted must hear what is held against its former life.
			const records = this.records();
			this.#keeper.merge(message.records, from);
			this.#state.tell({ kind: 'synchronised', with: from, join: message.join, user: message.user });
			return { kind: 'pushPull', from: this.#state.id, join: false, records, user: emptyBytes };
		}
		if (message.kind !== 'push') return { kind: 'refused', reason: 'not a question' };
		this.#keeper.merge(message.records, from);
		return { kind: 'done' };
	}

	/** The answer to a digest or full state this node has sent; one that does not fit counts as none. */
	onAnswer(to: Address, purpose: Comparison, message: StreamMessage): void {
		const { seed } = purpose;
		const fits = purpose.kind === 'digest' ? message.kind === 'difference' : message.kind === 'pushPull';
		if (!fits || (message.kind !== 'difference' && message.kind !== 'pushPull')) {
			this.onFailed(seed);
			return;
		}
		if (seed !== undefined)
			this.#seeds.answered(seed, message.from === '' ? undefined : message.from, this.#state.nowMs);
		if (message.kind === 'difference' && purpose.kind === 'digest') {
			const buckets = message.buckets.filter((bucket) => bucket < purpose.buckets);
			this.#onDifference(to, new Set(buckets), purpose.buckets, message.records);
		} else {
			this.#keeper.merge(message.records, to, this.#state.table.size === 0);
			this.#compareSoon();
		}
		const user = message.kind === 'pushPull' ? message.user : emptyBytes;
		this.#state.tell({ kind: 'synchronised', with: to, join: seed !== undefined, user });
	}

	onFailed(seed: Address | undefined): void {
		if (seed !== undefined) this.#seeds.failed(seed, this.#state.nowMs);
	}

	/** All that is known, this node first. */
	records(): MemberRecord[] {
		const { table } = this.#state;
		const records = [this.#self.record];
		for (let position = 0; position < table.size; position++) records.push(table.recordOf(table.at(position)));
		return records;
	}

	#answerDigest(sums: Uint32Array): StreamMessage {
		if (!isDigestShape(sums)) return { kind: 'refused', reason: 'digest shape' };
		const count = sums.length / 2;
		const buckets = differingBuckets(this.#sums(count), sums);
		if (buckets.length === 0) this.#state.counters.digestsEqual++;
		return { kind: 'difference', from: this.#state.id, buckets, records: this.#records(new Set(buckets), count) };
	}

	#trySeed(seed: Address): void {
		this.#state.counters.seedAttempts++;
		// Who knows many others has little to learn: it compares. Who knows nobody asks for everything.
		if (this.#state.digestFirst && this.#state.table.size > 0) this.#compare(seed, undefined, seed);
		else this.#fullState(seed, undefined, seed, true);
	}

	#compare(to: Address, id: NodeId | undefined, seed: Address | undefined): void {
		if (!this.#state.digestFirst) {
			this.#fullState(to, id, seed, false);
			return;
		}
		const sums = this.#sums(bucketsFor(this.#state.table.size + 1));
		const purpose = { kind: 'digest', seed, buckets: sums.length / 2 } as const;
		const asked = this.#exchanges.ask(to, id, { kind: 'digest', from: this.#state.id, sums }, purpose);
		if (!asked) this.onFailed(seed);
	}

	#fullState(to: Address, id: NodeId | undefined, seed: Address | undefined, join: boolean): void {
		const message: StreamMessage = {
			kind: 'pushPull',
			from: this.#state.id,
			join,
			records: this.records(),
			user: emptyBytes,
		};
		if (!this.#exchanges.ask(to, id, message, { kind: 'join', seed })) this.onFailed(seed);
	}

	/** Merges what the peer holds in the buckets that differ, and pushes back where this node still believes otherwise. */
	#onDifference(to: Address, buckets: ReadonlySet<number>, count: number, theirs: readonly MemberRecord[]): void {
		if (buckets.size === 0) {
			this.#state.counters.digestsEqual++;
			return;
		}
		this.#keeper.merge(theirs, to);
		this.#compareSoon();
		const told = new Map(theirs.map((record) => [record.alive.id, record]));
		const news = this.#records(buckets, count).filter((ours) => {
			const their = told.get(ours.alive.id);
			return their === undefined || !sameBelief(ours, their);
		});
		if (news.length === 0) return;
		this.#exchanges.ask(to, undefined, { kind: 'push', from: this.#state.id, records: news }, { kind: 'tell' });
	}

	/** Serf's rule: with a chance of failed / (failed + alive), try one of the failed. */
	#reconnect(): void {
		const { table, random } = this.#state;
		if (table.gone === 0 || random.nextFloat() >= table.gone / table.size) return;
		const [slot] = table.pick(1, random, (one) => table.stateOf(one) === 'dead');
		if (slot === undefined) return;
		const { address, id } = table.aliveOf(slot);
		this.#compare(address, id, undefined);
	}

	#isLiveSeed(id: NodeId | undefined, address: Address): boolean {
		const { table } = this.#state;
		if (address === this.#self.claim.address || id === this.#state.id) return true;
		if (id !== undefined) {
			const slot = table.slotOf(id);
			if (slot >= 0 && table.isLive(slot)) return true;
		}
		for (let position = 0; position < table.size; position++) {
			const slot = table.at(position);
			if (table.aliveOf(slot).address === address) return table.isLive(slot);
		}
		return false;
	}

	/** There was something to learn, so there may be more: the next comparison follows soon, where comparing is cheap. */
	#compareSoon(): void {
		const { settings, nowMs, random, digestFirst } = this.#state;
		if (!digestFirst) return;
		this.#syncSpanMs = settings.probeIntervalMs;
		this.#nextSyncMs = Math.min(this.#nextSyncMs, nowMs + this.#syncSpanMs * (0.5 + random.nextFloat()));
	}

	#sums(buckets: number): Uint32Array {
		const { table, id, leaving } = this.#state;
		const { incarnation } = this.#self.claim;
		return table.sums(buckets, { slot: table.index.intern(id), incarnation, state: leaving ? 'left' : 'alive' });
	}

	/** The records in some buckets of `count`. */
	#records(buckets: ReadonlySet<number>, count: number): MemberRecord[] {
		if (buckets.size === 0) return [];
		const { index } = this.#state.table;
		return this.records().filter(({ alive }) => buckets.has(bucketOf(index.hashOf(index.intern(alive.id), 0), count)));
	}
}

/** Memberlist: interval · (ceil(log2 n − log2 32) + 1) above 32 members. */
export function pushPullSpanMs(intervalMs: number, members: number): number {
	if (members <= scaleAboveMembers) return intervalMs;
	return intervalMs * (Math.ceil(Math.log2(members) - Math.log2(scaleAboveMembers)) + 1);
}
