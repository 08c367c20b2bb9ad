// Owns the figure of overload: three tenants ask for three times what three emulated engines can serve. What is served in time stays at what the engines
// can do when their queues are always full, measured in the same run; it is shared by the tenants' weights; nothing queues without a bound.
import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { SeededRandom } from '@infermesh/proto';
import type { Aim, Bench, BenchContext, Table } from '../bench.js';
import { KEY, type Mesh, startMeshAgent } from '../router/mesh-process.js';
import { forkModule, type Running } from '../router/processes.js';
import { sum } from '../stats.js';
import { type Answer, OverloadClient, type TenantLoad } from './client.js';

const MODEL = 'overload-model';
const ENGINES = 3;
const SEQUENCES = 8;
/** Slower than real, so that few processors serve both sides of the bench. */
const SPEED = 0.5;
const OVERLOAD = 3;
const DEADLINE_MS = 6000;
const QUEUE_MAX = 300;
const SEED = 11;
const OUTPUT_WEIGHT = 2;
const CAPACITY_MS = 12_000;
const OVERLOAD_MS = 28_000;
/** Of both phases, not counted: queues fill, limits are learned. */
const WARM_MS = 5000;

const tenants: readonly TenantLoad[] = [
	{ tenant: 'bronze', weight: 1, tokensOut: 24 },
	{ tenant: 'silver', weight: 2, tokensOut: 32 },
	{ tenant: 'gold', weight: 4, tokensOut: 40 },
];
const weights = sum(tenants.map(({ weight }) => weight));

interface Window {
	readonly answers: readonly Answer[];
	readonly seconds: number;
}

export const overloadBench: Bench = {
	name: 'overload',
	summary: 'three tenants at 3x capacity: goodput, shares by weight, bounded queue (about 50 s)',
	run: async (context) => {
		const folder = mkdtempSync(path.join(tmpdir(), 'infermesh-bench-'));
		const open: Running[] = [];
		try {
			const args = [String(ENGINES), String(SEQUENCES), String(SPEED), MODEL];
			const engines = await forkModule('../overload/engines.js', args);
			open.unshift(engines);
			const { ports } = engines.ready as { readonly ports: readonly number[] };
			const capacity = await measureCapacity(ports, context);
			context.progress(`  capacity ${perSecond(capacity).toFixed(0)} tokens/s of service`);
			const mesh = await startMesh(folder, ports);
			open.unshift(mesh);
			const { window, queueMost } = await overload(mesh, perSecond(capacity), capacity, context);
			return [tableOf(capacity, window, queueMost)];
		} finally {
			for (const each of open) await each.close();
			rmSync(folder, { recursive: true, force: true });
		}
	},
};

/** The engines asked directly, each with its queue never empty, in the mix that the weights would have. */
async function measureCapacity(ports: readonly number[], { quick }: BenchContext): Promise<Window> {
	const random = new SeededRandom(SEED);
	const client = new OverloadClient({ model: MODEL, key: undefined, deadlineMs: 0 });
	for (const port of ports) client.closedLoop(port, 2 * SEQUENCES, () => drawn(random));
	const fromMs = performance.now();
	await passed(quick ? 4000 : CAPACITY_MS);
	const window = windowOf(client.answers, fromMs + (quick ? 1500 : WARM_MS), performance.now());
	client.stop();
	return window;
}

/** A tenant by its share of requests: the share of service over what one request takes. */
function drawn(random: SeededRandom): TenantLoad {
	const parts = tenants.map(({ weight, tokensOut }) => weight / tokensOut);
	let at = random.nextFloat() * sum(parts);
	return tenants.find((_, index) => (at -= parts[index] as number) < 0) ?? (tenants[0] as TenantLoad);
}

async function startMesh(folder: string, ports: readonly number[]): Promise<Mesh> {
	const file = path.join(folder, 'overload.yaml');
	writeFileSync(
		file,
		JSON.stringify({
			data: { port: 0, workers: 1, flow: { requests_max: QUEUE_MAX, wait_max_ms: DEADLINE_MS } },
			admin: { port: 0 },
			keys: [{ id: 'bench', sha256: createHash('sha256').update(KEY).digest('hex'), trusted: true }],
			targets: ports.map((port, index) => ({
				id: `engine-${index}`,
				url: `http://127.0.0.1:${port}`,
				models: [MODEL],
				runtime: 'vllm',
			})),
		}),
	);
	const mesh = await startMeshAgent(file);
	for (const { tenant, weight } of tenants) {
		const answer = await fetch(`${mesh.adminUrl}/api/v1/policies/quota/${tenant}`, {
			method: 'PUT',
			headers: { 'content-type': 'application/json' },
			body: JSON.stringify({ value: { tenant, weight } }),
		});
		if (!answer.ok) throw new Error(`quota of ${tenant}: ${answer.status} ${await answer.text()}`);
	}
	return mesh;
}

async function overload(
	mesh: Mesh,
	servicePerS: number,
	capacity: Window,
	{ quick, progress }: BenchContext,
): Promise<{ readonly window: Window; readonly queueMost: number }> {
	const random = new SeededRandom(SEED, 1);
	const client = new OverloadClient({ model: MODEL, key: KEY, deadlineMs: DEADLINE_MS });
	const durationMs = quick ? 8000 : OVERLOAD_MS;
	const tokensIn = sum(capacity.answers.map((answer) => answer.tokensIn)) / capacity.answers.length;
	let queueMost = 0;
	const watch = new AbortController();
	const look = async (): Promise<void> => {
		while (!watch.signal.aborted) {
			queueMost = Math.max(queueMost, await waitingAt(mesh));
			await passed(250);
		}
	};
	const watching = look();
	const fromMs = performance.now();
	// Each tenant alone asks for all there is: each has more waiting than its share.
	await Promise.all(
		tenants.map((load) => {
			const cost = tokensIn + OUTPUT_WEIGHT * load.tokensOut;
			const ratePerS = (servicePerS * OVERLOAD) / tenants.length / cost;
			return client.openLoop(mesh.port, load, ratePerS, durationMs, random);
		}),
	);
	const window = windowOf(client.answers, fromMs + (quick ? 3000 : WARM_MS), performance.now());
	watch.abort();
	await watching;
	client.stop();
	progress(`  ${window.answers.length} answers in ${window.seconds.toFixed(0)} s, at most ${queueMost} waiting`);
	return { window, queueMost };
}

async function waitingAt(mesh: Mesh): Promise<number> {
	const text = await (await fetch(`${mesh.adminUrl}/metrics`)).text();
	return sum([...text.matchAll(/^infermesh_flow_waiting_requests\{[^}]*\} (\S+)$/gm)].map((match) => Number(match[1])));
}

function windowOf(answers: readonly Answer[], fromMs: number, toMs: number): Window {
	return {
		answers: answers.filter(({ endMs }) => endMs >= fromMs && endMs < toMs),
		seconds: (toMs - fromMs) / 1000,
	};
}

/** Answered, and in time; of one tenant or of all. */
function good({ answers }: Window, tenant?: string): readonly Answer[] {
	return answers.filter(
		(one) =>
			one.status === 200 && one.endMs - one.sentMs <= DEADLINE_MS && (tenant === undefined || one.tenant === tenant),
	);
}

function service(answers: readonly Answer[]): number {
	return sum(answers.map(({ tokensIn, tokensOut }) => tokensIn + OUTPUT_WEIGHT * tokensOut));
}

function perSecond(window: Window): number {
	return service(good(window)) / window.seconds;
}

function passed(ms: number): Promise<void> {
	return new Promise((resolve) => void setTimeout(resolve, ms));
}

function tableOf(capacity: Window, window: Window, queueMost: number): Table {
	const all = service(good(window));
	const rows = tenants.map(({ tenant, weight }) => {
		const answers = good(window, tenant);
		const late = window.answers.filter(
			(one) => one.tenant === tenant && one.status === 200 && one.endMs - one.sentMs > DEADLINE_MS,
		).length;
		const refused = window.answers.filter((one) => one.tenant === tenant && one.status !== 200);
		const waits = answers.map(({ sentMs, endMs }) => endMs - sentMs);
		const share = service(answers) / all;
		return {
			share: (share * weights) / weight,
			cells: [
				tenant,
				weight,
				answers.length / window.seconds,
				refused.length / window.seconds,
				late,
				service(answers) / window.seconds,
				100 * share,
				(100 * weight) / weights,
				(share * weights) / weight,
				sum(waits) / Math.max(1, waits.length),
				codesOf(refused),
			],
		};
	});
	const goodput = perSecond(window) / perSecond(capacity);
	const aims: Aim[] = [
		{ what: 'capacity lost under overload', figure: Math.max(0, 100 * (1 - goodput)), atMost: 5, unit: '%' },
		...rows.map(({ share, cells }) => ({
			what: `share of ${cells[0]} against its weight, off by`,
			figure: 100 * Math.abs(share - 1),
			atMost: 5,
			unit: '%',
		})),
		{ what: 'most requests that waited', figure: queueMost, atMost: QUEUE_MAX, unit: '' },
	];
	return {
		title: `Overload: ${OVERLOAD}x what ${ENGINES} engines of ${SEQUENCES} sequences serve, deadline ${DEADLINE_MS} ms (seed ${SEED})`,
		columns: [
			'',
			'weight',
			'served/s',
			'refused/s',
			'late',
			'service/s',
			'share %',
			'due %',
			'ratio',
			'mean ms',
			'refused with',
		],
		rows: [
			...rows.map(({ cells }) => cells),
			[
				'together',
				weights,
				good(window).length / window.seconds,
				window.answers.filter(({ status }) => status !== 200).length / window.seconds,
				'',
				perSecond(window),
				100 * goodput,
				100,
				goodput,
				'',
				'',
			],
			[
				'engines, directly',
				'',
				good(capacity).length / capacity.seconds,
				'',
				'',
				perSecond(capacity),
				100,
				'',
				'',
				'',
				'',
			],
		],
		aims,
		notes: [
			'service: prompt tokens and twice the output tokens of answers within the deadline, as the client has seen it; in the line “together” shares are of the capacity',
			`capacity: the same engines asked directly in the same run, ${2 * SEQUENCES} requests open at each, in the mix that the weights would have`,
			'open loop, each tenant alone asks for the whole capacity; meshd: one worker, everything else at its defaults but for the bound of the queue and the deadline',
		],
	};
}

function codesOf(refused: readonly Answer[]): string {
	const counts = new Map<string, number>();
	for (const { code, status } of refused) {
		const name = code === '' ? `status ${status}` : code;
		counts.set(name, (counts.get(name) ?? 0) + 1);
	}
	return [...counts].map(([code, count]) => `${code} ${count}`).join(', ');
}
