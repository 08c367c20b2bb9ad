// Owns the consensus scenario: clusters of three or five members, and the known bugs of Raft and of the log that it notices.
import { type LogMutation, raftMutations } from '@infermesh/fabric';
import type { Scenario } from '../scenario.js';
import { SimCluster } from './cluster.js';

/** Those a cluster comes across; the log's own histories (test/sim/log) notice all ten. */
const logMutations: readonly LogMutation[] = ['skip-fsync', 'ack-before-sync', 'no-folder-sync'];

/** Virtual time in which anything may go wrong. */
const safetyUs = 10_000_000;

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
	start({ seed, readable, mutation }) {
		const raft = raftMutations.filter((name) => name === mutation);
		const log = logMutations.filter((name) => name === mutation);
		const cluster = new SimCluster({ seed, safetyUs, readable, raftMutations: raft, logMutations: log });
		return {
			world: cluster.world,
			run: () => cluster.run(),
			figures: () => ({
				answered: cluster.history.answered,
				committed: cluster.checker.commitMax,
				leaders: cluster.checker.leadersSeen,
			}),
		};
	},
};
