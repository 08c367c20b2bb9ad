// Quotas leased by several routers from one account: together they never spend more than the account held, whoever is cut off, and what is not needed
// comes back.
import test from 'ava';
import * as fc from 'fast-check';
import { levelAt, move } from './ledger.js';
import { limitsOf } from './limits.js';
import { limit, type Router, routers, TENANT } from './testing-routers.js';

const REQUESTS = 1;

async function taken(router: Router, tries: number): Promise<number> {
	let taken = 0;
	for (let n = 0; n < tries; n++) if (await router.take()) taken++;
	return taken;
}

test('several routers together let through what the quota says, and the rest as it comes back', async (t) => {
	const { clock, all } = routers(t, 3);
	limit(all, { requestsPerMinute: 60 });
	let through = 0;
	for (const router of all) through += await taken(router, 40);
	t.true(through >= 40 && through <= 60, `some may be leased and not spent yet: ${through}`);
	await clock.pass(10_000);
	for (let round = 0; round < 3; round++) for (const router of all) through += await taken(router, 40);
	t.true(through >= 65 && through <= 70, `ten seconds bring back ten of sixty a minute: ${through}`);
});

test('a router that is cut off spends what it holds and no more, and the others lose nothing else by it', async (t) => {
	const { clock, all } = routers(t, 2);
	const [cut, well] = all as [Router, Router];
	limit(all, { requestsPerMinute: 600 });
	for (let n = 0; n < 20; n++) {
		await taken(cut, 5);
		await clock.pass(500);
	}
	const held = cut.board.balance(TENANT, REQUESTS);
	t.true(held > 0 && held < 100, `it holds what about two seconds take: ${held}`);
	cut.link.cut = 'refuses';
	t.is(await taken(cut, 200), held);
	let rest = 0;
	for (let n = 0; n < 600; n++) if (await well.take()) rest++;
	t.true(held + rest <= 600, `${held} + ${rest}`);
	t.true(rest >= 400, 'the others have what the cut one does not hold');
});

test('what was leased and not renewed in time is not spent: it lapses, and goes back once the mesh is reached again', async (t) => {
	const { clock, all } = routers(t, 1);
	const [router] = all as [Router];
	limit(all, { requestsPerMinute: 600, concurrency: 10 });
	for (let n = 0; n < 10; n++) {
		for (let m = 0; m < 5; m++) if (await router.take()) router.end();
		await clock.pass(500);
	}
	const held = router.board.balance(TENANT, REQUESTS);
	t.true(held > 0);
	router.link.cut = 'refuses';
	await clock.pass(6000);
	t.is(router.board.balance(TENANT, REQUESTS), 0);
	t.is(router.board.slots(TENANT), 0);
	t.false(await router.take());
	router.link.cut = 'none';
	await clock.pass(1000);
	const [account] = [...(await router.keeper.accounts()).values()];
	t.true(levelAt(account?.buckets.requestsPerMinute, { burst: 600, perMs: 0.01 }, clock.wallMs()) > 500);
	t.true(await router.take());
});

test('an answer that is lost costs the tenant at most the lease it was about, and lets nobody overspend', async (t) => {
	const { clock, all } = routers(t, 2);
	const [lossy, well] = all as [Router, Router];
	limit(all, { requestsPerMinute: 100 });
	lossy.link.cut = 'answer_lost';
	const first = await taken(lossy, 5);
	t.is(first, 0);
	lossy.link.cut = 'none';
	await clock.pass(500);
	const through = (await taken(lossy, 100)) + (await taken(well, 200));
	t.true(through <= 101 && through >= 85, `${through}`);
});

test('a tenant that rests gives back what it held, and costs no writes from then on', async (t) => {
	const { clock, all } = routers(t, 1);
	const [router] = all as [Router];
	limit(all, { requestsPerMinute: 600, concurrency: 20 });
	for (let n = 0; n < 10; n++) {
		for (let m = 0; m < 5; m++) if (await router.take()) router.end();
		await clock.pass(500);
	}
	await clock.pass(60_000);
	t.is(router.board.balance(TENANT, REQUESTS), 0);
	const before = await router.keeper.accounts();
	t.deepEqual(before.get('acme')?.held, {});
	await clock.pass(120_000);
	t.deepEqual(await router.keeper.accounts(), before);
});

test('places of a tenant are held by one router at a time, move to where they are wanted, and outlive no router', async (t) => {
	const { clock, all } = routers(t, 2);
	const [a, b] = all as [Router, Router];
	limit(all, { concurrency: 8 });
	t.is(await taken(a, 10), 8);
	t.is(await taken(b, 10), 0);
	for (let n = 0; n < 6; n++) a.end();
	await clock.pass(4000);
	const onB = await taken(b, 10);
	t.true(onB >= 4, `what a does not use: ${onB}`);
	t.true(a.board.inUse(TENANT) + b.board.inUse(TENANT) <= 8);
	a.link.cut = 'refuses';
	await clock.pass(7000);
	t.false(await a.take(), 'a router whose places have lapsed takes nobody in');
	t.true((await taken(b, 10)) >= 1, 'and they are free for others');
});

test('answers longer than expected are owed, and paid before anything else', async (t) => {
	const { clock, all } = routers(t, 1);
	const [router] = all as [Router];
	limit(all, { tokensOutPerMinute: 600 });
	t.true(await router.take());
	router.end(500);
	t.true(router.board.balance(TENANT, 3) < 0);
	await clock.pass(1000);
	t.true(router.board.balance(TENANT, 3) >= 0);
	const left = await taken(router, 100);
	t.true(left <= 12, `of 600 tokens 500 are gone and a second has brought 10: ${left} requests of 10`);
});

test('the first request of a tenant with limits of every kind is let in by one lease', async (t) => {
	const { all } = routers(t, 1);
	const [router] = all as [Router];
	limit(all, {
		requestsPerSecond: 10,
		requestsPerMinute: 100,
		tokensInPerMinute: 1000,
		tokensOutPerMinute: 1000,
		tokensPerMinute: 2000,
		concurrency: 4,
	});
	t.true(await router.take());
});

test('a limit that changes holds at once, and one that is taken away limits nothing', async (t) => {
	const { all } = routers(t, 1);
	const [router] = all as [Router];
	limit(all, { requestsPerMinute: 1000 });
	t.is(await taken(router, 50), 50);
	limit(all, { requestsPerMinute: 5 });
	t.true((await taken(router, 50)) <= 10, 'what the bucket holds now, and what was leased of it before');
	for (const { keeper } of all) keeper.setLimits(new Map());
	t.is(router.board.limited(TENANT), 0);
	t.is(await taken(router, 50), 50);
});

test('an account never gives more than its buckets held, whoever asks when, with clocks apart', (t) => {
	const [limits] = [...limitsOf([{ tenant: 'acme', requestsPerMinute: 120, concurrency: 7 }]).values()];
	if (limits === undefined) throw new Error('no limits');
	const ask = fc.record({
		router: fc.constantFrom('a', 'b', 'c'),
		want: fc.integer({ min: -20, max: 60 }),
		slots: fc.nat(10),
		passMs: fc.nat(3000),
		skewMs: fc.integer({ min: -2000, max: 2000 }),
	});
	fc.assert(
		fc.property(fc.array(ask, { maxLength: 100 }), (asks) => {
			let account: Parameters<typeof move>[0];
			let nowMs = 1_000_000;
			let furthestMs = nowMs - 2000;
			let given = 0;
			const out = new Map<string, number>();
			for (const { router, want, slots, passMs, skewMs } of asks) {
				nowMs += passMs;
				const seenMs = nowMs + skewMs;
				furthestMs = Math.max(furthestMs, seenMs);
				// Only what was given can be given back.
				const asked = Math.max(want, -(out.get(router) ?? 0));
				const moved = move(
					account,
					limits,
					{ rates: new Map([['requestsPerMinute', asked]]), slots },
					router,
					seenMs,
					seenMs + 5000,
				);
				account = moved.account;
				const amount = moved.given.rates.get('requestsPerMinute') ?? 0;
				if (amount > Math.max(0, asked)) return false;
				given += amount;
				out.set(router, (out.get(router) ?? 0) + amount);
				const places = Object.values(account.held).filter(({ untilMs }) => untilMs > seenMs);
				if (places.reduce((sum, place) => sum + place.slots, 0) > 7) return false;
				if ((account.buckets.requestsPerMinute?.level ?? 0) < 0) return false;
				// A bucket's worth, and what came back since by the clock that is furthest ahead.
				if (given > 120 + Math.max(0, furthestMs - 1_000_000 + 2000) * 0.002 + 1) return false;
			}
			return true;
		}),
		{ numRuns: 300 },
	);
	t.pass();
});
