// Properties of all parsers of this room: whatever comes, they do not throw, and their deltas keep the bounds and the ranges.
import { type CommStatsDelta, commBounds } from '@infermesh/proto';
import test, { type ExecutionContext } from 'ava';
import * as fc from 'fast-check';
import { judgeFlightDumps, readFlightDump } from './flight-recorder.js';
import { InspectorReader } from './inspector.js';
import { readInspectorText } from './inspector-text.js';
import { NcclLogReader } from './nccl-log.js';
import { PortReader } from './port-counters.js';
import { readEthtool, readRdma } from './port-text.js';
import { readRas } from './ras.js';
import { UccLogReader } from './ucc.js';
import { UcxReader } from './ucx.js';

const seed = Number(process.env['INFERMESH_TEST_SEED'] ?? Date.now() % 0x7fff_ffff);

/** Everything a delta must be, whatever it came from. */
function sound(delta: CommStatsDelta): void {
	const lists = [
		[delta.collectives, commBounds.collectivesMax],
		[delta.communicators, commBounds.communicatorsMax],
		[delta.ranks, commBounds.ranksMax],
		[delta.links, commBounds.linksMax],
		[delta.paths, commBounds.pathsMax],
		[delta.warnings, commBounds.warningsMax],
		[delta.unread, commBounds.unreadMax],
	] as const;
	for (const [list, max] of lists) if (list.length > max) throw new Error(`a list of ${list.length}`);
	walk(delta);
}

function walk(value: unknown, name = ''): void {
	if (typeof value === 'number') {
		// A place in a ring or tree may be nobody's, -1.
		if (!Number.isFinite(value) || (value < 0 && name !== 'from')) throw new Error(`${name} is ${value}`);
	} else if (typeof value === 'string') {
		if (value.length > 400 || /\p{Cc}/u.test(value)) throw new Error(`${name} is "${value.slice(0, 50)}"`);
	} else if (Array.isArray(value)) for (const item of value) walk(item, name);
	else if (typeof value === 'object' && value !== null)
		for (const [key, item] of Object.entries(value)) walk(item, key);
}

const word = fc.constantFrom(
	...'{ } [ ] : , " 0 1 -1 7 99999999999999999999 1e309 null true false \n \r\n \t \u0000 � 💥'.split(' '),
	'\n',
	'  ',
	'"communicators"',
	'"ranks"',
	'"rank"',
	'"missing_ranks"',
	'"pg_status"',
	'"entries"',
	'"last_enqueued_collective"',
	'"coll_perf"',
	'"header"',
	'"id"',
	'Group',
	'    0         1         4         8        32        32   RUNNING  MISMATCH\n',
	'#0-0 (27a0) MISMATCH\n',
	'  6 ranks have launched up to operation 6649\n',
	'  Rank 4 -- GPU 4 managed by process 1 on node a\n',
	'  The missing rank: 21\n',
	'h:1:2 [0] NCCL INFO Ring 00 : 3 -> 0 -> 1\n',
	'h:1:2 [0] NCCL INFO Tree 1 : -1 -> 0 -> 1/2/-1\n',
	'h:1:2 [0] NCCL WARN ',
	'h:1:2 [0] NCCL INFO AllReduce: 33554432 Bytes -> Algo RING proto SIMPLE ',
	'[1.2] [h:1:0] a.c:1 UCC DEBUG coll_init: team id 4 size 2 rank 1 ctx_rank 2: Alltoallv\n',
	'  uct_iface-mlx5_0:1-0x6b4760:\n',
	'    bytes_bcopy: 5\n',
	'uct_ep{bytes_zcopy:7}\n',
	'     tx_bytes_phy: 5\n',
	'"ifname"',
	'nccl_bus_bandwidth_gbs{nranks="4"} ',
);
const almost = fc.array(word, { maxLength: 80 }).map((words) => words.join(''));
const anything = fc.oneof(almost, fc.string({ unit: 'binary', maxLength: 400 }), fc.json());

/** JSON that has the right names with anything below them. */
const shaped = (names: readonly string[]): fc.Arbitrary<string> => {
	const { tree } = fc.letrec<{ tree: unknown }>((tie) => ({
		tree: fc.oneof(
			{ maxDepth: 5, withCrossShrink: true },
			fc.constantFrom(0, 1, -1, 1.5, 1e300, '3', '', null, true, '[0,1]', 'x'.repeat(300)),
			fc.array(tie('tree'), { maxLength: 4 }),
			fc.dictionary(fc.constantFrom(...names), tie('tree'), { maxKeys: 6 }),
		),
	}));
	return tree.map((value) => JSON.stringify(value));
};

function check(
	t: ExecutionContext,
	texts: fc.Arbitrary<string>,
	read: (text: string) => readonly CommStatsDelta[],
): void {
	t.log(`seed ${seed}`);
	fc.assert(
		fc.property(texts, (text) => {
			for (const delta of read(text)) sound(delta);
		}),
		{ seed, numRuns: 400 },
	);
	t.pass();
}

const perfNames =
	'header coll_perf id rank n_ranks nnodes coll coll_sn coll_msg_size_bytes coll_exec_time_us coll_busbw_gbs';

test('NCCL Inspector', (t) => {
	check(t, fc.oneof(anything, shaped(perfNames.split(' '))), (text) => {
		const reader = new InspectorReader();
		for (const line of text.split('\n')) reader.line(line);
		return [reader.look(0), reader.look(1), readInspectorText(text, 0)];
	});
});

test('NCCL RAS', (t) => {
	const names =
		'communicators hash size ranks missing_ranks rank host nvml_dev status init_state async_error collective_counts ras';
	check(t, fc.oneof(anything, shaped(names.split(' '))), (text) => [readRas(text, 0), readRas(`{${text}}`, 0)]);
});

test('logs of NCCL and UCC', (t) => {
	check(t, anything, (text) => {
		const [nccl, ucc] = [new NcclLogReader(), new UccLogReader()];
		for (const line of text.split('\n')) {
			nccl.line(line);
			ucc.line(line);
		}
		return [nccl.look(0), ucc.look(0)];
	});
});

test('Flight Recorder', (t) => {
	const names =
		'pg_status pg_config entries 0 ranks last_enqueued_collective last_completed_collective pg_id retired collective_seq_id';
	check(t, fc.oneof(anything, shaped(names.split(' '))), (text) => [
		judgeFlightDumps([readFlightDump(text, 0), readFlightDump(text, 1)], 0),
	]);
});

test('ports and UCX', (t) => {
	check(t, fc.oneof(anything, shaped(['ifname', 'port', 'np_cnp_sent', 'out_of_sequence'])), (text) => {
		const ports = new PortReader();
		const ucx = new UcxReader();
		return [0, 1000].flatMap((atMs) => [
			ports.look(readEthtool(text, 'eth0'), atMs),
			ports.look(readRdma(text), atMs + 1),
			ucx.look(new Map([['p', text]]), atMs),
		]);
	});
});
