// Owns the routes of the admin API about experiments on the running mesh.
import { cellLookSchema } from '../experiments/matched/look.js';
import { type ExperimentView, experimentViewSchema, planViewSchema, startRequestSchema } from '../experiments/view.js';
import { Type } from '../schema/type.js';
import { type AdminRoute, route } from './route.js';
import { idParamsSchema, items } from './schemas.js';

const stopRequestSchema = Type.Object(
	{ reason: Type.Optional(Type.String({ maxLength: 512 })) },
	{ additionalProperties: false },
);

const modelQuerySchema = Type.Object({ model: Type.Optional(Type.String()) }, { additionalProperties: false });

/** Figures with their guarantees; see docs/evaluate.md. */
const documentSchema = Type.Object({ schema: Type.String(), id: Type.String() }, { additionalProperties: true });

export const experimentRoutes: readonly AdminRoute[] = [
	route('GET', '/api/v1/experiment-cell', 'What this mesh would be as a cell of a matched comparison.', {
		query: modelQuerySchema,
		response: cellLookSchema,
		run: (control, { query }) => control.experiments.look(query.model),
	}),
	route('GET', '/api/v1/experiments', 'Experiments, the newest first.', {
		response: items(experimentViewSchema),
		run: (control) => ({ items: control.experiments.list() }),
	}),
	route(
		'POST',
		'/api/v1/experiments/plan',
		'What an experiment would be, and how long it would take; starts nothing.',
		{
			body: startRequestSchema,
			response: planViewSchema,
			run: (control, { body }) => control.experiments.plan(body),
		},
	),
	route('POST', '/api/v1/experiments', 'Start an experiment; answers when all routers are in its first block.', {
		body: startRequestSchema,
		response: experimentViewSchema,
		status: 201,
		run: (control, { body, asker }) => control.experiments.start(body, asker),
	}),
	route('GET', '/api/v1/experiments/:id', 'How an experiment stands.', {
		params: idParamsSchema,
		response: experimentViewSchema,
		run: (control, { params }) => control.experiments.get(params.id),
	}),
	route('GET', '/api/v1/experiments/:id/report', 'The report: each figure with what it promises.', {
		params: idParamsSchema,
		response: documentSchema,
		run: (control, { params }) => control.experiments.report(params.id),
	}),
	route('POST', '/api/v1/experiments/:id/stop', 'Stop an experiment: the baseline decides again.', {
		params: idParamsSchema,
		body: stopRequestSchema,
		response: experimentViewSchema,
		run: (control, { params, body, asker }): Promise<ExperimentView> =>
			control.experiments.stop(params.id, body.reason ?? 'stopped by hand', asker),
	}),
];
