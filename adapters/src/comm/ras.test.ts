// NCCL RAS: both forms of its status, and the conversation with a stand-in server that speaks its commands.
import { createServer, type Server, type Socket } from 'node:net';
import test, { type ExecutionContext } from 'ava';
import { lineConnector } from '../effects/lines.js';
import { testClock } from '../effects/testing.js';
import { askRas, readRas } from './ras.js';

const connect = lineConnector(testClock);

const rank = (number: number, operations: number, status: object = {}) => ({
	rank: number,
	host: `10.0.0.${1 + Math.floor(number / 2)}`,
	pid: 100 + number,
	cuda_dev: number % 2,
	nvml_dev: number % 2,
	status: { init_state: 0, async_error: 0, finalize_called: false, destroy_flag: false, abort_flag: false, ...status },
	collective_counts: { AllReduce: operations, Broadcast: 1 },
});

const status = (communicator: object) =>
	JSON.stringify({
		nccl_version: '2.29.1',
		communicators: [{ hash: '0xae', size: 4, missing_ranks_count: 0, ranks: [], missing_ranks: [], ...communicator }],
		ras: { collection_time_sec: 0.01, timeouts_count: 0 },
	});

test('a communicator whose ranks agree is running', (t) => {
	const delta = readRas(status({ ranks: [0, 1, 2, 3].map((number) => rank(number, 7)) }), 0);
	t.deepEqual(delta.communicators, [
		{ communicator: '0xae', state: 'running', ranks: 4, nodes: 2, operationsMin: 8, operationsMax: 8 },
	]);
	t.deepEqual([delta.ranks, delta.unread], [[], []]);
});

test('ranks with fewer operations are behind, missing ones missing, dead ones dead', (t) => {
	const delta = readRas(
		status({
			ranks: [rank(0, 7), rank(1, 6, { async_error: 3 })],
			missing_ranks_count: 2,
			missing_ranks: [
				{ rank: 2, host: 'b', nvml_dev: 0, status: { unresponsive: true, considered_dead: false } },
				{ rank: 3, host: 'b', nvml_dev: 1, status: { unresponsive: true, considered_dead: true } },
			],
		}),
		0,
	);
	t.deepEqual(
		delta.ranks.map(({ rank, trouble, gpu }) => [rank, trouble, gpu]),
		[
			[1, 'failed', 'GPU1'],
			[2, 'missing', 'GPU0'],
			[3, 'dead', 'GPU1'],
			[1, 'behind', 'GPU1'],
		],
	);
	t.like(delta.communicators[0], { ranksMissing: 2, errors: ['INCOMPLETE', 'MISMATCH'] });
});

test('the worst of the ranks’ states is the communicator’s', (t) => {
	const state = (own: object) => readRas(status({ ranks: [rank(0, 1), rank(1, 1, own)] }), 0).communicators[0]?.state;
	t.is(state({ init_state: 7, async_error: 7 }), 'initialising');
	t.is(state({ finalize_called: true }), 'finalising');
	t.is(state({ abort_flag: true }), 'aborted');
	t.is(state({ init_state: 5 }), 'unknown');
});

test('of the text form, those listed are behind only with the lower count', (t) => {
	const text = (listed: number, others: number): string =>
		[
			'Group     Comms     Nodes     Ranks     Ranks     Ranks    Status  Errors',
			'    #  in group  per comm  per node  per comm  in group',
			'    0         1         4         8        32        32   RUNNING  MISMATCH',
			'',
			'#0-0 (27a0) MISMATCH',
			'  Communicator ranks have different collective operation counts',
			`  30 ranks have launched up to operation ${others}`,
			`  2 ranks have launched up to operation ${listed}`,
			'  Rank 4 -- GPU 4 managed by process 1 on node a',
			'  Rank 5 -- GPU 5 managed by process 2 on node a',
			'',
		].join('\n');
	const behind = readRas(text(6649, 6650), 0);
	t.deepEqual(behind.ranks[0], {
		communicator: '0x27a0',
		rank: 4,
		node: 'a',
		gpu: 'GPU4',
		trouble: 'behind',
		operation: '6649 of 6650',
	});
	t.is(behind.communicators.length, 2);
	t.deepEqual(readRas(text(6651, 6650), 0).ranks, []);
});

test('a body that is neither form says so', (t) => {
	t.deepEqual(readRas('{"communicators": 1}', 0).unread, ['communicators: missing']);
	t.deepEqual(readRas('hello', 0).unread, ['no table of communicators']);
	t.deepEqual(readRas('{ broken', 0).unread, ['no table of communicators']);
});

/** Speaks the commands of RAS; `json` = the version knows SET FORMAT. */
async function standIn(t: ExecutionContext, json: boolean, answer: (socket: Socket, format: string) => void) {
	const heard: string[] = [];
	const server: Server = createServer((socket) => {
		let format = 'text';
		let buffered = '';
		socket.on('error', () => undefined);
		socket.on('data', (bytes) => {
			buffered += bytes.toString('utf8');
			for (let end = buffered.indexOf('\n'); end >= 0; end = buffered.indexOf('\n')) {
				const line = buffered.slice(0, end);
				buffered = buffered.slice(end + 1);
				heard.push(line);
				if (/^timeout /i.test(line)) socket.write('OK\n');
				else if (/^set format json$/i.test(line)) {
					if (json) format = 'json';
					socket.write(json ? 'OK\n' : `ERROR: Unknown command ${line}\n`);
				} else if (/^(verbose )?status$/i.test(line)) answer(socket, format);
			}
		});
	});
	await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', () => resolve()));
	t.teardown(() => void server.close());
	const { port } = server.address() as { port: number };
	return { port, heard };
}

test('the conversation ends with the status as JSON', async (t) => {
	const body = status({ ranks: [rank(0, 1)] });
	const { port, heard } = await standIn(t, true, (socket, format) => {
		// In pieces: a status of many ranks does not come in one.
		socket.write(body.slice(0, 40));
		socket.end(format === 'json' ? body.slice(40) : '');
	});
	const told = await askRas(connect, { host: '127.0.0.1', port });
	t.deepEqual(heard, ['TIMEOUT 7', 'SET FORMAT json', 'VERBOSE STATUS']);
	t.is(readRas(told, 0).communicators[0]?.communicator, '0xae');
});

test('a version without JSON answers in text', async (t) => {
	const { port } = await standIn(t, false, (socket, format) => socket.end(format === 'text' ? 'Job summary\n' : '{}'));
	t.is(await askRas(connect, { host: '127.0.0.1', port, verbose: false }), 'Job summary\n');
});

test('more than the bound, and silence, are refused', async (t) => {
	const loud = await standIn(t, true, (socket) => socket.write('x'.repeat(10_000)));
	await t.throwsAsync(askRas(connect, { host: '127.0.0.1', port: loud.port, bytesMax: 1000 }), {
		message: /1000 bytes/,
	});
	const silent = await standIn(t, true, () => undefined);
	await t.throwsAsync(askRas(connect, { host: '127.0.0.1', port: silent.port, timeoutMs: 200 }), { message: /200 ms/ });
});
