// Owns the few totals that the status page and `infermesh status` show, summed from the metrics blocks of all threads.

import { distributionOf, totalOf } from '../telemetry/exposition.js';
import type { Traffic } from './schemas.js';

export function trafficOf(buffers: readonly SharedArrayBuffer[]): Traffic {
	const ttft = distributionOf(buffers, 'timeToFirstToken');
	return {
		requestsTotal: totalOf(buffers, 'requests'),
		failedTotal: totalOf(buffers, 'requests', ([, , , status]) => Number(status) >= 500),
		inFlight: totalOf(buffers, 'requestsInFlight'),
		tokensOutTotal: totalOf(buffers, 'tokens', ([, , , kind]) => kind === 'output'),
		decisionsTotal: totalOf(buffers, 'decisions'),
		fallbacksTotal: totalOf(buffers, 'fallbacks'),
		strikesTotal: totalOf(buffers, 'strikes'),
		ttft: { boundsS: ttft.bounds.slice(0, -1), counts: ttft.counts },
	};
}
