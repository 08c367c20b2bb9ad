// Owns what a route of the admin API is, and how one is described so that its handler gets what its schemas promise.
import type { Static, TSchema } from 'typebox';
import type { Asker, Audit } from '../mesh/operations.js';
import type { MeshControl } from './control.js';

/** What of a request reaches a handler; its parts are validated against the schema of the route. */
export interface RouteCall {
	readonly params: unknown;
	readonly query: unknown;
	readonly body: unknown;
	/** Who calls. */
	readonly asker: Asker;
}

export interface AdminRoute {
	readonly method: 'GET' | 'POST' | 'PUT' | 'DELETE';
	/** With `:name` for parameters. */
	readonly path: string;
	readonly summary: string;
	readonly params: TSchema | undefined;
	readonly query: TSchema | undefined;
	readonly body: TSchema | undefined;
	readonly response: TSchema;
	readonly status: number;
	readonly run: (control: MeshControl, call: RouteCall) => unknown;
	/** What the log says of a change that was made; undefined where the operation itself says it. */
	readonly audit: ((call: RouteCall, answer: unknown) => Change) | undefined;
}

/** A change for the log, but for who made it. */
export type Change = Omit<Audit, 'by'>;

interface RouteSpec<P extends TSchema, Q extends TSchema, B extends TSchema> {
	readonly params?: P;
	readonly query?: Q;
	readonly body?: B;
	readonly response: TSchema;
	readonly status?: number;
	readonly run: (
		control: MeshControl,
		call: { readonly params: Static<P>; readonly query: Static<Q>; readonly body: Static<B>; readonly asker: Asker },
	) => unknown;
	readonly audit?: (call: { readonly params: Static<P>; readonly body: Static<B> }, answer: never) => Change;
}

export function route<P extends TSchema, Q extends TSchema, B extends TSchema>(
	method: AdminRoute['method'],
	path: string,
	summary: string,
	spec: RouteSpec<P, Q, B>,
): AdminRoute {
	const { params, query, body, response, status = 200 } = spec;
	const run = spec.run as AdminRoute['run'];
	const audit = spec.audit as AdminRoute['audit'];
	return { method, path, summary, params, query, body, response, status, run, audit };
}
