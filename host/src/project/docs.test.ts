import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import test from 'ava';
import { parseScenario } from './scenario/parse.js';
import { fleetFields, requestSchema, scenarioSchema, targetSchema } from './scenario/schema.js';
import { renderTests, testProject } from './test-project.js';
import { generatedProject } from './testing.js';

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..', '..', '..', '..');
const page = readFileSync(path.join(root, 'docs', 'strategies.md'), 'utf8');

/** Fenced blocks of the page that carry a file name: ```` ```yaml title=folder/file ````. */
function titledBlocks(): Map<string, string> {
	const blocks = new Map<string, string>();
	for (const match of page.matchAll(/^```\w+ title=(\S+)\n([\s\S]*?)^```$/gm))
		blocks.set(match[1] ?? '', match[2] ?? '');
	return blocks;
}

/** Properties of an object schema, of the items of a list, or of the values of a map. */
function keysOf(schema: unknown): string[] {
	const { items, properties } = schema as { items?: unknown; properties?: Record<string, unknown> };
	return items === undefined ? Object.keys(properties ?? {}) : keysOf(items);
}

test('every key of a scenario is described on the page', (t) => {
	const { expect, hits, outcomes } = requestSchema.properties as Record<string, unknown>;
	const keys = [scenarioSchema, requestSchema, expect, hits, outcomes].flatMap(keysOf);
	t.true(keys.length > 50);
	t.true(keysOf(targetSchema).includes('count') && 'defaults' in fleetFields);
	const missing = ['id', 'count', 'telemetry_age_ms', 'observed_age_ms', 'prefill_age_ms', ...keys].filter(
		(key) => !page.includes(`\`${key}\``),
	);
	t.deepEqual(missing, []);
});

test('the example scenario on the page parses', (t) => {
	const parsed = parseScenario('docs/strategies.md', titledBlocks().get('test/example.scenario.yaml') ?? '');
	t.true(
		parsed.ok,
		parsed.ok ? '' : parsed.problems.map((problem) => `${problem.where} ${problem.message}`).join('\n'),
	);
});

test('the learning strategy on the page builds and passes the scenario beside it', async (t) => {
	const dir = generatedProject(t, 'strategy-as-minimal');
	const files = [...titledBlocks()].filter(([file]) => file.startsWith('learning/'));
	t.is(files.length, 3);
	for (const [file, text] of files) {
		const full = path.join(dir, file.slice('learning/'.length));
		mkdirSync(path.dirname(full), { recursive: true });
		writeFileSync(full, text);
	}
	const report = await testProject(dir, { only: 'learns' });
	t.true(report.ok, renderTests(report));
});
