// The queues of workers and of other routers, where they meet: everybody hears what waits and is served everywhere else, and nothing of its own.
import { LoadFrame } from '@infermesh/proto/grpc/routing/v1/load';
import test from 'ava';
import { NameTable } from '../fleet/interner.js';
import { LoadBook } from '../peer-load/book.js';
import { LoadTeller } from '../peer-load/teller.js';
import { HandClock } from '../quota/testing.js';
import type { RoomChange } from '../router/admission/waiting-room.js';
import type { ModelPool } from '../router/ports.js';
import { FlowExchange } from './flow-exchange.js';

const bookOptions = { leaseMs: 2000, targetsMax: 4, countMax: 100, flowsMax: 8 };

/** A router's agent with `workers` workers; what each has been told of elsewhere, added up as its queue would. */
class Agent {
	readonly book: LoadBook;
	readonly flows: FlowExchange;
	readonly teller: LoadTeller;
	readonly heard: Map<string, { service: number; waiting: number }>[];
	readonly clock: HandClock;
	dropped = 0;

	constructor(
		clock: HandClock,
		workers: number,
		models: readonly string[] = ['m', 'n'],
		names: readonly string[] = ['a', 'b'],
	) {
		this.clock = clock;
		const tenants = new NameTable(2000);
		for (const name of names) tenants.intern(name);
		this.heard = Array.from({ length: workers }, () => new Map());
		this.book = new LoadBook(bookOptions);
		this.flows = new FlowExchange({
			clock,
			workerCount: workers,
			tenants,
			send: (worker, changes) => {
				for (const { pool, band, tenant, service, waiting } of changes) {
					const key = `${models[pool]} ${tenants.name(tenant)} ${band}`;
					const before = this.heard[worker]?.get(key)?.service ?? 0;
					this.heard[worker]?.set(key, { service: before + service, waiting });
				}
			},
			dropped: (flows) => {
				this.dropped += flows;
			},
		});
		this.flows.setPools(models.map((model, index) => ({ index, model }) as ModelPool));
		this.teller = new LoadTeller(
			{ rowsMax: 4, idOf: () => undefined, own: () => 0, flows: () => this.flows.own.all() },
			{ heartbeatMs: 200, fullMs: 1000 },
		);
	}

	worker(worker: number, change: Partial<RoomChange>): void {
		this.flows.fromWorker(worker, [{ pool: 0, band: 2, tenant: 1, service: 0, waiting: 0, ...change }]);
	}

	/** The next frame, as it is on the wire. */
	frame(): LoadFrame | undefined {
		this.teller.flowsChanged(this.flows.own.takeChanged());
		const frame = this.teller.next(this.clock.nowMs(), 0);
		return frame === undefined ? undefined : LoadFrame.decode(LoadFrame.encode(frame).finish());
	}

	hear(from: string, frame: LoadFrame | undefined): void {
		if (frame !== undefined) this.book.apply(from, frame, this.clock.nowMs());
		this.flows.fromPeers(this.book.flows.takeChanged());
	}
}

/** All else as one that was not told. */
function frameWith(parts: Partial<LoadFrame>): LoadFrame {
	return { ...LoadFrame.decode(new Uint8Array()), ...parts };
}

function pair(workers = 1): { readonly clock: HandClock; readonly one: Agent; readonly two: Agent } {
	const clock = new HandClock();
	const one = new Agent(clock, workers);
	const two = new Agent(clock, workers);
	two.book.begin('one', clock.nowMs());
	two.hear('one', one.frame());
	return { clock, one, two };
}

test('a worker hears of the others and not of itself', async (t) => {
	const clock = new HandClock();
	const agent = new Agent(clock, 3);
	agent.worker(0, { waiting: 4 });
	agent.worker(0, { waiting: 3, service: 10 });
	agent.worker(1, { waiting: 2, service: 5 });
	await clock.pass(20);
	t.deepEqual(agent.heard[0]?.get('m a 2'), { service: 5, waiting: 2 });
	t.deepEqual(agent.heard[1]?.get('m a 2'), { service: 10, waiting: 3 });
	t.deepEqual(agent.heard[2]?.get('m a 2'), { service: 15, waiting: 5 });
	agent.flows.died(0);
	await clock.pass(20);
	t.is(agent.heard[2]?.get('m a 2')?.waiting, 2, 'what waited at a dead worker waits no more');
	t.is(agent.flows.own.all()[0]?.waiting, 2);
	t.deepEqual(agent.heard[0]?.get('m a 2'), { service: 5, waiting: 2 }, 'its successor is told what waits');
	agent.worker(1, { waiting: 0, service: 5 });
	await clock.pass(20);
	t.is(agent.flows.size, 0, 'nothing is kept of what waits nowhere');
});

test('a router hears of the workers of another, however numbers of models and tenants differ', async (t) => {
	const clock = new HandClock();
	const one = new Agent(clock, 2);
	const two = new Agent(clock, 2, ['x', 'n', 'm'], ['c', 'b', 'a']);
	two.book.begin('one', clock.nowMs());
	two.hear('one', one.frame());
	one.worker(0, { waiting: 2, service: 30 });
	one.worker(1, { waiting: 1, service: 12 });
	one.worker(1, { pool: 1, tenant: 0, band: 0, waiting: 7 });
	two.hear('one', one.frame());
	await clock.pass(20);
	for (const heard of two.heard)
		t.deepEqual(Object.fromEntries(heard), {
			'm a 2': { service: 42, waiting: 3 },
			'n  0': { service: 0, waiting: 7 },
		});
	one.worker(0, { service: -10, waiting: 0 });
	two.hear('one', one.frame());
	await clock.pass(20);
	t.deepEqual(two.heard[0]?.get('m a 2'), { service: 32, waiting: 1 });
});

test('what was served before a router was first heard, or while it was not, counts for nothing', async (t) => {
	const clock = new HandClock();
	const one = new Agent(clock, 1);
	const two = new Agent(clock, 1);
	one.worker(0, { waiting: 2, service: 1000 });
	two.book.begin('one', clock.nowMs());
	two.hear('one', one.frame());
	one.worker(0, { waiting: 2, service: 5 });
	two.hear('one', one.frame());
	await clock.pass(20);
	t.deepEqual(two.heard[0]?.get('m a 2'), { service: 5, waiting: 2 });

	await clock.pass(3000);
	t.is(two.book.lapse(clock.nowMs()), 1);
	two.flows.fromPeers(two.book.flows.takeChanged());
	await clock.pass(20);
	t.is(two.heard[0]?.get('m a 2')?.waiting, 0, 'a silent router has nothing waiting');
	t.is(two.flows.size, 0);
	t.is(two.book.flows.size, 0);

	one.worker(0, { waiting: 1, service: 400 });
	const again = new LoadTeller(
		{ rowsMax: 4, idOf: () => undefined, own: () => 0, flows: () => one.flows.own.all() },
		{ heartbeatMs: 200, fullMs: 1000 },
	);
	two.book.begin('one', clock.nowMs());
	two.hear('one', again.next(clock.nowMs(), 0));
	await clock.pass(20);
	t.deepEqual(two.heard[0]?.get('m a 2'), { service: 5, waiting: 1 });
});

test('frames that are lost or overtaken heal', async (t) => {
	const { clock, one, two } = pair();
	one.worker(0, { waiting: 1, service: 10 });
	const first = one.frame();
	one.worker(0, { waiting: 2, service: 10 });
	two.hear('one', one.frame());
	two.hear('one', first);
	one.worker(0, { waiting: 0, service: 10 });
	one.frame();
	await clock.pass(20);
	t.deepEqual(two.heard[0]?.get('m a 2'), { service: 20, waiting: 2 });
	await clock.pass(1000);
	two.hear('one', one.frame());
	await clock.pass(20);
	t.deepEqual(two.heard[0]?.get('m a 2'), { service: 30, waiting: 0 }, 'a full frame tells everything');
});

test('a router of before tells of no flows and is told of them in vain', async (t) => {
	const { clock, one, two } = pair();
	t.is(one.frame(), undefined, 'nothing to tell');
	one.worker(0, { waiting: 1 });
	const { flows, ...old } = one.frame() as LoadFrame;
	t.is(flows.length, 1);
	two.hear('one', frameWith(old));
	await clock.pass(20);
	t.is(two.flows.size, 0);
	t.is(two.heard[0]?.size, 0);
});

test('tables have bounds: what finds no room is counted, and what waits is not pushed out', (t) => {
	const clock = new HandClock();
	const names = Array.from({ length: 1100 }, (_, at) => `t${at}`);
	const one = new Agent(clock, 1, ['m'], names);
	for (let tenant = 1; tenant <= 1024; tenant++) one.worker(0, { tenant, waiting: tenant % 2 });
	for (let tenant = 1025; tenant <= 1100; tenant++) one.worker(0, { tenant, waiting: 1 });
	t.is(one.flows.own.size, 1024);
	t.is(one.dropped, 0, 'those that had nothing waiting made room');
	for (let tenant = 1; tenant <= 1100; tenant++) one.worker(0, { tenant, waiting: 1 });
	t.is(one.flows.own.size, 1024);
	t.true(one.dropped > 0);

	const two = new Agent(clock, 1, ['m'], names);
	two.book.begin('one', 0);
	t.deepEqual(two.book.apply('one', one.frame() as LoadFrame, 0), { ok: false, field: 'flows' }, 'more than may be');
	two.book.begin('few', 0);
	two.book.begin('more', 0);
	const frameOf = (from: number, count: number): LoadFrame =>
		frameWith({
			sequence: 1,
			full: true,
			flows: Array.from({ length: count }, (_, at) => ({
				number: at,
				model: 'm',
				tenant: `t${from + at}`,
				band: 2,
				service: 0,
				waiting: 1,
			})),
		});
	two.hear('few', frameOf(0, 5));
	two.hear('more', frameOf(5, 8));
	t.is(two.book.flows.size, bookOptions.flowsMax);
	t.is(two.book.flows.takeDropped(), 5);
	t.is(two.book.flows.takeDropped(), 0);
});

test('a flow with no sound name, band or sum is refused with its frame', (t) => {
	const { two } = pair();
	const flow = { number: 1, model: 'm', tenant: 'a', band: 2, service: 1, waiting: 1 };
	for (const wrong of [{ model: '' }, { tenant: 'x'.repeat(600) }, { band: 99 }, { service: Number.NaN }]) {
		const frame = frameWith({ sequence: 9, flows: [{ ...flow, ...wrong }] });
		t.deepEqual(two.book.apply('one', frame, 0), { ok: false, field: 'flows' });
	}
	t.is(two.book.flows.size, 0);
});
