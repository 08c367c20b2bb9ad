// Owns the simulated network: a link per ordered pair of hosts, packets over it, and the cuts that make partitions. Streams and exchanges stand on it.
import { Link, type Weather } from './link.js';
import type { SimHost } from './sim-host.js';
import type { SimWorld } from './sim-world.js';

export interface Packet {
	readonly from: SimHost;
	readonly to: SimHost;
	readonly bytes: number;
	readonly digest: number;
	/** For the readable trace. */
	readonly describe: () => string;
	/** Runs on the receiving host when it arrives. */
	readonly deliver: () => void;
}

export class SimNetwork {
	readonly world: SimWorld;
	weather: Weather;
	readonly #links = new Map<number, Link>();

	constructor(world: SimWorld, weather: Weather) {
		this.world = world;
		this.weather = weather;
	}

	link(from: SimHost, to: SimHost): Link {
		const key = from.index * 65_536 + to.index;
		let link = this.#links.get(key);
		if (link === undefined) {
			link = new Link(this.world.random('network', 1 + from.index * 64 + to.index));
			this.#links.set(key, link);
		}
		return link;
	}

	/** A datagram: it arrives once, twice, late or never. */
	packet(packet: Packet): void {
		const { weather, world } = this;
		const link = this.link(packet.from, packet.to);
		world.counters.add('packets');
		if (link.cut) {
			this.#lost(packet, 'cut');
		} else if (link.happens(weather.lossRate)) {
			this.#lost(packet, 'lost');
		} else if (link.inFlightBytes + packet.bytes > weather.inFlightBytesMax) {
			this.#lost(packet, 'too many bytes in flight');
		} else {
			this.#fly(link, packet);
			if (link.happens(weather.duplicateRate)) {
				world.counters.add('packets repeated');
				this.#fly(link, packet);
			}
		}
	}

	#lost(packet: Packet, why: string): void {
		this.world.counters.add(`packets ${why}`);
		this.world.note(packet.from, () => `-/- ${packet.to.name} (${why}) ${packet.describe()}`);
	}

	#fly(link: Link, packet: Packet): void {
		const { from, to, bytes, digest } = packet;
		const arrive = (): void => {
			link.inFlightBytes -= bytes;
			if (link.cut) this.#lost(packet, 'cut');
			else if (to.state === 'down') this.#lost(packet, 'to nobody');
			else {
				this.world.note(to, () => `<-- ${from.name} ${packet.describe()}`);
				packet.deliver();
			}
		};
		link.inFlightBytes += bytes;
		const latencyUs = link.latencyUs(this.weather, this.world.nowUs);
		this.world.schedule(latencyUs, 'packet', arrive, { host: to, anyLife: true, digest });
	}

	/** Nothing passes from any of `from` to any of `to`, until it is mended. */
	cut(reason: string, from: readonly SimHost[], to: readonly SimHost[]): void {
		for (const one of from) for (const other of to) if (one !== other) this.link(one, other).cutFor(reason);
	}

	/** Ends one cut, or all. */
	mend(reason?: string): void {
		for (const link of this.#links.values()) link.mend(reason);
	}

	/** Everything on a link arrives after `untilUs`. */
	clog(from: SimHost, to: SimHost, untilUs: number): void {
		this.link(from, to).cloggedUntilUs = untilUs;
	}

	unclog(): void {
		for (const link of this.#links.values()) link.cloggedUntilUs = 0;
	}
}
