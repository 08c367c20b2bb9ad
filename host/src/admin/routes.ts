// Owns the table of admin routes: path, schemas, what each does to the mesh. server.ts serves it, openapi.ts describes it.
import { MeshError } from '@infermesh/proto';
import { reportRoutes } from '../reports/routes.js';
import { Type } from '../schema/type.js';
import { capacityRoutes } from './capacity-routes.js';
import { adminErrors } from './errors.js';
import { experimentRoutes } from './experiment-routes.js';
import { gpuRoutes } from './gpu-routes.js';
import { meshRoutes } from './mesh-routes.js';
import { quotaRoutes } from './quota-routes.js';
import { recorderRoutes } from './recorder-routes.js';
import { type AdminRoute, route } from './route.js';
import type { JoinTokenMade, LoadResult, StrategyView, TargetView } from './schemas.js';
import * as schemas from './schemas.js';
import { shadowRoutes } from './shadow-routes.js';

const id = schemas.idParamsSchema;

const targetRoutes: readonly AdminRoute[] = [
	route('GET', '/api/v1/targets', 'All targets with their signals.', {
		response: schemas.items(schemas.targetViewSchema),
		run: (control) => ({ items: control.listTargets() }),
	}),
	route('POST', '/api/v1/targets', 'Add a target.', {
		body: schemas.targetRequestSchema,
		response: schemas.targetViewSchema,
		status: 201,
		run: (control, { body }) => control.addTarget(body),
		audit: (_call, target: TargetView) => ({ action: 'target.add', object: target.id }),
	}),
	route('DELETE', '/api/v1/targets/:id', 'Remove a target; what is in flight there ends by itself.', {
		params: id,
		response: schemas.targetViewSchema,
		run: (control, { params }) => control.removeTarget(params.id),
		audit: ({ params }) => ({ action: 'target.remove', object: params.id }),
	}),
	route('POST', '/api/v1/targets/:id/drain', 'Send a target no new requests.', {
		params: id,
		response: schemas.targetViewSchema,
		run: (control, { params }) => control.drainTarget(params.id, true),
		audit: ({ params }) => ({ action: 'target.drain', object: params.id }),
	}),
	route('POST', '/api/v1/targets/:id/undrain', 'Send a drained target requests again.', {
		params: id,
		response: schemas.targetViewSchema,
		run: (control, { params }) => control.drainTarget(params.id, false),
		audit: ({ params }) => ({ action: 'target.undrain', object: params.id }),
	}),
];

const strategyRoutes: readonly AdminRoute[] = [
	route('GET', '/api/v1/strategies', 'Loaded strategies.', {
		response: schemas.items(schemas.strategyViewSchema),
		run: (control) => ({ items: control.listStrategies() }),
	}),
	route('POST', '/api/v1/strategies', 'Admit, compile and warm a strategy; no traffic unless `activate`.', {
		body: schemas.loadRequestSchema,
		response: schemas.loadResultSchema,
		status: 201,
		run: (control, { body }) =>
			control.loadStrategy({
				module: decodeModule(body.module),
				sourceMap: body.sourceMap,
				settings: body.settings,
				activate: body.activate ?? false,
				model: body.model,
				signature: body.signature,
				inline: body.inline,
			}),
		audit: ({ body }, { strategy }: LoadResult) => ({
			action: body.activate === true ? 'strategy.activate' : 'strategy.load',
			object: body.inline === true ? `${labelOf(strategy)} (inline)` : labelOf(strategy),
		}),
	}),
	route('POST', '/api/v1/strategies/:id/stage', 'Give a loaded strategy a stage; `:id` is `name` or `name@version`.', {
		params: id,
		body: schemas.stageRequestSchema,
		response: schemas.strategyViewSchema,
		run: (control, { params, body, asker }) => control.stageStrategy(params.id, body, asker),
		audit: ({ body }, strategy: StrategyView) => ({ action: `strategy.${body.stage}`, object: labelOf(strategy) }),
	}),
	route('DELETE', '/api/v1/strategies/:id', 'Unload a strategy that has no stage.', {
		params: id,
		response: schemas.strategyViewSchema,
		run: (control, { params }) => control.unloadStrategy(params.id),
		audit: (_call, strategy: StrategyView) => ({ action: 'strategy.unload', object: labelOf(strategy) }),
	}),
	route('POST', '/api/v1/rollback', 'Go back to the strategy that decided before.', {
		body: schemas.rollbackRequestSchema,
		response: schemas.rollbackResultSchema,
		run: async (control, { body, asker }) => ({ strategy: (await control.rollbackStrategy(body, asker)) ?? null }),
		audit: ({ body }) => ({ action: 'strategy.rollback', object: body.model ?? '*' }),
	}),
];

const statusRoutes: readonly AdminRoute[] = [
	route('GET', '/api/v1/status', 'What runs, and its traffic since start.', {
		response: schemas.statusSchema,
		run: (control) => control.status(),
	}),
	route('GET', '/api/v1/decisions/:id', 'Why a request went where it did.', {
		params: id,
		response: Type.Object({ id: Type.String() }, { additionalProperties: true }),
		run: async (control, { params }) => {
			const found = await control.explain(params.id);
			if (found !== undefined) return found;
			throw new MeshError(adminErrors, 'IM_ADMIN_DECISION_UNKNOWN', `decision ${params.id} is not remembered`);
		},
	}),
	route('POST', '/api/v1/join-tokens', 'A token that lets new nodes into the mesh.', {
		body: schemas.joinTokenRequestSchema,
		response: schemas.joinTokenSchema,
		status: 201,
		run: (control, { body }) => control.createJoinToken(body),
		audit: ({ body }, made: JoinTokenMade) => ({
			action: 'join-token.create',
			object: made.id,
			reason: body.label ?? '',
		}),
	}),
	route('GET', '/api/v1/config', 'The configuration in force, with origins; secrets masked.', {
		response: schemas.items(schemas.configRowSchema),
		run: (control) => ({ items: control.config() }),
	}),
	route('GET', '/api/v1/log-level', 'The least level that is logged.', {
		response: schemas.logLevelSchema,
		run: (control) => ({ level: control.logLevel() }),
	}),
	route('PUT', '/api/v1/log-level', 'Change the log level of all threads.', {
		body: schemas.logLevelSchema,
		response: schemas.logLevelSchema,
		run: (control, { body }) => {
			control.setLogLevel(body.level);
			return { level: control.logLevel() };
		},
		audit: ({ body }) => ({ action: 'log-level.set', object: body.level }),
	}),
];

export const adminRoutes: readonly AdminRoute[] = [
	...statusRoutes,
	...gpuRoutes,
	...targetRoutes,
	...strategyRoutes,
	...meshRoutes,
	...reportRoutes,
	...quotaRoutes,
	...capacityRoutes,
	...recorderRoutes,
	...experimentRoutes,
	...shadowRoutes,
];

const labelOf = ({ name, version }: StrategyView): string => `${name}@${version}`;

function decodeModule(base64: string): Uint8Array {
	if (!/^[A-Za-z0-9+/]*={0,2}$/.test(base64) || base64.length % 4 !== 0)
		throw new MeshError(adminErrors, 'IM_ADMIN_INVALID_REQUEST', 'body/module must be base64');
	return Buffer.from(base64, 'base64');
}
