// Port counters of sysfs, ethtool, rdma and UCX: rates, wraps, resets. The samples are written here.
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import test from 'ava';
import { adapterFiles } from '../effects/files.js';
import { testClock, testFolder } from '../effects/testing.js';
import { stepOf } from './counters.js';
import { PortReader } from './port-counters.js';
import { SysfsPorts } from './port-sysfs.js';
import { readEthtool, readRdma } from './port-text.js';
import { readUcxText, UcxReader } from './ucx.js';

function write(root: string, files: Readonly<Record<string, string>>): void {
	for (const [name, text] of Object.entries(files)) {
		const file = path.join(root, name);
		mkdirSync(path.dirname(file), { recursive: true });
		writeFileSync(file, text);
	}
}

const port = 'sys/class/infiniband/mlx5_0/ports/1';
const net = 'sys/class/net/eth0';

test('an InfiniBand and an Ethernet port under a root', async (t) => {
	const root = testFolder(t);
	const sysfs = new SysfsPorts(adapterFiles(testClock), root);
	const reader = new PortReader({ node: 'n1' });
	write(root, {
		[`${port}/state`]: '4: ACTIVE\n',
		[`${port}/link_layer`]: 'InfiniBand\n',
		[`${port}/rate`]: '200 Gb/sec (4X HDR)\n',
		[`${port}/counters/port_xmit_data`]: '5000000000\n',
		[`${port}/counters/port_rcv_data`]: '0\n',
		[`${port}/counters/port_xmit_wait`]: '10\n',
		[`${port}/counters/symbol_error`]: '1\n',
		[`${port}/counters/link_error_recovery`]: '1\n',
		[`${port}/counters/link_downed`]: '0\n',
		[`${port}/hw_counters/np_cnp_sent`]: '100\n',
		[`${port}/hw_counters/out_of_sequence`]: '100\n',
		[`${net}/operstate`]: 'up\n',
		[`${net}/speed`]: '25000\n',
		[`${net}/statistics/tx_bytes`]: '4294967290\n',
		[`${net}/statistics/rx_bytes`]: '1000\n',
		[`${net}/statistics/rx_dropped`]: 'many\n',
		'sys/class/net/lo/statistics/tx_bytes': '1\n',
	});
	const first = reader.look(await sysfs.look(), 1000);
	t.deepEqual(first.links, [
		{ device: 'mlx5_0', port: 1, layer: 'infiniband', up: true, speedBitsPerSec: 200e9 },
		{ device: 'eth0', port: 1, layer: 'ethernet', up: true, speedBitsPerSec: 25e9 },
	]);
	t.deepEqual([first.intervalMs, first.unread], [undefined, ['eth0 rx_dropped: not a number']]);
	write(root, {
		[`${port}/counters/port_xmit_data`]: '5250000000\n',
		[`${port}/counters/port_rcv_data`]: '4294967295\n',
		[`${port}/counters/port_xmit_wait`]: '2010\n',
		[`${port}/counters/symbol_error`]: '3\n',
		[`${port}/counters/link_error_recovery`]: '5\n',
		[`${port}/counters/link_downed`]: '2\n',
		[`${port}/hw_counters/np_cnp_sent`]: '300\n',
		[`${port}/hw_counters/out_of_sequence`]: '40\n',
		[`${port}/state`]: '1: DOWN\n',
		[`${net}/statistics/tx_bytes`]: '94\n',
		[`${net}/statistics/rx_bytes`]: '3000\n',
	});
	const second = reader.look(await sysfs.look(), 3000);
	t.like(second.links[0], {
		up: false,
		// 250 million words of four bytes in two seconds, on 25 GB/s.
		sentBytesPerSec: 5e8,
		utilisation: 0.02,
		waitTicksPerSec: 1000,
		errorsPerSec: 3,
		congestionSentPerSec: 100,
		// It fell, so it began anew.
		outOfOrderPerSec: 20,
		downs: 2,
	});
	t.is(second.links[0]?.receivedBytesPerSec, undefined);
	t.true(second.restarted);
	t.true(second.unread.includes('mlx5_0/1 port_rcv_data: stands at the end of its 32 bits'));
	// Over the end of 32 bits: six to the end, 94 beyond.
	t.is(second.links[1]?.sentBytesPerSec, 50);
	t.is(second.links[1]?.receivedBytesPerSec, 1000);
});

test('a machine without network devices says so', async (t) => {
	const sysfs = new SysfsPorts(adapterFiles(testClock), testFolder(t));
	t.deepEqual(new PortReader().look(await sysfs.look(), 0).unread, ['no network port was found']);
});

test('counters wrap only from near their end, and only those that do', (t) => {
	const end = 2n ** 32n;
	t.deepEqual(stepOf(end - 1n, 0n, 'wraps32'), { by: 1, restarted: false });
	t.deepEqual(stepOf(end / 2n, 0n, 'wraps32'), { by: 0, restarted: true });
	t.deepEqual(stepOf(end - 1n, 7n, 'wide'), { by: 7, restarted: true });
	t.is(stepOf(5n, end - 1n, 'saturates32'), undefined);
	t.deepEqual(stepOf(2n ** 63n, 2n ** 63n + 5n, 'wide'), { by: 5, restarted: false });
});

const ethtool = (pause: number, sent: number): string =>
	[
		'NIC statistics:',
		'     rx_packets: 10',
		`     tx_bytes_phy: ${sent}`,
		'     rx_bytes_phy: 0',
		`     rx_prio3_pause: ${pause}`,
		`     tx_prio3_pause: ${pause}`,
		'     link_down_events_phy: 1',
		'     rx_discards_phy: 4',
	].join('\n');

test('ethtool’s statistics, pauses of all priorities together', (t) => {
	const reader = new PortReader();
	reader.look(readEthtool(ethtool(5, 1000), 'eth0'), 0);
	const delta = reader.look(readEthtool(ethtool(15, 3000), 'eth0'), 1000);
	t.like(delta.links[0], { device: 'eth0', layer: 'ethernet', sentBytesPerSec: 2000, pausesPerSec: 20, downs: 0 });
	t.deepEqual(readEthtool('no stats available', 'eth1').unread, ['ethtool -S eth1: no counter']);
	t.deepEqual(readEthtool('NIC statistics:\n     foo: 1', 'eth1').unread, [
		'ethtool -S eth1: none of 1 counters is known',
	]);
});

test('rdma’s statistics', (t) => {
	const json = (handled: number): string =>
		JSON.stringify([
			{
				ifindex: 0,
				ifname: 'mlx5_0',
				port: 1,
				rp_cnp_handled: handled,
				local_ack_timeout_err: 0,
				rx_write_requests: 5,
			},
			{ ifindex: 1, port: 1 },
			{ ifindex: 2, ifname: 'lo_0', port: 1, rx_write_requests: 5 },
		]);
	const reader = new PortReader();
	reader.look(readRdma(json(10)), 0);
	const delta = reader.look(readRdma(json(30)), 500);
	t.deepEqual(delta.links, [
		{ device: 'mlx5_0', port: 1, layer: 'unknown', congestionHandledPerSec: 40, retriesPerSec: 0 },
	]);
	t.deepEqual(delta.unread, ['rdma: an entry without ifname', 'rdma lo_0: no counter is known']);
	t.deepEqual(readRdma('{}').unread, ['rdma -j statistic: not a JSON list']);
});

const tree = (bcopy: number): string =>
	[
		'node1:13966:',
		'  ucp_worker-0x6aeb90:',
		'    uct_iface-mlx5_0:1-0x6b4760:',
		'      rx_am_bytes: 64',
		'      uct_ep-0x7289d0:',
		`        bytes_bcopy: ${bcopy}`,
		'        bytes_zcopy: 1000',
		'        no_res: 2',
		'      uct_ep-0x7289f0:',
		'        bytes_bcopy: 100',
		'    uct_iface-tcp/eth0-0x716020:',
		'      uct_ep-0x732a30:',
		'        bytes_short: 130',
		'    ucp_ep-0x1:',
		'      tx_eager: 10',
	].join('\n');

test('UCX’s tree adds up by interface, over its endpoints', (t) => {
	const { interfaces, unread } = readUcxText(tree(500));
	t.deepEqual([...interfaces.keys()], ['mlx5_0:1', 'tcp/eth0']);
	t.deepEqual(interfaces.get('mlx5_0:1')?.get('bytes_bcopy'), 600n);
	t.deepEqual(unread, []);
	const reader = new UcxReader();
	reader.look(new Map([['p1', tree(500)]]), 0);
	const delta = reader.look(new Map([['p1', tree(2500)]]), 1000);
	t.is(delta.source, 'ucx');
	t.like(delta.links[0], {
		device: 'mlx5_0:1@p1',
		layer: 'transport',
		sentBytesPerSec: 2000,
		receivedBytesPerSec: 0,
		waitTicksPerSec: 0,
	});
});

test('a file with reports one after the other tells the last one', (t) => {
	t.deepEqual(
		readUcxText(`${tree(1)}\n${tree(9)}`)
			.interfaces.get('mlx5_0:1')
			?.get('bytes_bcopy'),
		109n,
	);
});

test('UCX’s summary, and its binary form', (t) => {
	const line = '[n1:13966] ucp_ep{tx_eager:10000} uct_ep{bytes_bcopy:10253440130 uct_ep.bytes_zcopy:7}';
	t.deepEqual(
		[...(readUcxText(line).interfaces.get('all') ?? [])],
		[
			['bytes_bcopy', 10253440130n],
			['bytes_zcopy', 7n],
		],
	);
	t.deepEqual(new UcxReader().look(new Map(), 0, 3).unread, [
		'3 datagrams in UCX’s binary form: use UCX_STATS_DEST=file:PATH',
	]);
	t.deepEqual(new UcxReader().look(new Map([['p', 'x']]), 0).unread, ['p: no counter of UCX']);
});
