// Owns the gossip scenario: pools of four to nine members over the real driver and codec, and the known bugs of SWIM that it notices.
import { swimMutations } from '@infermesh/fabric';
import { switchedOn } from '../mutations.js';
import { demandLiveness } from '../phases.js';
import type { Scenario, ScenarioOptions, ScenarioRun } from '../scenario.js';
import { drawFaultPlan } from '../world/fault-plan.js';
import { calmWeather } from '../world/link.js';
import { Nemesis } from '../world/nemesis.js';
import { SimNetwork } from '../world/sim-network.js';
import { SimWorld } from '../world/sim-world.js';
import { drawGossipPlan } from './gossip-plan.js';
import { GossipPool, settleUsMax } from './gossip-pool.js';

/** Virtual time in which a pool comes together, and in which anything may go wrong after it. */
const formingUs = 5_000_000;
const troubleUs = 40_000_000;
const eventsMax = 3_000_000;

class GossipRun implements ScenarioRun {
	readonly world: SimWorld;
	readonly #pool: GossipPool;
	readonly #nemesis: Nemesis;
	readonly #members: number;
	#settledUs = 0;

	constructor({ seed, readable, mutation }: ScenarioOptions) {
		this.world = new SimWorld({ seed, readable, eventsMax });
		const plan = drawGossipPlan(this.world.random('plan', 1), drawFaultPlan(this.world.random('plan')));
		const network = new SimNetwork(this.world, calmWeather);
		const hosts = Array.from({ length: plan.hosts }, (_, at) => this.world.addHost(`n${at}`));
		this.#members = hosts.length;
		this.#pool = new GossipPool({ network, hosts, plan, mutations: switchedOn(mutation) });
		const downMax = plan.trouble === 'deaths' ? 1 : hosts.length;
		this.#nemesis = new Nemesis({ network, plan: plan.faults, hosts, downMax });
	}

	async run(): Promise<void> {
		const pool = this.#pool;
		for (const host of this.world.hosts.slice(0, this.#members)) host.boot();
		pool.start();
		await this.world.run(formingUs);
		this.#nemesis.start();
		pool.churns();
		await this.world.run(formingUs + troubleUs);
		pool.heals([]);
		this.#nemesis.heal();
		this.#settledUs = await demandLiveness(this.world, [pool], settleUsMax);
		await pool.rest();
	}

	figures(): Readonly<Record<string, number>> {
		return { members: this.#members, settledMs: Math.round(this.#settledUs / 1000) };
	}
}

export const gossipScenario: Scenario = {
	name: 'gossip',
	summary:
		'SWIM pools of 4 to 9 over the real driver and codec: deaths, stalls, storms, leaves, and a member that lies',
	mutations: swimMutations,
	mustHappen: [
		'event: alive',
		'event: failed',
		'event: join',
		'event: left',
		'event: refuted',
		'event: suspect',
		'event: synchronised',
		'fault: crash',
		'fault: partition',
		'fault: pause',
		'leaves',
		'lies: ack',
		'lies: alive',
		'lies: dead',
		'lies: left',
		'lies: suspect',
		'packets lost',
		'packets repeated',
	],
	start: (options) => new GossipRun(options),
};
