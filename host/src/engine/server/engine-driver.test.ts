// The driver between model time and a clock the test turns by hand.
import type { Clock, Timer } from '@infermesh/proto';
import test from 'ava';
import type { EngineModel } from '../model/engine-model.js';
import { smallEngine } from '../model/engine-model.test-support.js';
import type { Sequence } from '../model/sequence.js';
import { EngineDriver } from './engine-driver.js';

/** A clock that moves when told, and fires its timers then. */
class HandClock implements Clock {
	#nowMs = 5000;
	#timers: { atMs: number; fn: () => void }[] = [];

	nowMs(): number {
		return this.#nowMs;
	}

	wallMs(): number {
		return this.#nowMs;
	}

	get timers(): number {
		return this.#timers.length;
	}

	after(delayMs: number, fn: () => void): Timer {
		const timer = { atMs: this.#nowMs + delayMs, fn };
		this.#timers.push(timer);
		return {
			cancel: () => {
				this.#timers = this.#timers.filter((other) => other !== timer);
			},
		};
	}

	every(): Timer {
		throw new Error('the driver needs no periodic timer');
	}

	/** Time passes; due timers fire once, at the end: what a busy event loop does. */
	advance(ms: number): void {
		this.#nowMs += ms;
		const due = this.#timers.filter(({ atMs }) => atMs <= this.#nowMs);
		this.#timers = this.#timers.filter(({ atMs }) => atMs > this.#nowMs);
		for (const { fn } of due) fn();
	}
}

interface Heard {
	tokens: number;
	finished: boolean;
	turns: number;
	gapsUs: number[];
}

function setUp(options: { speed?: number; lagMsMax?: number } = {}): {
	clock: HandClock;
	model: EngineModel;
	driver: EngineDriver;
	heard: Heard;
	submit: (outputTokens: number, onToken?: (sequence: Sequence) => void) => Sequence;
} {
	const clock = new HandClock();
	const heard: Heard = { tokens: 0, finished: false, turns: 0, gapsUs: [] };
	// A step of one decode takes 1,001 microseconds.
	const model = smallEngine(
		{ kvBlocks: 4000 },
		{ stepUs: (shape) => 1000 + shape.prefillTokens + shape.decodeSequences },
	);
	const driver = new EngineDriver({
		clock,
		model,
		speed: options.speed ?? 1,
		lagMsMax: options.lagMsMax ?? 10_000,
		observe: (_sequence, gapUs) => heard.gapsUs.push(gapUs),
		afterTurn: () => {
			heard.turns++;
		},
	});
	const submit = (outputTokens: number, onToken: (sequence: Sequence) => void = () => undefined): Sequence => {
		const sequence = driver.submit(
			{ promptTokens: 1, outputTokens },
			{
				onToken: (emitted) => {
					heard.tokens++;
					onToken(emitted);
				},
				onFinish: () => {
					heard.finished = true;
				},
			},
		);
		if (typeof sequence === 'string') throw new Error(sequence);
		return sequence;
	};
	return { clock, model, driver, heard, submit };
}

test('a late timer runs all steps that are due, at their exact model times, in one turn', (t) => {
	const { clock, heard, submit } = setUp();
	const sequence = submit(10);
	t.is(heard.tokens, 0);
	clock.advance(5.1);
	t.is(heard.tokens, 5);
	t.is(heard.turns, 1);
	clock.advance(100);
	t.true(heard.finished);
	t.is(sequence.finishedUs, 10 * 1001, 'lateness does not add up');
	t.deepEqual(heard.gapsUs, [-1, ...Array.from({ length: 9 }, () => 1001)]);
	t.is(clock.timers, 0, 'an idle engine holds no timer');
});

test('speed makes model time pass faster', (t) => {
	const { clock, driver, heard, submit } = setUp({ speed: 10 });
	submit(10);
	clock.advance(0);
	clock.advance(0.99);
	t.is(heard.tokens, 0, 'timers have whole milliseconds');
	clock.advance(0.02);
	t.is(heard.tokens, 10);
	t.is(driver.seconds(10_000), 0.001);
});

test('lag beyond its bound is given up and counted, and no token is lost', (t) => {
	const { clock, driver, heard, submit } = setUp({ lagMsMax: 20 });
	submit(100);
	clock.advance(500);
	t.true(heard.tokens < 5, `${heard.tokens} tokens in the late turn`);
	t.true(Math.abs(driver.slipSeconds - 0.499) < 0.002, `${driver.slipSeconds} s slipped`);
	for (let i = 0; i < 20; i++) clock.advance(10);
	t.is(heard.tokens, 100);
});

test('what arrives late joins steps that start after it, never before', (t) => {
	const { clock, submit } = setUp();
	submit(50);
	clock.advance(10.5);
	const second = submit(1);
	clock.advance(10);
	t.is(second.arrivalUs, 10_500);
	t.is(second.scheduledUs, 11 * 1001, 'the step in flight ends first');
});

test('a listener may cancel from within and hears nothing after', (t) => {
	const { clock, driver, model, heard, submit } = setUp();
	submit(50, (sequence) => {
		if (sequence.generatedTokens === 3) driver.cancel(sequence);
	});
	clock.advance(30);
	t.is(heard.tokens, 3);
	t.false(heard.finished);
	t.is(model.kvBlocksUsed, 0);
	t.is(clock.timers, 0);
});

test('a closed driver does nothing more', (t) => {
	const { clock, driver, heard, submit } = setUp();
	submit(5);
	driver.close();
	clock.advance(50);
	t.is(heard.tokens, 0);
	t.is(clock.timers, 0);
});
