// Checks the comm adapters on what real programs wrote: NCCL's Inspector, RAS and log, PyTorch's Flight Recorder. INFERMESH_TEST_DATA names the folder
// whose captures/ holds them; they are not part of this tree.
import { readFileSync } from 'node:fs';
import path from 'node:path';
import {
	InspectorReader,
	judgeFlightDumps,
	NcclLogReader,
	readFlightDump,
	readInspectorText,
	readRas,
} from '@infermesh/adapters';
import test from 'ava';

function capture(name: string): string {
	const folder = process.env['INFERMESH_TEST_DATA'];
	if (folder === undefined || folder === '')
		throw new Error('INFERMESH_TEST_DATA is not set: it must name the folder of captures/');
	return readFileSync(path.join(folder, 'captures', name), 'utf8');
}

test('NCCL Inspector’s JSON, plain and verbose', (t) => {
	const reader = new InspectorReader();
	for (const name of ['inspector_coll_perf.json', 'inspector_coll_perf_verbose.json'])
		for (const line of capture(`nccl/${name}`).split('\n')) reader.line(line);
	const delta = reader.look(0);
	t.deepEqual(delta.unread, []);
	t.deepEqual(
		delta.collectives.map(({ communicator, collective, bucketId, rank, durationUsMean, busBytesPerSec }) => [
			communicator,
			collective,
			bucketId,
			rank,
			durationUsMean,
			busBytesPerSec,
		]),
		[
			['0x7f8c496ae9f661', 'AllReduce', '16GiB', 2, 61974, 485.119099e9],
			['0xe62dedaa97644a', 'ReduceScatter', '2GiB', 4, 41057, 366.134533e9],
		],
	);
});

test('NCCL Inspector’s text for Prometheus', (t) => {
	const delta = readInspectorText(capture('nccl/inspector_prom_textfile.prom'), 0);
	t.like(delta, { node: 'nvl72004-T01', unread: [] });
	t.is(delta.jobId, undefined);
	t.deepEqual(delta.collectives, [
		{
			communicator: 'DP Group 0',
			collective: 'AllReduce',
			bucketId: '4-5GB',
			algorithm: 'RING',
			protocol: 'LL',
			gpu: 'GPU0',
			ranks: 4,
			nodes: 1,
			busBytesPerSec: 678.263e9,
			durationUsMean: 9498.47,
		},
		{
			communicator: 'DP Group 0',
			collective: 'Send',
			bucketId: '512-513MB',
			gpu: 'GPU0',
			ranks: 4,
			nodes: 1,
			busBytesPerSec: 464.9e9,
			durationUsMean: 1154.87,
		},
	]);
});

test('NCCL RAS as JSON: a rank that is missing', (t) => {
	const delta = readRas(capture('nccl/ras_status.json'), 0);
	t.deepEqual(delta.unread, []);
	t.like(delta.communicators[0], {
		communicator: '0xae94423cfbb2ef4a',
		ranks: 2,
		ranksMissing: 1,
		errors: ['INCOMPLETE'],
	});
	t.deepEqual(delta.ranks, [
		{ communicator: '0xae94423cfbb2ef4a', rank: 1, node: '172.16.64.245', gpu: 'GPU1', trouble: 'missing' },
	]);
});

test('NCCL RAS as text, sample by sample', (t) => {
	const samples = capture('nccl/ras_text_samples.txt')
		.split(/^### sample \d+$/mu)
		.slice(1);
	const [, running, , behind, statuses, incomplete, dead] = samples.map((text) => readRas(text, 0));
	t.like(running?.communicators[0], { state: 'running', ranks: 4, nodes: 4 });
	t.is(behind?.ranks.length, 6);
	t.deepEqual(behind?.ranks[0], {
		communicator: '0x27a079b828ff1a75',
		rank: 0,
		node: '172.16.64.210',
		gpu: 'GPU0',
		trouble: 'behind',
		operation: '6649 of 6650',
	});
	t.deepEqual(
		statuses?.communicators.slice(0, 3).map(({ state }) => state),
		['finalising', 'running', 'initialising'],
	);
	// Ranks that are listed for their status are not behind.
	t.deepEqual(statuses?.ranks, []);
	t.deepEqual(incomplete?.ranks, [{ communicator: '0xcf264af53edbe986', rank: 21, trouble: 'missing' }]);
	t.true(incomplete?.unread.some((text) => text.includes('2 communication timeouts')));
	t.deepEqual(dead?.warnings, ['dead: node 172.16.64.213, GPU 5']);
});

test('NCCL’s log', (t) => {
	const reader = new NcclLogReader();
	for (const line of capture('nccl/nccl_debug_log_excerpts.txt').split('\n')) reader.line(line);
	const delta = reader.look(0);
	t.deepEqual(delta.unread, []);
	t.deepEqual(delta.warnings, ['node-01 GPU 3: Failed to initialize any NET plugin']);
	t.like(delta.collectives[0], {
		collective: 'AllReduce',
		algorithm: 'RING',
		protocol: 'SIMPLE',
		bucketId: '32MiB',
		count: 3,
	});
	t.deepEqual(
		delta.paths.map(({ kind, channel, rank, from, to, via }) => [kind, channel, rank, from, to, via]),
		[
			['tree', 0, 0, -1, [1], undefined],
			['tree', 1, 0, -1, [1], undefined],
			['ring', 0, 0, 1, [1], undefined],
			['ring', 1, 0, 1, [1], undefined],
			// The later lines of the same channels, of other runs, stand.
			['channel', 0, 0, 0, [1], 'P2P/CUMEM'],
			['channel', 1, 0, 0, [1], 'P2P/CUMEM'],
		],
	);
});

test('Flight Recorder: the dumps of three ranks name the late one', (t) => {
	const dumps = [0, 1, 2].map((rank) =>
		readFlightDump(capture(`pytorch-flight-recorder/gloo_late_rank2/fr_rank${rank}.json`), rank),
	);
	const delta = judgeFlightDumps(dumps, 0);
	t.deepEqual(delta.unread, []);
	t.deepEqual(delta.ranks, [{ communicator: '0', rank: 2, trouble: 'late', operation: 'gloo:all_reduce 4' }]);
});
