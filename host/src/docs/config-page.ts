// Owns docs/config.md: every configuration key with type, unit, bounds, default and meaning.
import { configSchema } from '../config/schema.js';
import type { SchemaNode } from '../config/tree.js';
import { header } from './markdown.js';
import { leaves, tableOf } from './schema-table.js';

const introduction = `Precedence: flag > environment > file > default. The file is \`infermesh.yaml\` in the working directory, or \`--config FILE\`. The
environment names a key \`INFERMESH_A__B\` (\`data.port\` is \`INFERMESH_DATA__PORT\`); lists and maps are given as YAML, as in
\`INFERMESH_TARGETS='[{id: a, url: "http://127.0.0.1:8000"}]'\`. Unknown keys are refused with file:line:column.
\`infermesh config show --origin\` prints every value and where it comes from. Secrets are literals, \`env:NAME\` or \`file:PATH\`, and are
never printed.`;

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
