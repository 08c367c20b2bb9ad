// Owns the cost of gossip's exchanges: one question, one answer, over mTLS and, beside it in the same rounds, over QUIC, which keeps its connection, and plain TCP.
// Both ends are in this process, so that processor time is that of both.
import process from 'node:process';
import {
	type ExchangePort,
	KeyRing,
	loadQuiche,
	MeshCodec,
	QuicExchange,
	TcpExchange,
	TlsExchange,
	type TransportContext,
} from '@infermesh/fabric';
import { SeededRandom } from '@infermesh/proto';
import type { Table } from './bench.js';
import { median, quantile } from './stats.js';

const sizes = [1_024, 200 * 1_024, 4 * 1_024 * 1_024] as const;

interface Cost {
	readonly p50Ms: number;
	readonly cpuMs: number;
}

async function measure(port: ExchangePort, address: string, bytes: number, count: number): Promise<Cost> {
	const request = new Uint8Array(64);
	const options = { timeoutMs: 10_000, answerMaxBytes: bytes + 1_024 };
	const ms: number[] = [];
	const cpu = process.cpuUsage();
	for (let at = 0; at < count; at++) {
		request[0] = sizes.findIndex((size) => size === bytes);
		const sinceMs = performance.now();
		await port.exchange(address, request, options);
		ms.push(performance.now() - sinceMs);
	}
	const { user, system } = process.cpuUsage(cpu);
	return { p50Ms: quantile(ms, 0.5), cpuMs: (user + system) / 1_000 / count };
}

/** Fewer of the large ones. */
function countOf(size: number, quick: boolean): number {
	if (size === sizes[2]) return quick ? 5 : 20;
	return quick ? 20 : 100;
}

/** `answering` and `asking` are two nodes of one mesh. */
export async function exchangeTable(
	answering: TransportContext,
	asking: TransportContext,
	options: { readonly quick: boolean },
): Promise<Table> {
	const { clock } = asking;
	const random = new SeededRandom(1);
	const callFrom = '127.0.0.1:0';
	const ring = new KeyRing('bench', new Uint8Array(32).fill(1));
	const { framing, streamMaxBytes } = new MeshCodec({
		label: 'bench',
		self: '00000000-0000-4000-8000-000000000001',
		ring,
		session: 1,
	});
	const tcp = (): TcpExchange => new TcpExchange({ clock, framing, requestMaxBytes: streamMaxBytes });
	const quic = (context: TransportContext): QuicExchange =>
		new QuicExchange(loadQuiche(), context, random, { callFrom });
	const pairs = [
		{ name: 'mTLS 1.3, its own', there: new TlsExchange(answering), here: new TlsExchange(asking) },
		{ name: 'QUIC, kept', there: quic(answering), here: quic(asking) },
		{ name: 'TCP, its own', there: tcp(), here: tcp() },
	];
	const answers = sizes.map((size) => new Uint8Array(size).fill(7));
	const measured: { readonly name: string; readonly size: number; readonly costs: Cost[] }[] = [];
	const ready: { readonly name: string; readonly here: ExchangePort; readonly address: string }[] = [];
	for (const { name, there, here } of pairs) {
		const address = await there.listen('127.0.0.1:0', (_from, request) =>
			Promise.resolve(answers[request[0] ?? 0] ?? new Uint8Array(0)),
		);
		ready.push({ name, here, address });
		await measure(here, address, sizes[0], 20);
		measured.push(...sizes.map((size) => ({ name, size, costs: [] })));
	}
	for (let round = 0; round < (options.quick ? 1 : 5); round++)
		for (const { name, here, address } of ready)
			for (const size of sizes) {
				const cost = await measure(here, address, size, countOf(size, options.quick));
				measured.find((one) => one.name === name && one.size === size)?.costs.push(cost);
			}
	await Promise.all(pairs.flatMap(({ here, there }) => [here.close(), there.close()]));
	return {
		title: 'Exchanges of gossip over loopback: question and answer',
		columns: ['connection', 'answer KiB', 'p50 ms', 'MiB/s', 'processor ms, both ends'],
		rows: measured.map(({ name, size, costs }) => {
			const p50Ms = median(costs.map((cost) => cost.p50Ms));
			const mibPerS = size / 2 ** 20 / (p50Ms / 1_000);
			const cpuMs = median(costs.map((cost) => cost.cpuMs));
			return [name, size / 1_024, p50Ms.toFixed(2), mibPerS.toFixed(1), cpuMs.toFixed(2)];
		}),
		notes: ['A node makes one a push/pull interval (30 s in a LAN), one a join and one a failed probe.'],
		aims: [],
	};
}
