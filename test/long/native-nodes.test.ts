// A native library on three routers, each a process of its own: loaded on one it is in force on all, and so are a swap, a canary and a rollback; a router that
// is killed outright leaves none of its sandboxes behind, and the others go on.
import test from 'ava';
import { eventually, MODEL, startTestEngine } from '../support/mesh.js';
import { type MeshNode, startNodes } from '../support/mesh-nodes.js';
import { nativeLibrary, sandboxesOf } from '../support/native.js';
import { ask } from '../support/traffic.js';

const base64 = async (version: string): Promise<string> =>
	Buffer.from(await nativeLibrary({ name: 'plain', version })).toString('base64');

test.serial('a library decides on three routers, and none of its sandboxes outlives a router', async (t) => {
	t.timeout(300_000);
	const engine = await startTestEngine(t);
	const targets = [{ id: 'engine', url: engine.url, models: [MODEL] }];
	const nodes = await startNodes(t, [{ targets }, {}, {}], (prepared) => {
		// A busy machine is waited for: what is tested is who decides, not how fast.
		for (const node of prepared)
			node.configure({
				strategy: { native: { grace_us: 10_000_000, start_ms: 20_000 }, admission_timeout_ms: 60_000 },
			});
		return Promise.resolve();
	});
	const [first, second, third] = nodes as [MeshNode, MeshNode, MeshNode];
	let seed = 0;
	const decider = async (node: MeshNode): Promise<string> =>
		(await ask({ url: node.data, seed: seed++, tokens: 2 })).strategy;
	const allDecideBy = async (strategy: string): Promise<void> => {
		for (const node of nodes)
			await eventually(`${node.name} decides by ${strategy}`, async () => (await decider(node)) === strategy);
	};
	for (const node of nodes)
		await eventually(`${node.name} routes`, async () => /^least_queue@\d/.test(await decider(node)), {
			withinMs: 60_000,
			everyMs: 50,
		});

	await third.post('/strategies', { module: await base64('1.0.0'), activate: true });
	await allDecideBy('plain@1.0.0');
	await second.post('/strategies', { module: await base64('1.0.1') });
	await first.post('/strategies/plain@1.0.1/stage', { stage: 'canary', percent: 50 });
	for (const node of nodes)
		await eventually(`${node.name} has a canary`, async () => (await decider(node)) === 'plain@1.0.1');
	await first.post('/strategies/plain@1.0.1/stage', { stage: 'active' });
	await allDecideBy('plain@1.0.1');
	await second.post('/rollback', {});
	await allDecideBy('plain@1.0.0');

	const left = nodes.map(({ pid }) => sandboxesOf(pid));
	for (const [at, own] of left.entries()) t.is(own.length, 4, `node-${at + 1}: two of each version`);
	await third.end('SIGKILL');
	const alive = (pid: number): boolean => {
		try {
			return process.kill(pid, 0);
		} catch {
			return false;
		}
	};
	await eventually('its sandboxes are gone', () => !(left[2] as number[]).some(alive));
	for (const node of [first, second]) t.is(await decider(node), 'plain@1.0.0');
	t.is((left[0] as number[]).filter(alive).length, 4, 'those of the others are not');
});
