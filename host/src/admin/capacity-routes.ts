// Owns the route of the admin API about capacity: how many replicas each model should have, and why.
import type { Static } from 'typebox';
import { capacityReasons } from '../capacity/model-capacity.js';
import { Type } from '../schema/type.js';
import { type AdminRoute, route } from './route.js';
import { items } from './schemas.js';

const describe = (description: string) => ({ description });
const learned = (description: string) => Type.Union([Type.Number(), Type.Null()], { description });

export const capacityRowSchema = Type.Object({
	model: Type.String(),
	ready: Type.Integer(describe('Replicas that serve now.')),
	desired: Type.Integer(describe('Replicas advised: what an autoscaler should aim at.')),
	needed: Type.Integer(describe('What the last window alone asks for.')),
	reason: Type.Enum([...capacityReasons]),
	demandPerS: Type.Number(describe('Requests a second over the whole mesh.')),
	sustainablePerS: learned('Requests a second of one replica with objectives met; null = not learned yet.'),
	goodRatio: learned('Share of the requests that met their objectives; null = too few to judge.'),
	ttftMs: Type.Number(describe('Objective of the first token.')),
	tpotMs: Type.Number(describe('Objective of each further token.')),
	share: Type.Number(describe('This router’s part of the mesh’s requests in flight: what it speaks from.')),
	drainFirst: Type.Array(Type.String(), describe('Targets to drain before they are taken away, the emptiest first.')),
	ageMs: Type.Number(describe('Since the window it is from ended.')),
});
export type CapacityRow = Static<typeof capacityRowSchema>;

export const capacityRoutes: readonly AdminRoute[] = [
	route('GET', '/api/v1/capacity', 'Replicas each model should have, by what its requests need.', {
		response: items(capacityRowSchema),
		run: (control) => ({ items: control.capacity() }),
	}),
];
