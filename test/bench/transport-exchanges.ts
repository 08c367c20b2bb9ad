// Owns the cost of gossip's exchanges: one connection, one question, one answer, over mTLS and, beside it in the same rounds, over plain TCP. Both ends are in
// this process, so that processor time is that of both.
import process from 'node:process';
import {
	type ExchangePort,
	KeyRing,
	MeshCodec,
	TcpExchange,
	TlsExchange,
	type TransportContext,
} from '@infermesh/fabric';
import type { Table } from './bench.js';
import { median, quantile } from './stats.js';

const sizes = [1_024, 200 * 1_024] as const;

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
		request[0] = bytes === sizes[0] ? 0 : 1;
		const sinceMs = performance.now();
		await port.exchange(address, request, options);
		ms.push(performance.now() - sinceMs);
	}
	const { user, system } = process.cpuUsage(cpu);
	return { p50Ms: quantile(ms, 0.5), cpuMs: (user + system) / 1_000 / count };
}

/** `answering` and `asking` are two nodes of one mesh. */
export async function exchangeTable(
	answering: TransportContext,
	asking: TransportContext,
	options: { readonly quick: boolean },
): Promise<Table> {
	const { clock } = asking;
	const ring = new KeyRing('bench', new Uint8Array(32).fill(1));
	const { framing, streamMaxBytes } = new MeshCodec({
		label: 'bench',
		self: '00000000-0000-4000-8000-000000000001',
		ring,
		session: 1,
	});
	const tcp = (): TcpExchange => new TcpExchange({ clock, framing, requestMaxBytes: streamMaxBytes });
	const pairs = [
		{ name: 'mTLS 1.3', there: new TlsExchange(answering), here: new TlsExchange(asking) },
		{ name: 'TCP', there: tcp(), here: tcp() },
	];
	const answers = sizes.map((size) => new Uint8Array(size).fill(7));
	const rounds = options.quick ? 1 : 5;
	const rows: (string | number)[][] = [];
	for (const { name, there, here } of pairs) {
		const address = await there.listen('127.0.0.1:0', (_from, request) =>
			Promise.resolve(answers[request[0] ?? 0] ?? new Uint8Array(0)),
		);
		await measure(here, address, sizes[0], 20);
		for (const size of sizes) {
			const costs: Cost[] = [];
			for (let round = 0; round < rounds; round++)
				costs.push(await measure(here, address, size, options.quick ? 20 : 100));
			rows.push([
				name,
				size / 1_024,
				median(costs.map(({ p50Ms }) => p50Ms)).toFixed(2),
				median(costs.map(({ cpuMs }) => cpuMs)).toFixed(2),
			]);
		}
		await Promise.all([here.close(), there.close()]);
	}
	return {
		title: 'Exchanges of gossip over loopback: connection, question, answer',
		columns: ['connection', 'answer KiB', 'p50 ms', 'processor ms, both ends'],
		rows,
		notes: ['A node makes one a push/pull interval (30 s in a LAN), one a join and one a failed probe.'],
		aims: [],
	};
}
