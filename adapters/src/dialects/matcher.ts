// Owns the finding of a path in the table of routes. Paths are matched as sent: no segment may be empty, a dot segment or hold an escape, except that of a
// model's name, which is decoded once and must then be printable. So what is matched here cannot be read as another path by an engine.
import type { DialectRoute } from './routes.js';

export interface RouteMatch {
	readonly route: DialectRoute;
	/** The model's name, decoded; `''` where the path has none. */
	readonly model: string;
	/** Where the name stands in the path, as sent. */
	readonly modelStart: number;
	readonly modelEnd: number;
	/** The parameter `{id}`; `''` where the path has none. */
	readonly id: string;
	readonly idStart: number;
	readonly idEnd: number;
}

interface Node {
	readonly literals: Map<string, Node>;
	/** Parameters with what follows them in the segment, the longest first. */
	readonly parameters: { readonly name: string; readonly suffix: string; readonly node: Node }[];
	/** By method; empty where the path only leads further. */
	readonly routes: Map<string, DialectRoute>;
}

const PARAMETER = /^\{(\w+)\}(.*)$/;
const PLAIN = /^(?!\.{1,2}$)[\w\-.~:@+,=]+$/;
/** Characters of a path segment (RFC 3986), without the semicolon that some readers cut at. */
const ESCAPED = /^(?:[\w\-.~:@+,=!$&'()*]|%[0-9a-f]{2})+$/i;
const NAME_CHARS_MAX = 512;
/** What no name of a model holds: control characters and lone halves of surrogate pairs. */
const UNPRINTABLE = /[\p{Cc}\p{Cs}]/u;

export class RouteMatcher {
	/** Paths without parameters, by method: found without looking at segments. */
	readonly #fixed = new Map<string, Map<string, RouteMatch>>();
	readonly #root = node();

	constructor(routes: readonly DialectRoute[]) {
		for (const route of routes) {
			for (const method of route.methods) this.#add(method, route);
		}
	}

	/** The match, the methods the path takes instead, or undefined when it is no path of the table. */
	match(method: string, path: string): RouteMatch | readonly string[] | undefined {
		const fixed = this.#fixed.get(path);
		if (fixed !== undefined) return fixed.get(method) ?? [...fixed.keys()];
		return walk(this.#root, method, path, 0, { name: '', model: [0, 0], id: [0, 0] });
	}

	#add(method: string, route: DialectRoute): void {
		if (!route.path.includes('{')) {
			let methods = this.#fixed.get(route.path);
			if (methods === undefined) this.#fixed.set(route.path, (methods = new Map()));
			methods.set(method, { route, model: '', modelStart: 0, modelEnd: 0, id: '', idStart: 0, idEnd: 0 });
			return;
		}
		let at = this.#root;
		for (const segment of route.path.slice(1).split('/')) at = child(at, segment);
		at.routes.set(method, route);
	}
}

function node(): Node {
	return { literals: new Map(), parameters: [], routes: new Map() };
}

function child(parent: Node, segment: string): Node {
	const parameter = PARAMETER.exec(segment);
	if (parameter === null) {
		let next = parent.literals.get(segment);
		if (next === undefined) parent.literals.set(segment, (next = node()));
		return next;
	}
	const [, name = '', suffix = ''] = parameter;
	let known = parent.parameters.find((one) => one.name === name && one.suffix === suffix);
	if (known === undefined) {
		known = { name, suffix, node: node() };
		parent.parameters.push(known);
		parent.parameters.sort((a, b) => b.suffix.length - a.suffix.length);
	}
	return known.node;
}

interface Found {
	readonly name: string;
	readonly model: readonly [start: number, end: number];
	readonly id: readonly [start: number, end: number];
}

/** Matches what is left of the path from the slash at `from`. Literals come before parameters; depth is that of the table. */
function walk(at: Node, method: string, path: string, from: number, found: Found): RouteMatch | string[] | undefined {
	if (from === path.length) return end(at, method, path, found);
	if (path[from] !== '/') return undefined;
	const start = from + 1;
	const slash = path.indexOf('/', start);
	const stop = slash < 0 ? path.length : slash;
	const segment = path.slice(start, stop);
	const literal = at.literals.get(segment);
	const further = literal === undefined ? undefined : walk(literal, method, path, stop, found);
	if (further !== undefined) return further;
	for (const { name, suffix, node: next } of at.parameters) {
		if (!segment.endsWith(suffix) || segment.length === suffix.length) continue;
		const taken = take(name, segment.slice(0, segment.length - suffix.length), start, found);
		const matched = taken === undefined ? undefined : walk(next, method, path, stop, taken);
		if (matched !== undefined) return matched;
	}
	return undefined;
}

function take(name: string, raw: string, start: number, found: Found): Found | undefined {
	const span = [start, start + raw.length] as const;
	if (name === 'model') {
		const model = modelName(raw);
		return model === undefined ? undefined : { ...found, name: model, model: span };
	}
	if (!PLAIN.test(raw)) return undefined;
	return name === 'id' ? { ...found, id: span } : found;
}

function modelName(raw: string): string | undefined {
	if (!ESCAPED.test(raw)) return undefined;
	let name: string;
	try {
		name = decodeURIComponent(raw);
	} catch {
		return undefined;
	}
	if (name === '.' || name === '..' || name.length > NAME_CHARS_MAX || UNPRINTABLE.test(name)) return undefined;
	return name;
}

function end(at: Node, method: string, path: string, { name, model, id }: Found): RouteMatch | string[] | undefined {
	if (at.routes.size === 0) return undefined;
	const route = at.routes.get(method);
	if (route === undefined) return [...at.routes.keys()];
	return {
		route,
		model: name,
		modelStart: model[0],
		modelEnd: model[1],
		id: path.slice(id[0], id[1]),
		idStart: id[0],
		idEnd: id[1],
	};
}
