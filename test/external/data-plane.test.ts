// One port, three kinds of clients at once: the official `openai` client, a plain grpc-js client of KServe and a page in a browser all stream while engines are
// killed, slowed and drained. No request is lost that had not brought a byte, quotas hold, and every decision can be explained.
import { createHash } from 'node:crypto';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { ChannelCredentials, status as grpcStatus, Metadata } from '@grpc/grpc-js';
import { type InferParameter, type ModelInferRequest, type ModelStreamInferResponse } from '@infermesh/proto/inference';
import { GRPCInferenceServiceClient } from '@infermesh/proto/inference-client';
import test, { type ExecutionContext } from 'ava';
import OpenAI, { APIError } from 'openai';
import { type Browser, chromium, type Page } from 'playwright-core';
import { EngineProcess } from '../support/engine-process.js';
import { eventually, MODEL, startTestMesh, type TestMesh } from '../support/mesh.js';
import { program } from '../support/programs.js';

const TOKENS = 24;
/** So slow that a stream of 24 tokens lasts long enough to be caught by a fault, and short enough for many of them. */
const ENGINE_SPEED = 1;
const QUOTA = 7;

/** What became of one request. */
interface Seen {
	readonly by: 'openai' | 'grpc' | 'page';
	readonly decision: string;
	readonly target: string;
	readonly tokens: number;
	/** Undefined when it came whole. */
	readonly error: string | undefined;
}

let browser: Browser;

test.before(async () => {
	browser = await chromium.launch({
		executablePath: program('chromium', 'chromium'),
		args: ['--no-sandbox', '--disable-gpu', '--disable-background-networking'],
	});
});

test.after.always(() => browser?.close());

/** Sends one request after another until it is told to stop. */
class Clients {
	readonly seen: Seen[] = [];
	readonly #running: Promise<void>[] = [];
	#stopped = false;

	run(one: (turn: number) => Promise<Seen>): void {
		const loop = async (): Promise<void> => {
			for (let turn = 0; !this.#stopped; turn++) this.seen.push(await one(turn));
		};
		this.#running.push(loop());
	}

	async stop(): Promise<void> {
		this.#stopped = true;
		await Promise.all(this.#running);
	}

	/** Stops, whatever became of them: for a test that has failed already. */
	async abandon(): Promise<void> {
		this.#stopped = true;
		await Promise.allSettled(this.#running);
	}
}

async function chat(client: OpenAI, seed: number): Promise<Seen> {
	const body = { model: MODEL, max_tokens: TOKENS, seed, ignore_eos: true } as const;
	const seen = { by: 'openai', decision: '', target: '', tokens: 0, error: undefined as string | undefined } as const;
	const now: { -readonly [K in keyof Seen]: Seen[K] } = { ...seen };
	try {
		const { data, response } = await client.chat.completions
			.create({ ...body, stream: true, messages: [{ role: 'user', content: `Hello ${seed % 5}` }] })
			.withResponse();
		now.decision = response.headers.get('x-infermesh-decision') ?? '';
		now.target = response.headers.get('x-infermesh-target') ?? '';
		for await (const { choices } of data) if ((choices[0]?.delta.content ?? '') !== '') now.tokens++;
	} catch (error) {
		now.error = error instanceof Error ? error.message : String(error);
	}
	return now;
}

function parameter(value: number | boolean): InferParameter {
	return {
		boolParam: typeof value === 'boolean' ? value : undefined,
		int64Param: typeof value === 'number' ? BigInt(value) : undefined,
		stringParam: undefined,
		doubleParam: undefined,
		uint64Param: undefined,
	};
}

function inferRequest(turn: number): ModelInferRequest {
	const text = Buffer.from(`Hello ${turn % 5}`);
	const length = Buffer.alloc(4);
	length.writeUInt32LE(text.length);
	return {
		modelName: MODEL,
		modelVersion: '',
		id: `call-${turn}`,
		parameters: { max_tokens: parameter(TOKENS), ignore_eos: parameter(true) },
		inputs: [{ name: 'text_input', datatype: 'BYTES', shape: [1n], parameters: {}, contents: undefined }],
		outputs: [],
		rawInputContents: [Buffer.concat([length, text])],
	};
}

function inferStream(client: GRPCInferenceServiceClient, key: string, turn: number): Promise<Seen> {
	const metadata = new Metadata();
	metadata.set('authorization', `Bearer ${key}`);
	return new Promise((resolve) => {
		const call = client.modelStreamInfer(metadata);
		const seen = { by: 'grpc' as const, decision: '', target: '', tokens: 0 };
		let failed: string | undefined;
		call.on('metadata', (head: Metadata) => {
			seen.decision = String(head.get('x-infermesh-decision')[0] ?? '');
			seen.target = String(head.get('x-infermesh-target')[0] ?? '');
		});
		call.on('data', ({ errorMessage, inferResponse }: ModelStreamInferResponse) => {
			if (errorMessage !== '') failed = errorMessage;
			else if ((inferResponse?.outputs.length ?? 0) > 0) seen.tokens++;
		});
		call.on('error', (error: Error) => {
			failed = error.message;
		});
		call.on('status', ({ code, details }) =>
			resolve({ ...seen, error: failed ?? (code === grpcStatus.OK ? undefined : `${code}: ${details}`) }),
		);
		call.write(inferRequest(turn));
		call.end();
	});
}

/** A page that chats over one WebSocket, one chat after another, and opens another when it is gone. */
async function openPage(t: ExecutionContext, url: string, key: string): Promise<Page> {
	const server = createServer((_request, response) => response.end('<title>chat</title>'));
	await new Promise<void>((resolve) => {
		server.listen(0, '127.0.0.1', resolve);
	});
	const page = await browser.newPage();
	t.teardown(async () => {
		await page.close();
		server.close();
	});
	await page.goto(`http://localhost:${(server.address() as AddressInfo).port}/`);
	await page.evaluate(
		({ to, offered }) => {
			const socket = new WebSocket(to, offered);
			const waiting = new Map<string, (message: Record<string, unknown>) => void>();
			socket.addEventListener('message', ({ data }) => {
				const message = JSON.parse(data as string) as Record<string, unknown>;
				waiting.get(message['id'] as string)?.(message);
			});
			const opened = new Promise((resolve) => socket.addEventListener('open', resolve));
			Object.assign(globalThis, {
				chatOnce: async (id: string, request: unknown) => {
					await opened;
					return new Promise((resolve) => {
						const seen = { decision: '', target: '', tokens: 0, error: undefined as string | undefined };
						const end = (error: string | undefined): void => {
							waiting.delete(id);
							resolve({ ...seen, error });
						};
						socket.addEventListener('close', () => end('the socket is closed'));
						waiting.set(id, (message) => {
							if (message['type'] === 'start') {
								const headers = message['headers'] as Record<string, string>;
								seen.decision = headers['x-infermesh-decision'] ?? '';
								seen.target = headers['x-infermesh-target'] ?? '';
							} else if (message['type'] === 'chunk') {
								const { choices } = message['chunk'] as { choices: { delta: { content?: string } }[] };
								if ((choices[0]?.delta.content ?? '') !== '') seen.tokens++;
							} else end(message['type'] === 'done' ? undefined : JSON.stringify(message));
						});
						socket.send(JSON.stringify({ type: 'chat', id, request }));
					});
				},
			});
		},
		{ to: url, offered: ['infermesh.chat.v1', `bearer.${key}`] },
	);
	return page;
}

async function chatInPage(page: Page, id: string, seed: number): Promise<Seen> {
	const request = {
		model: MODEL,
		max_tokens: TOKENS,
		seed,
		ignore_eos: true,
		messages: [{ role: 'user', content: `Hello ${seed % 5}` }],
	};
	const seen = await page.evaluate(
		({ id: name, request: asked }) =>
			(globalThis as unknown as { chatOnce: (id: string, request: unknown) => Promise<unknown> }).chatOnce(name, asked),
		{ id, request },
	);
	return { by: 'page', ...(seen as Omit<Seen, 'by'>) };
}

function sha256(key: string): string {
	return createHash('sha256').update(key).digest('hex');
}

/** Waits until so many more requests have ended, that is until traffic has met the fault. */
async function traffic(clients: Clients, more = 12): Promise<void> {
	const from = clients.seen.length;
	await eventually(`${more} more requests`, () => clients.seen.length >= from + more, { withinMs: 60_000 });
}

async function stateOf(mesh: TestMesh, id: string): Promise<string> {
	return (await mesh.admin.target(id)).state;
}

test('three kinds of clients stream through one port while engines are killed, slowed and drained', async (t) => {
	t.timeout(170_000);
	const engines = Array.from({ length: 4 }, (_, at) => new EngineProcess({ seed: at + 1, speed: ENGINE_SPEED }));
	for (const engine of engines) {
		await engine.start();
		t.teardown(() => engine.kill());
	}
	const mesh = await startTestMesh(t, {
		engines: 0,
		config: {
			keys: [
				{ id: 'a', sha256: sha256('key-a'), tenant: 'a' },
				{ id: 'b', sha256: sha256('key-b'), tenant: 'b' },
			],
			targets: engines.map(({ url }, at) => ({ id: `engine-${at + 1}`, url, models: [MODEL], grpc: 'same' })),
		},
	});
	await mesh.ready(engines.length);
	const [killed, slowed] = engines as [EngineProcess, EngineProcess];
	const clients = new Clients();
	t.teardown(() => clients.abandon());
	const openai = mesh.client('key-a');
	const kserve = new GRPCInferenceServiceClient(new URL(mesh.dataUrl).host, ChannelCredentials.createInsecure());
	t.teardown(() => kserve.close());
	const page = await openPage(t, `${mesh.dataUrl.replace('http', 'ws')}/v1/chat/ws`, 'key-a');
	for (let worker = 0; worker < 3; worker++) {
		clients.run((turn) => chat(openai, turn * 3 + worker));
		clients.run((turn) => inferStream(kserve, 'key-a', turn * 3 + worker));
		clients.run((turn) => chatInPage(page, `${worker}-${turn}`, turn * 3 + worker));
	}
	await traffic(clients);
	const calm = clients.seen.length;
	t.deepEqual(
		clients.seen.filter(({ error, tokens }) => error !== undefined || tokens !== TOKENS),
		[],
	);

	// When it dies, what is there has waited in vain: all that had begun before has ended.
	await killed.fault({ hang: {} });
	await traffic(clients, 24);
	await eventually('requests wait there', async () => (await mesh.admin.target('engine-1')).inFlight > 0);
	await killed.kill();
	await traffic(clients, 20);
	await eventually('the killed engine is seen', async () => (await stateOf(mesh, 'engine-1')) !== 'ready');
	await killed.start();
	await eventually('it serves again', async () => (await stateOf(mesh, 'engine-1')) === 'ready', { withinMs: 30_000 });

	await slowed.fault({ slow: { factor: 6 } });
	await traffic(clients, 20);
	await slowed.fault({ slow: null });

	await mesh.admin.drain('engine-3');
	await eventually('its streams end by themselves', async () => (await mesh.admin.target('engine-3')).inFlight === 0, {
		withinMs: 30_000,
	});
	await traffic(clients);
	await mesh.admin.drain('engine-3', false);
	await traffic(clients);

	// Tenant b has a quota; the others are not touched by it.
	await mesh.admin.call('PUT', '/api/v1/policies/quota/b', { value: { tenant: 'b', requestsPerMinute: QUOTA } });
	const limited = mesh.client('key-b');
	const served: string[] = [];
	const refused: APIError[] = [];
	await eventually(
		'the quota is in force',
		async () => {
			try {
				const { response } = await limited.chat.completions
					.create({ model: MODEL, max_tokens: 1, messages: [{ role: 'user', content: 'Hi' }] })
					.withResponse();
				served.push(response.headers.get('x-infermesh-decision') ?? '');
			} catch (error) {
				if (!(error instanceof APIError)) throw error;
				refused.push(error);
			}
			return refused.length >= 5;
		},
		{ withinMs: 30_000 },
	);
	await clients.stop();

	// What a minute brings back while it lasts, and what was served before the policy was heard of.
	t.true(served.length >= QUOTA && served.length <= QUOTA + 4, `${served.length} served of a quota of ${QUOTA}`);
	for (const error of refused) {
		t.is(error.status, 429);
		t.is(error.headers?.get('x-infermesh-error'), 'IM_QUOTA_REQUESTS');
		t.true(Number(error.headers?.get('retry-after')) >= 1);
	}

	const { seen } = clients;
	for (const by of ['openai', 'grpc', 'page'] as const)
		t.true(seen.filter((one) => one.by === by).length >= 10, `too few requests by ${by}`);
	t.deepEqual(
		seen.filter(({ error, tokens }) => error !== undefined && tokens === 0),
		[],
		'lost without a byte',
	);
	// A stream that had begun ends with its engine, and only with it; at most those that were under way then.
	const broken = seen.filter(({ error }) => error !== undefined);
	t.deepEqual(
		broken.filter(({ target }) => target !== 'engine-1'),
		[],
	);
	t.true(broken.length <= 9, `${broken.length} streams broke`);
	t.deepEqual(
		seen.filter(({ error, tokens }) => error === undefined && tokens !== TOKENS),
		[],
	);
	let again = 0;
	for (const { decision, target } of seen) {
		const explained = await mesh.admin.explain(decision);
		t.is(explained.chosen, target);
		// The decisions before it, each with what became of it.
		for (let before = explained.previous; before !== null; again++) {
			const failed = await mesh.admin.explain(before);
			t.is(failed.requestId, explained.requestId);
			t.true(failed.attempts.length > 0 && failed.attempts.every(({ status }) => status !== 'ok'));
			before = failed.previous;
		}
	}
	t.true(again > 0, 'no request was decided again');
	for (const decision of served) t.is((await mesh.admin.explain(decision)).id, decision);
	t.log(
		`${seen.length} requests (${calm} before the first fault), ${again} decided again, ${broken.length} streams broken with their engine`,
	);
});
