// Owns reports for tests: with thresholds that are easy to meet. Test support only.
import type { Clock, CommStatsDelta, IoStateDelta, LinkStat } from '@infermesh/proto';
import type { Degradation } from './degradations.js';
import { Reports, type ReportsOptions } from './reports.js';

export const testReportsOptions: ReportsOptions = {
	originsMax: 16,
	staleAfterMs: 1000,
	forgetAfterMs: 20_000,
	clearAfterMs: 5000,
	degradationsMax: 16,
	rules: {
		linkErrorsPerSec: 10,
		linkDropsPerSec: 100,
		linkCongestionPerSec: 1000,
		looks: 2,
		storeFailureRatio: 0.5,
		checkpointAgeMaxS: 0,
	},
};

export function testReports(
	clock: Clock,
	degraded: (inForce: readonly Degradation[]) => void = () => undefined,
	options: Partial<ReportsOptions> = {},
): Reports {
	return new Reports({ ...testReportsOptions, ...options }, { clock, degraded });
}

export function commDelta(observedAtMs: number, given: Partial<CommStatsDelta> = {}): CommStatsDelta {
	const nothing = { collectives: [], communicators: [], ranks: [], links: [], paths: [], warnings: [], unread: [] };
	return { observedAtMs, source: 'network_ports', node: 'n1', ...nothing, ...given };
}

export const linkOf = (given: Partial<LinkStat>): LinkStat => ({ device: 'mlx5_0', port: 1, layer: 'roce', ...given });

export function ioDelta(observedAtMs: number, given: Partial<IoStateDelta> = {}): IoStateDelta {
	return { observedAtMs, source: 's3', store: 's3://b/', probed: true, errors: [], unread: [], ...given };
}
