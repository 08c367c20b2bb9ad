// Owns the counters of admission over a metrics block. Series are looked up once and kept; tenants are bounded by the table of names.
import { turns } from '../router/admission/flow-band.js';
import { bands } from '../router/admission/options.js';
import type { AdmissionMetrics, AdmissionReason } from '../router/admission/ports.js';
import type { MetricsBlock, Series } from './block.js';

export function createAdmissionMetrics(
	block: MetricsBlock,
	tenantName: (tenantId: number) => string,
): AdmissionMetrics {
	const waiting = bands.map((band) => block.gauge('flowWaiting', band));
	const waits = bands.map((band) => block.histogram('flowWait', band));
	const byTurn = new Map(turns.map((turn) => [turn, block.counter('flowTurns', turn)]));
	const refused = new Map<AdmissionReason, Map<number, Series>>();
	return {
		refused(reason, tenantId) {
			let byTenant = refused.get(reason);
			if (byTenant === undefined) refused.set(reason, (byTenant = new Map()));
			let series = byTenant.get(tenantId);
			if (series === undefined) {
				series = block.counter('flowRefused', reason, tenantName(tenantId));
				byTenant.set(tenantId, series);
			}
			series.add(1);
		},
		queued: (band, change) => waiting[band]?.add(change),
		turn: (turn) => byTurn.get(turn)?.add(1),
		waited: (band, ms) => waits[band]?.observe(ms / 1000),
	};
}
