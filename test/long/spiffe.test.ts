// Nodes whose identities come from a SPIFFE Workload API: one of ours, over the real protocol on a Unix socket each, that issues certificates of seconds and
// pushes a new one long before the last has expired. No authority of the mesh's own, no join token.

import { randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import {
	CertificateAuthority,
	generateNodeKey,
	type Identity,
	IdentityHolder,
	makeIdentity,
	serveWorkloadApi,
	WorkloadApiSource,
} from '@infermesh/fabric';
import { systemClock } from '@infermesh/host';
import { SeededRandom } from '@infermesh/proto';
import test, { type ExecutionContext } from 'ava';
import { eventually, MODEL, startTestEngine } from '../support/mesh.js';
import { type MeshNode, prepareNodes } from '../support/mesh-nodes.js';

const DOMAIN = 'spiffe.test';
const LEAF_MS = 20_000;
const ROTATE_MS = 4000;

/** What an operator registered at the issuer for one workload. */
interface Registered {
	readonly endpoint: string;
	readonly holder: IdentityHolder;
	readonly id: string;
	rotating: boolean;
}

class Issuer {
	readonly #t: ExecutionContext;
	readonly #authority: CertificateAuthority;
	readonly #folder: string;
	readonly #registered: Registered[] = [];
	rotations = 0;

	constructor(t: ExecutionContext, authority: CertificateAuthority) {
		this.#t = t;
		this.#authority = authority;
		this.#folder = mkdtempSync(path.join(tmpdir(), 'spiffe-'));
		t.teardown(() => rmSync(this.#folder, { recursive: true, force: true }));
		const timer = setInterval(() => void this.rotate(), ROTATE_MS);
		t.teardown(() => clearInterval(timer));
	}

	static async create(t: ExecutionContext, trustDomain = DOMAIN): Promise<Issuer> {
		const lifetimes = { leafMs: LEAF_MS, backdateMs: 2000, clientMaxMs: LEAF_MS };
		return new Issuer(t, await CertificateAuthority.create(trustDomain, Date.now(), lifetimes));
	}

	/** `client/NAME` makes the identity of a person rather than a node. */
	async register(id: string = randomUUID()): Promise<Registered> {
		const holder = new IdentityHolder(await this.#issue(id));
		const served = await serveWorkloadApi(holder, path.join(this.#folder, `${this.#registered.length}.sock`));
		this.#t.teardown(() => served.close());
		const one = { endpoint: served.endpoint, holder, id, rotating: true };
		this.#registered.push(one);
		return one;
	}

	async rotate(): Promise<void> {
		for (const one of this.#registered) if (one.rotating) one.holder.set(await this.#issue(one.id));
		this.rotations++;
	}

	async #issue(id: string): Promise<Identity> {
		const keys = await generateNodeKey();
		const chain = id.startsWith('client/')
			? await this.#authority.issueClient(id.slice('client/'.length), keys.publicKey, Date.now())
			: await this.#authority.issueNode(id, keys.publicKey, Date.now());
		return makeIdentity(chain, keys.privateKey, this.#authority.bundle, Date.now());
	}
}

async function readiness(node: MeshNode): Promise<string> {
	return (await fetch(`${node.admin}/readyz`)).text();
}

/** Names of the quota policies that one open answer of the events stream has told, for as long as it lasts. */
function follow(t: ExecutionContext, node: MeshNode): { readonly seen: string[]; readonly ended: () => boolean } {
	const seen: string[] = [];
	let ended = false;
	const stop = new AbortController();
	t.teardown(() => stop.abort());
	void (async () => {
		try {
			const { body } = await fetch(`${node.admin}/api/v1/events`, { signal: stop.signal });
			for await (const piece of body ?? []) seen.push(...(Buffer.from(piece).toString().match(/w-\d+/g) ?? []));
		} catch {
			// Told by `ended`.
		}
		ended = true;
	})();
	return { seen, ended: () => ended };
}

test.serial(
	'identities come from a Workload API, rotate every few seconds under open streams, and health says when they lapse',
	async (t) => {
		t.timeout(300_000);
		const issuer = await Issuer.create(t);
		const [one, two, three] = await Promise.all([issuer.register(), issuer.register(), issuer.register()]);
		const engine = await startTestEngine(t);
		const workloadSocket = path.join(mkdtempSync(path.join(tmpdir(), 'workload-')), 'node.sock');
		t.teardown(() => rmSync(path.dirname(workloadSocket), { recursive: true, force: true }));
		const targets = [{ id: 'engine-1', url: engine.url, models: [MODEL] }];
		const domain = { trust_domain: DOMAIN };
		const nodes = await prepareNodes(t, [
			{ fabric: { ...domain, spiffe_socket: one.endpoint }, targets },
			{ fabric: { ...domain, spiffe_socket: two.endpoint, workload_socket: workloadSocket }, roles: ['router'] },
			{ fabric: domain, env: { SPIFFE_ENDPOINT_SOCKET: three.endpoint } },
		]);
		const [first, second, third] = nodes as [MeshNode, MeshNode, MeshNode];
		await first.start();
		await Promise.all([second.start('--join', first.agent), third.start('--join', first.agent)]);
		const { items } = await first.get<{ items: { id: string; name: string }[] }>('/nodes');
		t.deepEqual(
			new Map(items.map(({ name, id }) => [name, id])),
			new Map([one, two, three].map(({ id }, at) => [`node-${at + 1}`, id])),
		);
		const refused = await t.throwsAsync(first.post('/join-tokens', { ttlMs: 60_000 }));
		t.regex(refused?.message ?? '', /IM_FABRIC_NO_AUTHORITY/);

		// The router has no replicated state of its own: what it tells comes over a connection that other certificates opened.
		await eventually('the router is ready', async () => (await readiness(second)).includes('"ready":true'), {
			withinMs: 30_000,
		});
		const events = follow(t, second);
		let written = 0;
		await eventually('the first change is told', async () => {
			await first.put(`/policies/quota/w-${written++}`, { value: { tenant: 'nobody', concurrency: 1 } });
			return events.seen.length > 0;
		});
		const from = Number(events.seen[0]?.slice(2));
		const before = issuer.rotations;
		await eventually(
			'every certificate of the beginning has expired, and two lives more',
			async () => {
				await first.put(`/policies/quota/w-${written++}`, { value: { tenant: 'nobody', concurrency: 1 } });
				return (issuer.rotations - before) * ROTATE_MS > 3 * LEAF_MS;
			},
			{ withinMs: 120_000, everyMs: 250 },
		);
		await eventually('the last change is told', () => Promise.resolve(events.seen.includes(`w-${written - 1}`)));
		t.false(events.ended(), 'the stream was never cut');
		t.deepEqual(
			events.seen,
			Array.from({ length: written - from }, (_, at) => `w-${from + at}`),
			'nothing was missed, nothing told twice',
		);
		for (const node of nodes) t.regex(await readiness(node), /"ready":true/, node.name);

		// The node serves the API on: a local process gets the same identity.
		const source = new WorkloadApiSource({
			endpoint: `unix://${workloadSocket}`,
			clock: systemClock,
			random: new SeededRandom(1),
		});
		t.teardown(() => source.close());
		t.is((await source.ready()).svid.nodeUuid, two.id);

		// Nothing new for the router: its certificate expires, it says so, and it recovers by itself when the next one comes.
		two.rotating = false;
		await eventually(
			'the lapse is told by name',
			async () => (await readiness(second)).includes('IM_IDENTITY_EXPIRED'),
			{
				withinMs: 60_000,
			},
		);
		two.rotating = true;
		await eventually('it is back', async () => (await readiness(second)).includes('"ready":true'), {
			withinMs: 60_000,
		});
		await first.put('/policies/quota/w-last', { value: { tenant: 'nobody', concurrency: 1 } });
		await eventually(
			'it hears of changes again',
			async () => {
				const { items: held } = await second.get<{ items: { name: string }[] }>('/policies?kind=quota');
				return held.some(({ name }) => name === 'w-last');
			},
			{ withinMs: 30_000 },
		);
	},
);

test.serial('an identity of another trust domain, or of no node, is refused by name', async (t) => {
	t.timeout(120_000);
	const [other, own] = await Promise.all([Issuer.create(t, 'elsewhere.test'), Issuer.create(t)]);
	const [foreign, person] = await Promise.all([other.register(), own.register('client/ann')]);
	const nodes = await prepareNodes(t, [
		{ fabric: { trust_domain: DOMAIN, spiffe_socket: foreign.endpoint } },
		{ fabric: { trust_domain: DOMAIN, spiffe_socket: person.endpoint } },
	]);
	const refusals = await Promise.all(nodes.map((node) => t.throwsAsync(node.start())));
	t.regex(
		refusals[0]?.message ?? '',
		/IM_FABRIC_SPIFFE_ID.*elsewhere\.test.* is not of the trust domain spiffe\.test/s,
	);
	t.regex(refusals[1]?.message ?? '', /IM_FABRIC_SPIFFE_ID.*client\/ann names no node/s);
});
