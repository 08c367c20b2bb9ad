// Owns the values an emulated engine gives as tool arguments and structured output: the simplest value a JSON schema
// allows, seeded where there is a choice. Covers the keywords tools use; what it does not know gives an empty string.
import type { Random } from '@infermesh/proto';

/**
 * Schemas nested deeper than this, and values with more parts, give null from there on: a schema may refer to itself.
 */
const DEPTH_MAX = 16;
const PARTS_MAX = 4096;

/** What one value is made from: the schema it started at, for references, and the parts it may still have. */
interface Making {
	readonly root: Schema;
	readonly random: Random;
	partsLeft: number;
}

type Schema = Readonly<Record<string, unknown>>;

/**
 * A value valid for `schema` (types, enum, const, default, required, minimum, minItems, minLength, anyOf, oneOf, allOf,
 * local $ref).
 */
export function schemaValue(schema: unknown, random: Random): unknown {
	return value(schema, { root: isSchema(schema) ? schema : {}, random, partsLeft: PARTS_MAX }, 0);
}

function value(node: unknown, making: Making, depth: number): unknown {
	if (!isSchema(node) || depth > DEPTH_MAX || making.partsLeft <= 0) return null;
	making.partsLeft--;
	const chosen = alternative(node, making.root);
	if (chosen !== undefined) return value(chosen, making, depth + 1);
	if ('const' in node) return node['const'];
	const options = node['enum'];
	if (Array.isArray(options) && options.length > 0) return options[making.random.nextU32() % options.length];
	if ('default' in node) return node['default'];
	return typed(node, making, depth);
}

function typed(node: Schema, making: Making, depth: number): unknown {
	const type = Array.isArray(node['type']) ? node['type'][0] : node['type'];
	switch (type) {
		case 'object':
			return objectValue(node, making, depth);
		case 'array':
			return Array.from({ length: Math.max(1, count(node, 'minItems', 64)) }, () =>
				value(node['items'] ?? { type: 'string' }, making, depth + 1),
			);
		case 'integer':
			return Math.ceil(numberIn(node, making.random));
		case 'number':
			return numberIn(node, making.random);
		case 'boolean':
			return making.random.nextU32() % 2 === 0;
		case 'null':
			return null;
		default:
			return 'properties' in node ? objectValue(node, making, depth) : stringValue(node, making.random);
	}
}

function objectValue(node: Schema, making: Making, depth: number): Record<string, unknown> {
	const properties = isSchema(node['properties']) ? node['properties'] : {};
	const required = Array.isArray(node['required'])
		? node['required'].filter((key) => typeof key === 'string')
		: undefined;
	const keys = required ?? Object.keys(properties);
	return Object.fromEntries(keys.map((key) => [key, value(properties[key] ?? { type: 'string' }, making, depth + 1)]));
}

function stringValue(node: Schema, random: Random): string {
	switch (node['format']) {
		case 'date':
			return '2026-01-15';
		case 'date-time':
			return '2026-01-15T12:00:00Z';
		case 'uuid':
			return '00000000-0000-4000-8000-000000000000';
		case 'email':
			return 'someone@example.com';
		case 'uri':
			return 'https://example.com/';
		default: {
			const text = ['Berlin', 'Nairobi', 'Lima', 'Oslo', 'Kyoto'][random.nextU32() % 5] as string;
			const maximum = node['maxLength'];
			const long = text.padEnd(count(node, 'minLength', 4096), 'x');
			return typeof maximum === 'number' ? long.slice(0, maximum) : long;
		}
	}
}

function numberIn(node: Schema, random: Random): number {
	const exclusive = node['exclusiveMinimum'];
	const low = typeof exclusive === 'number' ? exclusive + 1 : typeof node['minimum'] === 'number' ? node['minimum'] : 0;
	const high = typeof node['maximum'] === 'number' ? node['maximum'] : low + 100;
	const step = Math.min(Math.max(0, high - low), random.nextU32() % 101);
	return low + step;
}

function count(node: Schema, keyword: string, most: number): number {
	const wanted = node[keyword];
	return typeof wanted === 'number' ? Math.min(wanted, most) : 0;
}

function alternative(node: Schema, root: Schema): unknown {
	for (const keyword of ['anyOf', 'oneOf', 'allOf']) {
		const list = node[keyword];
		if (Array.isArray(list) && list.length > 0) return list[0];
	}
	const reference = node['$ref'];
	if (reference === '#') return root;
	if (typeof reference !== 'string' || !reference.startsWith('#/')) return undefined;
	let target: unknown = root;
	for (const part of reference.slice(2).split('/')) target = isSchema(target) ? target[part] : undefined;
	return target;
}

function isSchema(node: unknown): node is Schema {
	return typeof node === 'object' && node !== null && !Array.isArray(node);
}
