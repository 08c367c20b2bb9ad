// How requests of an experiment are counted: the number they are counted under, what each end counts as, that counts of many merge to those of all, and bounds.
import { SeededRandom } from '@infermesh/proto';
import test from 'ava';
import { assert, boolean, integer, property } from 'fast-check';
import { CohortBook } from './book.js';
import { BLOCKS_MAX, cohortNumber, cohortOf, NO_COHORT } from './cohort.js';
import { CohortCounts } from './counts.js';
import { count, type EndedRequest, judge } from './judge.js';

const objectives = { ttftMs: 1000, tpotMs: 50, ttftPerTokenMs: 0.1 };

const streamed: EndedRequest = {
	status: 200,
	stream: true,
	tokensIn: 100,
	tokensOut: 11,
	ttftMs: 400,
	durationMs: 800,
	failed: false,
	attempts: 1,
	tokensComputed: 111,
	tokensWasted: 0,
	hedge: 'none',
};

test('a cohort is one number, exact and never that of no experiment', (t) => {
	assert(
		property(
			integer({ min: 1, max: 0xffff_ffff }),
			integer({ min: 0, max: BLOCKS_MAX - 1 }),
			boolean(),
			boolean(),
			(tag, block, isCandidate, isBurnIn) => {
				const number = cohortNumber(tag, block, isCandidate, isBurnIn);
				const back = cohortOf(number);
				return (
					Number.isSafeInteger(number) &&
					number !== NO_COHORT &&
					back.tag === tag &&
					back.block === block &&
					back.burnIn === isBurnIn &&
					(back.arm === 'candidate') === isCandidate
				);
			},
		),
		{ seed: 5 },
	);
	t.pass();
});

test('a request counts as what it was for its client', (t) => {
	const as = (change: Partial<EndedRequest>) => judge({ ...streamed, ...change }, objectives);
	t.is(as({}), 'good');
	t.is(as({ ttftMs: 1011 }), 'late', 'the first token after 1000 + 0.1 · 100 ms');
	t.is(as({ ttftMs: 1010, durationMs: 1200 }), 'good', 'a prompt gets time for its length');
	t.is(as({ durationMs: 400 + 501 }), 'late', 'further tokens slower than 50 ms');
	t.is(as({ failed: true }), 'failed', 'a stream that broke off');
	t.is(as({ status: 502, ttftMs: 0 }), 'failed');
	t.is(as({ status: 429, ttftMs: 0 }), 'failed', 'a strategy that refuses does not win by it');
	t.is(as({ status: 404, ttftMs: 0 }), 'invalid');
	t.is(as({ status: 499, ttftMs: 0, durationMs: 900 }), 'left');
	t.is(
		as({ status: 499, ttftMs: 0, durationMs: 1100 }),
		'late',
		'who waits longer than promised and leaves was failed',
	);
	t.is(as({ status: 499, ttftMs: 300, durationMs: 5000 }), 'left');
	t.is(as({ stream: false, ttftMs: 0, durationMs: 1560 }), 'good', 'in one piece: 1010 + 11 · 50 ms');
	t.is(as({ stream: false, ttftMs: 0, durationMs: 1561 }), 'late');
});

test('counts of several workers merge to the counts of one that saw all', (t) => {
	const random = new SeededRandom(7, 1);
	const whole = new CohortCounts();
	const parts = [new CohortCounts(), new CohortCounts(), new CohortCounts()];
	const ttfts: number[] = [];
	for (let n = 0; n < 3000; n++) {
		const ttftMs = Math.round(Math.exp(random.nextFloat() * 9) * 8) / 8;
		const durationNs = Math.floor(random.nextFloat() * 200_000);
		ttfts.push(ttftMs);
		for (const counts of [whole, parts[n % 3] as CohortCounts]) {
			counts.decided(n % 100 === 0 ? 'trap' : 'none', durationNs, n);
			counts.add('begun', 1);
			count(counts, { ...streamed, ttftMs, durationMs: ttftMs + 100 }, objectives);
		}
	}
	const merged = new CohortCounts();
	for (const part of parts) merged.merge(part);
	t.deepEqual(merged.cells, whole.cells);
	t.is(whole.ended, 3000);
	t.is(whole.faults('trap'), 30);
	t.is(whole.get('fuelMax'), 2999);
	ttfts.sort((a, b) => a - b);
	for (const q of [0.5, 0.9, 0.99]) {
		const exact = ttfts[Math.ceil(q * ttfts.length) - 1] as number;
		t.true(Math.abs(whole.ttftQuantile(q) / exact - 1) < 0.06, `p${q * 100}: ${whole.ttftQuantile(q)} for ${exact}`);
	}
});

test('a book keeps a bounded number of cohorts, and hands over each count once', (t) => {
	const book = new CohortBook(3);
	for (const cohort of [1, 2, 3, 4]) book.of(cohort).add('begun', cohort);
	t.deepEqual(
		[...book.entries()].map(([cohort]) => cohort),
		[2, 3, 4],
	);
	const agent = new CohortBook(8);
	agent.merge(book.drain());
	agent.merge(book.drain());
	book.of(4).add('begun', 1);
	agent.merge(book.drain());
	t.is(agent.get(4)?.get('begun'), 5);
	agent.retain((cohort) => cohort >= 3);
	t.is(agent.size, 2);
});
