// Two cells of two real processes each, under one authority: what they tell each other, and where requests go when one of them has nothing left.
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import test from 'ava';
import { eventually, MODEL, startTestEngine } from '../support/mesh.js';
import { infermesh, joinNodes, joinToken, type MeshNode, prepareNodes } from '../support/mesh-nodes.js';

interface Cell {
	readonly cell: string;
	readonly own: boolean;
	readonly stale: boolean;
	readonly ageMs: number | null;
	readonly models: readonly { readonly model: string; readonly healthy: number; readonly targets: number }[];
	readonly gateways: readonly { readonly name: string; readonly state: string }[];
}

interface Target {
	readonly id: string;
	readonly cell: string | null;
	readonly state: string;
}

const quick = {
	gateway: true,
	wan_profile: 'local',
	cells: { period_ms: 200, stale_after_ms: 2000 },
};

const cellsOn = async (node: MeshNode): Promise<readonly Cell[]> => (await node.get<{ items: Cell[] }>('/cells')).items;

const targetsOn = async (node: MeshNode): Promise<readonly Target[]> =>
	(await node.get<{ items: Target[] }>('/targets')).items;

async function ask(node: MeshNode, headers: Readonly<Record<string, string>> = {}): Promise<string> {
	const response = await fetch(`${node.data}/v1/chat/completions`, {
		method: 'POST',
		headers: { 'content-type': 'application/json', ...headers },
		body: JSON.stringify({ model: MODEL, max_tokens: 4, messages: [{ role: 'user', content: 'hello' }] }),
	});
	await response.arrayBuffer();
	return response.status === 200 ? (response.headers.get('x-infermesh-target') ?? '') : String(response.status);
}

test.serial(
	'cells know each other within seconds, stand in for each other, and the loss of one disturbs nothing in the other',
	async (t) => {
		t.timeout(300_000);
		const engines = await Promise.all(Array.from({ length: 4 }, () => startTestEngine(t)));
		const targetOf = (at: number) => [{ id: `engine-${at + 1}`, url: engines[at]?.url ?? '', models: [MODEL] }];
		const west = await prepareNodes(t, [
			{ name: 'west-1', targets: targetOf(0), fabric: { ...quick, cell: 'west' } },
			// No gateway: it learns of the other cell from the one that is.
			{ name: 'west-2', targets: targetOf(1), fabric: { ...quick, gateway: false, cell: 'west' } },
		]);
		const [west1, west2] = west as [MeshNode, MeshNode];
		const under = { authorities: [west1.agent], wan_join: [west1.agent] };
		const east = await prepareNodes(t, [
			{ name: 'east-1', targets: targetOf(2), fabric: { ...quick, ...under, cell: 'east' } },
			// No coordinator: it can be quarantined without the loss of a quorum.
			{ name: 'east-2', roles: ['router', 'gpu'], targets: targetOf(3), fabric: { ...quick, ...under, cell: 'east' } },
		]);
		const [east1, east2] = east as [MeshNode, MeshNode];
		await west1.start();
		await joinNodes(west1, [west2]);
		const token = await joinToken(west1, 2);
		await east1.start('--join-token', token);
		await east2.start('--join', east1.agent, '--join-token', token);

		// --- they tell each other
		const began = performance.now();
		const sees = async (node: MeshNode, cell: string): Promise<boolean> =>
			(await cellsOn(node)).some(
				(one) => one.cell === cell && !one.stale && one.models.some(({ healthy }) => healthy === 2),
			);
		await eventually(
			'each of the four sees the other cell with two healthy targets',
			async () => {
				const seen = await Promise.all([
					...west.map((node) => sees(node, 'east')),
					...east.map((node) => sees(node, 'west')),
				]);
				return seen.every(Boolean);
			},
			{ withinMs: 20_000, everyMs: 50 },
		);
		t.log(`summaries seen ${Math.round(performance.now() - began)} ms after the last node came up`);
		t.deepEqual(
			(await targetsOn(west1)).map(({ id }) => id).sort(),
			[`cell:east/${MODEL}`, 'engine-1', 'engine-2'],
			'targets of the other cell stay there; one row stands for them',
		);
		await eventually(
			'the pool of gateways has three',
			async () => (await cellsOn(east1)).flatMap(({ gateways }) => gateways).length === 3,
			{ withinMs: 20_000, everyMs: 50 },
		);
		for (let n = 0; n < 20; n++) t.regex(await ask(west1), /^engine-[12]$/, 'requests stay while there is room');
		const shown = await infermesh('cells', 'list', '--admin', west1.admin);
		t.log(`\n${shown.out}`);
		t.is(shown.code, 0, shown.err);
		t.regex(shown.out, /^west \(this one\) +fresh .* 2\/2 .*west-1$/m);
		t.regex(shown.out, /^east +fresh .* 2\/2 .*east-1,east-2$/m);

		// --- they are no matched cells: each stands in for the other
		const look = await west1.get<{ border: unknown; nodes: unknown[]; engines: string[] }>('/experiment-cell');
		t.deepEqual(look.border, { sendsTo: ['east'], hearsOf: ['east'] });
		t.is(look.nodes.length, 2);
		t.deepEqual(new Set(look.engines), new Set([engines[0]?.url, engines[1]?.url]));
		const pair = ['--cell', `west=${west1.admin}`, '--cell', `east=${east1.admin}`];
		const matched = await infermesh(
			'experiment',
			'matched',
			'start',
			'hybrid_mesh',
			...pair,
			'--window',
			'1ms',
			'--dry-run',
		);
		t.is(matched.code, 1);
		t.regex(matched.err, /IM_EXPERIMENT_CELLS_SHARED: west: requests may be sent to east/);

		// --- one cell's engines die
		await Promise.all([engines[0]?.close(), engines[1]?.close()]);
		const died = performance.now();
		await eventually(
			'the other cell serves',
			async () => (await ask(west1)) === `cell:east/${MODEL}` && (await ask(west2)) === `cell:east/${MODEL}`,
			{ withinMs: 10_000, everyMs: 20 },
		);
		t.log(`engines killed → served by the other cell: ${Math.round(performance.now() - died)} ms`);
		for (let n = 0; n < 20; n++) t.is(await ask(west1), `cell:east/${MODEL}`);
		t.regex(
			await ask(west1, { 'x-infermesh-relayed': '1' }),
			/^50[23]$/,
			'what another cell has sent goes no further: no request goes round in circles',
		);

		// --- one gateway of the other cell dies
		await east1.end('SIGKILL');
		await eventually('the row leads to the other router', async () => (await ask(west1)) === `cell:east/${MODEL}`, {
			withinMs: 20_000,
			everyMs: 20,
		});
		await eventually(
			'the other gateway speaks for the cell: its summary stays fresh, and no router of the dead one is in it',
			async () => {
				const cells = await west1.get<{ items: { cell: string; stale: boolean; routers: string[] }[] }>('/cells');
				return cells.items.some(
					({ cell, stale, routers }) => cell === 'east' && !stale && routers.length === 1 && routers[0] === east2.data,
				);
			},
			{ withinMs: 30_000, everyMs: 50 },
		);
		for (let n = 0; n < 20; n++) t.is(await ask(west1), `cell:east/${MODEL}`);

		// --- it comes back, to the pool of gateways and to the routers
		await east1.start();
		await eventually(
			'the gateway that came back speaks for its cell again',
			async () => {
				const cells = await west1.get<{ items: (Cell & { routers: string[] })[] }>('/cells');
				const found = cells.items.find(({ cell }) => cell === 'east');
				const alive = found?.gateways.filter(({ state }) => state === 'alive').map(({ name }) => name);
				return found?.routers.length === 2 && alive?.toSorted().join() === 'east-1,east-2';
			},
			{ withinMs: 60_000, everyMs: 100 },
		);
		const metrics = await (await fetch(`${west1.admin}/metrics`)).text();
		t.regex(metrics, /^infermesh_cell_stale\{cell="east"\} 0$/m);
		t.regex(metrics, /^infermesh_wan_gossip_live_members 3$/m);

		// --- a node that its cell quarantines is nobody's to the other cell, which gave it its certificate
		await east1.post('/nodes/east-2/quarantine', { reason: 'test' });
		await eventually(
			'the other cell refuses it, and reaches its cell by the other gateway',
			async () => {
				const text = await (await fetch(`${west1.admin}/metrics`)).text();
				const cells = await west1.get<{ items: (Cell & { routers: string[] })[] }>('/cells');
				const found = cells.items.find(({ cell }) => cell === 'east');
				const refused = /^infermesh_transport_refused_total\{code="IM_IDENTITY_REVOKED"\} [1-9]/m.test(text);
				return refused && found?.stale === false && found.routers.join() === east1.data;
			},
			{ withinMs: 30_000, everyMs: 100 },
		);

		// --- the cell that was bereft is lost altogether: nothing changes for the other
		await Promise.all(west.map((node) => node.end('SIGKILL')));
		let served = 0;
		await eventually(
			'the summary of the lost cell is stale and its row gone; the other serves on all the while',
			async () => {
				const own = await ask(east1);
				if (!/^engine-[34]$/.test(own)) throw new Error(`a request of the other cell was disturbed: ${own}`);
				served++;
				const cells = await cellsOn(east1);
				const rows = (await targetsOn(east1)).filter(({ cell }) => cell !== null);
				return rows.length === 0 && cells.some(({ cell, stale }) => cell === 'west' && stale);
			},
			{ withinMs: 20_000, everyMs: 20 },
		);
		t.true(served > 10, `${served} requests served meanwhile`);
	},
);

test.serial(
	'a gateway whose port is taken says so, serves, and comes into its pool when the port is free',
	async (t) => {
		t.timeout(120_000);
		const taken = createSocket('udp4').bind(0, '127.0.0.1').unref();
		await once(taken, 'listening');
		const engine = await startTestEngine(t);
		const [node] = (await prepareNodes(t, [
			{
				name: 'lonely',
				targets: [{ id: 'engine', url: engine.url, models: [MODEL] }],
				fabric: { ...quick, wan_port: taken.address().port },
			},
		])) as [MeshNode];
		await node.start();
		const readiness = async () =>
			(await (await fetch(`${node.admin}/readyz`)).json()) as { ready: boolean; degraded: readonly string[] };
		const metrics = async (): Promise<string> => (await fetch(`${node.admin}/metrics`)).text();
		await eventually(
			'the node says that it is no gateway, and why',
			async () => (await readiness()).degraded.some((one) => one.startsWith('no gateway: the pool of gateways')),
			{ withinMs: 20_000, everyMs: 50 },
		);
		t.regex(await metrics(), /^infermesh_cell_pool_open 0$/m);
		await eventually('and serves all the same', async () => (await ask(node)) === 'engine', {
			withinMs: 20_000,
			everyMs: 50,
		});
		await new Promise<void>((resolve) => void taken.close(resolve));
		await eventually(
			'it comes in',
			async () => /^infermesh_wan_gossip_live_members 1$[^]*^infermesh_cell_pool_open 1$/m.test(await metrics()),
			{ withinMs: 20_000, everyMs: 50 },
		);
		t.deepEqual((await readiness()).degraded, []);

		// --- nothing is exposed that the page does not explain; this node is a coordinator, a router and a gateway
		const page = readFileSync(new URL('../../../docs/metrics.md', import.meta.url), 'utf8');
		const exposed = [...(await metrics()).matchAll(/^# TYPE (infermesh_\w+)/gm)].map(([, name = '']) => name);
		for (const room of ['gossip', 'wan_gossip', 'transport', 'topology', 'consensus', 'cell'])
			t.true(
				exposed.some((name) => name.startsWith(`infermesh_${room}_`)),
				room,
			);
		t.deepEqual(
			exposed.filter((name) => !page.includes(`\`${name}\``)),
			[],
		);
	},
);
