// Owns a whole simulated gossip pool on the hosts it is given: the real driver and codec on every one, and checks. After the troubles all must agree. Signatures are
// stand-ins (membership/signatures.ts).
import {
	emptyBytes,
	GossipMembership,
	type GossipMessage,
	KeyRing,
	MeshCodec,
	type NodeId,
	swimBounds,
} from '@infermesh/fabric';
import { simulatedSignatures, simulatedSigner } from '../membership/signatures.js';
import type { Mutations } from '../mutations.js';
import type { Tenant } from '../phases.js';
import type { SimHost } from '../world/sim-host.js';
import type { SimNetwork } from '../world/sim-network.js';
import { AddressBook, SimPackets } from '../world/sim-packets.js';
import { type SimWorld, Violation } from '../world/sim-world.js';
import { type GossipPlan, quickSwim } from './gossip-plan.js';
import { Rogue, type RogueTarget } from './rogue.js';
import { type Observer, SwimChecker } from './swim-checker.js';

export interface GossipOptions {
	readonly network: SimNetwork;
	readonly hosts: readonly SimHost[];
	readonly plan: GossipPlan;
	readonly mutations: Mutations;
}

interface Member {
	readonly host: SimHost;
	readonly id: NodeId;
	readonly address: string;
	membership: GossipMembership | undefined;
	receive: ((packet: Uint8Array) => void) | undefined;
	/** The last one made durable. */
	incarnation: number | undefined;
	sessions: number;
	/** True time since which nothing has happened to it. */
	undisturbedUs: number;
	/** When it last stood still. */
	pausedUs: number;
	/** The same by its own clock. */
	pausedMs: number;
	leaving: boolean;
	packetsBefore: number;
}

function observerOf(member: Member, world: SimWorld): Observer {
	const { host, id } = member;
	return {
		host,
		id,
		nowMs: () => host.clock.nowMs(),
		nowUs: () => world.nowUs,
		liveMembers: () => member.membership?.liveMembers ?? 0,
	};
}

function targetOf({ host, id, receive }: Member): RogueTarget {
	return { host, id, receive: (packet) => receive?.(packet) };
}

/** After healing all must agree within this virtual time. */
export const settleUsMax = 40_000_000;
/** A member is healthy when nothing has happened to it for so long: others may have had reason to suspect it before. */
const healthyAfterUs = 15_000_000;
/** The longest probe: an interval at the worst local health, and an interval forgiven. */
const probeUsMax = (quickSwim.awarenessMax + 2) * quickSwim.probeIntervalMs * 1000;
const label = 'sim';
/** Packets of one member a second: probes, their helpers' and answers, gossip to three; not more in a larger pool. */
const packetsPerSecondMax = 250;

/** How often the agent's gossip thread looks whether its loop stood still. */
const lagLookMs = 250;

export class GossipPool implements Tenant {
	readonly world: SimWorld;
	readonly plan: GossipPlan;
	readonly checker: SwimChecker;
	readonly #options: GossipOptions;
	readonly #network: SimNetwork;
	readonly #book = new AddressBook();
	readonly #ring = new KeyRing(label, new Uint8Array(32).fill(7));
	readonly #members: Member[] = [];
	#rogue: Rogue | undefined;
	#lost: readonly SimHost[] = [];
	#quiet = true;

	constructor(options: GossipOptions) {
		this.#options = options;
		this.#network = options.network;
		this.world = options.network.world;
		this.plan = options.plan;
		this.checker = new SwimChecker(
			(id) => this.#isHealthy(id),
			(observer, id) => this.#answered(observer, id),
			(id) => this.#goneSinceUs(id),
		);
		options.hosts.forEach((host, at) => this.#addMember(host, at));
		if (this.plan.rogue) this.#addRogue();
	}

	#addMember(host: SimHost, at: number): void {
		const member: Member = {
			host,
			id: `00000000-0000-4000-8000-${at.toString(16).padStart(12, '0')}`,
			address: `10.0.0.${at + 1}:8946`,
			membership: undefined,
			receive: undefined,
			incarnation: undefined,
			sessions: 0,
			undisturbedUs: 0,
			pausedUs: 0,
			pausedMs: 0,
			leaving: false,
			packetsBefore: 0,
		};
		this.#members.push(member);
		host.installs(() => this.#boot(member));
		host.onPause(() => {
			member.pausedUs = this.world.nowUs;
			member.pausedMs = host.clock.nowMs();
			this.#disturbed(member);
		});
		host.onResume(() => {
			this.#disturbed(member);
			if (this.plan.tellsLag) this.#tellLag(member);
		});
		host.onCrash(() => {
			this.#disturbed(member);
			member.membership = undefined;
			member.receive = undefined;
		});
	}

	#addRogue(): void {
		const host = this.world.addHost('rogue');
		host.installs(() => undefined);
		host.boot();
		const rogue = new Rogue({
			network: this.#network,
			host,
			id: '00000000-0000-4000-8000-ffffffffffff',
			ring: this.#ring,
			label,
			targets: () => this.#members.map(targetOf),
			incarnationOf: (id) => this.checker.ownIncarnation(id),
		});
		rogue.start();
		this.#rogue = rogue;
	}

	/** As the gossip thread of an agent does: it finds out within a period that its loop stood still, by its own clock, and tells local health. */
	#tellLag(member: Member): void {
		const { host, membership, pausedMs } = member;
		const lagMs = host.clock.nowMs() - pausedMs;
		if (membership === undefined || lagMs < lagLookMs) return;
		this.world.counters.add('standstill told');
		host.clock.after(host.random('workload').nextFloat() * lagLookMs, () => membership.reportLoopLag(lagMs));
	}

	#disturbed(member: Member): void {
		member.undisturbedUs = this.world.nowUs;
	}

	#isHealthy(id: NodeId): boolean {
		const member = this.#members.find((one) => one.id === id);
		if (member === undefined || !this.#quiet || this.plan.trouble === 'storm' || member.leaving) return false;
		return member.host.state === 'up' && this.world.nowUs - member.undisturbedUs > healthyAfterUs;
	}

	/** True time since which a member cannot have answered; undefined while it can. */
	#goneSinceUs(id: NodeId): number | undefined {
		const member = this.#members.find((one) => one.id === id);
		return member === undefined || member.host.state === 'up' ? undefined : member.undisturbedUs;
	}

	#answered({ host }: Observer, id: NodeId): boolean {
		const member = this.#members.find((one) => one.id === id);
		const observer = this.#members.find((one) => one.host === host);
		if (member === undefined || observer === undefined || !this.#quiet || this.plan.trouble === 'storm') return false;
		if (member.leaving || member.host.state !== 'up') return false;
		const { nowUs } = this.world;
		const pausedLately = nowUs - host.resumedUs < probeUsMax;
		return member.undisturbedUs < (pausedLately ? observer.pausedUs : nowUs) - probeUsMax;
	}

	#boot(member: Member): void {
		const { host, id } = member;
		this.#disturbed(member);
		member.leaving = false;
		const network = new SimPackets(this.#network, this.#book, host, member.address, id);
		const codec = new MeshCodec({ label, self: id, ring: this.#ring, session: ++member.sessions });
		const observer = observerOf(member, this.world);
		const heard = (messages: readonly GossipMessage[]): void =>
			this.#guard(() => this.checker.hears(observer, messages, (about) => member.membership?.member(about)));
		const send = network.send.bind(network);
		network.send = (to, packet) => {
			send(to, packet);
			this.#rogue?.overhears(targetOf(member), packet);
		};
		const decodePacket = codec.decodePacket.bind(codec);
		codec.decodePacket = (packet, from, nowMs) => {
			const decoded = decodePacket(packet, from, nowMs);
			heard(decoded.messages);
			return decoded;
		};
		const seeds = this.#members.slice(0, 2).map(({ address }) => address);
		const membership = new GossipMembership({
			core: {
				id,
				meta: emptyBytes,
				incarnation: member.incarnation,
				settings: quickSwim,
				random: host.random('core'),
				signer: simulatedSigner(this.world.random('workload', 3000 + host.index)),
				verifier: simulatedSignatures,
				signedRecords: true,
				digestFirst: true,
				seeds: seeds.filter((address) => address !== member.address),
				mutations: this.#options.mutations.swim,
			},
			codec,
			network,
			clock: host.clock,
			persist: (incarnation) => {
				this.#guard(() => this.checker.persists(id, incarnation));
				member.incarnation = incarnation;
			},
			onEvent: (event) => {
				this.world.note(
					host,
					() =>
						`tells ${event.kind} ${'member' in event ? `${event.member.id.slice(-2)} i${event.member.incarnation}` : ''}`,
				);
				this.world.counters.add(`event: ${event.kind}`);
				this.#guard(() => this.checker.tells(observer, event));
			},
		});
		member.membership = membership;
		member.receive = (packet) => network.handlers?.onPacket('10.0.9.9:8946', packet);
		void this.#start(member, membership);
	}

	async #start(member: Member, membership: GossipMembership): Promise<void> {
		try {
			await membership.start();
		} catch (cause) {
			this.world.fail(new Violation(`${member.id} does not start`, { cause }));
		}
	}

	/** A violation ends the run also where the driver would take a throw for its own. */
	#guard(check: () => void): void {
		try {
			check();
		} catch (error) {
			this.world.fail(error instanceof Error ? error : new Error(String(error)));
		}
	}

	/** Ten times a second: what every process holds of every member, and how much it keeps. */
	#look(): void {
		for (const member of this.#members) {
			const { host, id, membership } = member;
			if (membership === undefined || host.state !== 'up') continue;
			const observer = observerOf(member, this.world);
			for (const view of membership.members()) this.checker.views(observer, view);
			const { queuedBroadcasts = 0, healthScore = 0 } = membership.core ?? {};
			if (queuedBroadcasts > swimBounds.broadcastsMax)
				throw new Violation(`${id} queues ${queuedBroadcasts} broadcasts`);
			const calm = this.plan.trouble === 'deaths' && !this.plan.rogue;
			if (calm && this.#isHealthy(id) && healthScore > 1)
				throw new Violation(`${id} doubts itself (${healthScore}) although every helper answered`);
		}
		this.world.schedule(100_000, 'check', () => this.#look());
	}

	#leaveNow(): void {
		const { leaveEveryUs } = this.plan;
		const random = this.world.random('workload');
		if (leaveEveryUs === undefined || !this.#quiet) return;
		const up = this.#members.filter(({ host, leaving }) => host.state === 'up' && !leaving);
		const member = up[Math.floor(random.nextFloat() * up.length)];
		if (member?.membership !== undefined && up.length === this.#members.length) {
			member.leaving = true;
			this.world.counters.add('leaves');
			const { life } = member.host;
			void this.#stopAfter(member, member.membership.leave(), life);
		}
		this.world.schedule(-Math.log(1 - random.nextFloat()) * leaveEveryUs, 'leave', () => this.#leaveNow());
	}

	/** Who has left stops, and comes back some time later. */
	async #stopAfter(member: Member, left: Promise<void>, life: number): Promise<void> {
		await left;
		if (member.host.life !== life) return;
		member.host.crash();
		this.world.schedule(5_000_000, 'return', () => {
			if (member.host.state === 'down' && !this.#lost.includes(member.host)) member.host.boot();
		});
	}

	/** Begins what goes on all the time. */
	start(): void {
		this.#look();
	}

	/** The pool has come together: members begin to leave and come back. */
	churns(): void {
		this.#leaveNow();
	}

	heals(lost: readonly SimHost[]): void {
		this.#quiet = false;
		this.#lost = lost;
	}

	unsettled(): string | undefined {
		const remaining = this.#members.filter(({ host }) => !this.#lost.includes(host));
		for (const { host, id, membership, leaving } of remaining) {
			if (host.state !== 'up' || leaving) return `${id} is not back`;
			if (membership?.liveMembers !== remaining.length)
				return `${id} believes ${membership?.liveMembers} of ${remaining.length} to be alive`;
			if (membership.members().some(({ state }) => state === 'suspect') && !this.plan.rogue)
				return `${id} still suspects somebody`;
		}
		return undefined;
	}

	/** Once all is told, nothing is told any more, and each member sends what it always sends. */
	async rest(): Promise<void> {
		if (this.plan.rogue) return;
		await this.world.run(this.world.nowUs + 5_000_000);
		for (const member of this.#members) member.packetsBefore = member.membership?.transfer.packetsSent ?? 0;
		const restS = 3;
		await this.world.run(this.world.nowUs + restS * 1_000_000);
		for (const { id, membership, packetsBefore } of this.#members) {
			if (membership === undefined) continue;
			const { queuedBroadcasts = 0 } = membership.core ?? {};
			if (queuedBroadcasts > 0) throw new Violation(`${id} goes on telling ${queuedBroadcasts} things that all know`);
			const rate = (membership.transfer.packetsSent - packetsBefore) / restS;
			if (rate > packetsPerSecondMax) throw new Violation(`${id} sends ${Math.round(rate)} packets a second at rest`);
		}
	}
}
