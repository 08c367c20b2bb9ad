// Owns the running of the membership core: a codec and a packet network on one side, a clock on the other, one event at a time. It decides
// nothing about members.
import { type Clock, MeshError, type Timer } from '@infermesh/proto';
import type { Address, CertifiedNode, PacketNetwork } from '../effects/packets.js';
import { type DecodedStream, type GossipCodec, type PacketTarget, type RefusalCause, refusalCauses } from './codec.js';
import { CredentialFetcher, type CredentialKeeper } from './credential-fetcher.js';
import { membershipErrors } from './errors.js';
import type { Effect, MembershipEvent, SwimEvent } from './events.js';
import { splitAddress } from './mesh-codec/wire.js';
import { type AliveClaim, emptyBytes, type MemberRecord, type NodeId, type StreamMessage } from './messages.js';
import { checkMeta } from './self.js';
import type { SwimOptions } from './state.js';
import { type MemberView, SwimCore } from './swim-core.js';
import { checkBroadcast } from './user-messages.js';

export interface MembershipOptions {
	readonly core: Omit<SwimOptions, 'address' | 'sizes'>;
	/** What others reach this node at; by default what the network listens on. */
	readonly advertise?: Address;
	readonly codec: GossipCodec;
	readonly network: PacketNetwork;
	readonly clock: Clock;
	/** Makes this node's incarnation durable before it returns. Throwing stops the membership: an incarnation must not be used twice. */
	readonly persist: (incarnation: number) => void;
	readonly onEvent: (event: MembershipEvent) => void;
	/** Where claims are signed: keeps the certificates they are checked with. */
	readonly credentials?: CredentialKeeper;
	/** Members remembered from before a restart. */
	readonly restore?: readonly MemberRecord[];
}

export interface TransferCounters {
	readonly packetsSent: number;
	readonly packetsReceived: number;
	readonly bytesSent: number;
	readonly bytesReceived: number;
	/** Packets and stream messages refused, by cause. */
	readonly refused: Readonly<Record<RefusalCause, number>>;
	readonly credentialsAsked: number;
	readonly credentialsAdmitted: number;
	readonly credentialsRefused: number;
}

export class Membership {
	readonly #options: MembershipOptions;
	readonly #fetcher: CredentialFetcher | undefined;
	#core: SwimCore | undefined;
	#timer: Timer | undefined;
	#timerAtMs = Number.POSITIVE_INFINITY;
	#stopped = false;
	readonly #events: SwimEvent[] = [];
	#stepping = false;
	readonly #answers = new Map<number, (message: StreamMessage) => void>();
	#token = 0;
	#departed: (() => void)[] = [];
	readonly #refused = Object.fromEntries(refusalCauses.map((cause) => [cause, 0])) as Record<RefusalCause, number>;
	#packetsSent = 0;
	#packetsReceived = 0;
	#bytesSent = 0;
	#bytesReceived = 0;

	constructor(options: MembershipOptions) {
		this.#options = options;
		if (options.credentials !== undefined)
			this.#fetcher = new CredentialFetcher(
				options.credentials,
				options.clock,
				(to, message) => this.#ask(to, undefined, message, options.core.settings.streamTimeoutMs),
				(event) => this.#give(event),
			);
	}

	/** Listens and joins. Answers the address that others are told. Throws what the network throws, IM_MEMBERSHIP_ADDRESS, and the core's setting errors. */
	async start(): Promise<Address> {
		const { network, core, codec, advertise, restore } = this.#options;
		if (advertise !== undefined) checkAddress(advertise);
		const bound = await network.listen({
			onPacket: (from, packet) => this.#onPacket(from, packet),
			onExchange: (from, request, node) => this.#onExchange(from, request, node),
		});
		this.#core = new SwimCore({ ...core, address: advertise ?? bound, sizes: codec });
		if (restore !== undefined) this.#give({ kind: 'restore', records: restore });
		this.#give({ kind: 'start' });
		return this.#core.self.address;
	}

	/** Tells the others and resolves once that has been spread, or `leaveTimeoutMs` is over. */
	async leave(): Promise<void> {
		if (this.#core === undefined || this.#stopped) return;
		const departed = new Promise<void>((resolve) => this.#departed.push(resolve));
		this.#give({ kind: 'leave' });
		await departed;
	}

	/** Stops at once; the others find a failed member unless it has left. */
	async stop(): Promise<void> {
		if (this.#stopped) return;
		this.#stopped = true;
		this.#timer?.cancel();
		for (const resolve of this.#departed.splice(0)) resolve();
		await this.#options.network.close();
	}

	/** Throws MeshError IM_MEMBERSHIP_OVERSIZED or IM_MEMBERSHIP_ADDRESS. */
	update(change: { readonly meta?: Uint8Array; readonly address?: Address; readonly credential?: Uint8Array }): void {
		if (change.meta !== undefined) checkMeta(change.meta);
		if (change.address !== undefined) checkAddress(change.address);
		this.#give({ kind: 'update', ...change });
	}

	/** A user broadcast: a later one under the same key replaces it. Throws MeshError IM_MEMBERSHIP_OVERSIZED. */
	broadcast(key: string, payload: Uint8Array): void {
		checkBroadcast(key, payload);
		this.#give({ kind: 'broadcast', key, payload });
	}

	join(seeds: readonly Address[]): void {
		this.#give({ kind: 'join', seeds });
	}

	forget(id: NodeId): void {
		this.#give({ kind: 'forget', id });
	}

	/** The event loop of this thread stood still for `lagMs` until now: nobody is accused for it. */
	reportLoopLag(lagMs: number): void {
		this.#give({ kind: 'lag', lagMs });
	}

	/** Undefined before `start`. */
	get self(): AliveClaim | undefined {
		return this.#core?.self;
	}

	/** The others; see SwimCore. */
	members(): readonly MemberView[] {
		return this.#core === undefined ? [] : [...this.#core.members()];
	}

	member(id: NodeId): MemberView | undefined {
		return this.#core?.member(id);
	}

	/** Alive and suspect members, this node included. */
	get liveMembers(): number {
		return this.#core?.liveMembers ?? 0;
	}

	/** What to give as `restore` after a restart. */
	records(): readonly MemberRecord[] {
		return this.#core?.records() ?? [];
	}

	get core(): Pick<SwimCore, 'counters' | 'healthScore' | 'queuedBroadcasts' | 'evictedBroadcasts'> | undefined {
		return this.#core;
	}

	get transfer(): TransferCounters {
		return {
			packetsSent: this.#packetsSent,
			packetsReceived: this.#packetsReceived,
			bytesSent: this.#bytesSent,
			bytesReceived: this.#bytesReceived,
			refused: { ...this.#refused },
			credentialsAsked: this.#fetcher?.asked ?? 0,
			credentialsAdmitted: this.#fetcher?.admitted ?? 0,
			credentialsRefused: this.#fetcher?.refused ?? 0,
		};
	}

	/** One event after the other: what a listener asks for while effects are carried out waits for its turn. */
	#give(event: SwimEvent): void {
		if (this.#core === undefined || this.#stopped) return;
		this.#events.push(event);
		if (this.#stepping) return;
		this.#stepping = true;
		try {
			for (let next = this.#events.shift(); next !== undefined; next = this.#events.shift())
				this.#step(this.#core, next);
		} finally {
			this.#stepping = false;
			this.#events.length = 0;
		}
		this.#arm(this.#core.nextDeadlineMs());
	}

	#step(core: SwimCore, event: SwimEvent): void {
		for (const effect of core.step(event, this.#options.clock.nowMs())) if (!this.#stopped) this.#carryOut(effect);
	}

	#carryOut(effect: Effect): void {
		switch (effect.kind) {
			case 'packet': {
				const packet = this.#options.codec.encodePacket(effect.messages, this.#target(effect.to, effect.id));
				this.#packetsSent++;
				this.#bytesSent += packet.length;
				this.#options.network.send(effect.to, packet);
				break;
			}
			case 'exchange':
				void this.#exchange(effect);
				break;
			case 'answer':
				this.#answers.get(effect.token)?.(effect.message);
				break;
			case 'persist':
				this.#options.persist(effect.incarnation);
				break;
			case 'credential':
				this.#fetcher?.fetch(effect);
				break;
			case 'event':
				this.#options.onEvent(effect.event);
				if (effect.event.kind === 'departed') for (const resolve of this.#departed.splice(0)) resolve();
				break;
		}
	}

	async #exchange(effect: Extract<Effect, { kind: 'exchange' }>): Promise<void> {
		const { exchange } = effect;
		try {
			const message = await this.#ask(effect.to, effect.id, effect.message, effect.timeoutMs);
			this.#give({ kind: 'answered', exchange, message });
		} catch {
			this.#give({ kind: 'exchangeFailed', exchange });
		}
	}

	/** Rejects when the peer cannot be reached, is late, or answers what is refused (which is counted). */
	async #ask(to: Address, id: NodeId | undefined, message: StreamMessage, timeoutMs: number): Promise<StreamMessage> {
		const { codec, network, clock } = this.#options;
		const request = codec.encodeStream(message, this.#target(to, id));
		const options = { timeoutMs, answerMaxBytes: codec.streamMaxBytes, expectedNode: id };
		const { bytes, node } = await network.exchange(to, request, options);
		const decoded = vouched(codec.decodeStream(bytes, to, clock.nowMs()), node);
		if (decoded.ok) return decoded.message;
		this.#refused[decoded.refused]++;
		throw new Error(`answer of ${to} refused: ${decoded.refused}`);
	}

	#onPacket(from: Address, packet: Uint8Array): void {
		this.#packetsReceived++;
		this.#bytesReceived += packet.length;
		const { messages, sender, refused } = this.#options.codec.decodePacket(packet, from, this.#options.clock.nowMs());
		if (refused !== undefined) this.#refused[refused]++;
		if (messages.length > 0) this.#give({ kind: 'packet', from, sender, messages });
	}

	async #onExchange(from: Address, request: Uint8Array, node: CertifiedNode): Promise<Uint8Array> {
		const { codec, clock, credentials } = this.#options;
		const decoded = vouched(codec.decodeStream(request, from, clock.nowMs()), node);
		if (!decoded.ok) {
			this.#refused[decoded.refused]++;
			throw new Error(`request of ${from} refused: ${decoded.refused}`);
		}
		const { message } = decoded;
		const answer =
			message.kind === 'askCredentials' && credentials !== undefined
				? ({ kind: 'credentials', chains: credentials.chainsOf(message.ids) } as const)
				: await this.#request(from, message);
		return codec.encodeStream(answer, this.#target(from, decoded.sender));
	}

	#request(from: Address, message: StreamMessage): Promise<StreamMessage> {
		const token = ++this.#token;
		const { promise, resolve, reject } = Promise.withResolvers<StreamMessage>();
		this.#answers.set(token, resolve);
		this.#give({ kind: 'request', token, from, message });
		// Answered within the step, or, when this came while another step was under way, within that one.
		queueMicrotask(() => {
			this.#answers.delete(token);
			reject(new Error('not answered: the membership has stopped'));
		});
		return promise;
	}

	#target(address: Address, id: NodeId | undefined): PacketTarget {
		const protocol = id === undefined ? undefined : this.#core?.member(id)?.claim.protocol;
		return { address, id, protocol: protocol ?? emptyBytes };
	}

	/** A timer that comes early is cheaper than one cancelled for every packet. */
	#arm(deadlineMs: number): void {
		if (this.#stopped || this.#timerAtMs <= deadlineMs) return;
		this.#timer?.cancel();
		this.#timerAtMs = deadlineMs;
		if (deadlineMs === Number.POSITIVE_INFINITY) return;
		const delayMs = Math.max(0, Math.ceil(deadlineMs - this.#options.clock.nowMs()));
		this.#timer = this.#options.clock.after(delayMs, () => {
			this.#timerAtMs = Number.POSITIVE_INFINITY;
			this.#give({ kind: 'tick' });
		});
	}
}

/** Every holder of the group key can seal in anybody's name; the certificate of the connection says whose word it is. */
function vouched(decoded: DecodedStream, node: CertifiedNode): DecodedStream {
	if (!decoded.ok || node === undefined || decoded.sender === node) return decoded;
	return { ok: false, refused: 'certificate' };
}

function checkAddress(address: Address): void {
	if (splitAddress(address) === undefined)
		throw new MeshError(membershipErrors, 'IM_MEMBERSHIP_ADDRESS', `${address.slice(0, 80)} is no address`);
}
