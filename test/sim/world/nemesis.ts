// Owns the hand that carries a fault plan out: it crashes, pauses, wipes and restarts hosts, cuts and clogs links, sets clocks wrong. In the end it stops,
// heals everything, or leaves a minority dead and cut off for good, so that liveness is asked of the rest.
import type { SeededRandom } from '@infermesh/proto';
import { type FaultPlan, type PartitionKind, partitionKinds } from './fault-plan.js';
import { calmWeather } from './link.js';
import type { SimHost } from './sim-host.js';
import type { SimNetwork } from './sim-network.js';

export interface NemesisOptions {
	readonly network: SimNetwork;
	readonly plan: FaultPlan;
	/** Hosts it may touch. */
	readonly hosts: readonly SimHost[];
	/** Hosts that may be down at once. */
	readonly downMax: number;
	/** Erases a host's disk and arranges for it to come back as a newcomer; undefined when wiping makes no sense. Answers whether it did. */
	readonly wipe?: (host: SimHost) => boolean;
	/** The host whose trouble matters most at present, a leader: it gets more than its share. */
	readonly favourite?: () => SimHost | undefined;
}

export class Nemesis {
	readonly #options: NemesisOptions;
	readonly #random: SeededRandom;
	#active = false;
	#partitions = 0;

	constructor(options: NemesisOptions) {
		this.#options = options;
		this.#random = options.network.world.random('faults');
	}

	start(): void {
		const { network, plan, hosts } = this.#options;
		this.#active = true;
		network.weather = plan.weather;
		const clocks = network.world.random('clock');
		for (const host of hosts) host.clock.setDrift((2 * clocks.nextFloat() - 1) * plan.driftPpmMax);
		this.#repeat('crash', plan.crashEveryUs, () => this.#crash());
		this.#repeat('wipe', plan.wipeEveryUs, () => this.#wipe());
		this.#repeat('pause', plan.pauseEveryUs, () => this.#pause());
		this.#repeat('partition', plan.partitionEveryUs, () => this.#partition());
		this.#repeat('clog', plan.clogEveryUs, () => this.#clog());
		this.#repeat('wall clock jump', plan.wallJumpEveryUs, () => this.#jump());
	}

	/** Stops and heals: links mended, every host running, fine weather. `lost` stay dead. */
	heal(lost: readonly SimHost[] = []): void {
		const { network, hosts } = this.#options;
		this.#active = false;
		network.weather = calmWeather;
		network.mend();
		network.unclog();
		for (const host of hosts) {
			if (lost.includes(host)) host.crash();
			else if (host.state === 'paused') host.resume();
			else if (host.state === 'down') host.boot();
		}
	}

	#exponentialUs(meanUs: number): number {
		return Math.ceil(-Math.log(1 - this.#random.nextFloat()) * meanUs);
	}

	#repeat(kind: string, everyUs: number | undefined, act: () => boolean): void {
		if (everyUs === undefined) return;
		const { world } = this.#options.network;
		const again = (): void => {
			world.schedule(this.#exponentialUs(everyUs), kind, () => {
				if (!this.#active) return;
				if (act()) world.counters.add(`fault: ${kind}`);
				again();
			});
		};
		again();
	}

	#pick<T>(from: readonly T[]): T | undefined {
		return from[Math.floor(this.#random.nextFloat() * from.length)];
	}

	/** A running host, if one more may go down. */
	#victim(): SimHost | undefined {
		const { hosts, downMax } = this.#options;
		const running = hosts.filter((host) => host.state === 'up');
		if (hosts.length - running.length >= downMax) return undefined;
		const favourite = this.#random.nextFloat() < 0.3 ? this.#options.favourite?.() : undefined;
		return favourite?.state === 'up' ? favourite : this.#pick(running);
	}

	#later(meanUs: number, kind: string, act: () => void): void {
		this.#options.network.world.schedule(this.#exponentialUs(meanUs), kind, () => {
			if (this.#active) act();
		});
	}

	#bootLater(host: SimHost): void {
		this.#later(this.#options.plan.downUs, 'restart', () => {
			if (host.state === 'down') host.boot();
		});
	}

	#crash(): boolean {
		const host = this.#victim();
		host?.crash();
		if (host !== undefined) this.#bootLater(host);
		return host !== undefined;
	}

	/** A host that stopped by itself (its disk failed) is started again by an operator. */
	bootAfterStop(host: SimHost): void {
		host.crash();
		if (this.#active) this.#bootLater(host);
		else host.boot();
	}

	#wipe(): boolean {
		const host = this.#victim();
		return host !== undefined && this.#options.wipe?.(host) === true;
	}

	#pause(): boolean {
		const host = this.#victim();
		if (host === undefined) return false;
		host.pause(this.#random.nextFloat() < 0.3);
		this.#later(this.#options.plan.pauseUs, 'resume', () => host.resume());
		return true;
	}

	#partition(): boolean {
		const { network, hosts, plan } = this.#options;
		const kind = this.#pick(partitionKinds) ?? 'split';
		const reason = `partition ${++this.#partitions}`;
		this.#cut(kind, reason, hosts);
		network.world.counters.add(`fault: partition, ${kind}`);
		network.world.note(undefined, () => `${reason} (${kind})`);
		this.#later(plan.partitionUs, 'mend', () => {
			network.mend(reason);
			network.world.note(undefined, () => `${reason} mended`);
		});
		return true;
	}

	#cut(kind: PartitionKind, reason: string, hosts: readonly SimHost[]): void {
		const { network } = this.#options;
		const shuffled = hosts
			.map((host) => ({ host, key: this.#random.nextU32() }))
			.sort((a, b) => a.key - b.key)
			.map(({ host }) => host);
		const favourite = kind === 'isolate the favourite' ? this.#options.favourite?.() : undefined;
		if (favourite !== undefined) shuffled.sort((a, b) => Number(b === favourite) - Number(a === favourite));
		const size = kind.startsWith('isolate') ? 1 : 1 + Math.floor(this.#random.nextFloat() * (hosts.length - 1));
		const [inside, outside] = [shuffled.slice(0, size), shuffled.slice(size)];
		network.cut(reason, inside, outside);
		if (kind !== 'one way') network.cut(reason, outside, inside);
		if (kind !== 'bridge') return;
		// One host sees both sides.
		const bridge = this.#pick(shuffled);
		if (bridge === undefined) return;
		for (const host of hosts) {
			if (host === bridge) continue;
			network.link(bridge, host).mend(reason);
			network.link(host, bridge).mend(reason);
		}
	}

	#clog(): boolean {
		const { network, hosts, plan } = this.#options;
		const [from, to] = [this.#pick(hosts), this.#pick(hosts)];
		if (from === undefined || to === undefined || from === to) return false;
		network.clog(from, to, network.world.nowUs + this.#exponentialUs(plan.clogUs));
		return true;
	}

	#jump(): boolean {
		const host = this.#pick(this.#options.hosts);
		host?.clock.jumpWall((2 * this.#random.nextFloat() - 1) * 3_600_000);
		return host !== undefined;
	}
}
