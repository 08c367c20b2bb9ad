// Owns the routes of the admin API about quotas as they stand: limits, what is left, leased, spent, waiting and refused. Setting them is the policies'.
import { MeshError } from '@infermesh/proto';
import type { Static } from 'typebox';
import type { QuotaView } from '../quota/view.js';
import { recordErrors } from '../records/errors.js';
import { Type } from '../schema/type.js';
import { nameParamsSchema } from './mesh-schemas.js';
import { type AdminRoute, route } from './route.js';
import { items } from './schemas.js';

export const quotaViewSchema = Type.Object({
	tenant: Type.String(),
	weight: Type.Number({ description: 'Share of what is served when there is too little.' }),
	priority: Type.Integer({ description: 'Of its requests that name none.' }),
	quantities: Type.Array(
		Type.Object({
			quantity: Type.String({ description: 'As the policy names it.' }),
			limit: Type.Number(),
			left: Type.Number({ description: 'In the mesh’s account; what routers hold is not in it.' }),
			leased: Type.Number({
				description: 'Held by this node and not spent; negative = owed. Concurrency: places it holds.',
			}),
			spent: Type.Number({ description: 'Through this node since it began. Concurrency: requests open now.' }),
		}),
	),
	holders: Type.Array(Type.Object({ node: Type.String(), slots: Type.Integer(), self: Type.Boolean() }), {
		description: 'Routers that hold places of the tenant’s concurrency.',
	}),
	waiting: Type.Integer({ description: 'Requests that wait in this router.' }),
	refused: Type.Integer({ description: 'Requests this router has not admitted since it began.' }),
});
export type QuotaRow = Static<typeof quotaViewSchema>;

function row({ quantities, holders, ...same }: QuotaView): QuotaRow {
	return { ...same, quantities: [...quantities], holders: [...holders] };
}

export const quotaRoutes: readonly AdminRoute[] = [
	route('GET', '/api/v1/quotas', 'Quotas of tenants as they stand at this router.', {
		response: items(quotaViewSchema),
		run: async (control) => ({ items: (await control.quotas()).map(row) }),
	}),
	route('GET', '/api/v1/quotas/:name', 'The quota of one tenant as it stands at this router.', {
		params: nameParamsSchema,
		response: quotaViewSchema,
		run: async (control, { params }) => {
			const found = (await control.quotas()).find(({ tenant }) => tenant === params.name);
			if (found === undefined)
				throw new MeshError(recordErrors, 'IM_RECORD_UNKNOWN', `tenant ${params.name} has no quota`);
			return row(found);
		},
	}),
];
