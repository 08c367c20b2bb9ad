// Owns the route of the admin API that shows what shadows have done.
import type { Static } from 'typebox';
import { Type } from '../schema/type.js';
import { type AdminRoute, route } from './route.js';
import { items } from './schemas.js';

const queueSchema = Type.Object({
	waitMeanMs: Type.Number({ description: 'What requests found waiting before them.' }),
	waitP99Ms: Type.Number(),
	imbalance: Type.Number({
		description: 'Work of the target that got most, over the mean, in windows of arrivals; 0 = never busy.',
	}),
	imbalanceMax: Type.Number(),
	largestShare: Type.Number({ description: 'Largest share of requests that one target got, 0..1.' }),
});

export const shadowViewSchema = Type.Object({
	strategy: Type.String(),
	model: Type.String(),
	seconds: Type.Number(),
	workers: Type.Integer(),
	live: Type.Integer({ description: 'Decisions made for the model meanwhile.' }),
	ran: Type.Integer(),
	skipped: Type.Object({ cap: Type.Integer(), busy: Type.Integer() }),
	agreement: Type.Number({ description: 'Share of its sound runs with the live first choice and verdict, 0..1.' }),
	verdictsDiffered: Type.Integer(),
	overlap: Type.Number({ description: 'Share of the live ranked targets that it ranked too, 0..1.' }),
	faults: Type.Record(Type.String(), Type.Integer()),
	latencyUs: Type.Object({ p50: Type.Number(), p99: Type.Number(), p999: Type.Number(), max: Type.Number() }),
	fuel: Type.Object({ mean: Type.Number(), max: Type.Number() }),
	reruns: Type.Object({ total: Type.Integer(), differed: Type.Integer() }),
	cpuShare: Type.Number({ description: 'Of one core, in the worker that used most.' }),
	cpuUsPerDecision: Type.Number({ description: 'CPU of the data plane for each live decision.' }),
	predicted: Type.Object({ requests: Type.Integer(), liveMs: Type.Number(), shadowMs: Type.Number() }),
	queues: Type.Object({
		requests: Type.Integer(),
		live: queueSchema,
		shadow: queueSchema,
		even: queueSchema,
		herding: Type.Enum(['no', 'yes', 'unknown']),
		why: Type.String(),
	}),
	claims: Type.Array(Type.String(), { description: 'What a shadow can say, and what it cannot.' }),
});
export type ShadowView = Static<typeof shadowViewSchema>;

export const shadowRoutes: readonly AdminRoute[] = [
	route('GET', '/api/v1/shadows', 'What shadows have done on this router since they were staged.', {
		response: items(shadowViewSchema),
		run: (control) => ({ items: control.shadows() }),
	}),
];
