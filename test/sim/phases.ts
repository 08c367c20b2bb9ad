// Owns the second of the two phases that every run has. First anything may go wrong and nothing wrong may be seen; then what can be healed is healed, and all that
// runs on the hosts must come right within a bound of virtual time.
import type { SimHost } from './world/sim-host.js';
import { type SimWorld, Violation } from './world/sim-world.js';

/** Something that runs on the hosts of a world. */
export interface Tenant {
	/** The troubles are over; `lost` hosts stay dead for good. Called before the hosts come back. */
	heals(lost: readonly SimHost[]): void;
	/** What is not yet as it must be; undefined when all is. */
	unsettled(): string | undefined;
}

/** Runs until all are settled. Answers how long that took, in virtual microseconds; throws a Violation when `usMax` was not enough. */
export async function demandLiveness(world: SimWorld, tenants: readonly Tenant[], usMax: number): Promise<number> {
	const healedUs = world.nowUs;
	const unsettled = (): string | undefined => {
		for (const tenant of tenants) {
			const what = tenant.unsettled();
			if (what !== undefined) return what;
		}
		return undefined;
	};
	await world.run(healedUs + usMax, () => unsettled() === undefined);
	const what = unsettled();
	if (what !== undefined) throw new Violation(`liveness: ${what}`);
	return world.nowUs - healedUs;
}
