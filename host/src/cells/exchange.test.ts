import { SeededRandom } from '@infermesh/proto';
import type { Hello, Summaries, Summary } from '@infermesh/proto/grpc/cells/v1/cells';
import test from 'ava';
import { HandClock } from '../fleet/testing.js';
import {
	type Answered,
	CellExchange,
	type CellPeer,
	type ExchangeOptions,
	type ExchangePorts,
	type Gateway,
} from './exchange.js';
import { summaryOf } from './testing.js';

const options: ExchangeOptions = {
	cell: 'own',
	gateway: true,
	periodMs: 1000,
	staleAfterMs: 10_000,
	forgetAfterMs: 60_000,
	join: [],
};
const gateway = (cell: string, n: number): Gateway => ({
	nodeId: `${cell}-${n}`,
	address: `${cell}:${n}`,
	cell,
	rttMs: n,
});
/** What a node answers: itself, unless it poses as another. */
const from = (nodeId: string, summary: Summary): Answered => ({ nodeId, hello: hello({ ...summary, nodeId }) });
const hello = (summary: Summary | undefined): Hello => ({
	summary,
	gossipKeys: [new Uint8Array(32), new Uint8Array(5)],
	gossipAddresses: ['g:1'],
});
/** Lets promises that are settled go on. */
const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

function exchange(over: Partial<ExchangeOptions>, ports: Partial<ExchangePorts>) {
	const clock = new HandClock();
	const calls: string[] = [];
	const met: [number, readonly string[], boolean][] = [];
	const failures: string[] = [];
	const made = new CellExchange(
		{ ...options, ...over },
		{
			clock,
			random: new SeededRandom(1),
			ownSummary: () => summaryOf('own'),
			ownClusterId: () => 'cluster-own',
			gateways: () => [],
			ownGateways: () => [],
			gossipKeys: () => [],
			gossipAddresses: () => [],
			meet: (keys, addresses, joins) => void met.push([keys.length, addresses, joins]),
			ofItsOwn: (summary) => ({ summary, foreign: 0 }),
			callExchange: () => Promise.reject(new Error('nobody there')),
			callSummaries: () => Promise.reject(new Error('nobody there')),
			changed: () => undefined,
			failed: (what, error) => void failures.push(`${what}: ${String(error)}`),
			...ports,
		},
	);
	const to = (peer: CellPeer | string): string => (typeof peer === 'string' ? peer : peer.nodeId);
	return {
		made,
		clock,
		calls,
		met,
		failures,
		to,
		async period() {
			clock.advance(1000);
			await settle();
		},
	};
}

test('a gateway calls one gateway of each other cell a period, and the next one after a failure', async (t) => {
	const dead = new Set<string>();
	const run = exchange(
		{},
		{
			gateways: () => [gateway('a', 1), gateway('a', 2), gateway('b', 1)],
			callExchange(peer) {
				const id = run.to(peer);
				run.calls.push(id);
				return dead.has(id) ? Promise.reject(new Error('dead')) : Promise.resolve(from(id, summaryOf(id.slice(0, 1))));
			},
		},
	);
	await run.period();
	t.is(run.calls.length, 2);
	const asked = run.calls.find((id) => id.startsWith('a')) ?? '';
	t.deepEqual(
		run.made.cells().map(({ summary, stale }) => [summary.cell, stale]),
		[
			['a', false],
			['b', false],
		],
	);
	t.is(run.made.cells().find(({ summary }) => summary.cell === 'b')?.rttMs, 1);
	dead.add(asked);
	await run.period();
	await run.period();
	const other = asked === 'a-1' ? 'a-2' : 'a-1';
	t.is(
		run.calls.findLast((id) => id.startsWith('a')),
		other,
	);
	t.is(run.made.cells()[0]?.ageMs, 0);
	t.is(run.failures.length, 1);
	t.like(run.made.figures, { exchanges: 6, failed: 1 });
});

test('an address to join is called until its cell is known in the pool of gateways, and again when it is gone', async (t) => {
	let gateways: Gateway[] = [];
	const run = exchange(
		{ join: ['a:9', 'own:9'] },
		{
			gateways: () => gateways,
			callExchange(peer) {
				run.calls.push(run.to(peer));
				return Promise.resolve(from('a-1', summaryOf(run.to(peer).startsWith('a') ? 'a' : 'own')));
			},
		},
	);
	await run.period();
	t.deepEqual(run.calls.splice(0), ['a:9', 'own:9']);
	t.deepEqual(run.met, [[1, ['g:1'], true]], 'keys of another length are no keys; the own cell has nothing to tell');
	gateways = [gateway('a', 1)];
	await run.period();
	t.deepEqual(run.calls.splice(0), ['a-1']);
	gateways = [];
	await run.period();
	t.deepEqual(run.calls, ['a:9']);
});

test('a call that hangs is not joined by a second one', async (t) => {
	const run = exchange(
		{},
		{
			gateways: () => [gateway('a', 1)],
			callExchange(peer) {
				run.calls.push(run.to(peer));
				return new Promise(() => undefined);
			},
		},
	);
	for (let n = 0; n < 5; n++) await run.period();
	t.is(run.calls.length, 1);
});

test('a node that is no gateway asks one of its own cell, and answers no other cell', async (t) => {
	const known: Summaries = { known: [{ summary: summaryOf('a'), ageMs: 300 }] };
	const run = exchange(
		{ gateway: false },
		{
			ownGateways: () => [gateway('own', 1), gateway('own', 2)],
			callSummaries(peer) {
				run.calls.push(run.to(peer));
				return Promise.resolve(known);
			},
		},
	);
	await run.period();
	t.is(run.calls.length, 1);
	t.is(run.made.cells()[0]?.ageMs, 300);
	t.throws(() => run.made.answer('a-1', hello(summaryOf('a'))), { code: 'IM_CELL_NOT_GATEWAY' });
});

test('a cell whose gateway calls is learnt of by that; one with this cell’s name and another cluster is refused', (t) => {
	const run = exchange({}, { gateways: () => [gateway('a', 1)] });
	const call = (nodeId: string, summary: Summary): Hello => run.made.answer(nodeId, from(nodeId, summary).hello);
	t.is(call('a-1', summaryOf('a')).summary?.cell, 'own');
	t.is(run.made.cells()[0]?.summary.cell, 'a');
	t.is(run.made.cells()[0]?.rttMs, 1);
	t.throws(() => call('x', summaryOf('own', { clusterId: 'elsewhere' })), { code: 'IM_CELL_NAME_TAKEN' });
	t.throws(() => run.made.answer('x', hello(undefined)), { code: 'IM_CELL_SUMMARY' });
	t.is(run.made.figures.refused, 1);
	t.deepEqual(run.met, [[1, ['g:1'], false]], 'nothing is taken over from who is refused');
});

test('nothing is taken from a node that the pool of gateways does not have, and it is let in', (t) => {
	let gateways: Gateway[] = [];
	const run = exchange({}, { gateways: () => gateways });
	const { hello: told } = from('a-1', summaryOf('a', { quarantined: ['8a3c5b1e-0000-4000-8000-000000000001'] }));
	t.is(run.made.answer('a-1', told).summary?.cell, 'own');
	t.deepEqual(run.made.cells(), []);
	t.deepEqual(run.met, []);
	t.is(run.made.figures.strangers, 1);
	gateways = [gateway('a', 1)];
	run.made.answer('a-1', told);
	t.is(run.made.cells()[0]?.summary.cell, 'a');
});

test('a node speaks for itself and for the cell it is of in the pool of gateways, whoever calls whom', async (t) => {
	let answer = from('a-1', summaryOf('a'));
	const run = exchange({}, { gateways: () => [gateway('a', 1)], callExchange: () => Promise.resolve(answer) });
	const posing = { code: 'IM_CELL_OTHER_NODE' };
	t.throws(() => run.made.answer('a-1', hello(summaryOf('a', { nodeId: 'a-2' }))), posing);
	t.throws(() => run.made.answer('a-1', from('a-1', summaryOf('b')).hello), posing);
	t.throws(() => run.made.answer('x', hello(summaryOf('a', { nodeId: 'a-1' }))), posing);
	for (const posed of [from('a-1', summaryOf('b')), { ...answer, hello: hello(summaryOf('a')) }]) {
		answer = posed;
		await run.period();
	}
	t.deepEqual(run.made.cells(), []);
	t.deepEqual(run.met, []);
	t.like(run.made.figures, { refused: 5, failed: 2 });
});

test('a cell’s word about a node of another is left out of what is known and passed on', (t) => {
	const id = '8a3c5b1e-0000-4000-8000-000000000001';
	const run = exchange(
		{},
		{
			gateways: () => [gateway('a', 1)],
			ofItsOwn: (summary) => ({ summary: { ...summary, quarantined: [] }, foreign: 1 }),
		},
	);
	run.made.answer('a-1', from('a-1', summaryOf('a', { quarantined: [id] })).hello);
	t.deepEqual(run.made.book.known(0)[0]?.summary?.quarantined, []);
	t.is(run.made.figures.foreign, 1);
});
