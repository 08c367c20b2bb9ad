// The turns of arms: all of them get the same work, each in slots of its own.
import { syntheticTrace, type TraceSource } from '@infermesh/host';
import test from 'ava';
import { turnsOf } from './slices.js';

async function all<T>(walk: AsyncIterable<T>): Promise<readonly T[]> {
	const items: T[] = [];
	for await (const item of walk) items.push(item);
	return items;
}

/** What a request asks for, and when in its slot. */
function workOf(request: Request): object {
	return { ...request, atMs: Math.round((request.atMs % turns.slotMs) * 1000) };
}

type Request = TraceSource extends AsyncIterable<infer T> ? T : never;

const turns = { arms: 3, rounds: 4, slotMs: 1000 };

test('every arm replays the same requests in the same order, and at no time do two of them', async (t) => {
	const walked = await Promise.all(
		[0, 1, 2].map((arm) =>
			all(
				turnsOf(
					syntheticTrace({
						ratePerSecond: 20,
						arrivals: { kind: 'poisson' },
						input: { kind: 'lognormal', mean: 100, cv: 1 },
						output: { kind: 'lognormal', mean: 100, cv: 1 },
						seed: 3,
					}),
					turns,
					arm,
				),
			),
		),
	);
	const [first = []] = walked;
	t.true(first.length > 40);
	const owners = new Map<number, number>();
	for (const [arm, requests] of walked.entries()) {
		t.deepEqual(requests.map(workOf), first.map(workOf));
		for (const [index, { atMs }] of requests.entries()) {
			const slot = Math.floor(atMs / turns.slotMs);
			t.is(owners.get(slot) ?? arm, arm);
			owners.set(slot, arm);
			t.true(index === 0 || atMs >= (requests[index - 1]?.atMs ?? 0));
		}
	}
	t.is(Math.max(...owners.keys()), turns.arms * turns.rounds - 1);
});
