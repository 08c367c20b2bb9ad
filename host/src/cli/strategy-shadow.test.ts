// How a shadow's figures read.
import test from 'ava';
import type { ShadowView } from '../admin/shadow-routes.js';
import { renderShadow } from './strategy-shadow.js';

const queue = { waitMeanMs: 1, imbalance: 1, largestShare: 0.5 };
const view = {
	strategy: 'mine@1.0.0',
	model: 'm',
	seconds: 30,
	workers: 1,
	live: 10,
	ran: 9,
	skipped: { cap: 0, busy: 1 },
	agreement: 1,
	overlap: 1,
	verdictsDiffered: 0,
	faults: {},
	reruns: { total: 1, differed: 0 },
	latencyUs: { p50: 1, p99: 2, p999: 3, max: 4 },
	fuel: { mean: 3216.4, max: 3225 },
	cpuShare: 0.01,
	cpuUsPerDecision: 5,
	predicted: { requests: 9, liveMs: 1, shadowMs: 1 },
	queues: { herding: 'unknown', why: '', live: queue, shadow: queue, even: queue },
	claims: [],
} as unknown as ShadowView;

test('a module’s fuel is told; a native library is not metered; a shadow that has not run has spent none', (t) => {
	t.regex(renderShadow(view), /; fuel mean 3216, most 3225$/m);
	const spent = { mean: 0, max: 0 };
	t.regex(renderShadow({ ...view, fuel: spent }), /p99\.9 3\.00 µs; not metered$/m);
	t.regex(renderShadow({ ...view, ran: 0, fuel: spent }), /; fuel mean 0, most 0$/m);
});
