// Owns what the parts of the membership core share: the options compiled, the tables, the time of this step and the effects gathered in it.
import type { Random } from '@infermesh/proto';
import type { Address } from '../effects/packets.js';
import { Awareness } from './awareness.js';
import { BroadcastQueue, retransmitLimit, type Spread } from './broadcasts.js';
import { SwimCounters } from './counters.js';
import type { Effect, MembershipEvent } from './events.js';
import { MemberTable } from './member-table.js';
import {
	type Ack,
	type Challenge,
	type Claim,
	emptyBytes,
	type GossipMessage,
	type NodeId,
	type UserMessage,
} from './messages.js';
import { NodeIndex } from './node-index.js';
import type { CoordinateSource, PacketSizes, RecordSigner, RecordVerifier, SwimMutation } from './ports.js';
import { checkSettings, type SwimSettings, swimBounds } from './settings.js';

export interface SwimOptions {
	readonly id: NodeId;
	/** What others reach this node at. */
	readonly address: Address;
	/** At most `metaMaxBytes`. */
	readonly meta: Uint8Array;
	/** SHA-256 of the leaf certificate; empty where records are not signed. */
	readonly credential?: Uint8Array;
	/** Version bytes for memberlist's protocol; empty otherwise. */
	readonly protocol?: Uint8Array;
	/** The last incarnation made durable, undefined on the first start. */
	readonly incarnation: number | undefined;
	readonly settings: SwimSettings;
	readonly random: Random;
	readonly sizes: PacketSizes;
	readonly signer: RecordSigner;
	readonly verifier: RecordVerifier;
	readonly coordinates?: CoordinateSource;
	/**
	 * Whether claims carry signatures. Without them (memberlist) one dead claim by gossip kills, and what anti-entropy says against a member
	 * is taken up as this node's own suspicion; with them every accusation counts for its signer, and a dead claim needs a quorum.
	 */
	readonly signedRecords: boolean;
	/** Compare digests before sending state; memberlist knows only full state. */
	readonly digestFirst: boolean;
	/** Tried for ever until a member answers there. */
	readonly seeds?: readonly Address[];
	/** SWIM without Lifeguard, for comparison. */
	readonly plainSwim?: boolean;
	readonly mutations?: ReadonlySet<SwimMutation>;
	/** Shared between the cores of a simulation; a node has its own. */
	readonly index?: NodeIndex;
}

export class SwimState {
	readonly id: NodeId;
	readonly settings: SwimSettings;
	readonly random: Random;
	readonly sizes: PacketSizes;
	readonly signer: RecordSigner;
	readonly signedRecords: boolean;
	readonly digestFirst: boolean;
	readonly plain: boolean;
	readonly table: MemberTable;
	readonly broadcasts: BroadcastQueue;
	readonly awareness: Awareness;
	readonly counters = new SwimCounters();
	/** When the broadcast queue last stopped being empty. */
	queuedSinceMs = 0;
	/** Monotonic milliseconds of the step under way. */
	nowMs = 0;
	/** Set once this node has told that it goes. */
	leaving = false;
	/** Set once the telling is done: nothing is probed or gossiped any more. */
	departed = false;
	readonly #verifier: RecordVerifier;
	readonly #coordinates: CoordinateSource | undefined;
	readonly #mutations: ReadonlySet<SwimMutation>;
	#effects: Effect[] = [];
	#waiting: (Claim | UserMessage)[] = [];
	#waitingFrom: Address = '';
	#waitingAsNewcomer = false;

	constructor(options: SwimOptions) {
		checkSettings(options.settings);
		this.id = options.id;
		this.settings = options.settings;
		this.random = options.random;
		this.sizes = options.sizes;
		this.signer = options.signer;
		this.signedRecords = options.signedRecords;
		this.digestFirst = options.digestFirst;
		this.plain = options.plainSwim === true;
		this.#verifier = options.verifier;
		this.#coordinates = options.coordinates;
		this.#mutations = options.mutations ?? new Set();
		this.table = new MemberTable(options.index ?? new NodeIndex());
		this.awareness = new Awareness(options.settings.awarenessMax, !this.plain);
		const max = this.has('unbounded-queue') ? Number.MAX_SAFE_INTEGER : swimBounds.broadcastsMax;
		this.broadcasts = new BroadcastQueue({ max, messageMaxBytes: options.sizes.messagesMaxBytes });
	}

	has(mutation: SwimMutation): boolean {
		return this.#mutations.has(mutation);
	}

	/** Alive and suspect members and this node: the n of the formulas. */
	get members(): number {
		return this.table.live + 1;
	}

	emit(effect: Effect): void {
		this.#effects.push(effect);
	}

	tell(event: MembershipEvent): void {
		this.#effects.push({ kind: 'event', event });
	}

	send(to: Address, id: NodeId | undefined, messages: readonly GossipMessage[]): void {
		this.#effects.push({ kind: 'packet', to, id, messages });
	}

	/** Queues what is to be spread, under the key that a later version replaces. */
	spread(key: string, message: Spread): 'queued' | 'oversized' {
		if (this.broadcasts.size === 0) this.queuedSinceMs = this.nowMs;
		const queued = this.broadcasts.enqueue(key, message, this.sizes.sizeOf(message));
		if (queued === 'oversized') this.counters.broadcastsOversized++;
		return queued;
	}

	/** Adds broadcasts to `messages` as far as the packet has room beside them. */
	piggyback(messages: GossipMessage[]): void {
		if (this.broadcasts.size === 0) return;
		let room = this.sizes.messagesMaxBytes;
		for (const message of messages) room -= this.sizes.sizeOf(message);
		const limit = this.has('unbounded-queue')
			? Number.MAX_SAFE_INTEGER
			: retransmitLimit(this.settings.retransmitMultiplier, this.members);
		messages.push(...this.broadcasts.take(room, limit, messages));
	}

	/** Whether a claim may be believed. What cannot be checked yet is set aside for its credential, or dropped and counted. */
	believes(claim: Claim | UserMessage, from: Address, asNewcomer = false): boolean {
		if (this.has('accept-unsigned-record')) return true;
		switch (this.#verifier.verify(claim, this.nowMs)) {
			case 'valid':
				return true;
			case 'forged':
				this.counters.claimsForged++;
				return false;
			case 'busy':
				this.counters.claimsBusy++;
				return false;
			case 'unknown':
				this.#setAside(claim, from, asNewcomer);
				return false;
			default:
				return false;
		}
	}

	/** A challenge for the probe of a member; none where nothing is signed. */
	challenge(): { readonly challenge?: Challenge } {
		return this.signedRecords ? { challenge: { by: this.id, nonce: this.signer.nonce() } } : {};
	}

	/** This node's answer to a ping. */
	ack(sequence: number, challenge: Challenge | undefined): Ack {
		const payload = this.coordinate();
		if (challenge === undefined) return { kind: 'ack', sequence, payload };
		const proof = this.signer.sign({ kind: 'answer', id: this.id, challenge, payload });
		return { kind: 'ack', sequence, payload, proof };
	}

	/** Whether an ack is the word of `id` on this challenge, and nobody else's. */
	isAnswerOf(id: NodeId, challenge: Challenge | undefined, { payload, proof }: Ack): boolean {
		if (challenge === undefined || this.has('believe-any-ack')) return true;
		if (proof !== undefined && this.#verifier.provesAnswer({ kind: 'answer', id, challenge, payload }, proof))
			return true;
		this.counters.acksForged++;
		return false;
	}

	coordinate(): Uint8Array {
		return this.#coordinates?.current() ?? emptyBytes;
	}

	takeEffects(): readonly Effect[] {
		this.#flushWaiting();
		const effects = this.#effects;
		this.#effects = [];
		return effects;
	}

	#setAside(claim: Claim | UserMessage, from: Address, asNewcomer: boolean): void {
		if (this.#waitingFrom !== from || this.#waitingAsNewcomer !== asNewcomer) this.#flushWaiting();
		if (this.#waiting.length >= swimBounds.waitingClaimsMax) return;
		this.counters.claimsWaiting++;
		this.#waitingFrom = from;
		this.#waitingAsNewcomer = asNewcomer;
		this.#waiting.push(claim);
	}

	#flushWaiting(): void {
		if (this.#waiting.length === 0) return;
		const [from, asNewcomer] = [this.#waitingFrom, this.#waitingAsNewcomer];
		this.#effects.push({ kind: 'credential', from, claims: this.#waiting, asNewcomer });
		this.#waiting = [];
	}
}
