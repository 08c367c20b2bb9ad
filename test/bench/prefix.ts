// Owns the figures of prefix matching: what a prompt of 100,000 tokens costs the whole router over 100 targets, what its index work costs as
// the fleet grows, and what making token ids costs, apart.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import {
	createKvTable,
	createPrefixHits,
	createPrefixIndex,
	FileTokenizer,
	HITS_GIVEN_MAX,
	KvIndex,
	KvTableWriter,
	type ModelPool,
	openPolicy,
	SegmentCache,
} from '@infermesh/host';
import { SeededRandom } from '@infermesh/proto';
import type { Bench, BenchContext, Table } from './bench.js';
import { startMeshProcess } from './router/mesh-process.js';
import { LoadClient } from './router/open-loop.js';
import { cpuMs, forkModule, type Running } from './router/processes.js';
import { conversations, text } from './router/requests.js';
import { median, ratioOfPairs } from './stats.js';

const SEED = 20_261_126;
const PROMPT_TOKENS = 100_000;
const PROMPT_BYTES = PROMPT_TOKENS * 4;
/** Nine tenths of a prompt are shared: a long document, or a conversation's earlier turns. */
const SHARED = 0.9;
const BLOCK_TOKENS = 16;
const FLEETS = [1, 10, 100, 1000] as const;
/** Those that say what they hold: each has blocks of its own in the index. */
const KV_FLEETS = [1, 10, 100] as const;
const ROUTED_TARGETS = 100;
const VARIANTS = 24;
const CONNECTIONS = 4;
/** Far below what a core can do, so that the machine's other work does not decide. */
const RATE_PER_S = 60;

export const prefixBench: Bench = {
	name: 'prefix',
	summary: 'prompts of 100,000 tokens over 100 targets: CPU per request, index work, tokenising (about a minute)',
	run: async (context) => [await routed(context), indexWork(context), tokenising(context)],
};

async function routed(context: BenchContext): Promise<Table> {
	const folder = mkdtempSync(path.join(tmpdir(), 'infermesh-bench-'));
	const open: Running[] = [];
	try {
		const upstream = await forkModule('./upstream.js', []);
		open.unshift(upstream);
		const upstreamPort = (upstream.ready as { readonly port: number }).port;
		const bare = await forkModule('./bare-proxy.js', [`http://127.0.0.1:${upstreamPort}`]);
		open.unshift(bare);
		const nodeArgs = process.env['INFERMESH_BENCH_NODE_ARGS']?.split(' ') ?? [];
		const mesh = await startMeshProcess({ folder, upstreamPort, targets: ROUTED_TARGETS, nodeArgs });
		open.unshift(mesh);
		const barePort = (bare.ready as { readonly port: number }).port;
		return await measureRouted(context, { bare: { ...bare, port: barePort }, mesh });
	} finally {
		await Promise.all(open.map((each) => each.close()));
		rmSync(folder, { recursive: true, force: true });
	}
}

async function idleShare(pid: number, forMs: number): Promise<number> {
	const from = cpuMs(pid);
	const startMs = performance.now();
	await new Promise((resolve) => setTimeout(resolve, forMs));
	return (cpuMs(pid) - from) / (performance.now() - startMs);
}

interface Way extends Running {
	readonly port: number;
}

async function measureRouted(
	{ quick, progress }: BenchContext,
	ways: { readonly bare: Way; readonly mesh: Way },
): Promise<Table> {
	const random = new SeededRandom(SEED, 1);
	const own = PROMPT_BYTES * (1 - SHARED);
	const requests = conversations(random, false, PROMPT_BYTES * SHARED, own, VARIANTS);
	const clients = {
		bare: new LoadClient(ways.bare.port, CONNECTIONS),
		mesh: new LoadClient(ways.mesh.port, CONNECTIONS),
	};
	const cpuUs: { bare: number[]; mesh: number[] } = { bare: [], mesh: [] };
	let failures = 0;
	let count = 0;
	const slice = async (name: 'bare' | 'mesh', forMs: number, counted: boolean): Promise<void> => {
		await clients[name].open();
		const from = cpuMs(ways[name].pid);
		const result = await clients[name].slice(requests, RATE_PER_S, forMs, random);
		if (!counted) return;
		const usedMs = cpuMs(ways[name].pid) - from;
		cpuUs[name].push((usedMs * 1000) / result.requests);
		failures += result.failures;
		count += result.requests;
	};
	for (const name of ['bare', 'mesh'] as const) await slice(name, quick ? 1000 : 4000, false);
	const idle = await idleShare(ways.mesh.pid, quick ? 1000 : 4000);
	const rounds = quick ? 2 : 8;
	for (let round = 0; round < rounds; round++) {
		for (const name of round % 2 === 0 ? (['bare', 'mesh'] as const) : (['mesh', 'bare'] as const))
			await slice(name, quick ? 500 : 1200, true);
		progress(`  round ${round + 1} of ${rounds}`);
	}
	for (const client of Object.values(clients)) client.close();
	const [bareUs, meshUs] = [median(cpuUs.bare), median(cpuUs.mesh)];
	const idleUs = (idle * 1e6) / RATE_PER_S;
	return {
		title: `Whole router: ${PROMPT_TOKENS}-token prompts (${PROMPT_BYTES} bytes), ${ROUTED_TARGETS} targets, approximate matching (seed ${SEED})`,
		columns: ['', 'CPU µs', '÷ bare', 'requests/s a core', 'less idle'],
		rows: [
			['bare proxy', bareUs, '1.00', 1e6 / bareUs, bareUs],
			['meshd', meshUs, ratioOfPairs(cpuUs.mesh, cpuUs.bare).toFixed(2), 1e6 / meshUs, meshUs - idleUs],
		],
		aims: [
			{
				what: 'CPU per request for 300 a second on one core, all that the mesh takes idle charged to these requests',
				figure: meshUs,
				atMost: 1e6 / 300,
				unit: 'µs',
			},
			{ what: 'failed requests', figure: failures, atMost: 0, unit: '' },
		],
		notes: [
			`${count} requests, ${SHARED * 100} % of each prompt shared by all, over ${CONNECTIONS} connections at ${RATE_PER_S}/s; CPU: user + system of all threads of the proxy; less idle: without the ${(idle * 100).toFixed(1)} % of a core that meshd took with no requests just before (${ROUTED_TARGETS} targets scraped twice a second), part of which requests save`,
			'meshd: one worker, API key, hybrid_mesh, everything at its defaults: the whole prompt is read, hashed, looked up and remembered',
		],
	};
}

function poolOf(targets: number): ModelPool {
	return {
		index: 0,
		model: 'm',
		modelId: 1,
		revision: undefined,
		policy: openPolicy,
		targets: Array.from({ length: targets }, (_, row) => ({
			id: `t${row}`,
			tableRow: row,
			generation: 1,
			origin: 'http://127.0.0.1:1',
			pathPrefix: '',
			apiKey: undefined,
			runtime: 'vllm',
			upstreamModel: undefined,
		})),
	};
}

/** Processor time of one call on average, µs: unlike wall time it does not count what else the machine does. */
function timed(rounds: number, act: (round: number) => void): number {
	for (let round = 0; round < rounds; round++) act(round);
	const from = process.cpuUsage();
	for (let round = 0; round < rounds; round++) act(round);
	const { user, system } = process.cpuUsage(from);
	return (user + system) / rounds;
}

function indexWork({ quick, progress }: BenchContext): Table {
	const random = new SeededRandom(SEED, 2);
	const bytes = new Uint8Array(Buffer.from(text(PROMPT_BYTES, random)));
	const tokens = Uint32Array.from({ length: PROMPT_TOKENS }, () => random.nextU32() % 128_000);
	const rounds = quick ? 40 : 200;
	const rows: (string | number)[][] = [];
	for (const fleet of FLEETS) {
		const pool = poolOf(fleet);
		const index = createPrefixIndex({ blocksMax: 1 << 21 });
		const hits = createPrefixHits(HITS_GIVEN_MAX);
		const hash = timed(rounds, () => void index.hashPrompt(1, 0, bytes));
		for (let row = 0; row < fleet; row++) index.insert(pool, row);
		const lookup = timed(rounds, () => index.lookup(pool, hits));
		const insert = timed(rounds, (round) => index.insert(pool, round % fleet));
		rows.push(['sent (approximate)', fleet, hash, lookup, insert, hits.count]);
		progress(`  sent, ${fleet} targets`);
	}
	for (const fleet of KV_FLEETS) {
		const pool = poolOf(fleet);
		const blocks = PROMPT_TOKENS / BLOCK_TOKENS;
		const kv = createKvTable(1024, fleet * blocks);
		const writer = new KvTableWriter(kv);
		const known = new KvIndex(fleet * blocks, writer);
		const names = Uint32Array.from({ length: blocks }, (_, at) => at + 1);
		const event = {
			kind: 'stored',
			blocks: { lows: names, highs: names },
			parent: undefined,
			tokens,
			blockTokens: BLOCK_TOKENS,
			lora: '',
			tier: 0,
			plainBlocks: blocks,
		} as const;
		const from = process.cpuUsage();
		for (let row = 0; row < fleet; row++) {
			known.stored(known.open({ row, generation: 1, modelId: 1 }), event);
			writer.setRow(row, 1, BLOCK_TOKENS);
		}
		const spent = process.cpuUsage(from);
		const storeUs = (spent.user + spent.system) / fleet / blocks;
		const index = createPrefixIndex({ blocksMax: 1 << 21 }, { nowMs: () => 0, cacheTokens: () => 0, kv });
		const hits = createPrefixHits(HITS_GIVEN_MAX);
		const short = new Uint8Array(64);
		const hash = timed(rounds, () => {
			index.hashPrompt(1, 0, short, tokens);
			index.lookup(pool, hits);
		});
		const lookup = timed(rounds, () => index.lookup(pool, hits));
		const insert = timed(rounds, (round) => index.insert(pool, round % fleet));
		rows.push([
			`said (precise), ${storeUs.toFixed(2)} µs a block stored`,
			fleet,
			hash - lookup,
			lookup,
			insert,
			hits.count,
		]);
		progress(`  said, ${fleet} targets`);
	}
	return {
		title: `Index work of one ${PROMPT_TOKENS}-token prompt that every target holds, µs (seed ${SEED})`,
		columns: ['index', 'targets', 'hash', 'look up', 'remember', 'hits'],
		rows,
		aims: [],
		notes: [
			`processor time, means of ${rounds} after as many unmeasured; ${PROMPT_BYTES / 256} blocks of 64 tokens where sent, ${PROMPT_TOKENS / BLOCK_TOKENS} of ${BLOCK_TOKENS} where said; hits are cut at ${HITS_GIVEN_MAX}`,
			'said: every target named every block; an entry in shared memory names eight of its holders, so hits do not grow with the fleet either',
		],
	};
}

/** A byte-level BPE in Hugging Face's form whose merges make the commonest beginnings of words of `sample`: no real model's, but its work is of that kind. */
function syntheticTokenizer(sample: string): FileTokenizer {
	const printable = (byte: number): boolean =>
		(byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || (byte >= 174 && byte <= 255);
	let next = 256;
	const letters = Array.from({ length: 256 }, (_, byte) => String.fromCharCode(printable(byte) ? byte : next++));
	const counts = new Map<string, number>();
	for (const word of sample.split(' '))
		for (let length = 2; length <= word.length; length++) {
			const merge = `${word.slice(0, length - 1)} ${word.slice(length - 1, length)}`;
			counts.set(merge, (counts.get(merge) ?? 0) + 1);
		}
	const merges = [...counts]
		.sort((a, b) => b[1] - a[1])
		.slice(0, 20_000)
		.map(([merge]) => merge);
	const vocabulary = [...letters, ...new Set(merges.map((merge) => merge.replace(' ', '')))];
	const special = ['<|start|>', '<|end|>'];
	return new FileTokenizer(
		{
			tokenizer: {
				version: '1.0',
				added_tokens: special.map((content, at) => ({
					id: vocabulary.length + at,
					content,
					single_word: false,
					lstrip: false,
					rstrip: false,
					normalized: false,
					special: true,
				})),
				normalizer: null,
				pre_tokenizer: { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true },
				post_processor: null,
				decoder: { type: 'ByteLevel' },
				model: { type: 'BPE', vocab: Object.fromEntries(vocabulary.map((token, id) => [token, id])), merges },
			},
			config: {},
			template:
				"{% for message in messages %}<|start|>{{ message['role'] }}\n{{ message['content'] }}<|end|>\n{% endfor %}<|start|>assistant\n",
		},
		new SegmentCache(256 * 1024 * 1024),
	);
}

function tokenising({ quick }: BenchContext): Table {
	const random = new SeededRandom(SEED, 3);
	const tokenizer = syntheticTokenizer(text(PROMPT_BYTES, random));
	const turns = quick ? 2 : 4;
	const cold: number[] = [];
	const warm: number[] = [];
	let tokens = 0;
	for (let turn = 0; turn < turns; turn++) {
		const document = text(PROMPT_BYTES, random);
		const ask = (question: string): number => {
			const from = process.cpuUsage();
			const messages = [
				{ role: 'system', content: document },
				{ role: 'user', content: question },
			];
			tokens = tokenizer.chat({ messages })?.length ?? 0;
			const { user, system } = process.cpuUsage(from);
			return (user + system) / 1000;
		};
		cold.push(ask('What is this?'));
		warm.push(ask(`And what of ${text(40, random)}?`));
	}
	return {
		title: `Tokenising a chat of ${PROMPT_BYTES} bytes from files, ms of processor time on a thread of its own (seed ${SEED})`,
		columns: ['', 'ms', 'prompts/s a thread'],
		rows: [
			['never seen', median(cold), 1000 / median(cold)],
			['a new question to a document seen before', median(warm), 1000 / median(warm)],
		],
		aims: [],
		notes: [
			`${tokens} tokens of a synthetic byte-level BPE of up to 20,000 merges; a real vocabulary has more and finds longer tokens`,
			'the data plane waits data.tokenizer.wait_ms (5) and then decides by text: a long prompt never seen is matched by its text',
		],
	};
}
