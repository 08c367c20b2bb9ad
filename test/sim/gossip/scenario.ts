// Owns the gossip scenario: pools of four to nine members over the real driver and codec, and the known bugs of SWIM that it notices.
import { swimMutations } from '@infermesh/fabric';
import type { Scenario } from '../scenario.js';
import { GossipPool } from './gossip-pool.js';

const troubleUs = 40_000_000;

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
		'lies: alive',
		'lies: dead',
		'lies: left',
		'lies: suspect',
		'packets lost',
		'packets repeated',
	],
	start({ seed, readable, mutation }) {
		const mutations = swimMutations.filter((name) => name === mutation);
		const pool = new GossipPool({ seed, troubleUs, readable, mutations });
		return {
			world: pool.world,
			run: () => pool.run(),
			figures: () => ({ members: pool.members, settledMs: Math.round(pool.settledS * 1000) }),
		};
	},
};
