// Owns the membership protocol as one pure machine: SWIM (Das et al. 2002) with Lifeguard. `step` takes an event and the time and answers
// with effects; `nextDeadlineMs` says when it wants a tick. It opens nothing, waits for nothing and reads no clock.
import type { Address } from '../effects/packets.js';
import { Accusations } from './accusations.js';
import { AntiEntropy } from './anti-entropy.js';
import { ClaimKeeper } from './claim-keeper.js';
import type { SwimCounters } from './counters.js';
import type { Effect, SwimEvent } from './events.js';
import { Exchanges } from './exchanges.js';
import { Gossiper } from './gossiper.js';
import type { AliveClaim, MemberRecord, MemberState, NodeId, StreamMessage } from './messages.js';
import { Prober } from './prober.js';
import { Receiver } from './receiver.js';
import { Relays } from './relays.js';
import { Self } from './self.js';
import { type SwimOptions, SwimState } from './state.js';
import { UserMessages } from './user-messages.js';

/** One member as this node believes it. */
export interface MemberView {
	readonly claim: AliveClaim;
	readonly state: MemberState;
	/** The highest incarnation heard of. */
	readonly incarnation: number;
	/** Distinct accusers heard of, while suspect or dead. */
	readonly accusers: readonly NodeId[];
}

const never = Number.POSITIVE_INFINITY;

export class SwimCore {
	readonly #state: SwimState;
	readonly #self: Self;
	readonly #accusations: Accusations;
	readonly #keeper: ClaimKeeper;
	readonly #prober: Prober;
	readonly #relays: Relays;
	readonly #gossiper: Gossiper;
	readonly #antiEntropy: AntiEntropy;
	readonly #exchanges: Exchanges;
	readonly #users: UserMessages;
	readonly #receiver: Receiver;
	readonly #seeds: readonly Address[];
	#sequence: number;
	#started = false;
	#deadlineMs = never;
	/** Standstill up to here has been forgiven. */
	#forgivenUntilMs = Number.NEGATIVE_INFINITY;

	/** Throws MeshError IM_MEMBERSHIP_SETTING or IM_MEMBERSHIP_OVERSIZED. */
	constructor(options: SwimOptions) {
		const state = new SwimState(options);
		this.#state = state;
		this.#self = new Self(state, options);
		this.#accusations = new Accusations(state, this.#self);
		this.#keeper = new ClaimKeeper(state, this.#self, this.#accusations);
		this.#exchanges = new Exchanges(state);
		// A random start: who has not seen a ping cannot guess its number and forge the answer.
		this.#sequence = options.random.nextU32();
		const nextSequence = (): number => {
			this.#sequence = (this.#sequence + 1) >>> 0;
			return this.#sequence;
		};
		this.#prober = new Prober(
			{ state, self: this.#self, keeper: this.#keeper, accusations: this.#accusations },
			nextSequence,
			(to, id, sequence, timeoutMs) => {
				const message: StreamMessage = { kind: 'streamPing', sequence, target: id, from: state.id };
				this.#exchanges.ask(to, id, message, { kind: 'streamPing', sequence }, timeoutMs);
			},
		);
		this.#relays = new Relays(state, this.#self, nextSequence);
		this.#gossiper = new Gossiper(state);
		this.#antiEntropy = new AntiEntropy(state, this.#self, this.#keeper, this.#exchanges);
		this.#users = new UserMessages(state, this.#exchanges, this.#self.claim.incarnation);
		this.#receiver = new Receiver(state, this.#keeper, this.#prober, this.#relays, this.#users);
		this.#seeds = options.seeds ?? [];
	}

	/**
	 * Takes one event at a monotonic time in milliseconds, never earlier than the one before. Effects are to be carried out in order. Throws
	 * MeshError IM_MEMBERSHIP_OVERSIZED for an `update` or `broadcast` above its bound; nothing that peers send makes it throw.
	 */
	step(event: SwimEvent, nowMs: number): readonly Effect[] {
		const sinceMs = nowMs - this.#state.nowMs;
		this.#state.nowMs = nowMs;
		// A tick this late means that the process stood still, at the longest since the step before.
		if (nowMs - this.#deadlineMs >= this.#stallMinMs()) this.#forgive(sinceMs);
		try {
			this.#take(event);
			if (this.#started) this.#tick();
		} finally {
			this.#deadlineMs = this.#nextDeadline();
		}
		return this.#state.takeEffects();
	}

	/** When the next `tick` is wanted, monotonic milliseconds; infinity for never. */
	nextDeadlineMs(): number {
		return this.#deadlineMs;
	}

	get self(): AliveClaim {
		return this.#self.claim;
	}

	get counters(): SwimCounters {
		return this.#state.counters;
	}

	/** Lifeguard's local health, 0 for healthy. */
	get healthScore(): number {
		return this.#state.awareness.score;
	}

	get queuedBroadcasts(): number {
		return this.#state.broadcasts.size;
	}

	get evictedBroadcasts(): number {
		return this.#state.broadcasts.evicted;
	}

	/** Alive and suspect members, this node included unless it has left. */
	get liveMembers(): number {
		return this.#state.table.live + (this.#state.leaving ? 0 : 1);
	}

	/** The others, dead and left ones included until they are forgotten. */
	*members(): Generator<MemberView> {
		const { table } = this.#state;
		for (let position = 0; position < table.size; position++) yield this.#view(table.at(position));
	}

	member(id: NodeId): MemberView | undefined {
		const slot = this.#state.table.slotOf(id);
		return slot < 0 ? undefined : this.#view(slot);
	}

	/** What to remember across a restart, this node's own record first. */
	records(): readonly MemberRecord[] {
		return this.#antiEntropy.records();
	}

	#view(slot: number): MemberView {
		const { table } = this.#state;
		const trouble = table.troubleOf(slot);
		const accusers = trouble?.marks.flatMap((mark) => (mark.kind === 'left' ? [] : [mark.by])) ?? [];
		return {
			claim: table.aliveOf(slot),
			state: table.stateOf(slot),
			incarnation: table.incarnationOf(slot),
			accusers,
		};
	}

	#take(event: SwimEvent): void {
		switch (event.kind) {
			case 'start':
				this.#start();
				break;
			case 'tick':
				break;
			case 'packet':
				this.#receiver.receive(event.messages, event.from, event.sender);
				break;
			case 'request':
				this.#state.emit({ kind: 'answer', token: event.token, message: this.#answer(event.message) });
				break;
			case 'answered':
				this.#onAnswer(event.exchange, event.message);
				break;
			case 'exchangeFailed':
				this.#onExchangeFailed(event.exchange);
				break;
			case 'claims':
				this.#receiver.receive(event.claims, event.from, undefined, event.asNewcomer);
				break;
			case 'restore':
				for (const record of event.records) this.#keeper.restore(record, '');
				break;
			case 'join':
				this.#antiEntropy.join(event.seeds);
				break;
			case 'update':
				this.#self.update(event);
				break;
			case 'broadcast':
				this.#users.broadcast(event.key, event.payload);
				break;
			case 'leave':
				this.#self.leave();
				break;
			case 'forget':
				this.#keeper.forget(event.id);
				break;
			case 'lag':
				if (event.lagMs >= this.#stallMinMs()) this.#forgive(event.lagMs);
				break;
		}
	}

	#start(): void {
		if (this.#started) return;
		this.#started = true;
		this.#self.start();
		this.#prober.start();
		this.#gossiper.start();
		this.#antiEntropy.start();
		this.#antiEntropy.join(this.#seeds);
	}

	/** Runs what is due in the order of deadlines, as separate timers would. A part that is due again at once waits for the next tick. */
	#tick(): void {
		const { nowMs } = this.#state;
		if (this.#nextDeadline() > nowMs) return;
		const parts = [this.#gossiper, this.#relays, this.#prober, this.#accusations, this.#antiEntropy];
		const due = parts.filter((part) => part.nextDeadlineMs() <= nowMs);
		if (due.length > 1) due.sort((a, b) => a.nextDeadlineMs() - b.nextDeadlineMs());
		for (const part of due) part.tick();
		if (this.#state.leaving) this.#self.tick();
	}

	#nextDeadline(): number {
		if (!this.#started) return never;
		return Math.min(
			this.#relays.nextDeadlineMs(),
			this.#prober.nextDeadlineMs(),
			this.#accusations.nextDeadlineMs(),
			this.#antiEntropy.nextDeadlineMs(),
			this.#gossiper.nextDeadlineMs(),
			this.#self.deadlineMs,
		);
	}

	/** Less lateness than this is ordinary scheduling, which the timeouts have room for. */
	#stallMinMs(): number {
		return this.#state.settings.probeTimeoutMs / 2;
	}

	/**
	 * This node stood still for `lagMs` until now: answers and refutations may lie unread. All that was running gets the time back, and an
	 * interval more to read them in; local health falls, so that this node accuses more slowly from here on.
	 */
	#forgive(lagMs: number): void {
		const { nowMs, settings, counters, plain } = this.#state;
		if (plain || this.#state.has('accuse-after-own-stall')) return;
		const sinceMs = Math.max(nowMs - lagMs, this.#forgivenUntilMs);
		const unforgivenMs = nowMs - sinceMs;
		if (unforgivenMs <= 0) return;
		this.#forgivenUntilMs = nowMs;
		counters.stalls++;
		counters.stallMs += unforgivenMs;
		const backMs = unforgivenMs + settings.probeIntervalMs;
		this.#prober.forgive(backMs);
		this.#relays.forgive(unforgivenMs);
		this.#accusations.forgive(backMs);
		this.#state.awareness.apply(Math.ceil(unforgivenMs / settings.probeIntervalMs));
	}

	#answer(message: StreamMessage): StreamMessage {
		if (message.kind === 'streamPing') {
			const { sequence, target } = message;
			if (target !== '' && target !== this.#state.id) return { kind: 'refused', reason: 'not the target' };
			return { kind: 'streamAck', sequence, payload: this.#state.coordinate() };
		}
		const source = this.#gossipAddressOf(message);
		if (message.kind !== 'deliver') return this.#antiEntropy.answer(message, source);
		this.#receiver.receive(message.messages, source);
		return { kind: 'done' };
	}

	/** Where the asker of a connection, whose port tells nothing, can itself be asked; empty when that is not known. */
	#gossipAddressOf(message: StreamMessage): Address {
		if (!('from' in message)) return '';
		const known = this.member(message.from);
		if (known !== undefined) return known.claim.address;
		const records = 'records' in message ? message.records : [];
		return records.find(({ alive }) => alive.id === message.from)?.alive.address ?? '';
	}

	#onAnswer(exchange: number, message: StreamMessage): void {
		const open = this.#exchanges.end(exchange);
		if (open === undefined) return;
		const { purpose } = open;
		if (purpose.kind === 'streamPing') {
			if (message.kind === 'streamAck' && message.sequence === purpose.sequence)
				this.#prober.onStreamAck(purpose.sequence);
		} else if (purpose.kind !== 'tell') this.#antiEntropy.onAnswer(open.to, purpose, message);
	}

	#onExchangeFailed(exchange: number): void {
		const open = this.#exchanges.end(exchange);
		if (open === undefined) return;
		this.#state.counters.exchangesFailed++;
		if (open.purpose.kind === 'join' || open.purpose.kind === 'digest') this.#antiEntropy.onFailed(open.purpose.seed);
	}
}
