// Quotas of a mesh of real processes: set on one node, in force on all at once, spent together, and never overspent by a router that has lost the others.
// And of one node alone: what is charged, refused, shown and changed while it serves.
import test from 'ava';
import { eventually, MODEL, startTestEngine, startTestMesh } from '../support/mesh.js';
import { infermesh, type MeshNode, promotions, startNodes } from '../support/mesh-nodes.js';

interface Quantity {
	readonly quantity: string;
	readonly limit: number;
	readonly left: number;
	readonly leased: number;
	readonly spent: number;
}

interface QuotaRow {
	readonly tenant: string;
	readonly weight: number;
	readonly quantities: readonly Quantity[];
	readonly waiting: number;
	readonly refused: number;
}

interface Answer {
	readonly status: number;
	readonly code: string | null;
	readonly retryAfterS: number;
}

async function ask(dataUrl: string, tenant: string, more: Readonly<Record<string, unknown>> = {}): Promise<Answer> {
	const response = await fetch(`${dataUrl}/v1/chat/completions`, {
		method: 'POST',
		headers: { 'content-type': 'application/json', 'x-infermesh-tenant': tenant },
		body: JSON.stringify({ model: MODEL, max_tokens: 4, messages: [{ role: 'user', content: 'hello' }], ...more }),
	});
	await response.arrayBuffer();
	return {
		status: response.status,
		code: response.headers.get('x-infermesh-error'),
		retryAfterS: Number(response.headers.get('retry-after')),
	};
}

async function served(dataUrl: string, tenant: string, count: number): Promise<number> {
	const answers = await Promise.all(Array.from({ length: count }, () => ask(dataUrl, tenant)));
	return answers.filter(({ status }) => status === 200).length;
}

const quantityOf = ({ quantities }: QuotaRow, name: string): Quantity | undefined =>
	quantities.find(({ quantity }) => quantity === name);

test('one node: a quota holds from the moment it is set, is settled by usage, shown, changed and lifted while it serves', async (t) => {
	t.timeout(120_000);
	const mesh = await startTestMesh(t, { engines: 1 });
	const set = (value: unknown): Promise<unknown> => mesh.admin.call('PUT', '/api/v1/policies/quota/acme', { value });
	const show = (): Promise<QuotaRow> => mesh.admin.call<QuotaRow>('GET', '/api/v1/quotas/acme');
	t.is((await ask(mesh.dataUrl, 'acme')).status, 200, 'nothing is limited yet');

	await set({ tenant: 'acme', requestsPerMinute: 3, weight: 2 });
	await eventually('the quota holds', async () => (await ask(mesh.dataUrl, 'acme')).status === 429, {
		withinMs: 20_000,
	});
	const refused = await ask(mesh.dataUrl, 'acme');
	t.is(refused.code, 'IM_QUOTA_REQUESTS');
	t.true(
		refused.retryAfterS >= 1 && refused.retryAfterS <= 20,
		`one comes every twenty seconds: ${refused.retryAfterS}`,
	);
	t.is((await ask(mesh.dataUrl, 'other')).status, 200, 'nobody else is limited');
	const row = await show();
	t.is(row.weight, 2);
	t.true(row.refused >= 2);
	t.is(quantityOf(row, 'requestsPerMinute')?.limit, 3);

	await set({ tenant: 'acme', tokensOutPerMinute: 1000 });
	await eventually(
		'the other limit holds',
		async () => (await show()).quantities[0]?.quantity === 'tokensOutPerMinute',
	);
	const before = quantityOf(await show(), 'tokensOutPerMinute')?.spent ?? 0;
	t.is((await ask(mesh.dataUrl, 'acme', { max_tokens: 7, ignore_eos: true })).status, 200);
	await eventually('seven tokens are settled', async () => {
		const quantity = quantityOf(await show(), 'tokensOutPerMinute');
		return (quantity?.spent ?? 0) - before === 7;
	});

	await set({ tenant: 'acme', concurrency: 1 });
	await eventually('places are limited', async () => (await show()).quantities[0]?.quantity === 'concurrency');
	const long = { max_tokens: 3000, ignore_eos: true };
	const leaves = new AbortController();
	const open = fetch(`${mesh.dataUrl}/v1/chat/completions`, {
		method: 'POST',
		headers: { 'content-type': 'application/json', 'x-infermesh-tenant': 'acme' },
		body: JSON.stringify({ model: MODEL, messages: [{ role: 'user', content: 'hello' }], ...long }),
		signal: leaves.signal,
	}).catch(() => undefined);
	await eventually('one is open', async () => quantityOf(await show(), 'concurrency')?.spent === 1);
	t.is((await ask(mesh.dataUrl, 'acme')).code, 'IM_QUOTA_CONCURRENCY');
	leaves.abort();
	await open;
	await eventually('its place is free', async () => (await ask(mesh.dataUrl, 'acme')).status === 200);

	await mesh.admin.call('DELETE', '/api/v1/policies/quota/acme');
	await eventually('nothing is limited', async () => (await served(mesh.dataUrl, 'acme', 10)) === 10);
	await t.throwsAsync(show, { message: /IM_RECORD_UNKNOWN/ });
	const metrics = await (await fetch(`${mesh.admin.url}/metrics`)).text();
	t.regex(metrics, /infermesh_flow_refused_total\{reason="quota_requests",tenant="acme"\} \d/);
});

test.serial(
	'three routers spend one quota together, and one that has lost the others spends what it holds',
	async (t) => {
		t.timeout(300_000);
		const engine = await startTestEngine(t);
		const target = { id: 'engine-1', url: engine.url, models: [MODEL] };
		const nodes = await startNodes(t, [{ targets: [target] }, {}, {}]);
		const [first, second, third] = nodes as [MeshNode, MeshNode, MeshNode];
		const show = (node: MeshNode): Promise<QuotaRow> => node.get<QuotaRow>('/quotas/acme');
		const leasedBy = async (node: MeshNode): Promise<number> =>
			quantityOf(await show(node), 'requestsPerMinute')?.leased ?? 0;
		for (const node of nodes)
			await eventually(`${node.name} routes`, async () => (await ask(node.data, 'other')).status === 200, {
				withinMs: 60_000,
				everyMs: 50,
			});

		const setMs = performance.now();
		await second.put('/policies/quota/acme', { value: { tenant: 'acme', requestsPerMinute: 60 } });
		for (const node of nodes)
			await eventually(
				`${node.name} knows the quota`,
				async () => (await show(node).catch(() => undefined)) !== undefined,
				{ withinMs: 30_000, everyMs: 50 },
			);
		let through = 0;
		for (let wave = 0; wave < 4; wave++)
			for (const count of await Promise.all(nodes.map((node) => served(node.data, 'acme', 15)))) through += count;
		const passedS = (performance.now() - setMs) / 1000;
		t.true(through <= 60 + passedS, `${through} of 180 in ${passedS.toFixed(1)} s`);
		t.true(through >= 20, `${through}`);

		const shown = await infermesh('quota', 'show', 'acme', '--admin', third.admin, '--json');
		t.is(shown.code, 0, shown.err);
		t.is((JSON.parse(shown.out) as QuotaRow).quantities[0]?.limit, 60);
		const listed = await infermesh('quota', 'list', '--admin', third.admin);
		t.regex(listed.out, /acme .*requestsPerMinute \d+\/60/);

		// From here on there is plenty, and each router holds some of it.
		await second.put('/policies/quota/acme', { value: { tenant: 'acme', requestsPerMinute: 60_000 } });
		await eventually(
			'the first holds a lease',
			async () => (await served(first.data, 'acme', 10)) === 10 && (await leasedBy(first)) > 0,
			{ withinMs: 30_000, everyMs: 100 },
		);
		// Before all three have votes the first may be a quorum by itself.
		await eventually('two more have votes', () => promotions(nodes) === 2, { withinMs: 60_000 });
		await Promise.all([second.end('SIGKILL'), third.end('SIGKILL')]);
		const lone = async (): Promise<boolean> => {
			const text = await (await fetch(`${first.admin}/readyz`)).text();
			return text.includes('no quorum');
		};
		await eventually('the first has no quorum', lone, {
			withinMs: 60_000,
			everyMs: 100,
		});
		const held = await leasedBy(first);
		let spent = 0;
		for (let wave = 0; wave < 10; wave++) spent += await served(first.data, 'acme', 20);
		t.true(spent <= held, `${spent} went through on a lease of ${held}`);
		await eventually(
			'what it held is spent or has lapsed',
			async () => (await ask(first.data, 'acme')).status === 429,
			{
				withinMs: 60_000,
				everyMs: 200,
			},
		);
		t.is((await ask(first.data, 'acme')).code, 'IM_QUOTA_REQUESTS');
		t.is((await ask(first.data, 'other')).status, 200, 'everything else is served on');
	},
);
