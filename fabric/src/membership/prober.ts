// Owns this node's own probes: shuffled round robin over the members, one at a time. A direct ping; then helpers and a stream at once; then
// the verdict, at the end of the interval that local health has stretched (SWIM §3.1, §4.3; Lifeguard §IV-A).
import type { Address } from '../effects/packets.js';
import type { Accusations } from './accusations.js';
import type { ClaimKeeper } from './claim-keeper.js';
import type { Ack, Challenge, GossipMessage, NodeId } from './messages.js';
import type { Self } from './self.js';
import { swimBounds } from './settings.js';
import type { SwimState } from './state.js';

interface Probe {
	readonly id: NodeId;
	readonly address: Address;
	readonly sequence: number;
	readonly challenge: Challenge | undefined;
	readonly startMs: number;
	directByMs: number;
	endMs: number;
	indirect: boolean;
	nacksExpected: number;
	nacksReceived: number;
	streamAnswered: boolean;
	/** Acks that were not the member's. */
	doubtful: number;
}

/** Opens a stream ping; its answer comes back by `onStreamAck`. */
export type StreamPing = (to: Address, id: NodeId, sequence: number, timeoutMs: number) => void;

export class Prober {
	readonly #state: SwimState;
	readonly #self: Self;
	readonly #keeper: ClaimKeeper;
	readonly #accusations: Accusations;
	readonly #streamPing: StreamPing;
	readonly #nextSequence: () => number;
	#position = 0;
	#probe: Probe | undefined;
	/** The last probe that only others have answered: its own connection may still get through. */
	#relayed: Probe | undefined;
	#nextMs = Number.POSITIVE_INFINITY;

	constructor(
		parts: {
			readonly state: SwimState;
			readonly self: Self;
			readonly keeper: ClaimKeeper;
			readonly accusations: Accusations;
		},
		nextSequence: () => number,
		streamPing: StreamPing,
	) {
		this.#state = parts.state;
		this.#self = parts.self;
		this.#keeper = parts.keeper;
		this.#accusations = parts.accusations;
		this.#nextSequence = nextSequence;
		this.#streamPing = streamPing;
	}

	/** The first probe comes at a random point of the first interval, so that nodes started together do not probe together. */
	start(): void {
		this.#nextMs = this.#state.nowMs + this.#state.random.nextFloat() * this.#state.settings.probeIntervalMs;
	}

	nextDeadlineMs(): number {
		const probe = this.#probe;
		if (this.#state.departed) return Number.POSITIVE_INFINITY;
		if (probe === undefined) return this.#nextMs;
		return probe.indirect ? probe.endMs : Math.min(probe.directByMs, probe.endMs);
	}

	tick(): void {
		const { nowMs } = this.#state;
		if (this.#state.departed) return;
		const probe = this.#probe;
		if (probe !== undefined) {
			if (nowMs >= probe.endMs) this.#conclude(probe);
			else if (!probe.indirect && nowMs >= probe.directByMs) this.#askHelpers(probe);
		}
		if (this.#probe === undefined && nowMs >= this.#nextMs) this.#begin();
	}

	/**
	 * Whether the ack belongs to the probe under way. A relayed one carries the same number, in a packet of the helper's: `sender` has sealed it. Where the
	 * protocol does not tell, the address must do, which is another than the one known where a member is known by name or sits behind a NAT.
	 */
	onAck(ack: Ack, from: Address, sender: NodeId | undefined): boolean {
		const probe = this.#probe;
		if (probe === undefined || probe.sequence !== ack.sequence) return false;
		if (probe.doubtful >= swimBounds.acksPerProbeMax) return true;
		if (!this.#state.isAnswerOf(probe.id, probe.challenge, ack)) {
			probe.doubtful++;
			return true;
		}
		// Before helpers are asked only the member itself can have answered.
		if (!probe.indirect) {
			const rttMs = this.#state.nowMs - probe.startMs;
			this.#state.tell({ kind: 'coordinate', id: probe.id, rttMs, payload: ack.payload });
		} else if ((sender === undefined ? from !== probe.address : sender !== probe.id) && !probe.streamAnswered) {
			this.#relayed = probe;
			this.#state.tell({ kind: 'unreached', id: probe.id });
		}
		this.#succeed(probe);
		return true;
	}

	onNack(sequence: number): boolean {
		const probe = this.#probe;
		if (probe === undefined || probe.sequence !== sequence) return false;
		if (!this.#state.has('ignore-nack')) probe.nacksReceived++;
		this.#state.counters.nacksReceived++;
		return true;
	}

	/** The verdict waits for the end of the interval: an ack may still come and show that packets get through. */
	onStreamAck(sequence: number): void {
		if (this.#probe?.sequence === sequence) this.#probe.streamAnswered = true;
		if (this.#relayed?.sequence !== sequence) return;
		this.#state.tell({ kind: 'packetsBlocked', id: this.#relayed.id });
		this.#relayed = undefined;
	}

	/** This node stood still: an answer may lie unread, so the probe gets the time back. */
	forgive(lagMs: number): void {
		if (this.#probe === undefined) return;
		this.#probe.directByMs += lagMs;
		this.#probe.endMs += lagMs;
	}

	#begin(): void {
		const state = this.#state;
		const { settings, nowMs } = state;
		const slot = this.#nextTarget();
		if (slot < 0) {
			this.#nextMs = nowMs + settings.probeIntervalMs;
			return;
		}
		const { id, address } = state.table.aliveOf(slot);
		const sequence = this.#nextSequence();
		const asked = state.challenge();
		this.#probe = {
			id,
			address,
			sequence,
			challenge: asked.challenge,
			startMs: nowMs,
			directByMs: nowMs + state.awareness.scale(settings.probeTimeoutMs),
			endMs: nowMs + state.awareness.scale(settings.probeIntervalMs),
			indirect: false,
			nacksExpected: 0,
			nacksReceived: 0,
			streamAnswered: false,
			doubtful: 0,
		};
		state.counters.probes++;
		const messages: GossipMessage[] = [
			{ kind: 'ping', sequence, target: id, from: state.id, fromAddress: this.#self.claim.address, ...asked },
		];
		// Buddy (Lifeguard §IV-C): the suspect hears of the suspicion from whoever probes it next.
		if (!state.plain) messages.push(...this.#keeper.marksAgainst(id));
		state.piggyback(messages);
		state.send(address, id, messages);
	}

	#askHelpers(probe: Probe): void {
		const state = this.#state;
		probe.indirect = true;
		const target = state.table.slotOf(probe.id);
		if (target < 0 || !state.table.isLive(target)) return;
		const fits = (slot: number): boolean => slot !== target && state.table.stateOf(slot) === 'alive';
		const helpers = state.table.pick(state.settings.indirectChecks, state.random, fits);
		for (const helper of helpers) {
			const { id, address } = state.table.aliveOf(helper);
			const messages: GossipMessage[] = [
				{
					kind: 'pingRequest',
					sequence: probe.sequence,
					target: probe.id,
					targetAddress: probe.address,
					wantNack: !state.plain,
					from: state.id,
					fromAddress: this.#self.claim.address,
					...(probe.challenge === undefined ? {} : { challenge: probe.challenge }),
				},
			];
			state.piggyback(messages);
			state.send(address, id, messages);
			state.counters.indirectProbes++;
		}
		probe.nacksExpected = state.plain ? 0 : helpers.length;
		this.#streamPing(probe.address, probe.id, probe.sequence, probe.endMs - state.nowMs);
	}

	#conclude(probe: Probe): void {
		const state = this.#state;
		if (probe.streamAnswered) {
			state.counters.streamProbesAnswered++;
			// Packets came, though none that proves anything: an intruder, or a certificate so new that it is not known here yet.
			if (probe.doubtful === 0) state.tell({ kind: 'packetsBlocked', id: probe.id });
			this.#succeed(probe);
			return;
		}
		state.counters.probesFailed++;
		const missing = probe.nacksExpected - probe.nacksReceived;
		state.awareness.apply(probe.nacksExpected > 0 ? Math.max(0, missing) : 1);
		state.tell({ kind: 'unreached', id: probe.id });
		this.#finish(probe);
		this.#accusations.suspect(probe.id);
	}

	#succeed(probe: Probe): void {
		this.#state.awareness.apply(-1);
		this.#finish(probe);
	}

	#finish(probe: Probe): void {
		this.#probe = undefined;
		const span = this.#state.awareness.scale(this.#state.settings.probeIntervalMs);
		this.#nextMs = Math.max(this.#state.nowMs, probe.startMs + span);
	}

	/** -1 when nobody is to be probed. Each wrap forgets what is due, and shuffles. */
	#nextTarget(): number {
		const { table, random } = this.#state;
		for (let looked = 0; looked <= table.size; looked++) {
			if (this.#position >= table.size) {
				this.#position = 0;
				this.#keeper.reap();
				table.shuffle(random);
				if (table.size === 0) return -1;
			}
			const slot = table.at(this.#position++);
			if (table.isLive(slot)) return slot;
		}
		return -1;
	}
}
