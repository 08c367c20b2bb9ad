import { EventEmitter } from 'node:events';
import type { Worker } from 'node:worker_threads';
import test from 'ava';
import { createInflight, InflightReader, InflightWriter, REQUESTS } from '../fleet/inflight.js';
import { HandClock } from '../fleet/testing.js';
import { CONTROL_BYTES, emptyPlan, GENERATION_WORD, type RoutingPlan } from '../strategy/runtime/plan.js';
import { createMetricsBuffer, MetricsBlock } from '../telemetry/block.js';
import { totalOf } from '../telemetry/exposition.js';
import { WorkerGroup, workerGroupDefaults } from './worker-group.js';
import type { FromWorker, ToWorker, WorkerStart } from './worker-protocol.js';

/** A thread that only notes what it is told; the test speaks for it. */
class FakeThread extends EventEmitter {
	readonly start: WorkerStart;
	readonly told: ToWorker[] = [];
	gone = false;

	constructor(start: WorkerStart) {
		super();
		this.start = start;
	}

	postMessage(message: ToWorker): void {
		if (!this.gone) this.told.push(message);
	}

	say(message: FromWorker): void {
		this.emit('message', message);
	}

	die(error?: Error): void {
		if (this.gone) return;
		this.gone = true;
		if (error !== undefined) this.emit('error', error);
		this.emit('exit', 1);
	}

	terminate(): Promise<number> {
		this.die();
		return Promise.resolve(1);
	}

	kinds(): string[] {
		return this.told.map(({ kind }) => kind);
	}
}

function open() {
	const clock = new HandClock();
	const inflight = createInflight(4, 3);
	const metrics = [createMetricsBuffer(), createMetricsBuffer(), createMetricsBuffer()] as const;
	const control = new SharedArrayBuffer(CONTROL_BYTES);
	const threads: FakeThread[] = [];
	const died: string[] = [];
	const group = new WorkerGroup(
		workerGroupDefaults,
		clock,
		control,
		(worker, port) => ({ worker, port, inflight, metrics: metrics[worker] }) as WorkerStart,
		(send) => send({ kind: 'logLevel', level: 'info' }),
		{
			outcomes: () => undefined,
			cohorts: () => undefined,
			shadows: () => undefined,
			strike: () => undefined,
			strategyLog: () => undefined,
			quotaWanted: () => undefined,
			flows: () => undefined,
			died: (worker, message) => died.push(`${worker}: ${message}`),
		},
		(start) => {
			const thread = new FakeThread(start);
			threads.push(thread);
			return thread as unknown as Worker;
		},
	);
	const start = async (count: number): Promise<void> => {
		const started = group.start(count, 0);
		for (let index = 0; index < count; index++) {
			threads[index]?.say({ kind: 'listening', port: 4242 });
			await Promise.resolve();
			await Promise.resolve();
		}
		await started;
	};
	const generation = (): number => Atomics.load(new Int32Array(control), GENERATION_WORD);
	const thread = (index: number): FakeThread => threads[index] as FakeThread;
	return { clock, inflight, metrics, group, threads, thread, died, start, generation };
}

function plan(generation: number): RoutingPlan {
	return { ...emptyPlan, generation };
}

const prepared = (generation: number, error?: string): FromWorker => ({ kind: 'prepared', generation, error });

test('workers start one after the other, on the first one’s port, told all they must know before they listen', async (t) => {
	const { group, threads, thread, start } = open();
	await start(3);
	t.is(group.port, 4242);
	t.is(group.listening, 3);
	t.deepEqual(
		threads.map((each) => each.start.port),
		[0, 4242, 4242],
	);
	t.deepEqual(thread(2).kinds(), ['logLevel', 'listen']);
});

test('a worker that cannot listen fails the start', async (t) => {
	const { group, thread } = open();
	const started = group.start(1, 80);
	thread(0).say({ kind: 'failed', message: 'listen EACCES' });
	await t.throwsAsync(started, { message: 'listen EACCES' });
	await group.close(0);
});

test('a plan becomes visible when the last worker has prepared it, and not before', async (t) => {
	const { group, thread, start, generation } = open();
	await start(2);
	const committed = group.commit(plan(7));
	t.deepEqual(thread(0).told.at(-1), { kind: 'prepare', plan: plan(7) });
	thread(0).say(prepared(7));
	await Promise.resolve();
	t.is(generation(), 0);
	thread(1).say(prepared(7));
	await committed;
	t.is(generation(), 7);
});

test('a worker that cannot prepare, or does not answer, leaves everything as it was', async (t) => {
	const { clock, group, thread, start, generation } = open();
	await start(2);
	const refused = group.commit(plan(1));
	thread(0).say(prepared(1, 'out of memory'));
	await t.throwsAsync(refused, { code: 'IM_STRATEGY_PREPARE', message: /out of memory/ });
	thread(1).say(prepared(1));
	const silent = group.commit(plan(2));
	thread(1).say(prepared(2));
	clock.advance(workerGroupDefaults.prepareTimeoutMs);
	await t.throwsAsync(silent, { code: 'IM_STRATEGY_PREPARE', message: /in time/ });
	t.is(generation(), 0);
	t.is(clock.timers, 0);
});

test('a late answer to one plan is not taken for one to the next', async (t) => {
	const { clock, group, thread, start, generation } = open();
	await start(1);
	const first = group.commit(plan(1));
	clock.advance(workerGroupDefaults.prepareTimeoutMs);
	await t.throwsAsync(first);
	const second = group.commit(plan(2));
	thread(0).say(prepared(1));
	await Promise.resolve();
	t.is(generation(), 0);
	thread(0).say(prepared(2));
	await second;
	t.is(generation(), 2);
});

test('without workers a plan takes effect at once', async (t) => {
	const { group, generation } = open();
	await group.commit(plan(1));
	t.is(generation(), 1);
});

test('a worker that dies holds up no plan, and its successor is told the plan that is on its way', async (t) => {
	const { clock, group, threads, thread, start, generation } = open();
	await start(2);
	const committed = group.commit(plan(3));
	thread(0).die();
	clock.advance(workerGroupDefaults.restartMs);
	t.is(threads.length, 3);
	t.deepEqual(thread(2).kinds(), ['logLevel', 'prepare', 'listen']);
	thread(1).say(prepared(3));
	await committed;
	t.is(generation(), 3);
});

test('a dead worker’s share in flight is taken back before it is replaced', async (t) => {
	const { inflight, metrics, group, thread, start, died } = open();
	await start(2);
	new InflightWriter(inflight, 0).add(REQUESTS, 1, 5);
	new InflightWriter(inflight, 1).add(REQUESTS, 1, 2);
	new MetricsBlock(metrics[0]).gauge('requestsInFlight').set(5);
	new MetricsBlock(metrics[1]).gauge('requestsInFlight').set(2);
	t.is(totalOf(metrics, 'requestsInFlight'), 7);
	thread(0).die(new Error('heap'));
	t.is(new InflightReader(inflight).total(REQUESTS, 1), 2);
	t.is(totalOf(metrics, 'requestsInFlight'), 2);
	t.deepEqual(died, ['0: heap']);
	t.is(group.listening, 1);
});

test('a worker that keeps dying is replaced ever later, up to a bound; one that served long starts over', async (t) => {
	const { clock, threads, thread, start } = open();
	await start(1);
	const pauses: number[] = [];
	for (let death = 0; death < 9; death++) {
		const before = threads.length;
		thread(before - 1).die();
		let waited = 0;
		while (threads.length === before) {
			clock.advance(100);
			waited += 100;
		}
		pauses.push(waited);
		thread(before).say({ kind: 'listening', port: 4242 });
	}
	t.deepEqual(pauses, [100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000]);
	clock.advance(3_600_000);
	const before = threads.length;
	thread(before - 1).die();
	clock.advance(100);
	t.is(threads.length, before + 1);
});

test('a successor that cannot listen is tried again', async (t) => {
	const { clock, threads, thread, start } = open();
	await start(1);
	thread(0).die();
	clock.advance(100);
	thread(1).say({ kind: 'failed', message: 'listen EADDRINUSE' });
	t.true(thread(1).gone);
	clock.advance(200);
	t.is(threads.length, 3);
});

test('what all must know is told to all', async (t) => {
	const { group, thread, start } = open();
	await start(2);
	group.removeStrategy(4);
	group.logLevel('debug');
	for (const index of [0, 1])
		t.deepEqual(thread(index).told.slice(-2), [
			{ kind: 'forget', versionId: 4 },
			{ kind: 'logLevel', level: 'debug' },
		]);
});

test('every worker is asked about a decision; the first that knows it answers, and silence ends', async (t) => {
	const { clock, group, thread, start } = open();
	t.is(await group.explain('d'), undefined);
	await start(2);
	const found = group.explain('d');
	const query = (thread(0).told.at(-1) as { query: number }).query;
	const decision = { id: 'd' } as never;
	thread(0).say({ kind: 'explained', query, decision: undefined });
	thread(1).say({ kind: 'explained', query, decision });
	t.is(await found, decision);
	const unknown = group.explain('e');
	for (const index of [0, 1]) thread(index).say({ kind: 'explained', query: query + 1, decision: undefined });
	t.is(await unknown, undefined);
	const silent = group.explain('f');
	clock.advance(workerGroupDefaults.explainTimeoutMs);
	t.is(await silent, undefined);
	t.is(clock.timers, 0);
});

test('closing asks all to finish, ends those that do not, and waits for no dead one', async (t) => {
	const { clock, group, thread, start, threads } = open();
	await start(3);
	thread(2).die();
	const closing = group.close(500);
	t.deepEqual(thread(0).told.at(-1), { kind: 'close', graceMs: 500 });
	thread(0).die();
	clock.advance(500 + 2000);
	t.true(thread(1).gone);
	await closing;
	clock.advance(60_000);
	t.is(threads.length, 3, 'nobody is replaced any more');
	t.is(clock.timers, 0);
});
