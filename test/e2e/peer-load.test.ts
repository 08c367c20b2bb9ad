// Two routers of one mesh, as real processes: each counts what the other has in flight within moments, decides by it, keeps with it to a limit that is set by hand for both, and stops
// counting it when the other has died.
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import test from 'ava';
import { eventually, MODEL } from '../support/mesh.js';
import { type MeshNode, startNodes } from '../support/mesh-nodes.js';

/** An engine that answers nothing until it is told to. */
async function holdingEngine(t: { teardown(fn: () => void): void }): Promise<{ url: string; held: ServerResponse[] }> {
	const held: ServerResponse[] = [];
	const server = createServer((request, response) => {
		if (request.method !== 'POST') return void response.end();
		request.resume().on('end', () => held.push(response));
	});
	t.teardown(() => {
		server.close();
		server.closeAllConnections();
	});
	await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve));
	return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, held };
}

function answerAll(held: ServerResponse[]): void {
	for (const response of held.splice(0))
		response.setHeader('content-type', 'application/json').end('{"choices":[{"message":{"content":"x"}}]}');
}

async function send(node: MeshNode): Promise<number> {
	const response = await fetch(`${node.data}/v1/chat/completions`, {
		method: 'POST',
		headers: { 'content-type': 'application/json' },
		body: JSON.stringify({ model: MODEL, messages: [{ role: 'user', content: 'hello' }] }),
	});
	await response.arrayBuffer();
	return response.status;
}

async function metric(node: MeshNode, name: string, having = ''): Promise<number> {
	const text = await (await fetch(`${node.admin}/metrics`)).text();
	const lines = text.split('\n').filter((line) => line.startsWith(`infermesh_${name}`) && line.includes(having));
	return lines.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' '))), 0);
}

/** Requests at an engine from both routers. */
const LIMIT = 3;
const quick = { withinMs: 60_000, everyMs: 20 };

test.serial('two routers decide as one: by what both have in flight, until one of them dies', async (t) => {
	t.timeout(240_000);
	const engines = [await holdingEngine(t), await holdingEngine(t)] as const;
	const targets = engines.map(({ url }, at) => ({ id: `engine-${at + 1}`, url, models: [MODEL], metrics_path: '' }));
	const [one, two] = (await startNodes(t, [{ targets }, { roles: ['router'] }], (all) => {
		for (const node of all) node.configure({ data: { flow: { target_requests_max: LIMIT } } });
		return Promise.resolve();
	})) as [MeshNode, MeshNode];
	const waiting = (): number => engines[0].held.length + engines[1].held.length;
	for (const node of [one, two])
		await eventually(
			`${node.name} follows the other and has both engines`,
			async () => {
				const followers = await metric(node, 'peer_load_followers');
				return followers === 1 && (await metric(node, 'target_state', 'state="ready"')) === 2;
			},
			quick,
		);

	// What the one sends, the other counts, and so it takes the other engine, however often it is tried.
	for (let turn = 0; turn < 4; turn++) {
		const first = send(one);
		await eventually('the first is under way', () => Promise.resolve(waiting() === 1), quick);
		await eventually(
			'the second counts it',
			async () => (await metric(two, 'target_in_flight_elsewhere')) === 1,
			quick,
		);
		t.is(await metric(two, 'target_in_flight{'), 1);
		t.is(await metric(one, 'target_in_flight_elsewhere'), 0);
		const second = send(two);
		await eventually('both are under way', () => Promise.resolve(waiting() === 2), quick);
		t.deepEqual(
			engines.map(({ held }) => held.length),
			[1, 1],
			'one each',
		);
		for (const { held } of engines) answerAll(held);
		t.deepEqual(await Promise.all([first, second]), [200, 200]);
		for (const node of [one, two])
			await eventually('nothing is left', async () => (await metric(node, 'target_in_flight{')) === 0, quick);
	}
	const all = 2 * LIMIT;
	const full = Array.from({ length: all }, () => send(one));
	await eventually(
		'the second counts all',
		async () => (await metric(two, 'target_in_flight_elsewhere')) === all,
		quick,
	);
	const late = send(two);
	await eventually('it waits', async () => (await metric(two, 'flow_waiting_requests')) === 1, quick);
	t.is(waiting(), all, 'engines are full of the other router’s requests');
	answerAll(engines[0].held.splice(0, 1));
	await eventually('it goes where there is room', async () => (await metric(two, 'target_in_flight{')) === all, quick);
	t.is(await metric(two, 'target_in_flight_elsewhere'), all - 1);
	for (const { held } of engines) answerAll(held);
	t.deepEqual(await Promise.all([...full, late]), Array(all + 1).fill(200));

	const heard = await metric(two, 'peer_load_delay_seconds_count');
	t.true(heard > 0);
	t.log(`mean delay ${((await metric(two, 'peer_load_delay_seconds_sum')) / heard) * 1000} ms over ${heard} frames`);
	t.is(await metric(two, 'peer_load_gaps_total'), 0);

	const lost = [send(two), send(two), send(two)].map((sent) => sent.catch(() => 0));
	await eventually(
		'the first counts three',
		async () => (await metric(one, 'target_in_flight_elsewhere')) === 3,
		quick,
	);
	await two.end('SIGKILL');
	await eventually('the dead count for nothing', async () => (await metric(one, 'target_in_flight{')) === 0, quick);
	t.is(await metric(one, 'peer_load_lapsed_total'), 1);
	t.deepEqual(await Promise.all(lost), [0, 0, 0]);
	for (const { held } of engines) answerAll(held);
	const last = send(one);
	await eventually('it goes on', () => Promise.resolve(waiting() > 0), quick);
	for (const { held } of engines) answerAll(held);
	t.is(await last, 200);
});
