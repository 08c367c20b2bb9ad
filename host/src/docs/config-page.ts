// Owns docs/config.md: every configuration key with type, unit, bounds, default and meaning.
import { configSchema } from '../config/schema.js';
import type { SchemaNode } from '../config/tree.js';
import { code, header, markdownTable } from './markdown.js';

const introduction = `Precedence: flag > environment > file > default. The file is \`infermesh.yaml\` in the working directory, or \`--config FILE\`. The
environment names a key \`INFERMESH_A__B\` (\`data.port\` is \`INFERMESH_DATA__PORT\`); lists and maps are given as YAML, as in
\`INFERMESH_TARGETS='[{id: a, url: "http://127.0.0.1:8000"}]'\`. Unknown keys are refused with file:line:column.
\`infermesh config show --origin\` prints every value and where it comes from. Secrets are literals, \`env:NAME\` or \`file:PATH\`, and are
never printed.`;

interface Row {
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

function leaves(schema: SchemaNode, path: string): Row[] {
	return Object.entries(schema.properties ?? {}).flatMap(([key, child]) => {
		const at = path === '' ? key : `${path}.${key}`;
		return child.properties === undefined ? [{ key: at, schema: child }] : leaves(child, at);
	});
}

function tableOf(rows: readonly Row[]): string {
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

export function configPage(): string {
	const root = configSchema as unknown as SchemaNode;
	const parts = Object.entries(root.properties ?? {}).map(([key, child]) => {
		if (child.properties !== undefined)
			return `\n## ${key}\n\n${child.description ?? ''}\n\n${tableOf(leaves(child, key))}`;
		const item =
			child.items?.properties === undefined ? '' : `\nEach item:\n\n${tableOf(leaves(child.items, `${key}[]`))}`;
		return `\n## ${key}\n\n${tableOf([{ key, schema: child }])}${item}`;
	});
	return header('Configuration', '`host/src/config/schema.ts`', introduction) + parts.join('');
}
