// Owns the routes of the admin API about GPUs: what this node hears of them, and an operator's word on one. What is known and decided of a device is
// this node's; other nodes that hear of it judge it themselves, and what any of them takes out is out for all.
import type { Static } from 'typebox';
import { Type } from '../schema/type.js';
import { type AdminRoute, route } from './route.js';
import { idParamsSchema, items } from './schemas.js';

const describe = (description: string) => ({ description });
const nullable = (description: string) => Type.Union([Type.Number(), Type.Null()], { description });

export const gpuRowSchema = Type.Object({
	id: Type.String(describe('UUID of the device or slice.')),
	node: Type.String(),
	index: nullable('Number of the device in its node.'),
	product: Type.String(),
	parent: Type.Union([Type.String(), Type.Null()], describe('Of a slice: the device it is part of.')),
	migProfile: Type.String(describe('Of a MIG slice or partition.')),
	share: Type.Number(describe('Share of a whole device.')),
	standing: Type.Enum(['sound', 'degraded', 'quarantined']),
	rules: Type.Array(
		Type.Object({ rule: Type.String(describe('`hand` = an operator’s word.')), sinceMs: Type.Number() }),
		describe('What holds it.'),
	),
	health: Type.Number(describe('1 = sound, 0 = out.')),
	stale: Type.Boolean(describe('Not heard of for too long to be judged.')),
	ageMs: Type.Number(describe('Since a source last spoke of it.')),
	targets: Type.Array(Type.String(), describe('Targets that run on it.')),
	heldBack: Type.Array(
		Type.String(),
		describe('Targets on it that are in use although rules would take them out, lest too much of a model were out.'),
	),
	vramUsedMib: nullable('MiB'),
	vramTotalMib: nullable('MiB'),
	computeRatio: nullable('Smoothed, 0 to 1.'),
	memoryRatio: nullable('Smoothed, 0 to 1.'),
	temperatureC: nullable('°C'),
	powerW: nullable('Smoothed, W.'),
	powerLimitW: nullable('W'),
	throttle: nullable('Clock event reasons in force, by NVML’s bits.'),
	eccUncorrected: nullable('Uncorrected errors since the driver was loaded.'),
	xids: Type.Array(Type.Integer(), describe('Seen since the driver was loaded.')),
	unread: Type.Array(Type.String(), describe('What its sources should have told and did not.')),
});
export type GpuRow = Static<typeof gpuRowSchema>;

export const gpuRoutes: readonly AdminRoute[] = [
	route('GET', '/api/v1/gpus', 'GPUs this node hears of, with their standing.', {
		response: items(gpuRowSchema),
		run: (control) => ({ items: control.gpus.list() }),
	}),
	route('POST', '/api/v1/gpus/:id/quarantine', 'Take a GPU out by hand: its targets get no requests.', {
		params: idParamsSchema,
		response: gpuRowSchema,
		run: (control, { params, asker }) => control.gpus.hold(params.id, asker.by),
		audit: ({ params }) => ({ action: 'gpu.quarantine', object: params.id }),
	}),
	route(
		'POST',
		'/api/v1/gpus/:id/release',
		'Let a GPU go, whatever holds it; what holds it now counts again once it has been away.',
		{
			params: idParamsSchema,
			response: gpuRowSchema,
			run: (control, { params }) => control.gpus.release(params.id),
			audit: ({ params }) => ({ action: 'gpu.release', object: params.id }),
		},
	),
];
