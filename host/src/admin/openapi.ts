// Owns the OpenAPI document of the admin API, made from the table of routes.
import type { AdminRoute } from './routes.js';
import { errorSchema } from './schemas.js';

const json = (schema: unknown) => ({ 'application/json': { schema } });

function operation(route: AdminRoute): Record<string, unknown> {
	const names = [...route.path.matchAll(/:(\w+)/g)].map((match) => match[1] ?? '');
	return {
		summary: route.summary,
		operationId: `${route.method.toLowerCase()}${route.path.replace('/api/v1', '').replace(/\W+(\w)/g, (_, letter: string) => letter.toUpperCase())}`,
		parameters: names.map((name) => ({ name, in: 'path', required: true, schema: { type: 'string' } })),
		...(route.body === undefined ? {} : { requestBody: { required: true, content: json(route.body) } }),
		responses: {
			[route.status]: { description: 'Done.', content: json(route.response) },
			default: { description: 'Refused or failed.', content: json({ $ref: '#/components/schemas/Error' }) },
		},
	};
}

/** An OpenAPI 3.1 document. */
export function openApiOf(routes: readonly AdminRoute[], version: string): Record<string, unknown> {
	const paths: Record<string, Record<string, unknown>> = {};
	for (const route of routes) {
		const path = route.path.replace(/:(\w+)/g, '{$1}');
		paths[path] = { ...paths[path], [route.method.toLowerCase()]: operation(route) };
	}
	return {
		openapi: '3.1.0',
		info: { title: 'InferMesh admin API', version },
		security: [{ token: [] }],
		paths,
		components: {
			schemas: { Error: errorSchema },
			securitySchemes: { token: { type: 'http', scheme: 'bearer' } },
		},
	};
}
