// Owns docs/scenario.md: every key of a simulation scenario with type, bounds, default and meaning.
import type { SchemaNode } from '../config/tree.js';
import { scenarioNode } from '../simulator/scenario/schema.js';
import { shippedScenarios } from '../simulator/scenario/shipped.js';
import { header } from './markdown.js';
import { leaves, type Row, tableOf } from './schema-table.js';

const introduction = (
	names: readonly string[],
): string => `A simulation scenario is one YAML file: a fleet, a workload, signals, faults, and a grid
of what to run. \`infermesh simulate --scenario FILE\` reads it; unknown keys are refused with file:line:column. These ship:
${names.map((name) => `\`${name}\``).join(', ')}; \`infermesh simulate --list\` says what each is for, and their files are in \`host/scenarios\`. How to
use them is in [evaluate.md](evaluate.md).`;

/** Keys under a heading; lists and maps of objects get a table of their own. */
function section(key: string, node: SchemaNode): string {
	const rows = node.properties === undefined ? [{ key, schema: node }] : leaves(node, key);
	const inner = rows.flatMap((row) => below(row).map((table) => `\n${table}`));
	return `\n## ${key}\n\n${node.description ?? ''}\n\n${tableOf(rows)}${inner.join('')}`;
}

function below({ key, schema }: Row): string[] {
	const items = schema.items ?? Object.values(schema.patternProperties ?? {})[0];
	if (items === undefined) return [];
	const name = schema.items === undefined ? `${key}.NAME` : `${key}[]`;
	if (items.items !== undefined) return below({ key: name, schema: items });
	if (items.properties === undefined) return [];
	return [`Each of \`${key}\`:\n\n${tableOf(leaves(items, name))}`];
}

export function scenarioPage(): string {
	const plain = Object.entries(scenarioNode.properties ?? {}).filter(([, node]) => isPlain(node));
	const rows = plain.map(([key, schema]) => ({ key, schema }));
	const sections = Object.entries(scenarioNode.properties ?? {}).filter(([, node]) => !isPlain(node));
	return (
		header('Simulation scenarios', '`host/src/simulator/scenario/schema.ts`', introduction(shippedScenarios())) +
		`\n## The file\n\n${tableOf(rows)}` +
		sections.map(([key, node]) => section(key, node)).join('')
	);
}

function isPlain(node: SchemaNode): boolean {
	return node.properties === undefined && node.items === undefined;
}
