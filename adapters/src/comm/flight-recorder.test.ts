// The straggler rule on dumps written here; a real three-rank dump is in test/external.
import test from 'ava';
import { judgeFlightDumps, readFlightDump } from './flight-recorder.js';

interface Dump {
	readonly enqueued: number | string;
	readonly waiting?: number;
	readonly ranks?: string;
}

const dump = ({ enqueued, waiting, ranks = '[0, 1, 2]' }: Dump): string =>
	JSON.stringify({
		version: '2.10',
		pg_config: { '0': { name: '0', desc: 'default', ranks } },
		pg_status: {
			'0': { last_enqueued_collective: enqueued, last_started_collective: -1, last_completed_collective: 3 },
		},
		entries: [3, 4].map((sequence) => ({
			pg_id: 0,
			collective_seq_id: sequence,
			profiling_name: 'nccl:all_reduce',
			state: 'scheduled',
			retired: sequence !== waiting,
			is_p2p: false,
		})),
	});

const judge = (...texts: readonly string[]) =>
	judgeFlightDumps(
		texts.map((text, rank) => readFlightDump(text, rank)),
		0,
	);

test('members with the lowest last enqueued collective are late', (t) => {
	const delta = judge(dump({ enqueued: 4, waiting: 4 }), dump({ enqueued: '4', waiting: 4 }), dump({ enqueued: 3 }));
	t.deepEqual(delta.ranks, [{ communicator: '0', rank: 2, trouble: 'late', operation: 'nccl:all_reduce 4' }]);
	t.like(delta.communicators[0], { ranks: 3, operationsMin: 3, operationsMax: 4, errors: ['MISMATCH'] });
});

test('when all have enqueued the same, those that are not out of it are stuck', (t) => {
	const delta = judge(dump({ enqueued: 4 }), dump({ enqueued: 4, waiting: 4 }), dump({ enqueued: 4 }));
	t.deepEqual(delta.ranks, [{ communicator: '0', rank: 1, trouble: 'stuck', operation: 'nccl:all_reduce 4' }]);
});

test('when all wait in the same collective, nobody is to blame', (t) => {
	const all = dump({ enqueued: 4, waiting: 4 });
	t.deepEqual(judge(all, all, all).ranks, []);
});

test('a member without a dump is missing', (t) => {
	const delta = judge(dump({ enqueued: 4 }), dump({ enqueued: 4 }));
	t.deepEqual(delta.ranks, [{ communicator: '0', rank: 2, trouble: 'missing' }]);
	t.is(delta.communicators[0]?.ranksMissing, 1);
});

test('a pickle is refused by its first bytes', (t) => {
	const pickle = Buffer.from([0x80, 0x02, 0x7d, 0x71]);
	for (const text of [pickle.toString('latin1'), pickle.toString('utf8'), 'PK\u0003\u0004'])
		t.deepEqual(readFlightDump(text, 1).unread, [
			'rank 1: a Python pickle, which is not read: dump JSON on the trainer',
		]);
});

test('what a dump lacks is said', (t) => {
	t.deepEqual(judge('nonsense').unread, ['rank 0: not a JSON object', 'no process group in any dump']);
	t.deepEqual(judge('{"pg_status":{"0":{}},"entries":3}').unread, [
		'rank 0: no entries',
		'rank 0, group 0: no last_enqueued_collective',
		'no process group in any dump',
	]);
});
