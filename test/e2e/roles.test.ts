// What each role runs, by itself and in a fleet that is split by roles: real processes, asked from outside which ports are open, who is seen and who answers.
import { readFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { fileURLToPath } from 'node:url';
import test from 'ava';
import { eventually, MODEL, startTestEngine } from '../support/mesh.js';
import { type MeshNode, startNodes } from '../support/mesh-nodes.js';

interface Status {
	readonly roles: readonly string[];
	readonly dataUrl: string | null;
	readonly workers: number;
	readonly targets: { readonly total: number; readonly watched: number; readonly serving: number };
	readonly activeStrategy: string;
}

const statusOf = (node: MeshNode): Promise<Status> => node.get<Status>('/status');

function isOpen(address: string): Promise<boolean> {
	const { hostname, port } = new URL(`tcp://${address}`);
	return new Promise((resolve) => {
		const socket = connect(Number(port), hostname);
		socket.once('connect', () => resolve(true)).once('error', () => resolve(false));
		socket.once('connect', () => socket.destroy());
	});
}

const dataOpen = (node: MeshNode): Promise<boolean> => isOpen(new URL(node.data).host);

async function ask(node: MeshNode): Promise<{ readonly status: number; readonly target: string | null }> {
	const response = await fetch(`${node.data}/v1/chat/completions`, {
		method: 'POST',
		headers: { 'content-type': 'application/json' },
		body: JSON.stringify({ model: MODEL, max_tokens: 4, messages: [{ role: 'user', content: 'hello' }] }),
	});
	await response.arrayBuffer();
	return { status: response.status, target: response.headers.get('x-infermesh-target') };
}

async function rolesSeenBy(node: MeshNode): Promise<Record<string, string>> {
	const { items } = await node.get<{
		items: { name: string; health: string; record: { roles: string[] } | null }[];
	}>('/nodes');
	return Object.fromEntries(
		items.map(({ name, health, record }) => [name, `${health} ${record?.roles.join() ?? '-'}`]),
	);
}

test.serial(
	'each role by itself runs what it names, opens no other port, and says by name what it does not run',
	async (t) => {
		t.timeout(300_000);
		const engine = await startTestEngine(t);
		const nodes = await startNodes(t, [
			{ roles: ['coordinator'] },
			{ roles: ['router'] },
			{ roles: ['gpu'], targets: [{ id: 'engine-1', url: engine.url, models: [MODEL] }] },
			{ roles: ['trainer'] },
			{ roles: ['edge'] },
		]);
		const [coordinator, router, gpu, trainer, edge] = nodes as [MeshNode, MeshNode, MeshNode, MeshNode, MeshNode];
		const wanted = {
			'node-1': 'alive coordinator',
			'node-2': 'alive router',
			'node-3': 'alive gpu',
			'node-4': 'alive trainer',
			'node-5': 'alive edge',
		};
		for (const node of nodes)
			await eventually(
				`${node.name} sees the roles of all`,
				async () => JSON.stringify(await rolesSeenBy(node)) === JSON.stringify(wanted),
				{ withinMs: 30_000 },
			);

		t.deepEqual(await Promise.all(nodes.map(dataOpen)), [false, true, false, false, true], 'data ports');
		t.deepEqual(
			await Promise.all(nodes.map(({ fabricPorts }) => isOpen(`127.0.0.1:${fabricPorts[1]}`))),
			[true, false, false, false, false],
			'ports between coordinators',
		);
		for (const node of [router, edge]) {
			await eventually(`${node.name} routes`, async () => (await ask(node)).status === 200, { withinMs: 30_000 });
			t.is((await ask(node)).target, 'engine-1');
		}
		for (const node of [coordinator, gpu, trainer]) {
			const { dataUrl, workers, activeStrategy } = await statusOf(node);
			t.is(dataUrl, null);
			t.is(workers, 0);
			t.regex(activeStrategy, /^least_queue@\d/, 'what decides in the mesh is shown where nothing is decided');
			const refusal = await t.throwsAsync(node.get('/decisions/0190'));
			t.regex(refusal?.message ?? '', /^404 .*IM_NODE_ROLE.*runs no router.*node-2.*node-5/);
		}

		// Who asks engines how they stand: routers all of them, the node of the engine its own, nobody else.
		for (const node of nodes)
			await eventually(`${node.name} knows the target`, async () => (await statusOf(node)).targets.total === 1);
		const watched = await Promise.all(nodes.map(async (node) => (await statusOf(node)).targets.watched));
		t.deepEqual(watched, [0, 1, 1, 0, 1]);
		const { items } = await coordinator.get<{ items: { state: string }[] }>('/targets');
		t.deepEqual(
			items.map(({ state }) => state),
			['unwatched'],
		);
		await eventually(
			'the node of the engine says that it serves',
			async () => (await statusOf(gpu)).targets.serving === 1,
		);
		for (const node of nodes) t.is((await fetch(`${node.admin}/readyz`)).status, 200, `${node.name} is ready`);

		const refused = await t.throwsAsync(router.post('/raft/transfer', {}));
		t.regex(refused?.message ?? '', /IM_CONSENSUS_NOT_MEMBER/);
		t.regex(await refusalToBegin(router), /IM_FABRIC_NO_COORDINATOR/);
	},
);

/** What a node without the role says when it is to begin a mesh: one with no memory of any. */
async function refusalToBegin(node: MeshNode): Promise<string> {
	await node.end('SIGKILL');
	node.wipe();
	return node.start().then(
		() => 'it began',
		(error: unknown) => (error as Error).message,
	);
}

test.serial(
	'a split fleet: coordinators decide, routers serve, engines are elsewhere, and each part outlives the others',
	async (t) => {
		t.timeout(300_000);
		const engine = await startTestEngine(t);
		const nodes = await startNodes(t, [
			{ roles: ['coordinator'] },
			{ roles: ['coordinator'] },
			{ roles: ['coordinator'] },
			{ roles: ['router'] },
			{ roles: ['router'] },
			{ roles: ['gpu'], targets: [{ id: 'engine-1', url: engine.url, models: [MODEL] }] },
		]);
		const [first, second, , left, right, gpu] = nodes as [MeshNode, MeshNode, MeshNode, MeshNode, MeshNode, MeshNode];
		for (const router of [left, right]) {
			await eventually(`${router.name} routes`, async () => (await ask(router)).status === 200, { withinMs: 30_000 });
			t.is((await ask(router)).target, 'engine-1');
		}

		// Loaded on a coordinator, which runs no strategy; in force on both routers when the call returns.
		const wasm = fileURLToPath(new URL('../../../plugins/baseline_rr/build/baseline_rr.wasm', import.meta.url));
		const module = (await readFile(wasm)).toString('base64');
		const { strategy } = await second.post<{ strategy: { name: string; stage: string } }>('/strategies', {
			module,
			activate: true,
		});
		t.like(strategy, { name: 'baseline_rr', stage: 'active' });
		for (const router of [left, right]) {
			t.regex((await statusOf(router)).activeStrategy, /^baseline_rr@/);
			t.is((await ask(router)).status, 200);
		}

		const votes = async (): Promise<number> => {
			const { members } = await left.get<{ members: { role: string }[] }>('/raft');
			return members.filter(({ role }) => role === 'voter').length;
		};
		await eventually('three coordinators vote, and nobody else', async () => (await votes()) === 3, {
			withinMs: 60_000,
		});

		// The node of the engine dies: its engine is still there, and health checks say so.
		await gpu.end('SIGKILL');
		await eventually(
			'its death is seen',
			async () => (await rolesSeenBy(left))['node-6']?.startsWith('failed') === true,
			{
				withinMs: 30_000,
			},
		);
		for (const router of [left, right]) t.is((await ask(router)).status, 200, 'an engine outlives its agent');

		// One router dies: the other serves, and what is decided does not wait for the dead one longer than its lease.
		await right.end('SIGKILL');
		t.is((await ask(left)).status, 200);
		await eventually(
			'a decision is in force without the dead router',
			async () => {
				const rolledBack = await first.post('/rollback', {}).catch((error: unknown) => String(error));
				return typeof rolledBack !== 'string' || /IM_STRATEGY_NO_PREVIOUS/.test(rolledBack);
			},
			{ withinMs: 60_000 },
		);
		t.regex((await statusOf(left)).activeStrategy, /^least_queue@/);

		// A coordinator dies: two are a quorum, and the router that followed it goes on.
		await first.end('SIGKILL');
		await eventually(
			'a write is committed without the first coordinator',
			async () => {
				const added = await left
					.post<{ id: string }>('/targets', { id: 'later', url: engine.url, models: ['other'] })
					.catch((error: unknown) => String(error));
				return typeof added === 'object' || added.includes('IM_TARGET_EXISTS');
			},
			{ withinMs: 20_000, everyMs: 50 },
		);
		t.is((await ask(left)).status, 200);
	},
);
