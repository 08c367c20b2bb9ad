// Owns the mesh scenario: gossip and consensus on the same hosts, so that one crash or standstill takes both, with leaders elected by lease that may learn late that
// they have lost it. Nodes find one another's consensus by name: the agent takes those addresses from replicated state and its own folder, not from gossip.
import { storeMutations } from '@infermesh/fabric';
import { hostNames, livenessUsMax, SimCluster } from '../consensus/cluster.js';
import { drawClusterPlan } from '../consensus/cluster-plan.js';
import { drawGossipPlan, type GossipPlan } from '../gossip/gossip-plan.js';
import { GossipPool, settleUsMax } from '../gossip/gossip-pool.js';
import { switchedOn } from '../mutations.js';
import { demandLiveness } from '../phases.js';
import type { Scenario, ScenarioOptions, ScenarioRun } from '../scenario.js';
import { drawFaultPlan } from '../world/fault-plan.js';
import { calmWeather } from '../world/link.js';
import { Nemesis } from '../world/nemesis.js';
import type { SimHost } from '../world/sim-host.js';
import { SimNetwork } from '../world/sim-network.js';
import { SimWorld } from '../world/sim-world.js';

/** Virtual time in which the mesh comes together, and in which anything may go wrong after it. */
const formingUs = 3_000_000;
const troubleUs = 12_000_000;
const eventsMax = 2_000_000;
const fencedWriters = 3;

class MeshRun implements ScenarioRun {
	readonly world: SimWorld;
	readonly #hosts: readonly SimHost[];
	readonly #cluster: SimCluster;
	readonly #pool: GossipPool;
	readonly #nemesis: Nemesis;
	#settledUs = 0;

	constructor({ seed, readable, mutation }: ScenarioOptions) {
		this.world = new SimWorld({ seed, readable, eventsMax });
		const { world } = this;
		const clusterPlan = drawClusterPlan(world.random('plan', 1));
		const names = hostNames(clusterPlan);
		const drawn = drawGossipPlan(world.random('plan', 2), drawFaultPlan(world.random('plan')));
		// Every wiped disk is another node with another certificate, which the pool would have to be told of.
		const faults = { ...drawn.faults, wipeEveryUs: undefined };
		const plan: GossipPlan = { ...drawn, hosts: names.length, faults, tellsLag: true };
		const network = new SimNetwork(world, calmWeather);
		const hosts = names.map((name) => world.addHost(name));
		const mutations = switchedOn(mutation);
		this.#hosts = hosts;
		this.#cluster = new SimCluster({
			network,
			hosts,
			plan: clusterPlan,
			disk: faults.disk,
			fencedWriters,
			mutations,
			bootAfterStop: (host) => this.#nemesis.bootAfterStop(host),
		});
		this.#pool = new GossipPool({ network, hosts, plan, mutations });
		this.#nemesis = new Nemesis({
			network,
			plan: faults,
			hosts,
			downMax: plan.trouble === 'deaths' ? 1 : hosts.length,
			favourite: () => this.#cluster.leaderHost,
		});
	}

	async run(): Promise<void> {
		const [cluster, pool] = [this.#cluster, this.#pool];
		for (const host of this.#hosts) host.boot();
		cluster.start();
		pool.start();
		await this.world.run(formingUs);
		this.#nemesis.start();
		pool.churns();
		await this.world.run(formingUs + troubleUs);
		const lost = cluster.expendable();
		cluster.heals(lost);
		pool.heals(lost);
		this.#nemesis.heal(lost);
		this.#settledUs = await demandLiveness(this.world, [cluster, pool], Math.max(livenessUsMax, settleUsMax));
		await pool.rest();
		cluster.judge();
	}

	figures(): Readonly<Record<string, number>> {
		const { history, checker } = this.#cluster;
		return {
			answered: history.answered,
			committed: checker.commitMax,
			members: this.#hosts.length,
			settledMs: Math.round(this.#settledUs / 1000),
		};
	}
}

export const meshScenario: Scenario = {
	name: 'mesh',
	summary:
		'gossip and consensus on the same 3 to 7 hosts, with leaders elected by lease that learn late that they have lost it',
	mutations: storeMutations,
	mustHappen: [
		'done: transfer',
		'event: failed',
		'event: join',
		'event: left',
		'event: refuted',
		'event: suspect',
		'fault: crash',
		'fault: partition',
		'fault: pause',
		'guarded writes',
		'guarded writes asked for late',
		'guarded writes refused',
		'leaders elected',
		'leaves',
		'lies: dead',
		'locks taken',
		'packets lost',
		'reads answered',
		'standstill told',
		'writes answered',
	],
	start: (options) => new MeshRun(options),
};
