// Owns how big one seed's cluster is, how it is set, and how busy it is.
import type { RaftGroupSettings } from '@infermesh/fabric';
import type { SeededRandom } from '@infermesh/proto';
import type { RaftTimes } from './raft-checker.js';

export interface ClusterPlan {
	readonly voters: number;
	readonly spares: number;
	readonly clients: number;
	readonly lockClients: number;
	readonly keys: readonly string[];
	readonly thinkUs: number;
	readonly changeEveryUs: number | undefined;
	readonly transferEveryUs: number | undefined;
	/** Raft's messages travel as datagrams: repeated, overtaken, lost one by one. */
	readonly loose: boolean;
	readonly times: RaftTimes;
	readonly settings: Partial<RaftGroupSettings>;
}

/** The driver's defaults. */
const defaultTimes: RaftTimes = { electionUs: 500_000, tickUs: 25_000, aloneUs: 2_000_000 };
/** Several times as many elections in the same time. */
const quickTimes: RaftTimes = { electionUs: 120_000, tickUs: 10_000, aloneUs: 1_000_000 };

export function drawClusterPlan(random: SeededRandom): ClusterPlan {
	const chance = (share: number): boolean => random.nextFloat() < share;
	const between = (low: number, high: number): number => low * (high / low) ** random.nextFloat();
	const [five, changing, transferring, locking, loose, quick] = [
		chance(0.3),
		chance(0.6),
		chance(0.5),
		chance(0.5),
		chance(0.6),
		chance(0.5),
	];
	const snapshotEntries = Math.round(between(10, 300));
	return {
		voters: five ? 5 : 3,
		spares: changing ? 1 + Math.floor(random.nextFloat() * 2) : 0,
		clients: 2 + Math.floor(random.nextFloat() * 5),
		lockClients: locking ? 2 : 0,
		keys: Array.from({ length: 1 + Math.floor(random.nextFloat() * 4) }, (_, at) => `key${at}`),
		thinkUs: between(20_000, 200_000),
		changeEveryUs: changing ? between(300_000, 3_000_000) : undefined,
		transferEveryUs: transferring ? between(500_000, 5_000_000) : undefined,
		loose,
		times: quick ? quickTimes : defaultTimes,
		settings: {
			tickMs: quick ? quickTimes.tickUs / 1000 : defaultTimes.tickUs / 1000,
			snapshotEntries,
			keepEntries: Math.round(snapshotEntries * random.nextFloat()),
			limits: {
				...(quick ? { heartbeatTicks: 3, electionTicks: 12 } : { heartbeatTicks: 4, electionTicks: 20 }),
				inflightMessagesMax: 2 + Math.floor(random.nextFloat() * 30),
				appendBytesMax: Math.round(between(200, 100_000)),
			},
			retryMs: Math.round(between(100, 1000)),
		},
	};
}
