// Owns a whole simulated cluster for one seed: hosts, members, clients, operators, faults and checks, in two phases. First anything may happen and nothing wrong
// may be seen; then a majority heals and must get everything done within a bound.
import { foundedGroup, type LogMutation, type PeerId, type RaftMutation } from '@infermesh/fabric';
import { drawFaultPlan, type FaultPlan } from '../world/fault-plan.js';
import { calmWeather } from '../world/link.js';
import { Nemesis } from '../world/nemesis.js';
import { quietFaults, SimDisk } from '../world/sim-disk.js';
import type { SimHost } from '../world/sim-host.js';
import { SimNetwork } from '../world/sim-network.js';
import { SimWorld, Violation } from '../world/sim-world.js';
import { AppliedBook } from './checked-machine.js';
import { Client } from './clients.js';
import { type ClusterPlan, drawClusterPlan } from './cluster-plan.js';
import { History } from './history.js';
import { LockClient } from './lock-client.js';
import { Operator } from './operator.js';
import { quorumHas } from './quorum-rules.js';
import { RaftChecker } from './raft-checker.js';
import { type Process, SimMember } from './sim-member.js';

export interface ClusterOptions {
	readonly seed: number;
	/** Virtual time of the first phase. */
	readonly safetyUs: number;
	readonly readable?: boolean;
	readonly raftMutations?: readonly RaftMutation[];
	readonly logMutations?: readonly LogMutation[];
}

/** What the second phase must be done in, in virtual time: elections, a snapshot, what clients wait for. */
export const livenessUsMax = 30_000_000;
/** Events of a run are some ten thousand. */
const eventsMax = 500_000;

export class SimCluster {
	readonly world: SimWorld;
	readonly plan: FaultPlan;
	readonly clusterPlan: ClusterPlan;
	readonly members: SimMember[] = [];
	readonly checker: RaftChecker;
	readonly book = new AppliedBook();
	readonly history = new History();
	readonly #options: ClusterOptions;
	readonly #network: SimNetwork;
	readonly #nemesis: Nemesis;
	readonly #operator: Operator;
	readonly #clients: Client[];
	readonly #lockClients: LockClient[];
	#lost: readonly SimHost[] = [];

	constructor(options: ClusterOptions) {
		const { seed, readable = false } = options;
		this.#options = options;
		this.world = new SimWorld({ seed, readable, eventsMax });
		this.plan = drawFaultPlan(this.world.random('plan'));
		this.clusterPlan = drawClusterPlan(this.world.random('plan', 1));
		this.checker = new RaftChecker(this.clusterPlan.times);
		this.#network = new SimNetwork(this.world, calmWeather);
		const hosts = this.#addHosts();
		this.#nemesis = new Nemesis({
			network: this.#network,
			plan: this.plan,
			hosts,
			downMax: hosts.length,
			wipe: (host) => this.#wipe(host),
			favourite: () => this.#operator.leader()?.host,
		});
		const { world, members, history } = this;
		const { changeEveryUs, transferEveryUs, keys, thinkUs, clients, lockClients } = this.clusterPlan;
		this.#operator = new Operator({ world, members, changeEveryUs, transferEveryUs, votersMin: 2 });
		const clientOptions = { world, history, keys, thinkUs };
		this.#clients = Array.from({ length: clients }, (_, at) => new Client(clientOptions, at));
		this.#lockClients = Array.from({ length: lockClients }, (_, at) => new LockClient(clientOptions, at));
		world.afterEvent(() => this.#check());
	}

	#addHosts(): SimHost[] {
		const { voters, spares } = this.clusterPlan;
		const names = ['a', 'b', 'c', 'd', 'e', 'f', 'g'].slice(0, voters + spares);
		const founding = foundedGroup(names.slice(0, voters));
		this.checker.founded(founding.entries);
		const surroundings = {
			network: this.#network,
			checker: this.checker,
			book: this.book,
			mutations: { raft: new Set(this.#options.raftMutations), log: new Set(this.#options.logMutations) },
			settings: this.clusterPlan.settings,
			loose: this.clusterPlan.loose,
			memberOf: (id: PeerId) => this.members.find((member) => member.id === id),
			stopped: (host: SimHost) => this.#nemesis.bootAfterStop(host),
			started: (member: SimMember, process: Process) => this.#started(member, process),
		};
		return names.map((name, at) => {
			const host = this.world.addHost(name);
			const disk = new SimDisk(host.random('disk'), this.plan.disk.faults, this.plan.disk.latency);
			this.members.push(new SimMember(surroundings, host, disk, at < voters ? founding : undefined));
			host.onCrash(() => this.#clientsOf(host).locks.forEach((client) => client.forgets()));
			host.onPause(() => this.#clientsOf(host).locks.forEach((client) => client.forgets()));
			return host;
		});
	}

	/** Clients sit on hosts, round robin. */
	#clientsOf(host: SimHost): { readonly plain: readonly Client[]; readonly locks: readonly LockClient[] } {
		const here = (_: unknown, at: number): boolean => at % this.members.length === host.index;
		return { plain: this.#clients.filter(here), locks: this.#lockClients.filter(here) };
	}

	#started({ host }: SimMember, { engine }: Process): void {
		const { plain, locks } = this.#clientsOf(host);
		for (const client of plain) client.runs(host, engine);
		for (const client of locks) client.runs(host, engine);
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

	#wipe(host: SimHost): boolean {
		const member = this.members.find((one) => one.host === host);
		if (member === undefined || !this.#mayWipe(host)) return false;
		host.crash();
		member.wipe();
		this.#nemesis.bootAfterStop(host);
		return true;
	}

	#check(): void {
		for (const { process } of this.members) {
			if (process === undefined || process.group.ended) continue;
			this.checker.check(process.watched);
		}
	}

	/** Every half second: what takes longer to look at, and what only shows over time. */
	#checkSlowly(): void {
		const { world } = this;
		const { aloneUs } = this.clusterPlan.times;
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
		const { inflightMessagesMax = 0 } = this.clusterPlan.settings.limits ?? {};
		for (const { id, inflight } of group.core.peers()) {
			if (inflight > inflightMessagesMax)
				throw new Violation(
					`${watched.id} has ${inflight} appends under way to ${id}, at most ${inflightMessagesMax} are allowed`,
				);
		}
		if (segments.segmentCount > segmentsMax)
			throw new Violation(`${watched.id} holds ${segments.segmentCount} segments, nothing is released`);
	}

	/** Both phases. Throws a Violation. */
	async run(): Promise<void> {
		const { world } = this;
		for (const { host } of this.members) host.boot();
		this.#nemesis.start();
		this.#operator.start();
		this.#checkSlowly();
		await world.run(this.#options.safetyUs);
		this.#heal();
		await world.run(world.nowUs + livenessUsMax, () => this.#settled());
		if (!this.#settled()) throw new Violation(`liveness: ${this.#unsettled()}`);
		this.history.judge();
		const store = this.book.replay();
		if (this.book.commands > 0 && store.revision < 1) throw new Violation('a replay of all commands leads nowhere');
	}

	#heal(): void {
		const { world } = this;
		const random = world.random('faults');
		this.#lost = random.nextFloat() < 0.5 ? this.#expendable() : [];
		world.note(undefined, () => `healing; lost for good: ${this.#lost.map(({ name }) => name).join() || 'nobody'}`);
		for (const { disk } of this.members) Object.assign(disk.faults, quietFaults);
		this.#nemesis.heal(this.#lost);
		this.#operator.calm();
		this.#probe();
	}

	/** A host that every membership which may be in force can spare. */
	#expendable(): SimHost[] {
		const random = this.world.random('faults');
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

	#unsettled(): string | undefined {
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

	#settled(): boolean {
		return this.#probes.size > 0 && this.#unsettled() === undefined;
	}
}

/** Segments of 64 KiB that a log may hold: a snapshot's distance of entries, twice, and what is being written. */
const segmentsMax = 24;
/** Commands a member may be behind its leader while clients go on. */
const appliedSlack = 50;
