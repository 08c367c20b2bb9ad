// Prometheus' own checker on what the mesh exposes and on the alert rules that ship, and each alert on numbers that must set it off.
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import test from 'ava';
import { startTestMesh } from '../support/mesh.js';
import { program, run, temporaryFolder } from '../support/programs.js';
import { shipped } from '../support/strategies.js';
import { ask } from '../support/traffic.js';

const rules = fileURLToPath(new URL('../../../deploy/prometheus/infermesh.rules.yaml', import.meta.url));

test('promtool finds nothing wrong with /metrics, before and after traffic', async (t) => {
	const promtool = program('promtool', 'prometheus');
	const mesh = await startTestMesh(t, { engines: 2 });
	const check = async (): Promise<void> => {
		const text = await mesh.admin.metricsText();
		const { code, output } = await run(promtool, ['check', 'metrics'], text);
		t.is(output.trim(), '');
		t.is(code, 0);
		t.true(text.includes('infermesh_build_info'));
	};
	await check();
	await mesh.admin.load(shipped('least_queue'), { activate: true });
	mesh.engines[0]?.setFaults({ error: { status: 500, probability: 0.5 } });
	for (let seed = 0; seed < 12; seed++) await ask({ url: mesh.dataUrl, seed, stream: seed % 2 === 0 });
	await ask({ url: mesh.dataUrl, seed: 1, model: 'a "quoted"\\ name' });
	await check();
});

test('promtool accepts the alert rules', async (t) => {
	const { code, output } = await run(program('promtool', 'prometheus'), ['check', 'rules', rules]);
	t.is(code, 0, output);
});

test('every metric an alert names is one the mesh documents', (t) => {
	const documented = readFileSync(fileURLToPath(new URL('../../../docs/metrics.md', import.meta.url)), 'utf8');
	const named = new Set(readFileSync(rules, 'utf8').match(/\binfermesh_[a-z_]+/g));
	t.true(named.size > 3);
	for (const metric of named) t.true(documented.includes(`\`${metric.replace(/_bucket$/, '')}\``), metric);
});

test('the alert on a model without targets goes off when none serves, and not before', async (t) => {
	const info = (target: string) => `infermesh_target_info{target="${target}", model="m"}`;
	const file = path.join(temporaryFolder(t), 'rules.test.yaml');
	const document = {
		rule_files: [rules],
		evaluation_interval: '10s',
		tests: [
			{
				interval: '10s',
				input_series: [
					{ series: info('a'), values: '1x60' },
					{ series: info('b'), values: '1x60' },
					{ series: 'infermesh_target_state{target="a", state="ready"}', values: '1x30 stale' },
					{ series: 'infermesh_target_state{target="a", state="unhealthy"}', values: '_x30 1x30' },
					{ series: 'infermesh_target_state{target="b", state="ejected"}', values: '1x60' },
				],
				alert_rule_test: [
					{ eval_time: '4m', alertname: 'InfermeshNoTargetServing', exp_alerts: [] },
					{
						eval_time: '9m',
						alertname: 'InfermeshNoTargetServing',
						exp_alerts: [
							{ exp_labels: { severity: 'page', model: 'm' }, exp_annotations: { summary: 'No target serves m.' } },
						],
					},
				],
			},
		],
	};
	writeFileSync(file, JSON.stringify(document));
	const { code, output } = await run(program('promtool', 'prometheus'), ['test', 'rules', file]);
	t.is(code, 0, output);
});
