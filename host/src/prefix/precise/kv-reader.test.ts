// Following real publishers over real sockets: both encodings, gaps, cuts, restarts, and targets that go. The publisher is the emulated
// engine's own; what it sends was made from the descriptions of vLLM's and SGLang's events.
import { type AddressInfo, connect, createServer } from 'node:net';
import { SeededRandom } from '@infermesh/proto';
import test, { type ExecutionContext } from 'ava';
import { BlockRuns } from '../../engine/model/block-runs.js';
import { engineFor, realClock, send } from '../../engine/server/engine-server.test-support.js';
import { KvPublisher, type KvPublisherOptions } from '../../engine/server/kv-publisher.js';
import { HashChain } from '../chain.js';
import { KvIndex } from './kv-index.js';
import { KvReader, type KvTarget } from './kv-reader.js';
import { createKvTable, KvTableReader, KvTableWriter } from './shared-table.js';

const MODEL = 2;
const BLOCK = 16;

interface Follower {
	readonly reader: KvReader;
	readonly index: KvIndex;
	readonly log: string[];
	/** Resolves when this holds, looked at whenever something has happened. */
	readonly until: (holds: () => boolean) => Promise<void>;
	/** Positions of a prompt at which row 3 is published. */
	readonly depth: (tokens: readonly number[]) => number;
	readonly stride: () => number;
}

function follower(t: ExecutionContext): Follower {
	const shared = createKvTable(16, 4096);
	const writer = new KvTableWriter(shared);
	const index = new KvIndex(4096, writer);
	const table = new KvTableReader(shared);
	const chain = new HashChain(256);
	const log: string[] = [];
	const waiting = new Set<() => void>();
	const happened = (line?: string): void => {
		if (line !== undefined) log.push(line);
		for (const look of waiting) look();
	};
	const reader = new KvReader(
		{
			messageBytesMax: 1 << 20,
			waitingMax: 64,
			connectTimeoutMs: 10_000,
			replayTimeoutMs: 10_000,
			reconnectMsMax: 50,
		},
		index,
		writer,
		{
			clock: realClock,
			random: new SeededRandom(1),
			connect: ({ host, port }) => connect({ host, port }),
			metrics: {
				batch: () => undefined,
				sized: () => happened(),
				gap: (target, missing) => happened(`gap ${target} ${missing}`),
				replayed: (target, result) => happened(`replay ${target} ${result}`),
				forgot: (target, cause) => happened(`forgot ${target} ${cause}`),
				broken: (target) => happened(`broken ${target}`),
				live: (targets) => happened(`live ${targets}`),
			},
		},
	);
	t.teardown(() => reader.close());
	return {
		reader,
		index,
		log,
		until: (holds) =>
			new Promise((resolve) => {
				const look = (): void => {
					if (!holds()) return;
					waiting.delete(look);
					resolve();
				};
				waiting.add(look);
				look();
			}),
		depth: (tokens) => {
			chain.fillTokens(MODEL, 0, Uint32Array.from(tokens), BLOCK);
			let depth = 0;
			for (; depth < chain.blocks; depth++) {
				table.find(chain.lows[depth] as number, chain.highs[depth] as number);
				if (table.count === 0 || table.rowAt(0) !== 3 || table.generationAt(0) !== 7) break;
			}
			return depth;
		},
		stride: () => table.strideOf(3, 7),
	};
}

function targetOf(endpoint: string, replay?: string): KvTarget {
	const publisher = replay === undefined ? { endpoint, topic: '' } : { endpoint, replay, topic: '' };
	return { id: 'a', row: 3, generation: 7, modelIds: [MODEL], publishers: [publisher] };
}

function range(count: number, from = 0): number[] {
	return Array.from({ length: count }, (_, at) => from + at);
}

async function publisher(
	t: ExecutionContext,
	options: Partial<KvPublisherOptions> = {},
): Promise<KvPublisher & { store(name: number, tokens: readonly number[]): void }> {
	const made = new KvPublisher({ port: 0, replayPort: 0, ...options }, BLOCK, realClock);
	await made.listen('127.0.0.1');
	t.teardown(() => made.close());
	return Object.assign(made, {
		/** Stores one prompt of whole blocks, named from `name` on, and publishes it. */
		store(name: number, tokens: readonly number[]) {
			const blocks = tokens.length / BLOCK;
			made.stored(new BlockRuns().add(name, blocks), Uint32Array.from(tokens), 0, blocks);
			made.flush();
		},
	});
}

/** A relay in front of a publisher that can swallow what it sends, and cut its connections. */
async function relay(
	t: ExecutionContext,
	to: string,
): Promise<{ endpoint: string; swallowing: boolean; swallowed: () => Promise<void>; cut(): void }> {
	const port = Number(to.slice(to.lastIndexOf(':') + 1));
	const sockets = new Set<{ destroy(): void }>();
	let notice = (): void => undefined;
	const state = {
		endpoint: '',
		swallowing: false,
		swallowed: () => new Promise<void>((resolve) => void (notice = resolve)),
		cut: () => {
			for (const socket of sockets) socket.destroy();
		},
	};
	const server = createServer((near) => {
		const far = connect(port, '127.0.0.1');
		for (const socket of [near, far]) {
			sockets.add(socket);
			socket.on('error', () => undefined);
		}
		near.pipe(far);
		far.on('data', (chunk) => {
			if (state.swallowing) notice();
			else near.write(chunk);
		});
		near.on('close', () => far.destroy());
		far.on('close', () => near.destroy());
	});
	await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve));
	t.teardown(() => {
		state.cut();
		server.close();
	});
	state.endpoint = `tcp://127.0.0.1:${(server.address() as AddressInfo).port}`;
	return state;
}

for (const encoding of ['map', 'array'] as const)
	for (const names of ['int', 'bytes'] as const)
		test(`an engine’s cache is known as it fills and empties: events as ${encoding}, names as ${names}`, async (t) => {
			const engine = await engineFor(t, {
				model: { kvBlocks: 12 },
				kvEvents: { port: 0, replayPort: 0, encoding, names, topic: 'kv@a' },
			});
			const { kvEvents } = engine;
			if (kvEvents === undefined) return t.fail();
			const { reader, until, depth, index } = follower(t);
			reader.follow([targetOf(kvEvents.endpoint, kvEvents.replay)]);
			const ask = async (prompt: readonly number[]): Promise<void> => {
				const body = JSON.stringify({ model: 'test-model', prompt, max_tokens: 1 });
				const headers = { 'content-type': 'application/json' };
				t.is((await send(`${engine.url}/v1/completions`, { method: 'POST', headers, body })).status, 200);
			};
			const [first, second] = [range(6 * BLOCK + 3), range(10 * BLOCK, 5000)];
			await ask(first);
			await until(() => depth(first) === 6);
			await ask(second);
			// Twelve blocks hold the second prompt whole; the end of the first had to go.
			await until(() => depth(second) === 10 && depth(first) < 3);
			t.true(index.blocks <= 12);
			reader.follow([]);
			t.is(index.blocks, 0);
			t.is(depth(second), 0);
		});

test('blocks that move to host memory are still known there', async (t) => {
	const source = await publisher(t);
	const { reader, until, depth } = follower(t);
	reader.follow([targetOf(source.endpoints.endpoint, source.endpoints.replay)]);
	const tokens = range(2 * BLOCK);
	source.store(10, tokens);
	source.spilled(11, 1);
	source.flush();
	await until(() => depth(tokens) === 2);
	source.removed(11, 1, 'host');
	source.flush();
	await until(() => depth(tokens) === 1);
	t.pass();
});

test('batches that are missed are replayed, in order, and the row is not live meanwhile', async (t) => {
	const source = await publisher(t);
	const between = await relay(t, source.endpoints.endpoint);
	const { reader, until, depth, log, stride } = follower(t);
	source.store(10, range(BLOCK));
	reader.follow([targetOf(between.endpoint, source.endpoints.replay)]);
	await until(() => depth(range(BLOCK)) === 1 && stride() === BLOCK);
	between.swallowing = true;
	const swallowed = between.swallowed();
	source.store(20, range(BLOCK, 100));
	await swallowed;
	between.swallowing = false;
	source.store(30, range(BLOCK, 200));
	await until(() => depth(range(BLOCK, 100)) === 1 && depth(range(BLOCK, 200)) === 1 && stride() === BLOCK);
	t.is(depth(range(BLOCK)), 1);
	t.deepEqual(
		log.filter((line) => !line.startsWith('live')),
		['replay a done', 'gap a 1', 'replay a done'],
	);
	t.deepEqual(log.at(-1), 'live 1');
});

test('what is beyond recall makes everything forgotten that may no longer be true', async (t) => {
	const source = await publisher(t, { batchesKept: 2 });
	const between = await relay(t, source.endpoints.endpoint);
	const { reader, until, depth, log } = follower(t);
	source.store(10, range(BLOCK));
	reader.follow([targetOf(between.endpoint, source.endpoints.replay)]);
	await until(() => depth(range(BLOCK)) === 1);
	between.swallowing = true;
	for (let at = 0; at < 5; at++) {
		const swallowed = between.swallowed();
		source.store(100 + at, range(BLOCK, 1000 + 100 * at));
		await swallowed;
	}
	between.swallowing = false;
	source.store(200, range(BLOCK, 9000));
	await until(() => depth(range(BLOCK, 9000)) === 1 && log.at(-1) === 'live 1');
	t.is(depth(range(BLOCK)), 0);
	t.true(log.includes('forgot a lost'));
});

test('a cut connection comes back with what was said meanwhile', async (t) => {
	const source = await publisher(t);
	const between = await relay(t, source.endpoints.endpoint);
	const { reader, until, depth, log } = follower(t);
	source.store(10, range(BLOCK));
	reader.follow([targetOf(between.endpoint, source.endpoints.replay)]);
	await until(() => depth(range(BLOCK)) === 1);
	between.cut();
	source.store(20, range(BLOCK, 100));
	await until(() => depth(range(BLOCK, 100)) === 1);
	t.is(depth(range(BLOCK)), 1);
	t.true(log.includes('broken a'));
	t.false(log.some((line) => line.startsWith('forgot')));
});

test('an engine that restarts has an empty cache, even when it has said nothing yet', async (t) => {
	const first = await publisher(t);
	const { endpoint, replay } = first.endpoints;
	const port = (at: string): number => Number(at.slice(at.lastIndexOf(':') + 1));
	const { reader, until, depth, index, log } = follower(t);
	reader.follow([targetOf(endpoint, replay)]);
	first.store(10, range(BLOCK));
	await until(() => depth(range(BLOCK)) === 1);
	await first.close();
	await until(() => log.includes('broken a'));
	const again = await publisher(t, { port: port(endpoint), replayPort: port(replay) });
	await until(() => log.includes('forgot a restarted') && log.at(-1) === 'live 1');
	t.is(index.blocks, 0);
	again.store(10, range(BLOCK, 500));
	await until(() => depth(range(BLOCK, 500)) === 1);
	t.is(depth(range(BLOCK)), 0);
});

test('a publisher that speaks something else is left alone and tried again, and says nothing', async (t) => {
	let connections = 0;
	const server = createServer((socket) => {
		connections++;
		socket.on('error', () => undefined);
		socket.end('HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\n\r\n'.padEnd(80));
	});
	await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve));
	t.teardown(() => server.close());
	const { reader, until, log, stride } = follower(t);
	reader.follow([targetOf(`tcp://127.0.0.1:${(server.address() as AddressInfo).port}`)]);
	await until(() => log.filter((line) => line === 'broken a').length >= 2);
	t.true(connections >= 2);
	t.is(stride(), 0);
});
