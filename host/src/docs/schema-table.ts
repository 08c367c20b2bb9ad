// Owns the tables of keys in the reference pages, made from a schema whose fields carry default, unit, bounds and a sentence.
import type { SchemaNode } from '../config/tree.js';
import { code, markdownTable } from './markdown.js';

export interface Row {
	readonly key: string;
	readonly schema: SchemaNode;
}

function typeOf(schema: SchemaNode): string {
	if (schema.enum !== undefined) return schema.enum.map((value) => code(String(value))).join(', ');
	if (schema.anyOf !== undefined) return schema.anyOf.map(typeOf).join(' or ');
	if (schema.patternProperties !== undefined)
		return `map of ${typeOf(Object.values(schema.patternProperties)[0] ?? {})}`;
	if (schema.type === 'array') return `list of ${typeOf(schema.items ?? {})}`;
	const secret = schema['x-secret'] === true ? ', secret' : '';
	const unit = schema['x-unit'] === undefined ? '' : ` (${schema['x-unit']})`;
	return `${schema.type ?? 'any'}${unit}${secret}`;
}

function bounds(schema: SchemaNode): string {
	const most = schema.maximum ?? schema.maxItems ?? schema.maxProperties;
	const least = schema.minimum;
	if (least === undefined) return most === undefined ? '' : `at most ${most}`;
	return most === undefined ? `from ${least}` : `${least} to ${most}`;
}

/** Every key below an object, sections opened up. */
export function leaves(schema: SchemaNode, path: string): Row[] {
	return Object.entries(schema.properties ?? {}).flatMap(([key, child]) => {
		const at = path === '' ? key : `${path}.${key}`;
		// What may be a list or a mapping is told in a sentence.
		return child.properties === undefined || child.items !== undefined
			? [{ key: at, schema: child }]
			: leaves(child, at);
	});
}

/** A row a key: type, default, bounds, meaning. */
export function tableOf(rows: readonly Row[]): string {
	return markdownTable(
		['key', 'type', 'default', 'bounds', 'meaning'],
		rows.map(({ key, schema }) => [
			code(key),
			typeOf(schema),
			schema.default === undefined ? '' : code(JSON.stringify(schema.default)),
			bounds(schema),
			schema.description ?? '',
		]),
	);
}
