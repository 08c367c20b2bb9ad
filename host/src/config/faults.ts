// Owns finding what is wrong with the values of a configuration. Only what was given is looked at: defaults are the schema's own, and to compile a
// validator of all of it takes longer than all else at a start. One is made of each part of the schema when something is first given there.
import type { ErrorObject } from 'ajv';
import { validatorOf } from '../schema/validators.js';
import { type Path, toPointer } from './pointer.js';
import { isTree, type SchemaNode } from './tree.js';

const shells = new WeakMap<SchemaNode, SchemaNode>();

/** Whether values of this schema are looked at in parts: itself, and each child beside it. */
function hasParts({ anyOf, properties, patternProperties, items }: SchemaNode): boolean {
	return anyOf === undefined && (properties ?? patternProperties ?? items) !== undefined;
}

/** What a schema says of a value itself; of one that has no parts, all it says. */
function shellOf(schema: SchemaNode): SchemaNode {
	if (!hasParts(schema)) return schema;
	let shell = shells.get(schema);
	if (shell === undefined) {
		const { properties: _, patternProperties: __, items: ___, ...own } = schema;
		shell = { ...own, ...('additionalProperties' in own ? { additionalProperties: true } : {}) };
		shells.set(schema, shell);
	}
	return shell;
}

/** Keys under which something was given, with their schemas. */
function givenChildren(schema: SchemaNode, given: unknown): [string, SchemaNode][] {
	const { properties, patternProperties, items } = schema;
	if (!hasParts(schema)) return [];
	if (items !== undefined) return Array.isArray(given) ? given.map((_, index) => [String(index), items]) : [];
	if (!isTree(given)) return [];
	if (properties !== undefined)
		return Object.entries(properties).filter(([key]) => Object.hasOwn(given, key) && (given[key] ?? null) !== null);
	return Object.keys(given).map((key) => [key, Object.values(patternProperties ?? {})[0] ?? {}]);
}

const childOf = (value: unknown, key: string): unknown => (value as Readonly<Record<string, unknown>>)[key];

/** Faults of `filled` where something was given, as ajv tells them of the whole. */
export function faultsOfGiven(schema: SchemaNode, given: unknown, filled: unknown, at: Path = []): ErrorObject[] {
	const validate = validatorOf(shellOf(schema), 'all');
	const own = validate(filled) ? [] : (validate.errors ?? []);
	for (const error of own) error.instancePath = `${toPointer(at)}${error.instancePath}`;
	return [
		...own,
		...givenChildren(schema, given).flatMap(([key, child]) =>
			faultsOfGiven(child, childOf(given, key), childOf(filled, key), [...at, key]),
		),
	];
}
