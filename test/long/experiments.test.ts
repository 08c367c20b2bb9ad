// An experiment on two routers that outlives the node that runs it: a planted improvement is promoted, and its report tells it.
import type { ExperimentView } from '@infermesh/host';
import test from 'ava';
import { ENGINES, engine, flow, onlyFirst, quick, SPEED, startTraffic } from '../support/experiments.js';
import { eventually, MODEL, startTestEngine } from '../support/mesh.js';
import { infermesh, joinNodes, prepareNodes } from '../support/mesh-nodes.js';
import { ask } from '../support/traffic.js';

test('a planted improvement is promoted although the node that runs it is killed in the middle; the report tells it', async (t) => {
	const engines = await Promise.all(
		Array.from({ length: ENGINES }, () => startTestEngine(t, { ...engine, speed: SPEED })),
	);
	const targets = engines.map(({ url }, at) => ({ id: `engine-${at + 1}`, url, models: [MODEL] }));
	const nodes = await prepareNodes(t, [
		{ roles: ['coordinator', 'router', 'gpu'], targets, strategy: 'least_queue' },
		{ roles: ['router'] },
	]);
	const [first, second] = nodes as [(typeof nodes)[0] & object, (typeof nodes)[0] & object];
	for (const node of nodes) node.configure({ data: flow });
	await first.start();
	await joinNodes(first, [second]);
	const module = Buffer.from(await onlyFirst).toString('base64');
	await first.post('/strategies', { module, activate: true });
	// Both keep their clients: one router is away for a while, and its clients fail as they would anywhere.
	startTraffic(t, () => [first.data, second.data]);
	const { id } = await first.post<ExperimentView>('/experiments', {
		...quick,
		candidate: 'least_queue',
		promote: 'win',
		guardrails: { telemetryMissingMs: 60_000 },
	});
	const view = (node = first): Promise<ExperimentView> => node.get<ExperimentView>(`/experiments/${id}`);
	await eventually('two pairs are judged', async () => (await view()).pairs >= 2, { everyMs: 200 });
	const before = await view();
	await first.end('SIGKILL');
	await first.start();
	const back = await view();
	t.is(back.state, 'running');
	t.true(back.pairs >= before.pairs, 'nothing that was found is lost');
	await eventually('it ends', async () => (await view()).state === 'ended', { everyMs: 200, withinMs: 90_000 });
	const ended = await view(second);
	t.is(ended.end?.how, 'promote', JSON.stringify(ended));
	t.true(ended.pairsDropped > 0, 'the pair that was cut short does not count');
	t.log(`${ended.pairs} pairs, ${ended.pairsDropped} dropped; ${JSON.stringify(ended.interval)}`);
	const after = await ask({ url: second.data, seed: 1, tokens: 2, stream: true });
	t.regex(after.strategy ?? '', /^least_queue@/);
	const html = `${first.state}/report.html`;
	const printed = await infermesh('experiment', 'report', id, '--html', html, '--admin', second.admin);
	t.is(printed.code, 0, printed.err);
	t.regex(printed.out, /promote: the candidate is better[\s\S]*win rate[\s\S]*permutation test/);
});
