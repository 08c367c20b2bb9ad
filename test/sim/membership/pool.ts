// Owns a simulated pool of membership cores: one virtual clock, links with delay, loss, duplication and partitions, connections, processes that
// stand still, crash and restart. Everything comes from one seed. Events of all members are handed to a watcher.
import {
	emptyBytes,
	type GossipMessage,
	type MembershipEvent,
	type NodeId,
	NodeIndex,
	type PacketSizes,
	type StreamMessage,
	SwimCore,
	type SwimEffect,
	type SwimEvent,
	type SwimMutation,
	type SwimSettings,
	swimProfiles,
} from '@infermesh/fabric';
import { SeededRandom } from '@infermesh/proto';
import { Agenda } from '../world/agenda.js';
import { simulatedSignatures, simulatedSigner } from './signatures.js';

export interface PoolOptions {
	readonly seed: number;
	readonly settings?: SwimSettings;
	readonly plainSwim?: boolean;
	readonly mutations?: readonly SwimMutation[];
	/** Chance that a packet is lost, 0 to 1. */
	readonly loss?: number;
	readonly duplication?: number;
	/** One way: at least this, plus an exponential part. */
	readonly delayMinMs?: number;
	readonly delayMeanMs?: number;
	/** Memberlist's rules instead of the mesh's. */
	readonly unsigned?: boolean;
	readonly watch?: (atMs: number, node: PoolNode, event: MembershipEvent) => void;
	readonly onPersist?: (atMs: number, node: PoolNode, incarnation: number) => void;
	readonly trace?: (
		atMs: number,
		node: PoolNode,
		line: { readonly event?: SwimEvent; readonly effect?: SwimEffect },
	) => void;
}

export interface PoolNode {
	readonly number: number;
	readonly id: NodeId;
	readonly address: string;
	core: SwimCore;
	up: boolean;
	/** Stands still until then; what arrives waits. */
	blockedUntilMs: number;
	/** While starved: what each turn on the processor is followed by, milliseconds of waiting for the next. */
	waitMs: (() => number) | undefined;
	readonly inbox: SwimEvent[];
	tickAtMs: number;
	/** What a restart finds on disk. */
	incarnation: number | undefined;
	/** Has lost its disk at some time. */
	wiped: boolean;
	life: number;
	packetsSent: number;
	bytesSent: number;
}

type Item =
	| { readonly kind: 'tick'; readonly node: PoolNode; readonly atMs: number }
	| { readonly kind: 'event'; readonly node: PoolNode; readonly life: number; readonly event: SwimEvent }
	| {
			readonly kind: 'request';
			readonly to: string;
			readonly from: PoolNode;
			readonly life: number;
			readonly exchange: number;
			readonly message: StreamMessage;
	  }
	| { readonly kind: 'wake'; readonly node: PoolNode }
	| { readonly kind: 'call'; readonly run: () => void };

/** Sizes of the mesh's codec, near enough: what matters is how many claims fit into a packet. */
const sizes: PacketSizes = {
	messagesMaxBytes: 1_340,
	sizeOf: (message: GossipMessage): number => {
		if (message.kind === 'alive') return 170 + message.meta.length;
		if (message.kind === 'user') return 100 + message.payload.length;
		if (message.kind === 'ack') return 8 + message.payload.length + (message.proof === undefined ? 0 : 64);
		return message.kind === 'suspect' || message.kind === 'dead' ? 105 : message.kind === 'left' ? 90 : 50;
	},
};

/** Packets a socket holds for a process that stands still. */
const inboxMax = 400;

export class Pool {
	readonly nodes: PoolNode[] = [];
	readonly #byAddress = new Map<string, PoolNode>();
	readonly #agenda = new Agenda<Item>();
	readonly #index = new NodeIndex({ shared: true });
	readonly #random: SeededRandom;
	readonly #options: PoolOptions;
	readonly #requests = new Map<number, { readonly from: PoolNode; readonly life: number; readonly exchange: number }>();
	#token = 1;
	#nowMs = 0;
	/** Whether a packet or connection from a to b gets through; replaced by partitions. */
	reaches: (from: PoolNode, to: PoolNode) => boolean = () => true;
	/** Whether a packet, but not a connection, is lost on purpose. */
	packetLost: (from: PoolNode, to: PoolNode) => boolean = () => false;
	loss: number;
	events = 0;

	constructor(options: PoolOptions) {
		this.#options = options;
		this.#random = new SeededRandom(options.seed, 1);
		this.loss = options.loss ?? 0;
	}

	get nowMs(): number {
		return this.#nowMs;
	}

	/** Makes a member that is not yet started. Ids are UUID-shaped and follow the number. */
	add(count = 1): PoolNode[] {
		const added: PoolNode[] = [];
		for (let i = 0; i < count; i++) {
			const number = this.nodes.length;
			const id = `00000000-0000-4000-8000-${number.toString(16).padStart(12, '0')}`;
			const address = `10.${(number >> 16) & 255}.${(number >> 8) & 255}.${number & 255}:8946`;
			const node: PoolNode = {
				number,
				id,
				address,
				core: undefined as unknown as SwimCore,
				up: false,
				blockedUntilMs: 0,
				waitMs: undefined,
				inbox: [],
				tickAtMs: Number.POSITIVE_INFINITY,
				incarnation: undefined,
				wiped: false,
				life: 0,
				packetsSent: 0,
				bytesSent: 0,
			};
			this.nodes.push(node);
			this.#byAddress.set(address, node);
			added.push(node);
		}
		return added;
	}

	/** Starts a process, the first time or again with the incarnation it had made durable. */
	start(
		node: PoolNode,
		seeds: readonly PoolNode[] = [],
		options: { readonly wiped?: boolean; readonly know?: readonly PoolNode[] } = {},
	): void {
		if (options.wiped === true) {
			node.incarnation = undefined;
			node.wiped = true;
		}
		node.life++;
		node.up = true;
		node.inbox.length = 0;
		node.blockedUntilMs = 0;
		node.core = new SwimCore({
			id: node.id,
			address: node.address,
			meta: emptyBytes,
			incarnation: node.incarnation,
			settings: this.#options.settings ?? swimProfiles.lan,
			random: new SeededRandom(this.#options.seed * 7_919 + node.number, node.life + 1),
			sizes,
			signer: simulatedSigner(new SeededRandom(this.#options.seed * 7_919 + node.number, 100_000 + node.life)),
			verifier: simulatedSignatures,
			signedRecords: this.#options.unsigned !== true,
			digestFirst: this.#options.unsigned !== true,
			seeds: seeds.map((seed) => seed.address),
			index: this.#index,
			...(this.#options.plainSwim === undefined ? {} : { plainSwim: this.#options.plainSwim }),
			...(this.#options.mutations === undefined ? {} : { mutations: new Set(this.#options.mutations) }),
		});
		if (options.know !== undefined) {
			const records = options.know
				.filter((other) => other !== node)
				.map((other) => ({ alive: other.core.self, marks: [] }));
			this.#step(node, { kind: 'restore', records });
		}
		this.#step(node, { kind: 'start' });
	}

	/** Starts `count` members that already know each other, as after years of running. */
	startKnown(count: number): PoolNode[] {
		const added = this.add(count);
		for (const node of added) this.start(node);
		const records = added.map((node) => ({ alive: node.core.self, marks: [] }));
		for (const node of added) this.#step(node, { kind: 'restore', records });
		return added;
	}

	/** The process dies with all it had in memory. */
	crash(node: PoolNode): void {
		node.up = false;
		node.life++;
		node.tickAtMs = Number.POSITIVE_INFINITY;
	}

	/** Stands still for a while, as when starved of processor time. */
	block(node: PoolNode, forMs: number): void {
		node.blockedUntilMs = Math.max(node.blockedUntilMs, this.#nowMs + forMs);
		this.#agenda.push(node.blockedUntilMs, { kind: 'wake', node });
	}

	/**
	 * Starves a member of processor time until told otherwise (`waitMs` undefined): each turn runs the timers that are due and one event that
	 * waits, and is followed by a wait.
	 */
	starve(node: PoolNode, waitMs: (() => number) | undefined): void {
		node.waitMs = waitMs;
		if (waitMs !== undefined) this.block(node, waitMs());
	}

	give(node: PoolNode, event: SwimEvent): void {
		this.#step(node, event);
	}

	/** A packet of an attacker, or of nobody. */
	inject(to: PoolNode, from: string, messages: readonly GossipMessage[]): void {
		this.#agenda.push(this.#nowMs, {
			kind: 'event',
			node: to,
			life: to.life,
			event: { kind: 'packet', from, messages },
		});
	}

	at(atMs: number, run: () => void): void {
		this.#agenda.push(atMs, { kind: 'call', run });
	}

	/** Runs to a time, or until `done` answers true at a multiple of 50 ms. Answers whether it was done. */
	run(untilMs: number, done?: () => boolean): boolean {
		let checkMs = this.#nowMs;
		while (this.#agenda.nextAt <= untilMs) {
			if (done !== undefined && this.#agenda.nextAt >= checkMs) {
				if (done()) return true;
				checkMs = Math.max(checkMs, Math.floor(this.#agenda.nextAt / 50) * 50) + 50;
			}
			this.#nowMs = this.#agenda.nextAt;
			this.events++;
			this.#take(this.#agenda.pop() as Item);
		}
		this.#nowMs = untilMs;
		return done?.() ?? true;
	}

	#take(item: Item): void {
		switch (item.kind) {
			case 'tick':
				if (item.node.tickAtMs === item.atMs && item.node.up) this.#arrive(item.node, { kind: 'tick' });
				break;
			case 'event':
				if (item.node.up && item.node.life === item.life) this.#arrive(item.node, item.event);
				break;
			case 'request':
				this.#connect(item);
				break;
			case 'wake':
				this.#wake(item.node);
				break;
			case 'call':
				item.run();
				break;
		}
	}

	#arrive(node: PoolNode, event: SwimEvent): void {
		if (node.blockedUntilMs <= this.#nowMs) this.#step(node, event);
		else if (event.kind !== 'tick' && node.inbox.length < inboxMax) node.inbox.push(event);
	}

	/** As an event loop does: overdue timers first, then what waits in the sockets. */
	#wake(node: PoolNode): void {
		if (!node.up || node.blockedUntilMs > this.#nowMs) return;
		this.#step(node, { kind: 'tick' });
		for (const event of node.inbox.splice(0, node.waitMs === undefined ? inboxMax : 1)) this.#step(node, event);
		if (node.waitMs !== undefined) this.block(node, node.waitMs());
	}

	#step(node: PoolNode, event: SwimEvent): void {
		this.#options.trace?.(this.#nowMs, node, { event });
		for (const effect of node.core.step(event, this.#nowMs)) this.#carryOut(node, effect);
		const next = node.core.nextDeadlineMs();
		if (next === node.tickAtMs) return;
		node.tickAtMs = next;
		if (next !== Number.POSITIVE_INFINITY)
			this.#agenda.push(Math.max(next, this.#nowMs), { kind: 'tick', node, atMs: next });
	}

	#carryOut(node: PoolNode, effect: SwimEffect): void {
		this.#options.trace?.(this.#nowMs, node, { effect });
		switch (effect.kind) {
			case 'packet':
				this.#send(node, effect.to, effect.messages);
				break;
			case 'exchange':
				this.#agenda.push(this.#nowMs + this.#delayMs() * 2, {
					kind: 'request',
					to: effect.to,
					from: node,
					life: node.life,
					exchange: effect.exchange,
					message: effect.message,
				});
				break;
			case 'answer':
				this.#answer(node, effect.token, effect.message);
				break;
			case 'persist':
				this.#options.onPersist?.(this.#nowMs, node, effect.incarnation);
				node.incarnation = effect.incarnation;
				break;
			case 'event':
				this.#options.watch?.(this.#nowMs, node, effect.event);
				break;
			case 'credential':
				break;
		}
	}

	#send(from: PoolNode, address: string, messages: readonly GossipMessage[]): void {
		from.packetsSent++;
		for (const message of messages) from.bytesSent += sizes.sizeOf(message);
		from.bytesSent += 60;
		const to = this.#byAddress.get(address);
		if (to === undefined || !to.up || !this.reaches(from, to) || this.packetLost(from, to)) return;
		const copies = 1 + Number(this.#random.nextFloat() < (this.#options.duplication ?? 0));
		for (let copy = 0; copy < copies; copy++) {
			if (this.#random.nextFloat() < this.loss) continue;
			const event: SwimEvent = { kind: 'packet', from: from.address, messages };
			this.#agenda.push(this.#nowMs + this.#delayMs(), { kind: 'event', node: to, life: to.life, event });
		}
	}

	#connect(request: Extract<Item, { kind: 'request' }>): void {
		const to = this.#byAddress.get(request.to);
		const { from, life, exchange } = request;
		if (to === undefined || !to.up || !this.reaches(from, to) || !this.reaches(to, from)) {
			const refusedMs = to !== undefined && !to.up && this.reaches(from, to) ? this.#delayMs() : 1_000;
			const event: SwimEvent = { kind: 'exchangeFailed', exchange };
			this.#agenda.push(this.#nowMs + refusedMs, { kind: 'event', node: from, life, event });
			return;
		}
		const token = this.#token++;
		this.#requests.set(token, { from, life, exchange });
		this.#arrive(to, { kind: 'request', token, from: from.address, message: request.message });
	}

	#answer(node: PoolNode, token: number, message: StreamMessage): void {
		const request = this.#requests.get(token);
		this.#requests.delete(token);
		if (request === undefined || !this.reaches(node, request.from)) return;
		// Loss costs a connection a retransmission.
		const lostMs = this.#random.nextFloat() < this.loss * 2 ? 200 : 0;
		const event: SwimEvent = { kind: 'answered', exchange: request.exchange, message };
		this.#agenda.push(this.#nowMs + this.#delayMs() + lostMs, {
			kind: 'event',
			node: request.from,
			life: request.life,
			event,
		});
	}

	#delayMs(): number {
		const mean = this.#options.delayMeanMs ?? 0.5;
		return (this.#options.delayMinMs ?? 0.2) - mean * Math.log(1 - this.#random.nextFloat());
	}
}

/** Whether all that are up and not leaving believe exactly those to be alive. */
export function agrees(pool: Pool, leaving: ReadonlySet<PoolNode> = new Set()): boolean {
	const up = pool.nodes.filter((node) => node.up && !leaving.has(node));
	return up.every((node) => {
		if (node.core.liveMembers !== up.length) return false;
		return up.every((other) => other === node || node.core.member(other.id)?.state === 'alive');
	});
}
