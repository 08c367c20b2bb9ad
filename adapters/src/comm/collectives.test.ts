// NCCL Inspector, NCCL's debug log and UCC's log, on samples written here after the descriptions of the formats. Real bodies are in test/external.
import test from 'ava';
import { InspectorReader } from './inspector.js';
import { readInspectorText } from './inspector-text.js';
import { NcclLogReader } from './nccl-log.js';
import { sizeClass } from './size-class.js';
import { UccLogReader } from './ucc.js';

interface Line {
	readonly rank?: number;
	readonly sequence?: number;
	readonly us?: number;
	readonly bytes?: number;
	readonly coll?: string;
	readonly ranks?: number;
}

const inspectorLine = ({ rank = 0, sequence = 1, us = 100, bytes = 1 << 20, coll = 'AllReduce', ranks = 4 }: Line) =>
	JSON.stringify({
		header: { id: '0xabc', rank, n_ranks: ranks, nnodes: 1 },
		metadata: { inspector_output_format_version: 'v4.0', hostname: 'h', pid: 1 },
		coll_perf: {
			coll,
			coll_sn: sequence,
			coll_msg_size_bytes: bytes,
			coll_exec_time_us: us,
			coll_algobw_gbs: 10,
			coll_busbw_gbs: 20,
		},
	});

test('collectives add up by communicator, rank and class of sizes, and a look starts anew', (t) => {
	const reader = new InspectorReader({ node: 'n1', jobId: 'j' });
	for (const us of [100, 300]) reader.line(inspectorLine({ us }));
	reader.line(inspectorLine({ bytes: 3 * 2 ** 30 }));
	const delta = reader.look(1000);
	t.like(delta, { source: 'nccl_inspector', node: 'n1', jobId: 'j', unread: [] });
	t.is(delta.intervalMs, undefined);
	t.deepEqual(delta.collectives[0], {
		communicator: '0xabc',
		collective: 'AllReduce',
		bucketId: '1MiB',
		rank: 0,
		ranks: 4,
		nodes: 1,
		count: 2,
		bytes: 2 << 20,
		durationUsMean: 200,
		durationUsMax: 300,
		algorithmBytesPerSec: 10e9,
		busBytesPerSec: 20e9,
	});
	t.is(delta.collectives[1]?.bucketId, '2GiB');
	const next = reader.look(3000);
	t.is(next.intervalMs, 2000);
	t.deepEqual(next.collectives, []);
});

test('an object indented over several lines is read as one', (t) => {
	const reader = new InspectorReader();
	for (const line of JSON.stringify(JSON.parse(inspectorLine({})), undefined, 2).split('\n')) reader.line(line);
	t.is(reader.look(0).collectives[0]?.count, 1);
});

test('what is no collective is counted, and the rest is read', (t) => {
	const reader = new InspectorReader();
	for (const line of ['{"half', '{"header":{"id":"x"}}', '[]', inspectorLine({}), '', '# a comment']) reader.line(line);
	const delta = reader.look(0);
	t.is(delta.collectives.length, 1);
	t.deepEqual(delta.unread, ['2 of 4 objects: not JSON', '1 of 4 objects: no coll_perf with its header']);
});

test('kinds of collectives are bounded, and what does not fit is said', (t) => {
	const reader = new InspectorReader();
	for (let at = 0; at < 2000; at++) reader.line(inspectorLine({ coll: `kind${at}` }));
	const delta = reader.look(0);
	t.is(delta.collectives.length, 256);
	t.true(delta.unread.some((text) => text.includes('beyond the first 1024')));
	t.true(delta.unread.some((text) => text.includes('768 more than fit')));
});

test('the rank that is in collectives for the shortest time is the one others wait for', (t) => {
	const reader = new InspectorReader();
	for (let sequence = 1; sequence <= 10; sequence++)
		for (let rank = 0; rank < 4; rank++)
			reader.line(inspectorLine({ rank, sequence, us: rank === 2 ? 40 : 100 + rank }));
	t.deepEqual(reader.look(0).ranks, [{ communicator: '0xabc', rank: 2, share: 1, trouble: 'slow' }]);
});

test('ranks that come together are called slow by nobody', (t) => {
	const reader = new InspectorReader();
	for (let sequence = 1; sequence <= 20; sequence++)
		for (let rank = 0; rank < 4; rank++) reader.line(inspectorLine({ rank, sequence, us: 100 + rank }));
	t.deepEqual(reader.look(0).ranks, []);
});

test('the text form gives one collective for each set of labels', (t) => {
	const labels =
		'version="v5.1",slurm_job_id="77",node="n7",gpu="GPU0",comm_name="DP",n_nodes="2",nranks="16",message_size="4-5GB"';
	const delta = readInspectorText(
		[
			`nccl_bus_bandwidth_gbs{${labels},collective="AllReduce",algo_proto="Ring_ll128"} 400.5`,
			`nccl_collective_exec_time_microseconds{${labels},collective="AllReduce",algo_proto="Ring_ll128"} 900`,
			`nccl_p2p_bus_bandwidth_gbs{${labels},p2p_operation="Send"} 40`,
			`nccl_bus_bandwidth_gbs{${labels},collective="Broadcast"} NaN`,
		].join('\n'),
		5,
	);
	t.like(delta, { node: 'n7', jobId: '77' });
	t.deepEqual(delta.collectives[0], {
		communicator: 'DP',
		collective: 'AllReduce',
		bucketId: '4-5GB',
		algorithm: 'RING',
		protocol: 'LL128',
		gpu: 'GPU0',
		ranks: 16,
		nodes: 2,
		busBytesPerSec: 400.5e9,
		durationUsMean: 900,
	});
	t.is(delta.collectives[1]?.collective, 'Send');
	t.deepEqual(delta.unread, ['nccl_bus_bandwidth_gbs: NaN is not a measure']);
});

test('classes of sizes are powers of two', (t) => {
	t.deepEqual([0, 1, 1023, 1024, 100_000, 2 ** 31, 2 ** 60].map(sizeClass), [
		'0B',
		'1B',
		'512B',
		'1KiB',
		'64KiB',
		'2GiB',
		'512TiB',
	]);
});

const log = [
	'a line of the trainer',
	'node-01:10:20 [0] NCCL INFO Ring 00 : 3 -> 0 -> 1',
	'node-01:10:20 [0] NCCL INFO Ring 00 : 3 -> 0 -> 1',
	'node-01:10:20 [0] NCCL INFO Tree 1 : -1 -> 0 -> 1/2/-1',
	'node-01:10:20 [0] NCCL INFO Channel 00/0 : 0[0] -> 1[1] [send] via NET/IB/0/GDRDMA',
	'node-01:10:20 [0] NCCL INFO AllReduce: 33554432 Bytes -> Algo RING proto SIMPLE channel{Lo..Hi}={0..31}',
	'node-01:10:20 [0] NCCL INFO AllReduce: 33554433 Bytes -> Algo RING proto SIMPLE channel{Lo..Hi}={0..31}',
	'node-01:10:20 [0] NCCL INFO [Rank 0] ncclCommInitRankConfig comm 0x1 rank 0 nranks 4 cudaDev 0 nvmlDev 0 busId 1 commId 0x77 - Init COMPLETE',
	'[2026-05-05 06:16:47] node-01:10:10 [3] plugin/net.cc:334 NCCL WARN Failed to initialize any NET plugin',
];

test('rings, trees, channels, choices, communicators and warnings of NCCL’s log', (t) => {
	const reader = new NcclLogReader();
	for (const line of log) reader.line(line);
	const delta = reader.look(0);
	t.deepEqual(delta.paths, [
		{ kind: 'ring', channel: 0, rank: 0, from: 3, to: [1] },
		{ kind: 'tree', channel: 1, rank: 0, from: -1, to: [1, 2] },
		{ kind: 'channel', channel: 0, rank: 0, from: 0, to: [1], via: 'NET/IB/0/GDRDMA' },
	]);
	t.deepEqual(delta.collectives, [
		{
			communicator: '',
			bucketId: '32MiB',
			collective: 'AllReduce',
			algorithm: 'RING',
			protocol: 'SIMPLE',
			count: 2,
			bytes: 67108865,
		},
	]);
	t.deepEqual(delta.communicators, [{ communicator: '0x77', state: 'running', ranks: 4 }]);
	t.deepEqual(delta.warnings, ['node-01 GPU 3: Failed to initialize any NET plugin']);
	t.is(delta.warningsCount, 1);
	// Warnings and choices are of one look; where the ranks are stays known.
	const next = reader.look(1);
	t.is(next.paths.length, 3);
	t.deepEqual([next.collectives, next.warnings], [[], []]);
});

test('of many warnings the newest are kept and all are counted', (t) => {
	const reader = new NcclLogReader();
	for (let at = 0; at < 100; at++) reader.line(`n:1:1 [0] a.cc:1 NCCL WARN ${at}`);
	const delta = reader.look(0);
	t.is(delta.warningsCount, 100);
	t.is(delta.warnings.length, 16);
	t.is(delta.warnings.at(-1), 'n GPU 0: 99');
});

test('a log without a line of NCCL says so', (t) => {
	const reader = new NcclLogReader();
	reader.line('step 1');
	t.deepEqual(reader.look(0).unread, ['none of 1 lines is of NCCL_DEBUG']);
});

test('UCC’s traces in both forms', (t) => {
	const reader = new UccLogReader();
	for (const line of [
		'[1626684901.014276] [head:4878 :0]        ucc_coll.c:155  UCC  DEBUG coll_init: team id 4 size 2 rank 1 ctx_rank 2: Alltoallv Host inplace=0 sbytes=564, req 0x1',
		'[1712345678.000001] [head:4878:0]        ucc_coll.c:255  UCC_COLL INFO  coll_init: Allreduce sum {0x1, 1024, float32, Cuda}; CL_BASIC {TL_NCCL}, team_id 32768',
		'[1712345678.000002] [head:4878:0]        tl_ucp_coll.c:133  TL_UCP ERROR failure in recv completion Message truncated',
	])
		reader.line(line);
	const delta = reader.look(0);
	t.deepEqual(delta.collectives, [
		{ communicator: 'team 4', collective: 'Alltoallv', bucketId: 'unknown', ranks: 2, count: 1 },
		{ communicator: 'team 32768', collective: 'Allreduce', bucketId: 'unknown', algorithm: 'TL_NCCL', count: 1 },
	]);
	t.deepEqual(delta.warnings, ['TL_UCP: failure in recv completion Message truncated']);
});
