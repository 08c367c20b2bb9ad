// The world itself: order, clocks, processes that die or stop, and that nothing real can be reached from inside.
import { randomBytes } from 'node:crypto';
import test from 'ava';
import { Agenda } from './agenda.js';
import { SimWorld } from './sim-world.js';

const second = 1_000_000;

test('events happen in the order of their times, then of their scheduling', async (t) => {
	const world = new SimWorld({ seed: 1 });
	const seen: string[] = [];
	world.schedule(20, 'x', () => seen.push('c'));
	world.schedule(10, 'x', () => seen.push('a'));
	world.schedule(10, 'x', () => seen.push('b'));
	world.schedule(10, 'x', () => seen.push('never')).cancelled = true;
	await world.run(15);
	t.deepEqual(seen, ['a', 'b']);
	t.is(world.nowUs, 15);
	await world.run(100);
	t.deepEqual(seen, ['a', 'b', 'c']);
});

test('the heap gives back what a sort would', (t) => {
	const agenda = new Agenda<{ readonly at: number; readonly order: number }>();
	const random = new SimWorld({ seed: 5 }).random('workload');
	const items = Array.from({ length: 2000 }, (_, order) => ({ at: random.nextU32() % 300, order }));
	const left = new Set<(typeof items)[number]>();
	const takeFirst = (): void => {
		const first = [...left].reduce((a, b) => (b.at < a.at || (b.at === a.at && b.order < a.order) ? b : a));
		t.is(agenda.nextAt, first.at);
		t.is(agenda.peek(), first);
		t.is(agenda.pop(), first);
		left.delete(first);
	};
	for (const [at, item] of items.entries()) {
		agenda.push(item.at, item);
		left.add(item);
		if (at % 3 === 2) takeFirst();
	}
	while (left.size > 0) takeFirst();
	t.is(agenda.size, 0);
	t.is(agenda.pop(), undefined);
	t.is(agenda.nextAt, Number.POSITIVE_INFINITY);
});

test('promises settle within the event that settles them', async (t) => {
	const world = new SimWorld({ seed: 1 });
	const seen: string[] = [];
	const chain = async (): Promise<void> => {
		for (let hop = 0; hop < 20; hop++) await Promise.resolve();
		seen.push(`chain at ${world.nowUs}`);
	};
	world.schedule(10, 'x', () => void chain());
	world.schedule(11, 'x', () => seen.push('next'));
	await world.run(20);
	t.deepEqual(seen, ['chain at 10', 'next']);
});

test('a rejection nobody takes fails the run', async (t) => {
	const world = new SimWorld({ seed: 1 });
	world.schedule(10, 'x', () => {
		const reject = async (): Promise<void> => {
			await Promise.resolve();
			throw new Error('lost');
		};
		void reject();
	});
	const error = await t.throwsAsync(world.run(20));
	t.is((error.cause as Error).message, 'lost');
});

const forbidden: readonly [string, () => unknown][] = [
	['Date.now', () => Date.now()],
	['new Date()', () => new Date()],
	['Math.random', () => Math.random()],
	['setTimeout', () => setTimeout(() => undefined, 1)],
	['setImmediate', () => setImmediate(() => undefined)],
	['performance.now', () => performance.now()],
	['process.hrtime', () => process.hrtime()],
	['process.hrtime.bigint', () => process.hrtime.bigint()],
	['crypto.randomBytes', () => randomBytes(4)],
	['crypto.randomUUID', () => crypto.randomUUID()],
];

for (const [name, call] of forbidden) {
	test.serial(`${name} fails a run, also when its caller swallows the throw`, async (t) => {
		const world = new SimWorld({ seed: 1 });
		world.schedule(1, 'x', () => {
			try {
				call();
			} catch {}
		});
		await t.throwsAsync(world.run(2), { message: new RegExp(`^${name.replaceAll(/[.()]/g, '\\$&')} was called`) });
		t.notThrows(() => clearTimeout(call() as NodeJS.Timeout), 'outside it works');
	});
}

test('a clock drifts, its timers with it; wall jumps do not move monotonic time', async (t) => {
	const world = new SimWorld({ seed: 2 });
	const host = world.addHost('a');
	host.installs(() => undefined);
	host.boot();
	host.clock.setDrift(500);
	const start = host.clock.nowUs;
	const wall = host.clock.wallMs();
	let fired = 0;
	host.clock.after(10_000, () => {
		fired = world.nowUs;
	});
	host.clock.jumpWall(5000);
	await world.run(10 * second);
	t.is(host.clock.nowUs - start, 10_005_000);
	t.is(host.clock.wallMs() - wall, 15_005);
	t.true(Math.abs(fired - (10 * second) / 1.0005) < 2, `fired at ${fired}`);
});

test('a crash takes timers with it; a pause only puts them off', async (t) => {
	const world = new SimWorld({ seed: 2 });
	const [crashed, paused, suspended] = ['a', 'b', 'c'].map((name) => world.addHost(name));
	if (crashed === undefined || paused === undefined || suspended === undefined) throw new Error('three hosts');
	const fired: string[] = [];
	for (const host of [crashed, paused, suspended]) {
		host.installs(() => host.clock.every(100, () => fired.push(`${host.name}${world.nowUs / 1000}`)));
		host.boot();
	}
	world.schedule(150_000, 'x', () => crashed.crash());
	world.schedule(150_000, 'x', () => paused.pause(false));
	world.schedule(150_000, 'x', () => suspended.pause(true));
	world.schedule(270_000, 'x', () => paused.resume());
	world.schedule(270_000, 'x', () => suspended.resume());
	await world.run(380_000);
	t.deepEqual(
		fired.map((line) => line.replace(/\.\d+$/, '')),
		['a100', 'b100', 'c100', 'b270', 'c320', 'b370'],
	);
});

test('streams of different purposes do not shift one another', (t) => {
	const one = new SimWorld({ seed: 9 });
	const other = new SimWorld({ seed: 9 });
	one.random('network').nextU32();
	t.is(one.random('faults').nextU32(), other.random('faults').nextU32());
	t.not(new SimWorld({ seed: 10 }).random('faults').nextU32(), new SimWorld({ seed: 9 }).random('faults').nextU32());
});
