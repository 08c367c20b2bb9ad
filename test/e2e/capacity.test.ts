// Capacity advice on a real mesh: learned from its traffic, read as JSON and as a metric; and a target drained before it is taken away, its stream whole.
import test from 'ava';
import { eventually, MODEL, startTestMesh } from '../support/mesh.js';
import { infermesh } from '../support/mesh-nodes.js';
import { ask } from '../support/traffic.js';

interface Row {
	readonly model: string;
	readonly ready: number;
	readonly desired: number;
	readonly demandPerS: number;
	readonly sustainablePerS: number | null;
	readonly goodRatio: number | null;
	readonly drainFirst: readonly string[];
}

test.serial(
	'what traffic shows of a replica becomes advice, and a target to spare is drained before it goes',
	async (t) => {
		t.timeout(240_000);
		const mesh = await startTestMesh(t, {
			engines: 3,
			// Objectives that a slow machine meets, windows short enough to wait for.
			config: { capacity: { window_ms: 1000, in_after_ms: 0, requests_min: 5, ttft_ms: 60_000, tpot_ms: 60_000 } },
		});
		const row = async (): Promise<Row | undefined> => {
			const { code, out, err } = await infermesh('capacity', '--json', '--admin', mesh.mesh.adminUrl);
			t.is(code, 0, err);
			return (JSON.parse(out) as { items: Row[] }).items[0];
		};
		const traffic = setInterval(() => {
			for (let seed = 0; seed < 4; seed++) ask({ url: mesh.dataUrl, seed }).catch(() => undefined);
		}, 100);
		t.teardown(() => clearInterval(traffic));
		await eventually(
			'a rate is learned',
			async () => {
				const { sustainablePerS, goodRatio, ready } = (await row()) ?? {};
				return (sustainablePerS ?? 0) > 0 && goodRatio === 1 && ready === 3;
			},
			{ withinMs: 60_000, everyMs: 200 },
		);
		clearInterval(traffic);
		await eventually('without traffic one is enough', async () => (await row())?.desired === 1, {
			withinMs: 60_000,
			everyMs: 200,
		});
		const metrics = await (await fetch(`${mesh.mesh.adminUrl}/metrics`)).text();
		t.regex(metrics, new RegExp(`^infermesh_capacity_desired_replicas\\{model="${MODEL}"\\} 1$`, 'm'));
		const [spare = ''] = (await row())?.drainFirst ?? [];
		t.regex(spare, /^engine-\d$/);

		// A stream on it finishes; the drain waits for it.
		const engine = mesh.engines[Number(spare.slice(-1)) - 1];
		engine?.setFaults({ slow: { factor: 30 } });
		const headers = { 'x-infermesh-target': spare };
		const drain = async (id: string) => {
			const ended = await infermesh('target', 'drain', id, '--timeout', '2m', '--json', '--admin', mesh.mesh.adminUrl);
			return { ...ended, atMs: performance.now() };
		};
		const drained = Promise.withResolvers<Awaited<ReturnType<typeof drain>>>();
		const streamed = ask({
			url: mesh.dataUrl,
			seed: 1,
			tokens: 60,
			stream: true,
			headers,
			onFirst: () => {
				drained.resolve(drain(spare));
			},
		}).then((answer) => ({ ...answer, atMs: performance.now() }));
		const answer = await streamed;
		t.like(answer, { status: 200, complete: true, target: spare });
		const { code, out, err, atMs } = await drained.promise;
		t.is(code, 0, err);
		t.like(JSON.parse(out), { id: spare, draining: true, inFlight: 0 });
		t.true(atMs > answer.atMs, 'not before the stream has ended');
	},
);
