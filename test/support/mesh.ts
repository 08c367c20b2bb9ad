// Owns a whole mesh for tests: emulated engines, meshd in this process with real worker threads on free ports, its log captured, and everything
// taken down when the test ends. What is asked of its admin API is in admin.ts; strategies to load are in strategies.ts.
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import {
	type Admit,
	createLog,
	type EngineHandle,
	type EngineOptions,
	type Log,
	loadConfig,
	type MeshHandle,
	type SpawnWorker,
	startEngine,
	startMesh,
	systemClock,
} from '@infermesh/host';
import type OpenAI from 'openai';
import { AdminClient } from './admin.js';

/** What tests need of an AVA test, or of a file that shares one mesh. */
export interface Teardown {
	teardown(fn: () => Promise<void> | void): void;
}

/** One engine; fields beyond the engine's own options describe it as a target. */
export type TestEngine = Partial<Omit<EngineOptions, 'clock'>> & {
	readonly target?: Readonly<Record<string, unknown>>;
};

export interface TestMeshOptions {
	/** Number of equal engines, or each of them. Default 3. */
	readonly engines?: number | readonly TestEngine[];
	/** Parts of the configuration, by section; what is left out is the product's default. */
	readonly config?: Readonly<Record<string, unknown>>;
	/** How much faster than real time the engines run. Default 50. */
	readonly speed?: number;
	readonly development?: boolean;
	readonly admit?: Admit;
	/** Folder in which it keeps its experiments. */
	readonly keepIn?: string;
	readonly spawnWorker?: SpawnWorker;
}

export const MODEL = 'llama-3-8b';

const require = createRequire(import.meta.url);

/** Loaded by the tests that use it: two hundred milliseconds. The very module that they import its errors from. */
function openAi(): typeof import('openai') {
	return require(fileURLToPath(import.meta.resolve('openai'))) as typeof import('openai');
}

export interface TestMesh {
	readonly mesh: MeshHandle;
	readonly dataUrl: string;
	readonly engines: readonly EngineHandle[];
	readonly admin: AdminClient;
	/** The official client, without retries of its own. */
	readonly openai: OpenAI;
	/** Lines of the log so far, parsed. */
	readonly log: readonly Readonly<Record<string, unknown>>[];
	/** A client with another key. */
	client(apiKey: string): OpenAI;
	/** Waits until all `count` targets serve. */
	ready(count?: number): Promise<void>;
	close(): Promise<void>;
}

/** Quick signals, so that no test waits for a period meant for production. */
const quick = {
	state_dir: 'unused',
	telemetry: { log_level: 'info' },
	health: { period_ms: 50, timeout_ms: 500, healthy_after: 1, unhealthy_after: 2 },
	scrape: { period_ms: 50 },
	data: { port: 0, workers: 2, shutdown_grace_ms: 2000 },
	admin: { port: 0 },
	fabric: { agent_port: 0 },
	// A machine that runs tests has other work: what takes it a second alone may take it minutes.
	strategy: { admission_timeout_ms: 60_000, prepare_timeout_ms: 60_000 },
} as const;

type Tree = Readonly<Record<string, unknown>>;

/** `over` on top of `under`, section by section. */
function merged(under: Tree, over: Tree): Tree {
	const both: Record<string, unknown> = { ...under };
	for (const [key, value] of Object.entries(over)) {
		const below = both[key];
		both[key] = isTree(below) && isTree(value) ? merged(below, value) : value;
	}
	return both;
}

function isTree(value: unknown): value is Tree {
	return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** A log that goes nowhere but into `lines`. */
export function quietLog(lines: Record<string, unknown>[] = []): Log {
	return createLog({
		level: 'info',
		wallMs: () => Date.now(),
		destination: { write: (line: string) => void lines.push(JSON.parse(line) as Record<string, unknown>) },
	});
}

/** Starts engines and a mesh over them; both end with the test. */
export async function startTestMesh(t: Teardown, options: TestMeshOptions = {}): Promise<TestMesh> {
	const given = options.engines ?? 3;
	const wanted: readonly TestEngine[] = typeof given === 'number' ? Array.from({ length: given }, () => ({})) : given;
	const engines = await startEngines(t, wanted, options.speed ?? 50);
	const targets = wanted.map((engine, index) => ({
		id: `engine-${index + 1}`,
		url: engines[index]?.url ?? '',
		models: engine.models ?? [MODEL],
		...(engines[index]?.kvEvents === undefined ? {} : { kv_events: [engines[index]?.kvEvents] }),
		...engine.target,
	}));
	const lines: Record<string, unknown>[] = [];
	const log = quietLog(lines);
	const config = merged(merged(quick, { targets }), options.config ?? {});
	const loaded = loadConfig({ file: 'test.yaml', env: {}, readText: () => JSON.stringify(config) });
	const mesh = await startMesh(loaded, {
		log,
		development: options.development ?? false,
		...(options.admit === undefined ? {} : { admit: options.admit }),
		...(options.keepIn === undefined ? {} : { keepIn: options.keepIn }),
		...(options.spawnWorker === undefined ? {} : { spawnWorker: options.spawnWorker }),
	});
	t.teardown(() => mesh.close());
	const { dataUrl = '' } = mesh;
	const admin = new AdminClient(mesh.adminUrl);
	const client = (apiKey: string): OpenAI => {
		const { OpenAI: Client } = openAi();
		return new Client({ baseURL: `${dataUrl}/v1`, apiKey, maxRetries: 0 });
	};
	let openai: OpenAI | undefined;
	const ready = (count: number = wanted.length): Promise<void> =>
		eventually(`${count} targets serve`, async () => {
			const states = (await admin.targets()).map(({ state }) => state);
			return states.filter((state) => state === 'ready').length === count;
		});
	const handle: TestMesh = {
		mesh,
		dataUrl,
		engines,
		admin,
		get openai() {
			return (openai ??= client('none'));
		},
		log: lines,
		client,
		ready,
		close: () => mesh.close(),
	};
	if (wanted.length > 0 && options.config?.['health'] === undefined && options.config?.['admin'] === undefined)
		await ready();
	return handle;
}

async function startEngines(t: Teardown, wanted: readonly TestEngine[], speed: number): Promise<EngineHandle[]> {
	const engines: EngineHandle[] = [];
	for (const [index, { target: _, ...engine }] of wanted.entries()) {
		const started = await startEngine({
			clock: systemClock,
			models: [MODEL],
			speed,
			seed: index + 1,
			drainTimeoutMs: 0,
			...engine,
		});
		engines.push(started);
		t.teardown(() => started.close());
	}
	return engines;
}

/** A further engine, for tests that add a target. */
export async function startTestEngine(t: Teardown, engine: TestEngine = {}): Promise<EngineHandle> {
	const [started] = await startEngines(t, [engine], engine.speed ?? 50);
	return started as EngineHandle;
}

/** From one look to the next by default: at first, and at most. */
const LOOK_MS_MIN = 2;
const LOOK_MS_MAX = 25;

/**
 * Resolves when `condition` holds; rejects after `withinMs`, naming what did not come true. It looks every `everyMs`, or by default often at first and then
 * seldom: a look takes processor time from what it waits for.
 */
export async function eventually(
	what: string,
	condition: () => boolean | Promise<boolean>,
	{ withinMs = 30_000, everyMs }: { readonly withinMs?: number; readonly everyMs?: number } = {},
): Promise<void> {
	const deadline = performance.now() + withinMs;
	let waitMs = everyMs ?? LOOK_MS_MIN;
	while (!(await condition())) {
		if (performance.now() > deadline) throw new Error(`not within ${withinMs} ms: ${what}`);
		await new Promise((resolve) => {
			setTimeout(resolve, waitMs);
		});
		waitMs = everyMs ?? Math.min(waitMs * 1.5, LOOK_MS_MAX);
	}
}
