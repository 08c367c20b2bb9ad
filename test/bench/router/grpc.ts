// Owns the figures of gRPC pass-through: unary calls a second direct, through the least proxy of `node:http2` and through meshd, closed loop, interleaved in short
// slices, and what a call costs each process.
import { mkdtempSync, rmSync } from 'node:fs';
import { type ClientHttp2Session, connect, type IncomingHttpHeaders } from 'node:http2';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { ModelInferRequest } from '@infermesh/proto/inference';
import type { Bench, BenchContext, Table } from '../bench.js';
import { median, noise, ratioOfPairs } from '../stats.js';
import { KEY, MODEL, startMeshProcess } from './mesh-process.js';
import { cpuMs, forkModule, type Running } from './processes.js';
import { BARE, MESH } from './rig.js';

const ROUNDS = 10;
const SLICE_MS = 1000;
/** Each way before the first slice: until V8 has optimised all of it, compiling costs as much as the calls. */
const WARM_MS = 12_000;
/** Before messages of another size. */
const WARM_AGAIN_MS = 1500;
const SESSIONS = 4;
const CALLS_IN_FLIGHT = 32;
const PROMPT_BYTES = [2048, 100_000] as const;

interface Way {
	readonly name: string;
	readonly pid: number;
	readonly sessions: readonly ClientHttp2Session[];
}

interface Slice {
	readonly callsPerS: number;
	readonly cpuUs: number;
	readonly failures: number;
}

export const grpcBench: Bench = {
	name: 'grpc',
	summary: 'unary gRPC calls a second passed through, against direct and a bare proxy (about two minutes)',
	run: async (context) => {
		const folder = mkdtempSync(path.join(tmpdir(), 'infermesh-bench-'));
		const open: Running[] = [];
		try {
			const http = await forkModule('./upstream.js', []);
			open.unshift(http);
			const upstream = await forkModule('./grpc-upstream.js', []);
			open.unshift(upstream);
			const grpcPort = portOf(upstream);
			const bare = await forkModule('./bare-grpc-proxy.js', [`http://127.0.0.1:${grpcPort}`]);
			open.unshift(bare);
			const nodeArgs = process.env['INFERMESH_BENCH_NODE_ARGS']?.split(' ') ?? [];
			const mesh = await startMeshProcess({ folder, upstreamPort: portOf(http), targets: 3, grpcPort, nodeArgs });
			open.unshift(mesh);
			const ways = [
				{ name: 'direct', pid: upstream.pid, sessions: sessions(grpcPort) },
				{ name: BARE, pid: bare.pid, sessions: sessions(portOf(bare)) },
				{ name: MESH, pid: mesh.pid, sessions: sessions(mesh.port) },
			];
			const tables: Table[] = [];
			for (const [at, bytes] of PROMPT_BYTES.entries())
				tables.push(await measure(ways, bytes, at === 0 ? WARM_MS : WARM_AGAIN_MS, context));
			for (const way of ways) for (const session of way.sessions) session.destroy();
			return tables;
		} finally {
			await Promise.all(open.map((each) => each.close()));
			rmSync(folder, { recursive: true, force: true });
		}
	},
};

const portOf = (running: Running): number => (running.ready as { readonly port: number }).port;

function sessions(port: number): ClientHttp2Session[] {
	return Array.from({ length: SESSIONS }, () => connect(`http://127.0.0.1:${port}`));
}

async function measure(
	ways: readonly Way[],
	bytes: number,
	warmMs: number,
	{ quick, progress }: BenchContext,
): Promise<Table> {
	const request = requestOf(bytes);
	for (const way of ways) await slice(way, request, quick ? 300 : warmMs);
	const all = new Map(ways.map(({ name }) => [name, [] as Slice[]]));
	const rounds = quick ? 2 : ROUNDS;
	for (let round = 0; round < rounds; round++) {
		progress(`  ${bytes} bytes, round ${round + 1} of ${rounds}`);
		// Each way goes first as often as the other.
		for (const way of round % 2 === 0 ? ways : ways.toReversed())
			all.get(way.name)?.push(await slice(way, request, quick ? 200 : SLICE_MS));
	}
	const rate = (name: string): number[] => (all.get(name) ?? []).map(({ callsPerS }) => callsPerS);
	const cpu = (name: string): number[] => (all.get(name) ?? []).map(({ cpuUs }) => cpuUs);
	const ratio = ratioOfPairs(rate('direct'), rate(MESH));
	const cpuRatio = ratioOfPairs(cpu(MESH), cpu(BARE));
	return {
		title: `gRPC: unary calls of ${bytes} bytes, ${CALLS_IN_FLIGHT} in flight on ${SESSIONS} connections`,
		columns: ['way', 'calls/s', 'noise', 'CPU µs/call', 'failures'],
		rows: [...all].map(([name, slices]) => [
			name,
			Math.round(median(slices.map(({ callsPerS }) => callsPerS))),
			noise(slices.map(({ callsPerS }) => callsPerS)).toFixed(2),
			Math.round(median(slices.map(({ cpuUs }) => cpuUs))),
			slices.reduce((sum, { failures }) => sum + failures, 0),
		]),
		notes: [
			`calls/s direct over meshd, median of ${rounds} pairs: ${ratio.toFixed(2)}; CPU of meshd over the bare proxy: ${cpuRatio.toFixed(2)}`,
			'CPU is that of the measured process: the upstream for direct, meshd (one worker, agent and all) for meshd',
			'client, upstream and proxies share the machine: with few cores the ratio is of their sum',
		],
		aims: [],
	};
}

function requestOf(bytes: number): Buffer {
	const message = ModelInferRequest.encode({
		modelName: MODEL,
		modelVersion: '',
		id: 'bench',
		parameters: {},
		inputs: [{ name: 'text_input', datatype: 'BYTES', shape: [1n], parameters: {}, contents: undefined }],
		outputs: [],
		rawInputContents: [Buffer.alloc(bytes, 0x61)],
	}).finish();
	const head = Buffer.alloc(5);
	head.writeUInt32BE(message.length, 1);
	return Buffer.concat([head, message]);
}

const headers = {
	':method': 'POST',
	':path': '/inference.GRPCInferenceService/ModelInfer',
	'content-type': 'application/grpc',
	te: 'trailers',
	authorization: `Bearer ${KEY}`,
};

/** Keeps calls in flight for a while; resolves when the last one has ended. */
async function slice(way: Way, request: Buffer, forMs: number): Promise<Slice> {
	let calls = 0;
	let failures = 0;
	const cpuBefore = cpuMs(way.pid);
	const from = performance.now();
	const one = async (session: ClientHttp2Session): Promise<void> => {
		while (performance.now() - from < forMs) {
			calls++;
			if (!(await call(session, request))) failures++;
		}
	};
	await Promise.all(
		Array.from({ length: CALLS_IN_FLIGHT }, (_, at) => one(way.sessions[at % SESSIONS] as ClientHttp2Session)),
	);
	const tookMs = performance.now() - from;
	return { callsPerS: (calls * 1000) / tookMs, cpuUs: ((cpuMs(way.pid) - cpuBefore) * 1000) / calls, failures };
}

/** False unless the call ended well. */
function call(session: ClientHttp2Session, request: Buffer): Promise<boolean> {
	return new Promise((resolve) => {
		const stream = session.request(headers);
		let good = false;
		stream.on('trailers', (trailers: IncomingHttpHeaders) => {
			good = trailers['grpc-status'] === '0';
		});
		stream.on('error', () => undefined);
		stream.on('close', () => resolve(good));
		stream.resume();
		stream.end(request);
	});
}
