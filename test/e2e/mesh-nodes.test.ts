// A mesh of three real processes: what is decided on one holds on all, survives the death of any one and the restart of all.
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import test from 'ava';
import { eventually, MODEL, startTestEngine } from '../support/mesh.js';
import { type MeshNode, promotions, startNodes } from '../support/mesh-nodes.js';

const shipped = (name: string): Promise<Buffer> =>
	readFile(fileURLToPath(new URL(`../../../plugins/${name}/build/${name}.wasm`, import.meta.url)));

const activeOn = async (node: MeshNode): Promise<string> =>
	(await node.get<{ activeStrategy: string }>('/status')).activeStrategy;

const targetsOn = async (node: MeshNode): Promise<readonly string[]> =>
	(await node.get<{ items: { id: string }[] }>('/targets')).items.map(({ id }) => id).sort();

async function live(node: MeshNode): Promise<number> {
	const text = await (await fetch(`${node.admin}/metrics`)).text();
	return Number(/^infermesh_gossip_live_members (\d+)$/m.exec(text)?.[1] ?? 0);
}

async function ask(node: MeshNode): Promise<number> {
	const response = await fetch(`${node.data}/v1/chat/completions`, {
		method: 'POST',
		headers: { 'content-type': 'application/json' },
		body: JSON.stringify({ model: MODEL, max_tokens: 4, messages: [{ role: 'user', content: 'hello' }] }),
	});
	await response.arrayBuffer();
	return response.status;
}

test.serial(
	'three nodes decide together, outlive one of them, and remember everything when all come back',
	async (t) => {
		t.timeout(300_000);
		const engines = await Promise.all([startTestEngine(t), startTestEngine(t)]);
		const targets = engines.map((engine, at) => [{ id: `engine-${at + 1}`, url: engine.url, models: [MODEL] }]);
		const nodes = await startNodes(t, [{ targets: targets[0] ?? [] }, { targets: targets[1] ?? [] }, { zone: 'b' }]);
		const [first, second, third] = nodes as [MeshNode, MeshNode, MeshNode];

		await eventually(
			'gossip shows three to all',
			async () => (await Promise.all(nodes.map(live))).every((n) => n === 3),
			{
				withinMs: 30_000,
			},
		);
		await eventually('all follow both engines', async () =>
			(await Promise.all(nodes.map(targetsOn))).every((ids) => ids.join() === 'engine-1,engine-2'),
		);
		for (const node of nodes)
			await eventually(`${node.name} routes`, async () => (await ask(node)) === 200, { withinMs: 30_000 });

		// Loaded on one, in force on all when the call returns.
		const module = (await shipped('baseline_rr')).toString('base64');
		await third.post('/strategies', { module, activate: true });
		t.deepEqual(new Set(await Promise.all(nodes.map(activeOn))).size, 1);
		t.regex(await activeOn(first), /^baseline_rr@/);

		// Three voters: without the first, two are a quorum.
		await eventually('two more have votes', () => promotions(nodes) === 2, { withinMs: 60_000 });
		await first.end('SIGKILL');
		const began = performance.now();
		await eventually(
			'a write is committed without the first',
			async () => {
				const added = await second
					.post<{ id: string }>('/targets', { id: 'later', url: engines[0].url, models: ['other'] })
					.catch((error: unknown) => String(error));
				return typeof added === 'object' || added.includes('IM_TARGET_EXISTS');
			},
			{ withinMs: 20_000, everyMs: 20 },
		);
		t.log(`leader killed → next committed write: ${Math.round(performance.now() - began)} ms`);
		await eventually('it is heard of on the third', async () => (await targetsOn(third)).includes('later'));
		t.is(await ask(third), 200, 'engines of a node whose agent has died are still used');
		await eventually('gossip shows the death', async () => (await live(second)) === 2 && (await live(third)) === 2, {
			withinMs: 30_000,
		});

		// Without a quorum writes are refused by name, and the data plane goes on.
		await second.end('SIGKILL');
		const refusal = await third.post('/targets', { id: 'never', url: engines[0].url, models: ['other'] }).then(
			() => 'accepted',
			(error: unknown) => String(error),
		);
		t.regex(refusal, /IM_CONSENSUS_(NO_QUORUM|UNAVAILABLE|TIMEOUT)/);
		for (let n = 0; n < 20; n++) t.is(await ask(third), 200);
		t.deepEqual(await targetsOn(third), ['engine-1', 'engine-2', 'later']);

		// All down; each finds the others again by what it remembers, and nothing is forgotten.
		await third.end('SIGKILL');
		await Promise.all(nodes.map((node) => node.start()));
		for (const node of nodes) {
			t.regex(await activeOn(node), /^baseline_rr@/, `${node.name} decides as before from its first request on`);
			// What timed out may still have been written; what was refused for want of a quorum may not.
			const targets = await targetsOn(node);
			const settled = refusal.includes('IM_CONSENSUS_TIMEOUT') ? targets.filter((id) => id !== 'never') : targets;
			t.deepEqual(settled, ['engine-1', 'engine-2', 'later'], refusal);
		}
		// Started without `--join`, a node that belongs to a mesh does not become an authority of its own.
		await t.throwsAsync(second.post('/join-tokens', { ttlMs: 60_000, uses: 1 }), { message: /IM_FABRIC_NO_AUTHORITY/ });

		// One that leaves is seen leaving, at once and not as a failure.
		t.is(await third.end('SIGTERM'), 0);
		await eventually('the others know that it has left', async () => (await live(first)) === 2, { withinMs: 10_000 });
	},
);
