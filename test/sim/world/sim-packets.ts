// Owns the PacketNetwork of one simulated host: datagrams that may be lost and exchanges over a connection made for each, by address.
import type { Address, Answer, CertifiedNode, ExchangeOptions, PacketHandlers, PacketNetwork } from '@infermesh/fabric';
import type { SimHost } from './sim-host.js';
import type { SimNetwork } from './sim-network.js';
import { hashBytes } from './trace.js';

/** Who listens where. One per world. */
export class AddressBook {
	readonly #endpoints = new Map<Address, SimPackets>();

	at(address: Address): SimPackets | undefined {
		return this.#endpoints.get(address);
	}

	listens(address: Address, endpoint: SimPackets | undefined): void {
		if (endpoint === undefined) this.#endpoints.delete(address);
		else this.#endpoints.set(address, endpoint);
	}
}

/** A connection costs a handshake before the question travels. */
const handshakeTrips = 2;
/** How long a host that is there but does not listen takes to refuse. */
const refusalUs = 500;

/** One process's endpoint; a restarted process makes a new one. */
export class SimPackets implements PacketNetwork {
	readonly host: SimHost;
	readonly address: Address;
	/** What its certificate says. */
	readonly node: CertifiedNode;
	readonly #network: SimNetwork;
	readonly #book: AddressBook;
	readonly #life: number;
	#handlers: PacketHandlers | undefined;

	constructor(network: SimNetwork, book: AddressBook, host: SimHost, address: Address, node?: string) {
		this.#network = network;
		this.#book = book;
		this.host = host;
		this.address = address;
		this.node = node;
		this.#life = host.life;
	}

	/** What handles arrivals now; undefined once the process died or closed. */
	get handlers(): PacketHandlers | undefined {
		return this.host.life === this.#life ? this.#handlers : undefined;
	}

	listen(handlers: PacketHandlers): Promise<Address> {
		this.#handlers = handlers;
		this.#book.listens(this.address, this);
		return Promise.resolve(this.address);
	}

	send(to: Address, packet: Uint8Array): void {
		const target = this.#book.at(to);
		if (target === undefined || this.host.life !== this.#life) return;
		const bytes = packet.slice();
		this.#network.packet({
			from: this.host,
			to: target.host,
			bytes: bytes.length,
			digest: hashBytes(bytes),
			describe: () => `datagram of ${bytes.length} B`,
			deliver: () => this.#book.at(to)?.handlers?.onPacket(this.address, bytes),
		});
	}

	exchange(to: Address, request: Uint8Array, options: ExchangeOptions): Promise<Answer> {
		return new Promise((resolve, reject) => {
			let settled = false;
			const finish = (act: () => void): void => {
				// The process that asked may be gone; nobody hears the answer then.
				if (settled || this.host.life !== this.#life) return;
				settled = true;
				timer.cancel();
				act();
			};
			const refuse = (why: string): void => finish(() => reject(new Error(`exchange with ${to}: ${why}`)));
			const timer = this.host.clock.after(options.timeoutMs, () => refuse('timed out'));
			const answered = (answer: Answer): void => {
				if (answer.bytes.length > options.answerMaxBytes) refuse('the answer is too big');
				else finish(() => resolve(answer));
			};
			this.#ask(to, request.slice(), options.expectedNode, answered, refuse);
		});
	}

	#ask(
		to: Address,
		request: Uint8Array,
		expectedNode: CertifiedNode,
		answered: (answer: Answer) => void,
		refuse: (why: string) => void,
	): void {
		const { world } = this.#network;
		const target = this.#book.at(to);
		const refused = (): void => void world.schedule(refusalUs, 'reset', () => refuse('refused'), { host: this.host });
		if (target === undefined || target.host.state === 'down') {
			refused();
			return;
		}
		const { life } = target.host;
		world.counters.add('exchanges');
		const arrive = (): void => {
			const there = this.#book.at(to);
			const handlers = there?.handlers;
			const another = expectedNode !== undefined && there?.node !== undefined && there.node !== expectedNode;
			if (handlers === undefined || target.host.life !== life || another) {
				refused();
				return;
			}
			const answer = handlers.onExchange(this.address, request, this.node);
			answer.then(
				(bytes) =>
					this.#travel(target.host, this.host, bytes.slice(), 1, (come) =>
						answered({ bytes: come, node: there?.node }),
					),
				() => this.#travel(target.host, this.host, new Uint8Array(0), 1, () => refuse('closed without an answer')),
			);
		};
		this.#travel(this.host, target.host, request, 1 + handshakeTrips, arrive);
	}

	/** Bytes over a connection: lost packets only cost time; a cut link loses them, and the asker times out. */
	#travel(from: SimHost, to: SimHost, bytes: Uint8Array, trips: number, arrive: (bytes: Uint8Array) => void): void {
		const { world, weather } = this.#network;
		const link = this.#network.link(from, to);
		if (link.cut || link.happens(weather.resetRate)) {
			world.counters.add('exchanges cut');
			return;
		}
		let latencyUs = 0;
		for (let trip = 0; trip < trips; trip++) latencyUs += link.latencyUs(weather, world.nowUs);
		for (let againUs = retransmitUs; link.happens(weather.lossRate); againUs *= 2) latencyUs += againUs;
		const landed = (): void => {
			if (link.cut || to.state === 'down') world.counters.add('exchanges cut');
			else arrive(bytes);
		};
		world.schedule(latencyUs, 'exchange', landed, { host: to, anyLife: true, digest: hashBytes(bytes) });
	}

	close(): Promise<void> {
		this.#handlers = undefined;
		if (this.#book.at(this.address) === this) this.#book.listens(this.address, undefined);
		return Promise.resolve();
	}
}

/** A lost packet of a connection is sent again after this, then after twice as long. */
const retransmitUs = 200_000;
