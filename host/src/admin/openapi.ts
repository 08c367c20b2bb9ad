// Owns the OpenAPI document of the admin API, made from the table of routes.
import type { TSchema } from 'typebox';
import type { AdminRoute } from './route.js';
import { errorSchema } from './schemas.js';
import type { StreamRoute } from './streams.js';

const json = (schema: unknown) => ({ 'application/json': { schema } });

const refusal = {
	default: { description: 'Refused or failed.', content: json({ $ref: '#/components/schemas/Error' }) },
};

const operationId = (method: string, path: string): string =>
	`${method.toLowerCase()}${path.replace('/api/v1', '').replace(/\W+(\w)/g, (_, letter: string) => letter.toUpperCase())}`;

function queryParameters(query: TSchema | undefined): object[] {
	const { properties = {} } = (query ?? {}) as { readonly properties?: Readonly<Record<string, object>> };
	return Object.entries(properties).map(([name, schema]) => ({ name, in: 'query', required: false, schema }));
}

function streamOperation(route: StreamRoute): Record<string, unknown> {
	return {
		summary: route.summary,
		operationId: operationId('GET', route.path),
		parameters: queryParameters(route.query),
		responses: {
			200: { description: 'A stream.', content: { [route.contentType]: { schema: { type: 'string' } } } },
			...refusal,
		},
	};
}

function operation(route: AdminRoute): Record<string, unknown> {
	const names = [...route.path.matchAll(/:(\w+)/g)].map((match) => match[1] ?? '');
	return {
		summary: route.summary,
		operationId: operationId(route.method, route.path),
		parameters: [
			...names.map((name) => ({ name, in: 'path', required: true, schema: { type: 'string' } })),
			...queryParameters(route.query),
		],
		...(route.body === undefined ? {} : { requestBody: { required: true, content: json(route.body) } }),
		responses: {
			[route.status]: { description: 'Done.', content: json(route.response) },
			...refusal,
		},
	};
}

/** An OpenAPI 3.1 document. */
export function openApiOf(
	routes: readonly AdminRoute[],
	streams: readonly StreamRoute[],
	version: string,
): Record<string, unknown> {
	const paths: Record<string, Record<string, unknown>> = {};
	for (const route of routes) {
		const path = route.path.replace(/:(\w+)/g, '{$1}');
		paths[path] = { ...paths[path], [route.method.toLowerCase()]: operation(route) };
	}
	for (const stream of streams) paths[stream.path] = { get: streamOperation(stream) };
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
