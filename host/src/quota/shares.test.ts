// How routers share a quota that is too small for what all of them are asked: by what each is asked for, none left out, and never more than there is.
import { SeededRandom } from '@infermesh/proto';
import test from 'ava';
import * as fc from 'fast-check';
import type { QuotaAccount } from '../records/kinds.js';
import { move } from './ledger.js';
import { limitsOf } from './limits.js';
import { entitled } from './shares.js';
import { asksFor, limit, type Router, routers } from './testing-routers.js';

const LEASE_MS = 5000;

test('what comes back goes to routers by what they ask for, however often each comes by', (t) => {
	const [limits] = [...limitsOf([{ tenant: 'acme', requestsPerMinute: 600 }]).values()];
	if (limits === undefined) throw new Error('no limits');
	const router = fc.record({ perS: fc.integer({ min: 1, max: 200 }), everyMs: fc.integer({ min: 50, max: 1000 }) });
	fc.assert(
		fc.property(fc.array(router, { minLength: 2, maxLength: 5 }), fc.integer(), (all, seed) => {
			const random = new SeededRandom(seed);
			const total = all.reduce((sum, { perS }) => sum + perS, 0);
			// Only where each wants more than its part is there anything to share out.
			const part = all.map(({ perS }) => 0.9 * (perS / total) + 0.1 / all.length);
			if (all.some(({ perS }, at) => perS < 10.5 * (part[at] as number))) return true;
			const got = all.map(() => 0);
			let account: QuotaAccount | undefined;
			let given = 0;
			const nextMs = all.map(() => random.nextFloat() * 100);
			for (let nowMs = 0; nowMs < 130_000; nowMs += 10) {
				for (const [at, { perS, everyMs }] of all.entries()) {
					if (nowMs < (nextMs[at] as number)) continue;
					nextMs[at] = nowMs + everyMs * (0.5 + random.nextFloat());
					const wants = {
						rates: new Map([['requestsPerMinute', perS * 2]] as const),
						perMs: new Map([['requestsPerMinute', perS / 1000]] as const),
						slots: 0,
					};
					const moved = move(account, limits, wants, `router-${at}`, nowMs, nowMs + LEASE_MS);
					account = moved.account;
					const amount = moved.given.rates.get('requestsPerMinute') ?? 0;
					given += amount;
					if (given > 600 + nowMs * 0.01 + 1) return false;
					// The bucket that was full at first is whose comes first.
					if (nowMs >= 10_000) got[at] = (got[at] as number) + amount;
				}
			}
			const sum = got.reduce((a, b) => a + b, 0);
			return sum > 1150 && got.every((amount, at) => Math.abs(amount / sum - (part[at] as number)) < 0.02);
		}),
		{ numRuns: 60 },
	);
	t.pass();
});

test('places: none beyond what there are, nobody more than it wants, and one each as far as they go', (t) => {
	const place = fc.record({
		wanted: fc.nat(20),
		slots: fc.nat(20),
		sinceMs: fc.option(fc.nat(100), { nil: undefined }),
	});
	fc.assert(
		fc.property(fc.array(place, { minLength: 1, maxLength: 8 }), fc.nat(24), (all, places) => {
			const routersBy = Object.fromEntries(
				all.map(({ sinceMs, ...rest }, at) => [
					`router-${at}`,
					{ ...rest, untilMs: 1, ...(sinceMs === undefined ? {} : { sinceMs }) },
				]),
			);
			const given = [...entitled(places, routersBy).values()];
			const wanted = all.reduce((sum, one) => sum + one.wanted, 0);
			const asking = all.filter((one) => one.wanted > 0).length;
			return (
				given.reduce((a, b) => a + b, 0) === Math.min(places, wanted) &&
				given.every((slots, at) => slots <= (all[at]?.wanted ?? 0)) &&
				given.filter((slots) => slots > 0).length === Math.min(asking, places)
			);
		}),
		{ numRuns: 2_000 },
	);
	t.pass();
});

test('three routers with uneven traffic: the busy one gets the larger part, the quiet one its own, and together what the quota says', async (t) => {
	const { clock, all } = routers(t, 3);
	limit(all, { requestsPerMinute: 600 });
	const perS = [40, 8, 2];
	await asksFor(all, perS, clock, 15_000);
	const got = await asksFor(all, perS, clock, 60_000);
	const sum = got.reduce((a, b) => a + b, 0);
	t.log(`of ten a second for a minute, asked for 40, 8 and 2 a second: ${got.join(', ')}`);
	t.true(sum >= 540 && sum <= 600 + 30, `${sum}`);
	const [busy, middle, quiet] = got as [number, number, number];
	t.true(busy > 2.5 * middle && middle > 1.5 * quiet, got.join(', '));
	t.true(quiet >= 20, `a tenth is shared equally: ${quiet}`);
});

test('a router that falls silent gives back at once what it held, for who is asked now', async (t) => {
	const { clock, all } = routers(t, 2);
	const [first, second] = all as [Router, Router];
	limit(all, { requestsPerMinute: 600 });
	await asksFor(all, [30, 0], clock, 30_000);
	await clock.pass(2000);
	t.is(first.board.balance(1, 1), 0, 'long before its lease ends');
	const got = await asksFor([second], [30], clock, 10_000);
	t.true((got[0] ?? 0) >= 95, `all that comes back is the other’s: ${got[0]}`);
});

test('a router that died leaves its part to the others within a lease', async (t) => {
	const { clock, all } = routers(t, 2);
	const [dead, lives] = all as [Router, Router];
	limit(all, { requestsPerMinute: 600 });
	await asksFor(all, [40, 40], clock, 20_000);
	dead.link.cut = 'refuses';
	await clock.pass(LEASE_MS);
	const got = await asksFor([lives], [40], clock, 20_000);
	t.true((got[0] ?? 0) >= 185, `${got[0]}`);
});

test('places of a concurrency come to a router that asks for few, however many another has waiting; never more are in use than allowed', async (t) => {
	const { clock, all } = routers(t, 2);
	const [busy, quiet] = all as [Router, Router];
	limit(all, { concurrency: 8 });
	const running: { readonly router: Router; readonly endMs: number }[] = [];
	let most = 0;
	let quietGot = 0;
	for (let nowMs = 0; nowMs < 60_000; nowMs += 100) {
		for (const one of running.filter(({ endMs }) => endMs <= nowMs)) {
			one.router.end();
			running.splice(running.indexOf(one), 1);
		}
		for (const [router, tries] of [
			[busy, 4],
			[quiet, nowMs % 2000 === 0 ? 1 : 0],
		] as const)
			for (let n = 0; n < tries; n++)
				if (await router.take()) {
					running.push({ router, endMs: nowMs + 3000 });
					if (router === quiet) quietGot++;
				}
		most = Math.max(most, busy.board.inUse(1) + quiet.board.inUse(1));
		await clock.pass(100);
	}
	t.is(most, 8);
	t.log(`of 30 asked for one by one beside a router that is always full: ${quietGot}`);
	t.true(quietGot >= 8, `${quietGot}`);
});
