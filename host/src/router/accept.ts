// Owns the first stage: what a path and method stand for, and what is answered without a body or a target. Known paths are those of the dialects;
// of the others an operator may let some pass. Anything with escapes, empty or dot segments is no path of ours, so none can be read differently by an engine.
import { type Dialect, dialectRoutes, type OwnAnswer, passThrough, RouteMatcher } from '@infermesh/adapters';
import type { Refusal } from './errors.js';
import type { PassThroughOptions } from './options.js';

/** A name in a path: decoded, and where it stands as sent. */
export interface PathName {
	readonly name: string;
	readonly start: number;
	readonly end: number;
}

export type Accepted =
	/** Goes through the pipeline. */
	| {
			readonly kind: 'forward';
			readonly dialect: Dialect;
			/** The path as metrics name it. */
			readonly label: string;
			readonly model?: PathName | undefined;
			readonly id?: PathName | undefined;
	  }
	/** The router answers it. */
	| { readonly kind: 'own'; readonly answer: OwnAnswer; readonly label: string; readonly model: string }
	/** OPTIONS: the methods of a path. */
	| { readonly kind: 'options'; readonly allow: string }
	| { readonly kind: 'refuse'; readonly refusal: Refusal };

const matcher = new RouteMatcher(dialectRoutes);
const MODELS = '/v1/models/';
/** Below it every path names a model: one that is not known would go to any model's target. */
const KSERVE_MODELS = '/v2/models/';
const PASS_METHODS: ReadonlySet<string> = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE']);
const PLAIN_PATH = /^(?:\/(?!\.{0,2}(?:\/|$))[\w\-.~:@+,=]+)+\/?$/;
/** Metrics know paths that are in no table by this name. */
export const OTHER_PATH = 'other';

const passed: Accepted = { kind: 'forward', dialect: passThrough, label: OTHER_PATH };

/** `path` is the request target up to its query. */
export function accept(method: string, path: string, options: PassThroughOptions): Accepted {
	const match = matcher.match(method, path);
	if (match === undefined) return unknown(method, path, options);
	if (!('route' in match)) return other(method, match);
	const { to, path: label } = match.route;
	if (typeof to === 'string') return { kind: 'own', answer: to, label, model: match.model };
	if (match.modelEnd === 0 && match.idEnd === 0) return { kind: 'forward', dialect: to, label };
	const model = named(match.model, match.modelStart, match.modelEnd);
	return { kind: 'forward', dialect: to, label, model, id: named(match.id, match.idStart, match.idEnd) };
}

function named(name: string, start: number, end: number): PathName | undefined {
	return end === 0 ? undefined : { name, start, end };
}

function unknown(method: string, path: string, options: PassThroughOptions): Accepted {
	// Names of models may have slashes, and clients differ in whether they escape them.
	if (path.startsWith(MODELS) && (method === 'GET' || method === 'HEAD')) return listed(path.slice(MODELS.length));
	if (path.startsWith(KSERVE_MODELS) || !mayPass(path, options))
		return { kind: 'refuse', refusal: { code: 'IM_REQUEST_PATH' } };
	return PASS_METHODS.has(method) ? passed : other(method, [...PASS_METHODS]);
}

function other(method: string, methods: readonly string[]): Accepted {
	const allow = [...methods, 'OPTIONS'].join(', ');
	if (method === 'OPTIONS') return { kind: 'options', allow };
	return { kind: 'refuse', refusal: { code: 'IM_REQUEST_METHOD', allow } };
}

function listed(encoded: string): Accepted {
	try {
		return { kind: 'own', answer: 'model', label: '/v1/models/{model}', model: decodeURIComponent(encoded) };
	} catch {
		return { kind: 'refuse', refusal: { code: 'IM_REQUEST_PATH' } };
	}
}

function mayPass(path: string, { allow, deny }: PassThroughOptions): boolean {
	if (!PLAIN_PATH.test(path)) return false;
	const bare = path.endsWith('/') ? path.slice(0, -1) : path;
	const matches = (entry: string): boolean => (entry.endsWith('/') ? path.startsWith(entry) : bare === entry);
	return allow.some(matches) && !deny.some(matches);
}
