// Owns a whole simulated cluster on the hosts it is given: members, clients, operators and checks. After the troubles a majority must get everything done.
import { foundedGroup, type PeerId } from '@infermesh/fabric';
import type { Mutations } from '../mutations.js';
import type { Tenant } from '../phases.js';
import type { FaultPlan } from '../world/fault-plan.js';
import { SimDisk } from '../world/sim-disk.js';
import type { SimHost } from '../world/sim-host.js';
import type { SimNetwork } from '../world/sim-network.js';
import { type SimWorld, Violation } from '../world/sim-world.js';
import { AppliedBook } from './checked-machine.js';
import { Client } from './clients.js';
import type { ClusterPlan } from './cluster-plan.js';
import { FenceBook } from './fence-book.js';
import { FencedWriter } from './fenced-writer.js';
import { History } from './history.js';
import { LockClient } from './lock-client.js';
import { Operator } from './operator.js';
import { quorumHas } from './quorum-rules.js';
import { RaftChecker } from './raft-checker.js';
import { type Process, SimMember } from './sim-member.js';

export interface ClusterOptions {
	readonly network: SimNetwork;
	/** One for each voter and spare of the plan, in this order. */
	readonly hosts: readonly SimHost[];
	readonly plan: ClusterPlan;
	readonly disk: FaultPlan['disk'];
	/** Clients that write under a leadership and may learn late that they have lost it. */
	readonly fencedWriters: number;
	readonly mutations: Mutations;
	/** Starts a host again whose process stopped by itself, or was wiped. */
	readonly bootAfterStop: (host: SimHost) => void;
}

/** What must be done after the troubles, in virtual time: elections, a snapshot, what clients wait for. */
export const livenessUsMax = 30_000_000;

/** Names of hosts, enough for any plan. */
export function hostNames({ voters, spares }: ClusterPlan): readonly string[] {
	return ['a', 'b', 'c', 'd', 'e', 'f', 'g'].slice(0, voters + spares);
}

export class SimCluster implements Tenant {
	readonly world: SimWorld;
	readonly members: SimMember[];
	readonly checker: RaftChecker;
	readonly book: AppliedBook;
	readonly history = new History();
	readonly fences = new FenceBook();
	readonly #options: ClusterOptions;
	readonly #operator: Operator;
	readonly #clients: Client[];
	readonly #lockClients: LockClient[];
	readonly #fencedWriters: FencedWriter[];
	#lost: readonly SimHost[] = [];

	constructor(options: ClusterOptions) {
		const { network, plan, mutations } = options;
		this.#options = options;
		this.world = network.world;
		this.book = new AppliedBook(mutations.store);
		this.checker = new RaftChecker(plan.times);
		this.members = this.#addMembers();
		const { world, members, history, fences } = this;
		const { changeEveryUs, transferEveryUs, keys, thinkUs, clients, lockClients } = plan;
		this.#operator = new Operator({ world, members, changeEveryUs, transferEveryUs, votersMin: 2 });
		const clientOptions = { world, history, keys, thinkUs };
		this.#clients = Array.from({ length: clients }, (_, at) => new Client(clientOptions, at));
		this.#lockClients = Array.from({ length: lockClients }, (_, at) => new LockClient(clientOptions, at));
		this.#fencedWriters = Array.from(
			{ length: options.fencedWriters },
			(_, at) => new FencedWriter({ world, fences }, at),
		);
		world.afterEvent(() => this.#check());
	}

	#addMembers(): SimMember[] {
		const { network, hosts, plan, disk, mutations, bootAfterStop } = this.#options;
		const founding = foundedGroup(hosts.slice(0, plan.voters).map(({ name }) => name));
		this.checker.founded(founding.entries);
		const surroundings = {
			network,
			checker: this.checker,
			book: this.book,
			mutations,
			settings: plan.settings,
			loose: plan.loose,
			memberOf: (id: PeerId) => this.members.find((member) => member.id === id),
			stopped: bootAfterStop,
			started: (member: SimMember, process: Process) => this.#started(member, process),
		};
		return hosts.map((host, at) => {
			const simDisk = new SimDisk(host.random('disk'), disk.faults, disk.latency);
			const member = new SimMember(surroundings, host, simDisk, at < plan.voters ? founding : undefined);
			host.onCrash(() => {
				for (const client of this.#here(host, this.#lockClients)) client.forgets();
				for (const writer of this.#here(host, this.#fencedWriters)) writer.dies();
			});
			host.onPause((clockStands) => {
				for (const client of this.#here(host, this.#lockClients)) client.forgets();
				if (clockStands) for (const writer of this.#here(host, this.#fencedWriters)) writer.losesTime();
			});
			return member;
		});
	}

	/** Clients sit on hosts, round robin. */
	#here<T>(host: SimHost, clients: readonly T[]): readonly T[] {
		return clients.filter((_, at) => at % this.members.length === host.index);
	}

	#started({ host }: SimMember, { engine }: Process): void {
		for (const client of this.#here(host, this.#clients)) client.runs(host, engine);
		for (const client of this.#here(host, this.#lockClients)) client.runs(host, engine);
		for (const writer of this.#here(host, this.#fencedWriters)) writer.runs(host, engine);
	}

	/** The host whose trouble matters most. */
	get leaderHost(): SimHost | undefined {
		return this.#operator.leader()?.host;
	}

	/** Whether everyone would survive the loss of one disk now: all earlier losses are made good and nothing is half changed. */
	#mayWipe(host: SimHost): boolean {
		const leader = this.#operator.leader();
		const core = leader?.process?.group.core;
		if (leader === undefined || core === undefined || leader.host === host) return false;
		const { voters, outgoing } = core.membership;
		return (
			this.#operator.lostMembers(leader).length === 0 &&
			outgoing.length === 0 &&
			voters.length >= 3 &&
			core.commitIndex === core.lastIndex
		);
	}

	/** Takes a host down and empties its disk, if that can be made good. Answers whether it did. */
	wipe(host: SimHost): boolean {
		const member = this.members.find((one) => one.host === host);
		if (member === undefined || !this.#mayWipe(host)) return false;
		host.crash();
		member.wipe();
		this.#options.bootAfterStop(host);
		return true;
	}

	#check(): void {
		for (const { process } of this.members) {
			if (process === undefined || process.group.ended) continue;
			this.checker.check(process.watched);
		}
		this.fences.check();
	}

	/** Every half second: what takes longer to look at, and what only shows over time. */
	#checkSlowly(): void {
		const { world } = this;
		const { aloneUs } = this.#options.plan.times;
		for (const { host, process } of this.members) {
			if (process === undefined || process.group.ended || host.state !== 'up') continue;
			const since = Math.max(process.startedUs, host.resumedUs);
			const heard = (peer: PeerId): boolean => world.nowUs - Math.max(process.heardUs.get(peer) ?? 0, since) < aloneUs;
			this.checker.leadsAlone(process.watched, heard);
			this.#checkBounds(process);
		}
		world.schedule(500_000, 'check', () => this.#checkSlowly());
	}

	/** Memory and disk stay within what the settings say. */
	#checkBounds({ group, segments, watched }: Process): void {
		const { inflightMessagesMax = 0 } = this.#options.plan.settings.limits ?? {};
		for (const { id, inflight } of group.core.peers()) {
			if (inflight > inflightMessagesMax)
				throw new Violation(
					`${watched.id} has ${inflight} appends under way to ${id}, at most ${inflightMessagesMax} are allowed`,
				);
		}
		if (segments.segmentCount > segmentsMax)
			throw new Violation(`${watched.id} holds ${segments.segmentCount} segments, nothing is released`);
	}

	/** Begins what goes on all the time. */
	start(): void {
		this.#operator.start();
		this.#checkSlowly();
	}

	/** What clients saw, and a replay of all that was applied. Throws a Violation. */
	judge(): void {
		this.history.judge();
		this.fences.judge();
		const store = this.book.replay();
		if (this.book.commands > 0 && store.revision < 1) throw new Violation('a replay of all commands leads nowhere');
	}

	heals(lost: readonly SimHost[]): void {
		this.#lost = lost;
		for (const { disk } of this.members) disk.heal();
		this.#operator.calm();
		this.#probe();
	}

	/** In half of all runs a host that every membership which may be in force can spare; it may be lost for good. */
	expendable(): readonly SimHost[] {
		const random = this.world.random('faults');
		if (random.nextFloat() >= 0.5) return [];
		const member = this.members[Math.floor(random.nextFloat() * this.members.length)];
		if (member === undefined) return [];
		const present = new Set(this.members.map(({ id }) => id));
		const newest = Math.max(...[...this.checker.memberships.keys()].filter((index) => index <= this.checker.commitMax));
		const inForce = [...this.checker.memberships]
			.filter(([index]) => index >= newest)
			.map(([, membership]) => membership);
		const spared = inForce.every((membership) => quorumHas(membership, (id) => present.has(id) && id !== member.id));
		return spared ? [member.host] : [];
	}

	#probes = new Map<string, boolean>();

	/** After healing each host that is left must carry a write through. */
	#probe(): void {
		for (const { host, process } of this.members) {
			if (this.#lost.includes(host) || this.#probes.get(host.name) === true) continue;
			if (process === undefined || process.group.ended || host.state !== 'up') continue;
			if (!this.#isMember(process)) {
				this.#probes.set(host.name, true);
				continue;
			}
			process.engine
				.transact({ when: [], then: [{ put: `probe-${host.name}`, value: new Uint8Array(1) }] }, { timeoutMs: 2000 })
				.then(
					() => this.#probes.set(host.name, true),
					() => undefined,
				);
		}
		this.world.schedule(500_000, 'probe', () => this.#probe());
	}

	#isMember({ group }: Process): boolean {
		const membership = this.#operator.leader()?.process?.group.core.membership;
		if (membership === undefined) return true;
		return [...membership.voters, ...membership.outgoing, ...membership.learners].includes(group.id);
	}

	unsettled(): string | undefined {
		const leader = this.#operator.leader();
		if (leader?.process === undefined) return 'nobody leads';
		for (const { host, id, process } of this.members) {
			if (this.#lost.includes(host)) continue;
			if (this.#probes.get(host.name) !== true) return `no write goes through on ${id}`;
			if (process === undefined || !this.#isMember(process)) continue;
			if (process.store.appliedIndex < leader.process.store.appliedIndex - appliedSlack)
				return `${id} has applied ${process.store.appliedIndex} of ${leader.process.store.appliedIndex}`;
		}
		return undefined;
	}
}

/** Segments of 64 KiB that a log may hold: a snapshot's distance of entries, twice, and what is being written. */
const segmentsMax = 24;
/** Commands a member may be behind its leader while clients go on. */
const appliedSlack = 50;
