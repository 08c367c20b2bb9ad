// Owns the first stage: what a path and method stand for, and what is answered without a body or a target. Paths are matched as sent:
// anything with escapes, empty or dot segments is not a path of ours, so none can be read differently by an engine.

import type { Refusal } from './errors.js';
import type { PassThroughOptions } from './options.js';
import type { HttpEndpoint } from './routed-request.js';

export type Accepted =
	/** Goes through the pipeline. */
	| { readonly kind: 'forward'; readonly endpoint: HttpEndpoint }
	| { readonly kind: 'health' }
	/** The list of models. */
	| { readonly kind: 'models' }
	| { readonly kind: 'model'; readonly id: string }
	/** OPTIONS: the methods of a path. */
	| { readonly kind: 'options'; readonly allow: string }
	| { readonly kind: 'refuse'; readonly refusal: Refusal };

const POST_ENDPOINTS: ReadonlyMap<string, HttpEndpoint> = new Map([
	['/v1/chat/completions', 'chat'],
	['/v1/completions', 'completion'],
	['/v1/embeddings', 'embedding'],
]);
const READ = 'GET, HEAD, OPTIONS';
const POST = 'POST, OPTIONS';
const MODELS = '/v1/models';
const PASS_METHODS: ReadonlySet<string> = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE']);
const PLAIN_PATH = /^(?:\/(?!\.{0,2}(?:\/|$))[\w\-.~:@+,=]+)+\/?$/;

const forwards: Readonly<Record<HttpEndpoint, Accepted>> = {
	chat: { kind: 'forward', endpoint: 'chat' },
	completion: { kind: 'forward', endpoint: 'completion' },
	embedding: { kind: 'forward', endpoint: 'embedding' },
	other: { kind: 'forward', endpoint: 'other' },
};

/** `path` is the request target up to its query. */
export function accept(method: string, path: string, passThrough: PassThroughOptions): Accepted {
	const endpoint = POST_ENDPOINTS.get(path);
	if (endpoint !== undefined) return method === 'POST' ? forwards[endpoint] : other(method, POST);
	if (path === '/healthz') return isRead(method) ? { kind: 'health' } : other(method, READ);
	if (path === MODELS) return isRead(method) ? { kind: 'models' } : other(method, READ);
	if (path.startsWith(`${MODELS}/`)) return isRead(method) ? model(path.slice(MODELS.length + 1)) : other(method, READ);
	if (!mayPass(path, passThrough)) return { kind: 'refuse', refusal: { code: 'IM_REQUEST_PATH' } };
	return PASS_METHODS.has(method) ? forwards.other : other(method, [...PASS_METHODS, 'OPTIONS'].join(', '));
}

function isRead(method: string): boolean {
	return method === 'GET' || method === 'HEAD';
}

function other(method: string, allow: string): Accepted {
	if (method === 'OPTIONS') return { kind: 'options', allow };
	return { kind: 'refuse', refusal: { code: 'IM_REQUEST_METHOD', allow } };
}

function model(encoded: string): Accepted {
	try {
		return { kind: 'model', id: decodeURIComponent(encoded) };
	} catch {
		return { kind: 'refuse', refusal: { code: 'IM_REQUEST_PATH' } };
	}
}

function mayPass(path: string, passThrough: PassThroughOptions): boolean {
	if (!PLAIN_PATH.test(path)) return false;
	const bare = path.endsWith('/') ? path.slice(0, -1) : path;
	const matches = (entry: string): boolean => (entry.endsWith('/') ? path.startsWith(entry) : bare === entry);
	return passThrough.allow.some(matches) && !passThrough.deny.some(matches);
}
