// Owns the soak of native strategies: a hostile one crashes, hangs and writes over its frame, N times each, in a router process of its own while requests
// flow through it over HTTP. What is counted: requests that failed or were answered wrong, and what the process holds before and after.
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { AdminClient } from '../support/admin.js';
import { EngineProcess } from '../support/engine-process.js';
import { MODEL } from '../support/mesh.js';
import { hostileFirst, misdeeds, nativeLibrary } from '../support/native.js';
import { type Answer, type Ask, ask, Oracle } from '../support/traffic.js';
import type { Bench, Table } from './bench.js';
import { startMeshAgent } from './router/mesh-process.js';
import { quantile } from './stats.js';

const ENGINES = 2;
const SEEDS = 16;
/** Well-behaved clients, each with one request at a time. */
const CLIENTS = 4;
const HOSTILE_CLIENTS = 2;
/** Hostile requests one after the other of each client between two looks at what came of them. */
const WAVE = 5;
/** Between two tries of one hostile client, ms: a new sandbox takes as long. */
const PACE_MS = 5;
/** What a phase may take for each misdeed, ms; it ends there whatever has happened. */
const EACH_MS_MAX = 400;

/** The phase without a failure, its requests for each failure of the others, and what its requests ask the strategy to do. */
export const CONTROL = 'none';
const CONTROL_REQUESTS = 15;
const HARMLESS = 6660;

/** Mappings of frames that a router may hold: of its sandboxes, and of a few ended ones that are still to be collected. */
export const SHARED_MAX = 16;

/** Connections to engines and clients come and go. */
export const CONNECTIONS_MORE = 4;
const SETTLE_MS_MAX = 10_000;

/** What a process holds. */
export interface Held {
	readonly rssMib: number;
	readonly descriptors: number;
	/** Mappings of memory shared with sandboxes. */
	readonly shared: number;
	/** Of all its threads, also those that have ended and are not reaped. */
	readonly children: number;
}

export interface SoakPhase {
	readonly name: string;
	/** Strikes of the misdeed's cause. */
	readonly strikes: number;
	/** Strikes of another cause, by cause. */
	readonly others: Readonly<Record<string, number>>;
	readonly requests: number;
	/** Requests of anybody that were not answered with 200 to the end. */
	readonly failed: number;
	/** Answers with another text than the engine gives. */
	readonly wrong: number;
	/** Answers of the hostile strategy itself: it decides between its failures. */
	readonly decided: number;
	readonly p50Ms: number;
	readonly p99Ms: number;
	readonly seconds: number;
	readonly before: Held;
	readonly after: Held;
}

const causes: Readonly<Record<string, string>> = { crash: 'trap', hang: 'deadline', 'wild write': 'corrupt' };

export function heldBy(pid: number): Held {
	const read = (file: string): string => readFileSync(`/proc/${pid}/${file}`, 'utf8');
	const children = readdirSync(`/proc/${pid}/task`).flatMap((task) => {
		const text = read(`task/${task}/children`).trim();
		return text === '' ? [] : text.split(' ');
	});
	return {
		rssMib: Number(/^VmRSS:\s+(\d+)/m.exec(read('status'))?.[1] ?? 0) / 1024,
		descriptors: readdirSync(`/proc/${pid}/fd`).length,
		shared: read('maps')
			.split('\n')
			.filter((line) => line.includes('memfd:infermesh')).length,
		children: children.length,
	};
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** Traffic, and what came of it. */
class Load {
	requests = 0;
	failed = 0;
	wrong = 0;
	decided = 0;
	readonly firstFailures: string[] = [];
	readonly timesMs: number[] = [];
	readonly #url: string;
	readonly #oracle: Oracle;
	#ending = false;
	#loops: Promise<void>[] = [];

	constructor(url: string, oracle: Oracle) {
		this.#url = url;
		this.#oracle = oracle;
	}

	start(): void {
		this.#loops = Array.from({ length: CLIENTS }, async (_, client) => {
			for (let at = client; !this.#ending; at++) await this.#good(1 + (at % SEEDS));
		});
	}

	async stop(): Promise<void> {
		this.#ending = true;
		await Promise.all(this.#loops);
	}

	/** One request that makes the strategy do wrong. */
	async bad(number: number, at: number): Promise<void> {
		// Each has a prompt of its own: an input on which a version failed twice is kept from it.
		await this.#sent({ url: this.#url, seed: at, tokens: number, ignoreEos: false, prompt: `misdeed ${number} ${at}` });
	}

	async #good(seed: number): Promise<void> {
		const answer = await this.#sent({ url: this.#url, seed });
		if (answer === undefined) return;
		this.timesMs.push(answer.elapsedMs);
		if (answer.strategy.startsWith('hostile@')) this.decided++;
		if (answer.text !== (await this.#oracle.text(seed))) this.wrong++;
	}

	async #sent(options: Ask): Promise<Answer | undefined> {
		this.requests++;
		try {
			const answer = await ask(options);
			if (answer.status === 200 && answer.complete) return answer;
			this.#fail(`${answer.status} ${answer.error ?? ''}`);
		} catch (error) {
			this.#fail(String(error));
		}
		return undefined;
	}

	#fail(why: string): void {
		this.failed++;
		if (this.firstFailures.length < 5) this.firstFailures.push(why);
	}
}

export interface SoakOptions {
	/** Failures of each kind. */
	readonly each: number;
	readonly progress: (line: string) => void;
}

export async function soakNative({ each, progress }: SoakOptions): Promise<readonly SoakPhase[]> {
	const folder = mkdtempSync(path.join(tmpdir(), 'infermesh-native-soak-'));
	const engines = Array.from({ length: ENGINES }, (_, index) => new EngineProcess({ seed: index + 1, speed: 1000 }));
	const closing: (() => Promise<void>)[] = engines.map((engine) => () => engine.kill());
	try {
		await Promise.all(engines.map((engine) => engine.start()));
		const file = path.join(folder, 'mesh.yaml');
		writeFileSync(file, JSON.stringify(configuration(folder, engines)));
		const mesh = await startMeshAgent(file);
		closing.unshift(() => mesh.close());
		const admin = new AdminClient(mesh.adminUrl);
		const library = await nativeLibrary({ name: 'hostile', first: hostileFirst });
		await admin.load(library, { activate: true });
		const soaked = {
			pid: mesh.pid,
			url: `http://127.0.0.1:${mesh.port}`,
			admin,
			oracle: new Oracle(engines[0]?.url ?? ''),
		};
		// What is made once is made before anything is counted.
		await phase(soaked, 'crash', Math.min(20, each), 0);
		// The same without a failure comes first: what the process's memory moves by then is no failure's doing.
		const phases: SoakPhase[] = [];
		for (const name of [CONTROL, ...misdeeds.map((one) => one.name)]) {
			phases.push(await phase(soaked, name, each, phases.length + 1));
			progress(`  ${name}: ${JSON.stringify(phases.at(-1))}`);
		}
		return phases;
	} finally {
		for (const close of closing) await close();
		rmSync(folder, { recursive: true, force: true });
	}
}

/**
 * As an operator would have it, but for what is there to end such a strategy: by default it is in quarantine after three failures, and after a dozen it
 * waits ten seconds before each start, so that a thousand failures would take hours.
 */
function configuration(folder: string, engines: readonly EngineProcess[]): object {
	return {
		state_dir: path.join(folder, 'state'),
		fabric: { agent_port: 0, raft_port: 0, gossip_port: 0 },
		data: { port: 0, workers: 1 },
		admin: { port: 0 },
		strategy: {
			admission_timeout_ms: 120_000,
			strike_window_ms: 1,
			strikes_max: 1000,
			native: { restart_ms: 1, restart_max_ms: 20 },
		},
		targets: engines.map(({ url }, index) => ({ id: `engine-${index + 1}`, url, models: [MODEL] })),
	};
}

interface Soaked {
	readonly pid: number;
	readonly url: string;
	readonly admin: AdminClient;
	readonly oracle: Oracle;
}

async function phase(soaked: Soaked, name: string, each: number, round: number): Promise<SoakPhase> {
	const { pid, url, admin, oracle } = soaked;
	const number = misdeeds.find((one) => one.name === name)?.number ?? HARMLESS;
	const cause = causes[name] ?? '';
	const before = heldBy(pid);
	const from = performance.now();
	const first = await strikesOf(admin);
	const load = new Load(url, oracle);
	load.start();
	let at = round * 1_000_000;
	const done = async (): Promise<boolean> =>
		name === CONTROL ? load.requests >= each * CONTROL_REQUESTS : ((await since(admin, first))[cause] ?? 0) >= each;
	while (!(await done()) && performance.now() - from < 20_000 + each * EACH_MS_MAX)
		for (let wave = 0; wave < WAVE; wave++) {
			await Promise.all(Array.from({ length: HOSTILE_CLIENTS }, () => load.bad(number, at++)));
			await pause(PACE_MS);
		}
	await load.stop();
	if (load.failed > 0) process.stderr.write(`first failures: ${load.firstFailures.join('; ')}\n`);
	const seconds = (performance.now() - from) / 1000;
	const after = await settled(soaked, before);
	const { [cause]: strikes = 0, ...others } = await since(admin, first);
	return {
		name,
		strikes,
		others,
		requests: load.requests,
		failed: load.failed,
		wrong: load.wrong,
		decided: load.decided,
		p50Ms: quantile(load.timesMs, 0.5),
		p99Ms: quantile(load.timesMs, 0.99),
		seconds,
		before,
		after,
	};
}

/** Strikes so far, by cause. */
async function strikesOf(admin: AdminClient): Promise<Readonly<Record<string, number>>> {
	const found: Record<string, number> = {};
	for (const [, cause = '', count] of (await admin.metricsText()).matchAll(
		/^infermesh_strategy_strikes_total\{.*cause="(\w+)".*\} (\d+)$/gm,
	))
		found[cause] = (found[cause] ?? 0) + Number(count);
	return found;
}

async function since(admin: AdminClient, first: Readonly<Record<string, number>>): Promise<Record<string, number>> {
	const now = Object.entries(await strikesOf(admin)).map(
		([cause, count]) => [cause, count - (first[cause] ?? 0)] as const,
	);
	return Object.fromEntries(now.filter(([, count]) => count > 0));
}

/** What it holds once good traffic has gone on for a while: sandboxes start again, and memory that nobody uses is collected. */
async function settled({ pid, url, oracle }: Soaked, before: Held): Promise<Held> {
	const load = new Load(url, oracle);
	load.start();
	let now = heldBy(pid);
	for (const until = performance.now() + SETTLE_MS_MAX; performance.now() < until; now = heldBy(pid)) {
		if (
			now.shared <= SHARED_MAX &&
			now.children <= before.children &&
			now.descriptors <= before.descriptors + CONNECTIONS_MORE
		)
			break;
		await pause(200);
	}
	await load.stop();
	// Connections of clients that have gone close a moment later.
	await pause(500);
	return heldBy(pid);
}

export function soakTable(phases: readonly SoakPhase[]): Table {
	const change = ({ before, after }: SoakPhase, key: keyof Held): string =>
		`${before[key].toFixed(0)} → ${after[key].toFixed(0)}`;
	const sum = (key: 'failed' | 'wrong'): number => phases.reduce((total, one) => total + one[key], 0);
	return {
		title: 'A hostile native strategy in a router under HTTP traffic',
		columns: [
			'',
			'strikes',
			'of other causes',
			'requests',
			'failed',
			'wrong',
			'p50 ms',
			'p99 ms',
			's',
			'RSS MiB',
			'files',
			'shared maps',
			'children',
		],
		rows: phases.map((one) => [
			one.name,
			one.strikes,
			Object.entries(one.others)
				.map(([cause, count]) => `${cause} ${count}`)
				.join(', '),
			one.requests,
			one.failed,
			one.wrong,
			one.p50Ms,
			one.p99Ms,
			one.seconds,
			change(one, 'rssMib'),
			change(one, 'descriptors'),
			change(one, 'shared'),
			change(one, 'children'),
		]),
		notes: [
			`${CLIENTS} clients ask well-behaved requests meanwhile, whose answers are compared with the engine’s; times are theirs`,
			'no quarantine, and restarts after at most 20 ms; by default three strikes in a minute are quarantine, and restarts wait up to 10 s',
		],
		aims: [
			{ what: 'requests that failed', figure: sum('failed'), atMost: 0, unit: '' },
			{ what: 'answers that were wrong', figure: sum('wrong'), atMost: 0, unit: '' },
		],
	};
}

export const nativeSoakBench: Bench = {
	name: 'native-soak',
	summary:
		'a hostile native strategy fails 1,000 times in each of three ways in a router under HTTP traffic (quick: 20)',
	run: async ({ quick, progress }) => [soakTable(await soakNative({ each: quick ? 20 : 1000, progress }))],
};
