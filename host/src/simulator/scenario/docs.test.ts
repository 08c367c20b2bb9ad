// docs/evaluate.md is held to the code: its scenario is valid, and what it says ships does.
import { readFileSync } from 'node:fs';
import test from 'ava';
import { SIMULATION_METRICS } from '../grid/metrics.js';
import { readScenario } from './read.js';
import { shippedScenarios } from './shipped.js';

const page = readFileSync(new URL('../../../../../docs/evaluate.md', import.meta.url), 'utf8');

test('the scenario on the page is valid', (t) => {
	const text = /^```yaml title=mixed\.yaml\n([\s\S]*?)^```$/m.exec(page)?.[1] ?? '';
	const scenario = readScenario(text, { file: 'docs/evaluate.md', readText: () => '' });
	t.is(scenario.name, 'mixed');
	t.is(Object.keys(scenario.grid.variants).length, 2);
});

test('every scenario that ships is on the page', (t) => {
	t.deepEqual(
		shippedScenarios().filter((name) => !page.includes(`| \`${name}\` `)),
		[],
	);
});

test('every metric of a threshold is on the page', (t) => {
	const shown = (name: string): boolean => {
		const [head = '', statistic] = name.split('.');
		return page.includes(`\`${name}\``) || (page.includes(`\`${head}\``) && page.includes(`.${statistic}`));
	};
	t.deepEqual(
		[...SIMULATION_METRICS.keys()].filter((name) => !shown(name)),
		[],
	);
});
