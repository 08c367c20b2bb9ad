// Owns the admin HTTP server: routes of routes.ts, probes, metrics and the status page; authentication before anything is read; every
// error in one shape. What requests do is the mesh's, behind MeshControl.

import type { Server as SecureServer } from 'node:tls';
import { MeshError } from '@infermesh/proto';
import type { ValidateFunction } from 'ajv';
import {
	type FastifyError,
	type FastifyInstance,
	type FastifyReply,
	type FastifyRequest,
	type FastifyServerOptions,
	fastify,
} from 'fastify';
import type { Asker } from '../mesh/operations.js';
import type { StreamBounds } from '../mesh/stream-bounds.js';
import { validatorOf } from '../schema/validators.js';
import type { Log } from '../telemetry/logger.js';
import { type AdminToken, authorize } from './auth.js';
import type { MeshControl } from './control.js';
import { adminErrors } from './errors.js';
import { openApiOf } from './openapi.js';
import { statusPage, statusPagePolicy } from './page.js';
import { adminRoutes } from './routes.js';
import { streamRoutes } from './streams.js';
import { type AdminTls, serverOptions } from './tls.js';

/** As fastify asks: errors are read from it when it has answered no. */
type ValidatorWithErrors = ((data: unknown) => boolean) & Pick<ValidateFunction, 'errors'>;

declare module 'fastify' {
	interface FastifyRequest {
		/** Who calls: known from the first hook on. */
		asker: Asker;
	}
}

export interface AdminOptions {
	/** Bearer tokens, one of which callers must send; empty = none asked, and only loopback names are answered. */
	readonly tokens: readonly AdminToken[];
	readonly bodyMaxBytes: number;
	/** A caller must have sent its whole request by then. */
	readonly requestTimeoutMs: number;
	/** Of the product, for the OpenAPI document. */
	readonly version: string;
	readonly log: Log;
	/** Shared with the agent's gRPC API. */
	readonly streams: StreamBounds;
	/** Undefined = it speaks in the clear. */
	readonly tls?: AdminTls | undefined;
}

export interface AdminServer {
	/** Starts listening; port 0 takes a free one. Resolves to the address, `http(s)://host:port`. */
	listen(address: { readonly host: string; readonly port: number }): Promise<string>;
	/** Connections from now on are shown this; those there are go on. Only where it began with TLS. */
	setTls(tls: AdminTls): void;
	close(): Promise<void>;
	/** Serves one request without a socket, for tests. */
	readonly inject: FastifyInstance['inject'];
}

function toMeshError(error: unknown): MeshError {
	if (error instanceof MeshError) return error;
	const { code, statusCode, message } = (error ?? {}) as Partial<FastifyError>;
	if (code === 'FST_ERR_CTP_BODY_TOO_LARGE') return new MeshError(adminErrors, 'IM_ADMIN_BODY_TOO_LARGE');
	if (statusCode !== undefined && statusCode >= 400 && statusCode < 500)
		return new MeshError(adminErrors, 'IM_ADMIN_INVALID_REQUEST', message);
	return new MeshError(adminErrors, 'IM_ADMIN_INTERNAL');
}

/** Answers are ours and already typed: their schemas describe them, and must not silently drop fields. */
const asJson = () => (data: unknown) => JSON.stringify(data);

/** A route's validator is made for its first request: few of a node's routes ever see one. */
function validatorWhenAsked({ schema }: { readonly schema: object }): ValidatorWithErrors {
	const validate: ValidatorWithErrors = (data) => {
		const validator = validatorOf(schema, 'first');
		const valid = validator(data);
		validate.errors = validator.errors ?? null;
		return valid;
	};
	return validate;
}

/** fastify's types ask for what its own compilers take; of that, these need the schema. */
const compilersFactory = {
	buildValidator: () => validatorWhenAsked,
	buildSerializer: () => asJson,
} as unknown as NonNullable<NonNullable<FastifyServerOptions['schemaController']>['compilersFactory']>;

/** Creates the server; nothing listens yet. */
export function createAdminServer(options: AdminOptions, control: MeshControl): AdminServer {
	const { tls } = options;
	const app = fastify({
		bodyLimit: options.bodyMaxBytes,
		requestTimeout: options.requestTimeoutMs,
		forceCloseConnections: true,
		routerOptions: { maxParamLength: 256 },
		schemaController: { compilersFactory },
		// Typed as if it were in the clear: nothing that follows cares which.
		...(tls === undefined
			? {}
			: ({ https: { ...serverOptions(tls), handshakeTimeout: options.requestTimeoutMs } } as FastifyServerOptions)),
	});
	app.decorateRequest('asker', null as unknown as Asker);
	app.addHook('onRequest', (request, reply, done) => {
		reply.header('cache-control', 'no-store');
		reply.header('x-content-type-options', 'nosniff');
		request.asker = authorize(request.url.split('?', 1)[0] ?? '', request.headers, options.tokens);
		done();
	});
	app.setErrorHandler((error, request, reply) => sendError(error, request, reply, options.log));
	app.setNotFoundHandler((request, reply) =>
		sendError(
			new MeshError(adminErrors, 'IM_ADMIN_NOT_FOUND', `there is no ${request.method} ${request.url.slice(0, 200)}`),
			request,
			reply,
			options.log,
		),
	);
	addRoutes(app, control, options.log);
	addStreams(app, control, options.streams);
	addProbes(app, control, options.version);
	return {
		// For `localhost` there would be a second server, on ::1, whose certificate could not be changed.
		listen: ({ host, port }) =>
			app.listen({ host: tls !== undefined && host === 'localhost' ? '127.0.0.1' : host, port }),
		setTls: (next) => (app.server as unknown as SecureServer).setSecureContext(serverOptions(next)),
		close: () => app.close(),
		inject: app.inject.bind(app),
	};
}

function sendError(error: unknown, request: FastifyRequest, reply: FastifyReply, log: Log): FastifyReply {
	const named = toMeshError(error);
	if (named.code === 'IM_ADMIN_INTERNAL')
		log.error(
			{ requestId: request.id, error: error instanceof Error ? error.stack : String(error) },
			'admin request failed',
		);
	if (named.entry.httpStatus === 401) reply.header('www-authenticate', 'Bearer realm="infermesh"');
	const details = named.code === 'IM_ADMIN_INTERNAL' ? { details: { requestId: request.id } } : {};
	return reply
		.code(named.entry.httpStatus)
		.header('x-infermesh-error', named.code)
		.send({ error: { ...named.toJSON(), ...details } });
}

function addRoutes(app: FastifyInstance, control: MeshControl, log: Log): void {
	for (const route of adminRoutes) {
		app.route({
			method: route.method,
			url: route.path,
			schema: {
				...(route.params === undefined ? {} : { params: route.params }),
				...(route.query === undefined ? {} : { querystring: route.query }),
				...(route.body === undefined ? {} : { body: route.body }),
			},
			handler: async (request, reply) => {
				const { params, query, body, asker } = request;
				const call = { params, query, body, asker };
				const answer: unknown = await route.run(control, call);
				if (route.audit !== undefined) log.info({ ...asker, ...route.audit(call, answer) }, 'audit');
				return reply.code(route.status).send(answer);
			},
		});
	}
}

function addStreams(app: FastifyInstance, control: MeshControl, bounds: StreamBounds): void {
	for (const stream of streamRoutes) {
		app.route({
			method: 'GET',
			url: stream.path,
			schema: stream.query === undefined ? {} : { querystring: stream.query },
			handler: async (request, reply) => {
				const release = bounds.admit(request.asker.by);
				const gone = new AbortController();
				reply.raw.once('close', () => {
					gone.abort();
					release();
				});
				const body = await stream.open(control, request, gone.signal);
				return reply.type(stream.contentType).send(body);
			},
		});
	}
}

function addProbes(app: FastifyInstance, control: MeshControl, version: string): void {
	const openApi = openApiOf(adminRoutes, streamRoutes, version);
	app.get('/api/v1/openapi.json', () => openApi);
	app.get('/healthz', () => ({ status: 'ok' }));
	app.get('/readyz', async (_request, reply) => {
		const readiness = await control.readiness();
		return reply.code(readiness.ready ? 200 : 503).send(readiness);
	});
	app.get('/metrics', async (_request, reply) => {
		const text = await control.metrics();
		return reply.type('text/plain; version=0.0.4; charset=utf-8').serializer(String).send(text);
	});
	app.get('/', (_request, reply) =>
		reply
			.type('text/html; charset=utf-8')
			.header('content-security-policy', statusPagePolicy)
			.serializer(String)
			.send(statusPage),
	);
}
