// Owns plain configuration trees and how a JSON Schema is walked beside one: writing at a path, filling defaults, finding keys the
// schema does not have. Knows the few schema keywords that fields.ts emits; validation of values is ajv's, in faults.ts.
import { defaultOrigin, type Origins } from './origins.js';
import type { Path } from './pointer.js';

export type Tree = Record<string, unknown>;

/** The part of JSON Schema that our schemas use. */
export interface SchemaNode {
	readonly type?: string;
	readonly description?: string;
	readonly default?: unknown;
	readonly properties?: Readonly<Record<string, SchemaNode>>;
	readonly patternProperties?: Readonly<Record<string, SchemaNode>>;
	readonly items?: SchemaNode;
	readonly enum?: readonly unknown[];
	readonly anyOf?: readonly SchemaNode[];
	readonly required?: readonly string[];
	readonly minimum?: number;
	readonly maximum?: number;
	readonly maxItems?: number;
	readonly maxProperties?: number;
	readonly 'x-unit'?: string;
	readonly 'x-secret'?: boolean;
}

export function isTree(value: unknown): value is Tree {
	return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Schema of one child; undefined when the schema has no such child. */
export function childSchema(schema: SchemaNode, key: string): SchemaNode | undefined {
	if (schema.properties !== undefined)
		return Object.hasOwn(schema.properties, key) ? schema.properties[key] : undefined;
	if (schema.patternProperties !== undefined) return Object.values(schema.patternProperties)[0];
	return schema.items;
}

export function schemaAt(schema: SchemaNode, path: Path): SchemaNode | undefined {
	let node: SchemaNode | undefined = schema;
	for (const key of path) node = node === undefined ? undefined : childSchema(node, key);
	return node;
}

export function valueAt(tree: unknown, path: Path): unknown {
	let node = tree;
	for (const key of path) {
		if (typeof node !== 'object' || node === null || !Object.hasOwn(node, key)) return undefined;
		node = (node as Tree)[key];
	}
	return node;
}

/** Writes `value` at `path`, making objects on the way. Keys are own data properties, whatever their name. */
export function writeAt(tree: Tree, path: Path, value: unknown): void {
	let node = tree;
	for (const key of path.slice(0, -1)) {
		const next = Object.hasOwn(node, key) ? node[key] : undefined;
		const child: Tree = typeof next === 'object' && next !== null ? (next as Tree) : {};
		Object.defineProperty(node, key, { value: child, enumerable: true, writable: true, configurable: true });
		node = child;
	}
	const last = path.at(-1);
	if (last === undefined) throw new TypeError('cannot write the root of a configuration');
	Object.defineProperty(node, last, { value, enumerable: true, writable: true, configurable: true });
}

/** A copy of `value` with the schema's defaults where nothing was given; each filled place is recorded as `default`. */
export function fillDefaults(schema: SchemaNode, value: unknown, path: Path, origins: Origins): unknown {
	if (schema.properties !== undefined && isTree(value)) {
		const filled: Tree = { ...value };
		for (const [key, child] of Object.entries(schema.properties)) {
			const at = [...path, key];
			const given = Object.hasOwn(value, key) && value[key] !== undefined && value[key] !== null;
			if (!given && child.default === undefined) {
				delete filled[key];
				continue;
			}
			if (!given) origins.replace(at, defaultOrigin);
			filled[key] = fillDefaults(child, given ? value[key] : structuredClone(child.default), at, origins);
		}
		return filled;
	}
	if (schema.patternProperties !== undefined && isTree(value)) {
		const child = Object.values(schema.patternProperties)[0] ?? {};
		return Object.fromEntries(
			Object.entries(value).map(([key, inner]) => [key, fillDefaults(child, inner, [...path, key], origins)]),
		);
	}
	if (schema.items !== undefined && Array.isArray(value)) {
		const of = schema.items;
		return value.map((inner, index) => fillDefaults(of, inner, [...path, String(index)], origins));
	}
	return value;
}

/** Paths of keys that the schema does not have, with the names it has at that place. */
export function unknownKeys(schema: SchemaNode, value: unknown, path: Path = []): { path: Path; known: string[] }[] {
	if (Array.isArray(value))
		return schema.items === undefined
			? []
			: value.flatMap((inner, index) => unknownKeys(schema.items ?? {}, inner, [...path, String(index)]));
	if (!isTree(value)) return [];
	return Object.entries(value).flatMap(([key, inner]) => {
		const child = childSchema(schema, key);
		const at = [...path, key];
		if (child !== undefined) return unknownKeys(child, inner, at);
		return schema.properties === undefined ? [] : [{ path: at, known: Object.keys(schema.properties) }];
	});
}

export function deepFreeze<T>(value: T): T {
	if (typeof value !== 'object' || value === null || Object.isFrozen(value)) return value;
	for (const inner of Object.values(value)) deepFreeze(inner);
	return Object.freeze(value);
}
