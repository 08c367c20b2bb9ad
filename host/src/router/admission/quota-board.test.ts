// Quotas in shared memory: what is spent never exceeds what was leased, what is settled comes out exactly, and a dead worker's places come back.
import test from 'ava';
import * as fc from 'fast-check';
import { CONCURRENCY, createQuotaBoard, QuotaBoard, quotaDimensions } from './quota-board.js';

const TENANT = 3;
const ALL_RATES = (1 << quotaDimensions.length) - 1;
const rates = (burst: number) => quotaDimensions.map(() => ({ burst, perMs: 1 }));

function board(limited: number, burst = 1000): QuotaBoard {
	const made = new QuotaBoard(createQuotaBoard(8, 2));
	made.limit(TENANT, limited, rates(burst), 1, 0);
	return made;
}

test('spending stays within what was leased, in every dimension, and settling is exact', (t) => {
	const step = fc.record({
		in: fc.nat(40),
		out: fc.nat(40),
		actual: fc.nat(80),
		sent: fc.boolean(),
		worker: fc.nat(1),
		grant: fc.array(fc.nat(60), { minLength: 5, maxLength: 5 }),
	});
	fc.assert(
		fc.property(fc.array(step, { maxLength: 100 }), (steps) => {
			const one = board(ALL_RATES);
			const granted = quotaDimensions.map(() => 0);
			const spent = quotaDimensions.map(() => 0);
			for (const { in: tokensIn, out: tokensOut, actual, sent, worker, grant } of steps) {
				grant.forEach((amount, at) => {
					one.grant(TENANT, at, amount);
					granted[at] = (granted[at] ?? 0) + amount;
				});
				const charge = { tokensIn, tokensOut };
				const amounts = [1, 1, tokensIn, tokensOut, tokensIn + tokensOut];
				const before = quotaDimensions.map((_, at) => one.balance(TENANT, at));
				const short = one.take(worker, TENANT, charge);
				if (short >= 0) {
					if ((before[short] as number) >= (amounts[short] as number)) return false;
					if (quotaDimensions.some((_, at) => one.balance(TENANT, at) !== before[at])) return false;
					continue;
				}
				// Taken only where there was enough: a balance is not spent below zero.
				if (amounts.some((amount, at) => amount > 0 && (before[at] as number) < amount)) return false;
				one.settle(
					worker,
					TENANT,
					ALL_RATES,
					charge,
					sent ? { tokensIn, tokensOut: actual } : { tokensIn: 0, tokensOut: 0 },
					sent ? 1 : 0,
				);
				const real = sent ? [1, 1, tokensIn, actual, tokensIn + actual] : [0, 0, 0, 0, 0];
				real.forEach((amount, at) => (spent[at] = (spent[at] ?? 0) + amount));
			}
			return quotaDimensions.every(
				(_, at) =>
					one.balance(TENANT, at) === (granted[at] as number) - (spent[at] as number) &&
					one.spent(TENANT, at) === spent[at],
			);
		}),
		{ numRuns: 200 },
	);
	t.pass();
});

test('never more at once than there are places, and a place comes back with its request', (t) => {
	const one = board(1 << CONCURRENCY);
	const charge = { tokensIn: 5, tokensOut: 5 };
	t.is(one.take(0, TENANT, charge), CONCURRENCY, 'without a lease there is no place');
	one.grantSlots(TENANT, 2);
	t.is(one.take(0, TENANT, charge), -1);
	t.is(one.take(1, TENANT, charge), -1);
	t.is(one.take(1, TENANT, charge), CONCURRENCY);
	one.settle(0, TENANT, one.limited(TENANT), charge, charge, 1);
	t.is(one.inUse(TENANT), 1);
	t.is(one.take(0, TENANT, charge), -1);
	t.is(one.slotsDenied(TENANT), 2);
});

test('what a dead worker had running and waiting is taken back, and nobody else’s', (t) => {
	const one = board(1 << CONCURRENCY);
	one.grantSlots(TENANT, 10);
	for (let n = 0; n < 3; n++) one.take(0, TENANT, { tokensIn: 1, tokensOut: 1 });
	one.take(1, TENANT, { tokensIn: 1, tokensOut: 1 });
	one.waits(0, TENANT, 1);
	one.waits(1, TENANT, 1);
	one.reclaim(0);
	t.is(one.inUse(TENANT), 1);
	t.is(one.waiting(TENANT), 1);
});

test('taking back never takes what has been spent meanwhile', (t) => {
	const one = board(1);
	one.grant(TENANT, 0, 10);
	t.is(one.takeBack(TENANT, 0, 4), 4);
	t.is(one.takeBack(TENANT, 0, 100), 6);
	t.is(one.takeBack(TENANT, 0, 100), 0);
	t.is(one.balance(TENANT, 0), 0);
});

test('a prompt that never fits is known as such, and expected output is charged only as far as it could fit', (t) => {
	const one = board(ALL_RATES, 100);
	t.true(one.tooLarge(TENANT, { tokensIn: 101, tokensOut: 0 }) >= 0);
	t.is(one.tooLarge(TENANT, { tokensIn: 100, tokensOut: 5000 }), -1);
	t.is(one.outputCeiling(TENANT, 30), 70);
	t.is(one.limited(5), 0, 'a tenant without a quota is not limited');
	t.is(one.limited(9999), 0, 'nor one the board has no row for');
});
