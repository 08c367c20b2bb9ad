// Sessions and elections over the contract: who believes to hold a lease, and when it stops believing so.
import type { Clock, Timer } from '@infermesh/proto';
import { SeededRandom } from '@infermesh/proto';
import test from 'ava';
import { bytes, eventually, textOf } from './contract/cluster.js';
import { Election } from './election.js';
import { hasCode } from './errors.js';
import { Session } from './session.js';
import { loneEngine, RealClock } from './testing/lone.js';

const random = new SeededRandom(5);

/** A clock that can be stopped with its process: it goes on counting, its timers fire late. */
class StoppableClock implements Clock {
	readonly #real = new RealClock();
	#aheadMs = 0;
	#stopped = false;
	readonly #late: (() => void)[] = [];

	nowMs(): number {
		return this.#real.nowMs() + this.#aheadMs;
	}

	wallMs(): number {
		return this.#real.wallMs() + this.#aheadMs;
	}

	after(delayMs: number, fn: () => void): Timer {
		return this.#real.after(delayMs, () => (this.#stopped ? void this.#late.push(fn) : fn()), { unref: true });
	}

	every(periodMs: number, fn: () => void): Timer {
		return this.#real.every(periodMs, fn, { unref: true });
	}

	stop(): void {
		this.#stopped = true;
	}

	/** The process wakes and `ms` are gone; timers have not fired yet. */
	wakeAfter(ms: number): void {
		this.#aheadMs += ms;
	}

	fireLate(): void {
		this.#stopped = false;
		for (const fn of this.#late.splice(0)) fn();
	}
}

test('a session keeps its lease past its time, and closing it ends the lease at once', async (t) => {
	const { engine, store } = loneEngine();
	const clock = new RealClock();
	const session = await Session.open({ engine, clock, ttlMs: 600 });
	const until = clock.nowMs() + 1_500;
	await eventually('time to pass', () => clock.nowMs() > until);
	t.true(session.alive);
	t.true(session.certainMs > 0 && session.certainMs <= 600);
	t.truthy(store.lease(session.id));
	let lost = 0;
	session.onLost(() => lost++);
	await session.close();
	await session.close();
	t.is(lost, 1);
	t.false(session.alive);
	t.is(store.lease(session.id), undefined);
	session.onLost(() => lost++);
	t.is(lost, 2, 'told at once');
	await engine.close();
});

test('cut off from the cluster, a session is lost by its own clock before the lease could end there', async (t) => {
	const { engine, replicator, store } = loneEngine();
	const clock = new RealClock();
	const session = await Session.open({ engine, clock, ttlMs: 1_000 });
	replicator.quorum = false;
	await eventually('the loss', () => !session.alive);
	t.truthy(store.lease(session.id), 'the cluster still has it');
	replicator.quorum = true;
	t.false(session.alive, 'and it stays lost');
	await engine.close();
});

test('a process that was stopped for longer than the lease finds it lost before it does anything else', async (t) => {
	const { engine, store } = loneEngine();
	const clock = new StoppableClock();
	const session = await Session.open({ engine, clock, ttlMs: 1_000 });
	let told = false;
	session.onLost(() => {
		told = true;
	});
	clock.stop();
	t.true(session.alive);
	clock.wakeAfter(30_000);
	t.false(session.alive, 'before any timer fired, and though the cluster would still renew it');
	t.true(told);
	t.truthy(store.lease(session.id));
	clock.fireLate();
	t.false(session.alive);
	await engine.close();
});

test('a lease that was ended by others is noticed with the next renewal', async (t) => {
	const { engine } = loneEngine();
	const session = await Session.open({ engine, clock: new RealClock(), ttlMs: 2_000 });
	await engine.revokeLease(session.id);
	await eventually('the loss', () => !session.alive);
	t.false(session.alive);
	await engine.close();
});

test('of many candidates one leads at a time, tokens grow, and what a former leader writes is refused', async (t) => {
	const { engine } = loneEngine();
	const clock = new RealClock();
	const election = new Election({ engine, clock, random, key: 'election/a' });
	const tokens: number[] = [];
	let leading = 0;
	const candidate = async (name: string): Promise<void> => {
		const session = await Session.open({ engine, clock, ttlMs: 5_000 });
		const leadership = await election.campaign(session, bytes(name));
		t.is(++leading, 1, 'nobody else leads');
		tokens.push(leadership.token);
		t.true(leadership.holds);
		t.is(textOf(await election.leader()), name);
		const write = { when: [leadership.guard], then: [{ put: 'work', value: bytes(name) }] };
		t.true((await engine.transact(write)).held);
		leading--;
		if (name.endsWith('1')) await leadership.resign();
		else await session.close();
		t.false(leadership.holds);
		t.false((await engine.transact(write)).held, 'fenced');
	};
	await Promise.all(['a1', 'b2', 'c1', 'd2', 'e1'].map(candidate));
	t.is(tokens.length, 5);
	t.deepEqual(
		tokens,
		tokens.toSorted((a, b) => a - b),
	);
	await engine.close();
});

test('a leader whose key is taken away hears of it; a candidate whose session ends, or who gives up, stops waiting', async (t) => {
	const { engine } = loneEngine();
	const clock = new RealClock();
	const election = new Election({ engine, clock, random, key: 'election/a' });
	const open = () => Session.open({ engine, clock, ttlMs: 5_000 });
	const [first, second, third] = [await open(), await open(), await open()];
	const leadership = await election.campaign(first, bytes('first'));
	const waiting = election.campaign(second, bytes('second'));
	await second.close();
	t.true(hasCode(await t.throwsAsync(waiting), 'IM_CONSENSUS_LEASE_LOST'));
	const abort = new AbortController();
	const givesUp = election.campaign(third, bytes('third'), abort.signal);
	abort.abort(new Error('gave up'));
	t.is((await t.throwsAsync(givesUp)).message, 'gave up');
	let lost = 0;
	leadership.onLost(() => lost++);
	await engine.transact({ when: [], then: [{ delete: { key: 'election/a' } }] });
	await eventually('the loss', () => lost === 1);
	t.false(leadership.holds);
	t.true(first.alive, 'the session itself lives');
	await engine.close();
});

test('a session that is lost already neither waits nor leads', async (t) => {
	const { engine } = loneEngine();
	const clock = new RealClock();
	const election = new Election({ engine, clock, random, key: 'election/a' });
	const session = await Session.open({ engine, clock, ttlMs: 5_000 });
	const campaign = election.campaign(session, bytes('x'));
	await session.close();
	const outcome = await campaign.catch((error: unknown) => error);
	t.true(hasCode(outcome, 'IM_CONSENSUS_LEASE_LOST') || !(outcome as { holds: boolean }).holds);
	t.true(hasCode(await t.throwsAsync(election.campaign(session, bytes('x'))), 'IM_CONSENSUS_LEASE_LOST'));
	await engine.close();
});
