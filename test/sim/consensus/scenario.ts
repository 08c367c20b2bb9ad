// Owns the consensus scenario: clusters of three or five members, and the known bugs of Raft and of the log that it notices.
import { raftMutations } from '@infermesh/fabric';
import { logMutations, switchedOn } from '../mutations.js';
import { demandLiveness } from '../phases.js';
import type { Scenario, ScenarioOptions, ScenarioRun } from '../scenario.js';
import { drawFaultPlan } from '../world/fault-plan.js';
import { calmWeather } from '../world/link.js';
import { Nemesis } from '../world/nemesis.js';
import { SimNetwork } from '../world/sim-network.js';
import { SimWorld } from '../world/sim-world.js';
import { hostNames, livenessUsMax, SimCluster } from './cluster.js';
import { drawClusterPlan } from './cluster-plan.js';

/** Virtual time in which anything may go wrong. */
const safetyUs = 10_000_000;
/** Events of a run are some ten thousand. */
const eventsMax = 500_000;

class ConsensusRun implements ScenarioRun {
	readonly world: SimWorld;
	readonly #cluster: SimCluster;
	readonly #nemesis: Nemesis;

	constructor({ seed, readable, mutation }: ScenarioOptions) {
		this.world = new SimWorld({ seed, readable, eventsMax });
		const faults = drawFaultPlan(this.world.random('plan'));
		const plan = drawClusterPlan(this.world.random('plan', 1));
		const network = new SimNetwork(this.world, calmWeather);
		const hosts = hostNames(plan).map((name) => this.world.addHost(name));
		this.#cluster = new SimCluster({
			network,
			hosts,
			plan,
			disk: faults.disk,
			fencedWriters: 0,
			mutations: switchedOn(mutation),
			bootAfterStop: (host) => this.#nemesis.bootAfterStop(host),
		});
		this.#nemesis = new Nemesis({
			network,
			plan: faults,
			hosts,
			downMax: hosts.length,
			wipe: (host) => this.#cluster.wipe(host),
			favourite: () => this.#cluster.leaderHost,
		});
	}

	async run(): Promise<void> {
		const cluster = this.#cluster;
		for (const host of this.world.hosts) host.boot();
		this.#nemesis.start();
		cluster.start();
		await this.world.run(safetyUs);
		const lost = cluster.expendable();
		cluster.heals(lost);
		this.#nemesis.heal(lost);
		await demandLiveness(this.world, [cluster], livenessUsMax);
		cluster.judge();
	}

	figures(): Readonly<Record<string, number>> {
		const { history, checker } = this.#cluster;
		return { answered: history.answered, committed: checker.commitMax, leaders: checker.leadersSeen };
	}
}

export const consensusScenario: Scenario = {
	name: 'consensus',
	summary: 'Raft clusters of 3 or 5 over the real log, driver, store and engine, with clients, operators and faults',
	mutations: [...raftMutations, ...logMutations],
	mustHappen: [
		'calls refused',
		'calls unknown',
		'connections broken',
		'connections left half open',
		'done: add',
		'done: change',
		'done: promote',
		'done: remove',
		'done: transfer',
		'fault: clog',
		'fault: crash',
		'fault: partition',
		'fault: pause',
		'fault: wall clock jump',
		'fault: wipe',
		'locks taken',
		'messages held by a cut',
		'packets cut',
		'packets lost',
		'packets repeated',
		'reads answered',
		'snapshots received',
		'stopped by IM_LOG_DISK_FAILED',
		'writes answered',
	],
	start: (options) => new ConsensusRun(options),
};
