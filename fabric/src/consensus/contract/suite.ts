// Owns the contract of ConsensusEngine as a suite: one test per sentence, run on every engine by the same words.
import type { ContractAssertions, ContractCluster, Statement } from './cluster.js';
import { leases } from './leases.js';
import { life } from './life.js';
import { reads } from './reads.js';
import { transactions } from './transactions.js';
import { watches } from './watches.js';

export type { ContractAssertions, ContractCluster } from './cluster.js';
export { eventually, put, WatchRecord } from './cluster.js';

export const contract: readonly Statement[] = [...reads, ...transactions, ...watches, ...leases, ...life];

/**
 * Names every statement to a test runner: `registerContract('raft', (title, run) => test.serial(title, run), harness)`. Each gets a cluster of its
 * own, or one whose keys are its own. `cannot` names what the cluster cannot do; a statement that needs anything else of it fails when it is
 * missing, so that nothing is left out in silence.
 */
export function registerContract(
	name: string,
	register: (title: string, run: (t: ContractAssertions) => Promise<void>) => void,
	harness: () => Promise<ContractCluster>,
	cannot: readonly ('breakConnections' | 'cutQuorum')[] = [],
): void {
	for (const { title, needs, run } of contract) {
		if (needs !== undefined && cannot.includes(needs)) continue;
		register(`${name}: ${title}`, async (t) => {
			const cluster = await harness();
			try {
				if (needs !== undefined) t.true(cluster[needs] !== undefined, `the cluster cannot ${needs}`);
				await run(t, cluster);
			} finally {
				await cluster.close();
			}
		});
	}
}
