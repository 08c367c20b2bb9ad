// From a counter in a file to what an operator sees: an adapter that a node runs, the degradation that follows, in the API, the metrics and the events.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { eventually, startTestMesh } from '../support/mesh.js';

interface Items<T> {
	readonly items: readonly T[];
}

function device(t: ExecutionContext) {
	const root = mkdtempSync(path.join(tmpdir(), 'infermesh-sysfs-'));
	t.teardown(() => rmSync(root, { recursive: true, force: true }));
	const counters = path.join(root, 'sys/class/net/eth7/statistics');
	mkdirSync(counters, { recursive: true });
	writeFileSync(path.join(counters, 'tx_bytes'), '1\n');
	writeFileSync(path.join(counters, 'rx_bytes'), '1\n');
	const set = (state: 'up' | 'down'): void => writeFileSync(path.join(counters, '../operstate'), `${state}\n`);
	set('up');
	return { root, set };
}

test('a link that goes down is a degradation until it has been up for a while', async (t) => {
	const { root, set } = device(t);
	const { admin } = await startTestMesh(t, {
		engines: 1,
		config: {
			adapters: [{ kind: 'network_ports', period_ms: 20, settings: { root } }],
			reports: { clear_after_ms: 50 },
		},
	});
	const degraded = async (): Promise<readonly { rule: string; subject: string }[]> =>
		(await admin.call<Items<{ rule: string; subject: string }>>('GET', '/api/v1/degradations')).items;
	const up = (): Promise<number> => admin.metric('infermesh_link_up', { device: 'eth7' });
	await eventually('the link is seen up', async () => (await up()) === 1);
	t.deepEqual(await degraded(), []);
	set('down');
	await eventually('it is degraded', async () => (await degraded()).length === 1);
	t.like((await degraded())[0], { rule: 'link_down', subject: 'eth7/1' });
	t.is(await admin.metric('infermesh_degradation', { rule: 'link_down', subject: 'eth7/1' }), 1);
	t.is(await up(), 0);
	set('up');
	await eventually('it is well again', async () => (await degraded()).length === 0);
	const told: string[] = [];
	await eventually('both are events', async () => {
		told.splice(0, told.length, ...(await events(admin.url)));
		return told.length >= 2;
	});
	t.regex(told[0] ?? '', /"rule":"link_down".*"subject":"eth7\/1"/);
	t.regex(told.at(-1) ?? '', /"inForce":\[\]/);
	const { items } = await admin.call<Items<{ source: string; adapter: string; stale: boolean }>>('GET', '/api/v1/comm');
	t.like(items[0], { source: 'network_ports', adapter: 'network_ports', stale: false });
});

/** Events about degradations so far, as their data. */
async function events(adminUrl: string): Promise<readonly string[]> {
	const ended = new AbortController();
	const response = await fetch(`${adminUrl}/api/v1/events?after=1`, { signal: ended.signal });
	const decoder = new TextDecoder();
	let text = '';
	for await (const piece of response.body ?? []) {
		text += decoder.decode(piece as Uint8Array, { stream: true });
		// A sign of life says that all there is has been told.
		if (/^:/m.test(text) && text.includes('"degradation"')) break;
	}
	ended.abort();
	return text.split('\n').filter((line) => line.startsWith('data:') && line.includes('"kind":"degradation"'));
}
