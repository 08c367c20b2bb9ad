// Open-loop pacing under a clock that the test moves: times are exact, never early, and a late generator does not shift the schedule.
import type { Clock } from '@infermesh/proto';
import test from 'ava';
import { paceOpen } from './pacing.js';
import type { TraceRequest } from './trace/types.js';

/** Moves to the next timer whenever everything else has come to rest. */
function virtualClock(lateMs = 0): Clock & { advance(ms: number): void } {
	let nowMs = 1000;
	return {
		nowMs: () => nowMs,
		wallMs: () => nowMs,
		after: (delayMs, fn) => {
			const immediate = setImmediate(() => {
				nowMs += delayMs + lateMs;
				fn();
			});
			return { cancel: () => clearImmediate(immediate) };
		},
		every: () => ({ cancel: () => {} }),
		advance: (ms) => {
			nowMs += ms;
		},
	};
}

async function* at(...times: readonly number[]): AsyncGenerator<TraceRequest> {
	for (const atMs of times) yield { atMs, inputTokens: 1, outputTokens: 1 };
}

const unlimited = { startMs: 1000, requests: Number.POSITIVE_INFINITY, durationMs: Number.POSITIVE_INFINITY, speed: 1 };

test('requests go out at start + time / speed, never early', async (t) => {
	const clock = virtualClock(0.25);
	const sent: [number, number][] = [];
	const options = { ...unlimited, clock, speed: 2, signal: new AbortController().signal };
	await paceOpen(at(0, 5, 5, 100), options, (_request, intendedMs) => sent.push([intendedMs, clock.nowMs()]));
	t.deepEqual(
		sent.map(([intendedMs]) => intendedMs),
		[1000, 1002.5, 1002.5, 1050],
	);
	for (const [intendedMs, nowMs] of sent) t.true(nowMs >= intendedMs && nowMs < intendedMs + 2);
});

test('after a stall the due requests go at once, with their intended times', async (t) => {
	const clock = virtualClock();
	const sent: [number, number][] = [];
	const options = { ...unlimited, clock, signal: new AbortController().signal };
	await paceOpen(at(0, 10, 20, 30, 200), options, (_request, intendedMs) => {
		if (sent.length === 0) clock.advance(100);
		sent.push([intendedMs, clock.nowMs()]);
	});
	t.deepEqual(sent, [
		[1000, 1100],
		[1010, 1100],
		[1020, 1100],
		[1030, 1100],
		[1200, 1200],
	]);
});

test('far behind, sockets get a turn between bursts', async (t) => {
	const clock = virtualClock();
	let turns = 0;
	let running = true;
	const count = (): void => {
		turns++;
		if (running) setImmediate(count);
	};
	setImmediate(count);
	const options = { ...unlimited, startMs: -100_000, clock, signal: new AbortController().signal };
	await paceOpen(at(...Array.from({ length: 320 }, () => 0)), options, () => {});
	running = false;
	t.true(turns >= 9, `${turns} turns`);
});

test('a limit of requests, of time, or an abort ends pacing', async (t) => {
	const send = (list: number[]) => (request: TraceRequest) => void list.push(request.atMs);
	const clock = virtualClock();
	const base = { ...unlimited, startMs: clock.nowMs(), clock, signal: new AbortController().signal };
	const byCount: number[] = [];
	await paceOpen(at(0, 1, 2), { ...base, requests: 2 }, send(byCount));
	t.deepEqual(byCount, [0, 1]);
	const byTime: number[] = [];
	await paceOpen(at(0, 10, 20), { ...base, durationMs: 20 }, send(byTime));
	t.deepEqual(byTime, [0, 10]);
	const stop = new AbortController();
	const byAbort: number[] = [];
	await paceOpen(at(0, 1e9), { ...base, signal: stop.signal }, (request) => {
		byAbort.push(request.atMs);
		stop.abort();
	});
	t.deepEqual(byAbort, [0]);
});
