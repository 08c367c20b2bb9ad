// Three routers of one mesh, as real processes, which share what none of them could share alone: a quota by what each is asked for, the tenants' weights by what
// all of them serve, and the bound on how much of a model rules about GPUs take out. The mesh is started once; all waits are for conditions.
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import test, { type ExecutionContext } from 'ava';
import { eventually, MODEL, startTestEngine, type Teardown } from '../support/mesh.js';
import { type MeshNode, startNodes } from '../support/mesh-nodes.js';

/** Served by one engine that has room for few. */
const BUSY = 'busy-model';
const SEQUENCES = 4;
/** Scarce processors make everything late: only what never comes fails. */
const patience = { withinMs: 240_000, everyMs: 250 };
const LIMIT_MS = 900_000;

/** Fields of each device. */
type Page = Record<string, { DEV_XID_ERRORS: number }>;

interface Shared {
	readonly nodes: readonly [MeshNode, MeshNode, MeshNode];
	/** What the GPUs of the first and the second node say. */
	readonly gpus: readonly [Page, Page];
}

const teardowns: (() => Promise<void> | void)[] = [];
const owner: Teardown = { teardown: (fn) => void teardowns.push(fn) };
let starting: Promise<Shared> | undefined;

test.after.always(async () => {
	for (const fn of teardowns.toReversed()) await fn();
});

function shared(t: ExecutionContext): Promise<Shared> {
	t.timeout(LIMIT_MS);
	starting ??= start();
	return starting;
}

async function start(): Promise<Shared> {
	const page = (...gpus: string[]): Page => Object.fromEntries(gpus.map((gpu) => [gpu, { DEV_XID_ERRORS: 0 }]));
	const gpus = [page('GPU-a', 'GPU-b'), page('GPU-c', 'GPU-d')] as const;
	const urls = await Promise.all(gpus.map(exporter));
	const quick = await startTestEngine(owner);
	const busy = await startTestEngine(owner, { models: [BUSY], speed: 1, model: { sequencesMax: SEQUENCES } });
	const target = (gpu: string) => ({ id: `engine-${gpu}`, url: quick.url, models: [MODEL], gpus: [`GPU-${gpu}`] });
	const first = [target('a'), target('b'), { id: 'busy', url: busy.url, models: [BUSY] }];
	// A node that gets no processor for seconds is slow, not dead.
	const slow = { fabric: { lease_ttl_ms: 15_000, load: { lease_ms: 10_000 } }, startMsMax: patience.withinMs };
	const wanted = [{ targets: first, ...slow }, { targets: [target('c'), target('d')], ...slow }, slow];
	const nodes = await startNodes(owner, wanted, (all) => {
		for (const node of all) node.configure({ strategy: { admission_timeout_ms: 120_000 } });
		for (const [at, url] of urls.entries())
			all[at]?.configure({ gpu: { sources: [{ kind: 'dcgm', url }], period_ms: 250 } });
		return Promise.resolve();
	});
	for (const node of nodes)
		await eventually(`${node.name} has all targets and is followed`, () => isReady(node), patience);
	return { nodes: nodes as unknown as Shared['nodes'], gpus };
}

/** A page of a DCGM exporter whose values the tests change. */
async function exporter(values: Page): Promise<string> {
	const server = createServer((_req, res) => {
		const lines = Object.entries(values).flatMap(([uuid, fields]) =>
			Object.entries(fields).map(([field, value]) => `DCGM_FI_${field}{gpu="0",UUID="${uuid}",Hostname="n"} ${value}`),
		);
		res.end(`${lines.join('\n')}\n`);
	});
	await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve));
	owner.teardown(() => {
		server.closeAllConnections();
		server.close();
	});
	return `http://127.0.0.1:${(server.address() as AddressInfo).port}/metrics`;
}

interface Seen {
	readonly id: string;
	readonly state: string;
	readonly heldBy: readonly string[];
}

async function targetsOf(node: MeshNode): Promise<readonly Seen[]> {
	return (await node.get<{ items: readonly Seen[] }>('/targets')).items;
}

async function isReady(node: MeshNode): Promise<boolean> {
	const states = (await targetsOf(node)).map(({ state }) => state);
	const followers = await metric(node, 'peer_load_followers');
	return states.length === 5 && states.every((state) => state === 'ready') && followers === 2;
}

async function metric(node: MeshNode, name: string, having = ''): Promise<number> {
	const text = await (await fetch(`${node.admin}/metrics`)).text();
	const lines = text.split('\n').filter((line) => line.startsWith(`infermesh_${name}`) && line.includes(having));
	return lines.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' '))), 0);
}

async function ask(node: MeshNode, tenant: string, model: string, tokens: number): Promise<number> {
	const response = await fetch(`${node.data}/v1/chat/completions`, {
		method: 'POST',
		headers: { 'content-type': 'application/json', 'x-infermesh-tenant': tenant },
		body: JSON.stringify({
			model,
			max_tokens: tokens,
			ignore_eos: true,
			messages: [{ role: 'user', content: 'hello' }],
		}),
	});
	await response.arrayBuffer();
	return response.status;
}

async function setQuota(nodes: readonly MeshNode[], tenant: string, quota: Readonly<Record<string, number>>) {
	await nodes[0]?.put(`/policies/quota/${tenant}`, { value: { tenant, ...quota } });
	for (const node of nodes)
		await eventually(
			`${node.name} knows the quota of ${tenant}`,
			async () => (await node.get(`/quotas/${tenant}`).catch(() => undefined)) !== undefined,
			patience,
		);
}

/** Processor time of the nodes so far, seconds. */
function cpuS(nodes: readonly MeshNode[]): number {
	const ticks = nodes.map(({ pid }) => {
		const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
		return Number(fields[11]) + Number(fields[12]);
	});
	return ticks.reduce((sum, one) => sum + one, 0) / 100;
}

test.serial('a quota goes to routers by what they are asked for, and none is left out', async (t) => {
	const { nodes } = await shared(t);
	const startedS = cpuS(nodes);
	const perS = 10;
	await setQuota(nodes, 'acme', { requestsPerSecond: perS });
	/** Of 100 ms: the third is asked every fourth time. */
	const each = [4, 1, 0.25].map((perPass) => ({ perPass, owed: 0 }));
	const counts = () => nodes.map(() => ({ asked: 0, got: 0, refused: 0 }));
	let seen = counts();
	const askOnce = async (at: number): Promise<void> => {
		const into = seen[at] as (typeof seen)[number];
		const status = await ask(nodes[at] as MeshNode, 'acme', MODEL, 2);
		into.asked++;
		if (status === 200) into.got++;
		else if (status === 429) into.refused++;
	};
	const open: Promise<void>[] = [];
	const pass = async (): Promise<void> => {
		for (const [at, one] of each.entries())
			for (one.owed += one.perPass; one.owed >= 1; one.owed--) open.push(askOnce(at));
		await new Promise<void>((resolve) => void setTimeout(resolve, 100));
	};
	const untilMs = performance.now() + patience.withinMs;
	// What was there at first is spent, and each router has said what it is asked for.
	while (!seen.every(({ asked, refused }) => refused > 0 && asked >= 4) && performance.now() < untilMs) await pass();
	await Promise.all(open);
	seen = counts();
	const beganMs = performance.now();
	const got = (): number => seen.reduce((sum, one) => sum + one.got, 0);
	while (got() < 8 * perS && performance.now() < untilMs) await pass();
	await Promise.all(open);
	const lastedS = (performance.now() - beganMs) / 1000;
	const parts = seen.map((one) => one.got / one.asked);
	t.log(`in ${lastedS.toFixed(1)} s: ${seen.map((one) => `${one.got} of ${one.asked}`).join(', ')}`);
	t.log(`processor time of the nodes: ${startedS} s to start, ${(cpuS(nodes) - startedS).toFixed(1)} s here`);
	const [busy = 0, calm = 0, quiet = 0] = parts;
	t.true(got() <= perS * (lastedS + 4), `what came back, and what was leased before: ${got()}`);
	t.true(calm > 0.4 * busy && calm < 1.8 * busy, `in the proportion of what they are asked for: ${parts.join(', ')}`);
	t.true(quiet > 0.25 * busy, `the quiet one is not left out: ${parts.join(', ')}`);
	await nodes[0].delete('/policies/quota/acme');
});

test.serial('tenants are served by weight over all routers, whichever of them they ask', async (t) => {
	const { nodes } = await shared(t);
	const beforeS = cpuS(nodes);
	await setQuota(nodes, 'alpha', { weight: 2 });
	await setQuota(nodes, 'beta', { weight: 1 });
	let served = { alpha: 0, beta: 0 };
	const over = new AbortController();
	const loop = async (node: MeshNode, tenant: 'alpha' | 'beta'): Promise<void> => {
		while (!over.signal.aborted) if ((await ask(node, tenant, BUSY, 24)) === 200) served[tenant]++;
	};
	const [first, second] = nodes;
	const loops = [
		...Array.from({ length: 12 }, () => loop(first, 'alpha')),
		...nodes.flatMap((node) => Array.from({ length: node === first ? 4 : 20 }, () => loop(node, 'beta'))),
	];
	const all = (): number => served.alpha + served.beta;
	let share = 0;
	try {
		// Until limits are learned the engine has what there is in its own queue.
		await eventually(
			'room is scarce',
			async () => all() > 60 && (await metric(first, 'flow_turns_total', 'owed')) > 10,
			patience,
		);
		await eventually(
			'what waits at the others is known',
			async () => (await metric(second, 'peer_flows', 'of="elsewhere"')) >= 1,
			patience,
		);
		served = { alpha: 0, beta: 0 };
		await eventually('enough has been served', () => all() >= 120, { ...patience, everyMs: 20 });
		share = served.alpha / all();
	} finally {
		over.abort();
		await Promise.allSettled(loops);
	}
	t.log(`${(100 * share).toFixed(0)} % are alpha's; processor time ${(cpuS(nodes) - beforeS).toFixed(1)} s`);
	// Two thirds are due; its router’s own part of the engine is about a third.
	t.true(share > 0.5 && share < 0.8, `${share}`);
	t.true((await metric(second, 'flow_turns_total', 'ahead')) + (await metric(second, 'flow_turns_total', 'even')) > 0);
	t.is(await metric(second, 'peer_flows_dropped_total'), 0);
	await eventually(
		'nothing waits any more',
		async () => (await metric(second, 'peer_flows', 'elsewhere')) === 0,
		patience,
	);
});

test.serial('routers that hear of different GPUs leave the same half of a model in use', async (t) => {
	const { nodes, gpus } = await shared(t);
	const beforeS = cpuS(nodes);
	const [left, right] = gpus;
	const all = (what: string, wanted: Readonly<Record<string, string>>): Promise<void> =>
		eventually(
			what,
			async () => {
				const views = await Promise.all(nodes.map(targetsOf));
				return views.every((items) => items.every(({ id, state }) => state === (wanted[id] ?? 'ready')));
			},
			patience,
		);
	const set = (page: Page, xid: number): void => {
		for (const gpu of Object.values(page)) gpu.DEV_XID_ERRORS = xid;
	};
	await all('all serve', {});
	set(left, 79);
	const firstOut = { 'engine-a': 'quarantined', 'engine-b': 'quarantined' };
	await all('two are out at every router', firstOut);
	const third = (await targetsOf(nodes[2])).find(({ id }) => id === 'engine-a');
	t.deepEqual(third?.heldBy, ['node:node-1'], 'of a device that this node does not hear of');
	set(right, 79);
	await all('the others stay in use at every router', {
		...firstOut,
		'engine-c': 'degraded',
		'engine-d': 'degraded',
	});
	set(left, 0);
	await nodes[0].post('/gpus/GPU-a/release', {});
	await nodes[0].post('/gpus/GPU-b/release', {});
	await all('now those that came later are out', { 'engine-c': 'quarantined', 'engine-d': 'quarantined' });
	t.log(`processor time ${(cpuS(nodes) - beforeS).toFixed(1)} s`);
});
