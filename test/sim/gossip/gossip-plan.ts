// Owns what one seed's gossip pool is like: how many, how fast, and what kind of trouble. Quiet kinds of trouble allow sharper questions: nobody healthy
// may be declared dead where links are fine.
import { type SwimSettings, swimProfiles } from '@infermesh/fabric';
import type { SeededRandom } from '@infermesh/proto';
import { calmPlan, type FaultPlan } from '../world/fault-plan.js';
import { calmWeather } from '../world/link.js';

/** `deaths`: one process at a time dies. `stalls`: processes stand still. `storm`: everything. The first two on fine links. */
export type Trouble = 'deaths' | 'stalls' | 'storm';

export interface GossipPlan {
	readonly hosts: number;
	readonly trouble: Trouble;
	/** A member that says false things about others, under its own name and in theirs. */
	readonly rogue: boolean;
	readonly leaveEveryUs: number | undefined;
	/** Whether members are told by their hosts that they stood still, as the agent does, or have to notice by a late tick alone. */
	readonly tellsLag: boolean;
	readonly faults: FaultPlan;
}

/** The local profile five times as quick, so that a run sees many suspicions end. */
export const quickSwim: SwimSettings = {
	...swimProfiles.local,
	probeIntervalMs: 200,
	probeTimeoutMs: 40,
	indirectChecks: 3,
	suspicionMultiplier: 4,
	gossipIntervalMs: 40,
	retransmitMultiplier: 4,
	pushPullIntervalMs: 2_000,
	gossipToTheDeadMs: 5_000,
	streamTimeoutMs: 1_000,
	reconnectIntervalMs: 2_000,
	seedBackoffMinMs: 200,
	seedBackoffMaxMs: 2_000,
	leaveTimeoutMs: 1_000,
};

export function drawGossipPlan(random: SeededRandom, faults: FaultPlan): GossipPlan {
	const chance = (share: number): boolean => random.nextFloat() < share;
	const between = (low: number, high: number): number => Math.round(low * (high / low) ** random.nextFloat());
	const kind = random.nextFloat();
	const trouble = kind < 0.35 ? 'deaths' : kind < 0.6 ? 'stalls' : 'storm';
	const quiet = calmPlan(faults, calmWeather);
	const deaths = { ...quiet, crashEveryUs: between(1_000_000, 5_000_000), downUs: between(1_000_000, 8_000_000) };
	const stalls = { ...quiet, pauseEveryUs: between(300_000, 3_000_000), pauseUs: between(100_000, 5_000_000) };
	const plan = trouble === 'deaths' ? deaths : trouble === 'stalls' ? stalls : { ...faults, wipeEveryUs: undefined };
	return {
		hosts: 4 + Math.floor(random.nextFloat() * 6),
		trouble,
		rogue: chance(0.4),
		leaveEveryUs: chance(0.4) ? between(2_000_000, 8_000_000) : undefined,
		tellsLag: false,
		faults: plan,
	};
}
