// Shadows on a live mesh: what they did is shown over all workers, a strategy that herds is found without a request going its way, one that faults is
// quarantined alone, and no live decision changes.
import test from 'ava';
import { admitWithoutTrial } from '../support/decider.js';
import { eventually, startTestMesh, type TestMesh } from '../support/mesh.js';
import { fixedRow, shipped, strategyFrom } from '../support/strategies.js';
import { ask } from '../support/traffic.js';

interface Shadow {
	readonly strategy: string;
	readonly ran: number;
	readonly live: number;
	readonly workers: number;
	readonly agreement: number;
	readonly faults: Readonly<Record<string, number>>;
	readonly reruns: { readonly total: number; readonly differed: number };
	readonly cpuShare: number;
	readonly latencyUs: { readonly p50: number };
	readonly queues: { readonly herding: string; readonly why: string; readonly requests: number };
	readonly claims: readonly string[];
}

async function shadowOf({ admin }: TestMesh, name: string): Promise<Shadow | undefined> {
	const { items } = await admin.call<{ items: Shadow[] }>('GET', '/api/v1/shadows');
	return items.find(({ strategy }) => strategy.startsWith(`${name}@`));
}

/** Streams run until `done`, checked now and then; returns where they went. */
async function fireUntil(mesh: TestMesh, done: () => Promise<boolean>): Promise<Set<string | undefined>> {
	const targets = new Set<string | undefined>();
	const fire = { on: true };
	let next = 0;
	const one = async (): Promise<void> => {
		while (fire.on) {
			const answer = await ask({ url: mesh.dataUrl, seed: next++ % 31, tokens: 16, stream: true });
			targets.add(answer.target);
		}
	};
	const running = Promise.all(Array.from({ length: 32 }, one));
	await eventually('the shadow has been watched', done).finally(() => (fire.on = false));
	await running;
	return targets;
}

/** A little more than what anything is said after. */
const RUNS = 210;

test.serial(
	'a strategy that herds is found in the shadow, one that does not is not, and nothing goes their way',
	async (t) => {
		const mesh = await startTestMesh(t, { engines: 4, speed: 4, config: { strategy: { active: 'baseline_rr' } } });
		await mesh.admin.load(await fixedRow('herds', 1));
		await mesh.admin.stage('herds', 'shadow');
		const targets = await fireUntil(mesh, async () => ((await shadowOf(mesh, 'herds'))?.queues.requests ?? 0) >= RUNS);
		const herds = await shadowOf(mesh, 'herds');
		t.is(herds?.queues.herding, 'yes', JSON.stringify(herds));
		t.is(targets.size, 4, 'live requests go round as before');
		t.true(herds!.claims.some((claim) => claim.includes('cannot tell')));
		t.true(herds!.agreement > 0.1 && herds!.agreement < 0.5);
		t.deepEqual(herds!.faults, {});
		t.is(herds!.reruns.differed, 0);
		const metrics = await (await fetch(`${mesh.admin.url}/metrics`)).text();
		t.regex(metrics, /infermesh_shadow_herding\{strategy="herds@1\.0\.0",model="llama-3-8b"\} 1/);
		t.regex(metrics, /infermesh_shadow_decision_duration_seconds_count\{strategy="herds@1\.0\.0"\} \d+/);

		await mesh.admin.load(shipped('least_request'));
		await mesh.admin.stage('least_request', 'shadow');
		await fireUntil(mesh, async () => ((await shadowOf(mesh, 'least_request'))?.queues.requests ?? 0) >= RUNS);
		const least = await shadowOf(mesh, 'least_request');
		t.not(least?.queues.herding, 'yes', JSON.stringify(least));
		t.is(await shadowOf(mesh, 'herds'), undefined, 'what is staged no more is shown no more');
	},
);

test.serial('a shadow that traps is quarantined; the live strategy goes on without a fault', async (t) => {
	const mesh = await startTestMesh(t, { engines: 2, admit: admitWithoutTrial });
	await mesh.admin.load(
		await strategyFrom(
			'name: traps\nversion: 1.0.0\nabi: "1.0"\ncolumns: [load]\n',
			`import { begin, request, rankLowest, scratch } from 'infermesh';
export { init } from 'infermesh';
export function rank(frame: usize): i32 {
	begin(frame);
	if (request().tokens_in > 0) unreachable();
	return rankLowest(scratch(0), 1);
}
`,
		),
	);
	await mesh.admin.stage('traps', 'shadow');
	await fireUntil(mesh, async () => ((await shadowOf(mesh, 'traps'))?.faults['trap'] ?? 0) >= 3);
	const strategies = await mesh.admin.strategies();
	t.true((strategies.find(({ name }) => name === 'traps')?.quarantinedForMs ?? 0) > 0);
	t.like(
		strategies.find(({ name }) => name === 'hybrid_mesh'),
		{ strikes: 0, quarantinedForMs: null, stage: 'active' },
	);
	const status = await mesh.admin.status();
	t.is(status.activeStrategy.split('@')[0], 'hybrid_mesh');
});
