// Two versions one apart in one mesh: three real nodes that write and read nothing but the formats of the level before are upgraded one by one, as the
// operations page says, while clients ask and operators write. The level of the mesh rises once, when the last one is done.
import test from 'ava';
import { eventually, MODEL, startTestEngine } from '../support/mesh.js';
import { type MeshNode, startNodes } from '../support/mesh-nodes.js';
import { shipped } from '../support/strategies.js';

const OLD = 1;
const NEW = 2;
const PERIOD_MS = 20;

interface Status {
	readonly level: { readonly node: number; readonly mesh: number };
}

const levelOf = async (node: MeshNode): Promise<Status['level']> => (await node.get<Status>('/status')).level;

/** Form of the store's snapshots that this node writes now, read from a backup. */
async function snapshotFormat(node: MeshNode): Promise<number | undefined> {
	const response = await fetch(`${node.admin}/api/v1/snapshot`);
	const bytes = Buffer.from(await response.arrayBuffer());
	const magic = 'infermesh-store';
	return bytes[bytes.indexOf(magic) + magic.length];
}

/** What a node says to an experiment that is judged by blocks: nothing is begun. */
function splitOn(node: MeshNode): Promise<string> {
	const split = { kind: 'request-ab', model: MODEL, candidate: 'baseline_rr' };
	return node.post('/experiments/plan', split).then(
		() => 'planned',
		(error: unknown) => /IM_[A-Z_]+/.exec(String(error))?.[0] ?? String(error),
	);
}

/** Clients behind a balancer that obeys what operators take out of it, and operators that write; both remember what they were promised. */
class Load {
	readonly balanced: Set<MeshNode>;
	readonly failures: string[] = [];
	readonly written = new Set<string>();
	requests = 0;
	#ending = false;
	readonly #done: Promise<unknown>;

	constructor(nodes: readonly MeshNode[]) {
		this.balanced = new Set(nodes);
		this.#done = Promise.all([this.#ask(false), this.#ask(true), this.#write()]);
	}

	async end(): Promise<void> {
		this.#ending = true;
		await this.#done;
	}

	#next(turn: number): MeshNode {
		const up = [...this.balanced];
		return up[turn % up.length] as MeshNode;
	}

	async #ask(stream: boolean): Promise<void> {
		for (let turn = 0; !this.#ending; turn++) {
			const node = this.#next(turn);
			try {
				const response = await fetch(`${node.data}/v1/chat/completions`, {
					method: 'POST',
					headers: { 'content-type': 'application/json', connection: 'close' },
					body: JSON.stringify({
						model: MODEL,
						max_tokens: stream ? 60 : 4,
						stream,
						messages: [{ role: 'user', content: `turn ${turn}` }],
					}),
				});
				const text = await response.text();
				const whole = stream ? text.trimEnd().endsWith('data: [DONE]') : text.includes('"finish_reason"');
				if (response.status !== 200 || !whole)
					this.failures.push(`${node.name}: ${response.status} ${text.slice(-120)}`);
			} catch (error) {
				this.failures.push(`${node.name}: ${String((error as Error).cause ?? error)}`);
			}
			this.requests++;
			await this.#pace();
		}
	}

	/** A steady load rather than as much as fits: the nodes share the machine with it. */
	#pace(): Promise<void> {
		return new Promise((resolve) => void setTimeout(resolve, PERIOD_MS));
	}

	/** A write that is refused was not promised; one that is answered has to be there at the end. */
	async #write(): Promise<void> {
		for (let turn = 0; !this.#ending; turn++) {
			const name = `w-${turn}`;
			const written = await this.#next(turn)
				.put(`/policies/quota/${name}`, { value: { tenant: 'nobody', concurrency: turn } })
				.catch(() => undefined);
			if (written !== undefined) this.written.add(name);
			await this.#pace();
		}
	}
}

/** As docs/compatibility.md says: drained, out of the balancer, stopped, replaced, back. */
async function upgrade(node: MeshNode, other: MeshNode, load: Load): Promise<void> {
	load.balanced.delete(node);
	await other.post(`/nodes/${node.name}/drain`, { reason: 'upgrade' });
	await eventually(
		`${node.name} is drained`,
		async () => (await other.get<{ state: string }>(`/nodes/${node.name}`)).state === 'drained',
		{ withinMs: 60_000 },
	);
	await node.end('SIGTERM');
	node.configure({ fabric: { compat_level: NEW } });
	await node.start();
	await eventually(
		`${node.name} serves again`,
		async () => {
			await other.post(`/nodes/${node.name}/uncordon`, {});
			return (await fetch(`${node.admin}/readyz`)).ok;
		},
		{ withinMs: 60_000 },
	);
	load.balanced.add(node);
}

test.serial(
	'a mesh is upgraded node by node under load: no request and no write is lost, and formats change when all can read them',
	async (t) => {
		t.timeout(400_000);
		// Draining a node holds its engines: another node's serve meanwhile.
		const engines = await Promise.all([startTestEngine(t), startTestEngine(t)]);
		const [left, right] = engines.map(({ url }, at) => ({
			targets: [{ id: `engine-${at + 1}`, url, models: [MODEL] }],
		}));
		const old = { compatLevel: OLD, snapshotEntries: 100 };
		const nodes = await startNodes(t, [{ ...old, ...left }, { ...old, ...right }, old]);
		const [first, second, third] = nodes as [MeshNode, MeshNode, MeshNode];
		const voters = async (): Promise<number> =>
			(await third.get<{ members: { role: string }[] }>('/raft')).members.filter(({ role }) => role === 'voter').length;
		await eventually('three coordinators vote', async () => (await voters()) === 3, { withinMs: 60_000 });
		for (const node of nodes) {
			await eventually(`${node.name} is ready`, async () => (await fetch(`${node.admin}/readyz`)).ok, {
				withinMs: 30_000,
			});
			t.deepEqual(await levelOf(node), { node: OLD, mesh: OLD });
		}

		await first.post('/strategies', { module: Buffer.from(shipped('baseline_rr')).toString('base64') });

		const load = new Load(nodes);
		await upgrade(first, second, load);
		t.deepEqual(await levelOf(first), { node: NEW, mesh: OLD });
		t.is(await snapshotFormat(first), 1, 'an upgraded node writes what the others can read');
		await upgrade(second, third, load);
		t.is(await snapshotFormat(second), 1);
		t.deepEqual(await levelOf(third), { node: OLD, mesh: OLD });
		t.is(await splitOn(first), 'IM_EXPERIMENT_LEVEL', 'the node that is not upgraded could take it over');

		// Two versions run side by side, and the older one can be restarted as what it is.
		load.balanced.delete(third);
		await third.end('SIGTERM');
		await third.start();
		load.balanced.add(third);
		t.deepEqual(await levelOf(third), { node: OLD, mesh: OLD });

		await upgrade(third, first, load);
		for (const node of nodes)
			await eventually(`${node.name} follows the new level`, async () => (await levelOf(node)).mesh === NEW, {
				withinMs: 60_000,
			});
		t.is(await snapshotFormat(third), 2, 'now that all read it');
		t.is(await splitOn(first), 'planned');
		await load.end();

		t.deepEqual(load.failures.slice(0, 5), []);
		t.true(load.requests > 100, `${load.requests} requests`);
		t.true(load.written.size > 100, `${load.written.size} writes`);
		t.log(`${load.requests} requests, ${load.written.size} acknowledged writes`);
		for (const node of nodes) {
			const { items } = await node.get<{ items: { name: string }[] }>('/policies?kind=quota');
			const held = new Set(items.map(({ name }) => name));
			t.deepEqual(
				[...load.written].filter((name) => !held.has(name)),
				[],
				`${node.name} has every acknowledged write`,
			);
		}

		// There is no way back from a level that the mesh has written at.
		await third.end('SIGTERM');
		third.configure({ fabric: { compat_level: OLD } });
		const refused = await t.throwsAsync(third.start());
		t.regex(refused?.message ?? '', /IM_NODE_LEVEL|IM_STORE_SNAPSHOT_VERSION/);
	},
);
