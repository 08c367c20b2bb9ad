// The bounds of the waiting room, and what it says of how long a request would wait.
import test from 'ava';
import * as fc from 'fast-check';
import type { Waiting } from './flow-band.js';
import { admissionDefaults } from './options.js';
import { WaitingRoom } from './waiting-room.js';

const NEVER = Number.POSITIVE_INFINITY;

function arrival(tenant: number, band: number, bytes = 1, cost = 10) {
	return { item: tenant, band, tenant, weight: 1, dueMs: 0, sinceMs: 0, cost, bytes };
}

test('no bound is ever exceeded: requests, bytes, bands and tenants', (t) => {
	const options = { ...admissionDefaults, requestsMax: 20, bytesMax: 1000, tenantShare: 0.25 };
	fc.assert(
		fc.property(
			fc.array(
				fc.record({
					tenant: fc.nat(5),
					band: fc.nat(3),
					pool: fc.nat(2),
					bytes: fc.integer({ min: 1, max: 200 }),
					leaves: fc.boolean(),
				}),
				{ maxLength: 200 },
			),
			(steps) => {
				const room = new WaitingRoom<number>(options);
				const inside: { readonly pool: number; readonly entry: Waiting<number> }[] = [];
				for (const { tenant, band, pool, bytes, leaves } of steps) {
					if (leaves && inside.length > 0) {
						const { pool: from, entry } = inside.shift() as (typeof inside)[number];
						room.leave(from, entry, 0);
					}
					const entered = room.enter(pool, arrival(tenant, band, bytes), 0, NEVER);
					if (!('reason' in entered)) inside.push({ pool, entry: entered });
					const low = inside.filter(({ entry }) => entry.band === 3);
					const own = (pool_: number, tenant_: number, band_: number): number =>
						inside.filter((one) => one.pool === pool_ && one.entry.tenant === tenant_ && one.entry.band === band_)
							.length;
					if (room.size !== inside.length || room.size > 20) return false;
					if (room.bytes !== inside.reduce((sum, { entry }) => sum + entry.bytes, 0) || room.bytes > 1000) return false;
					if (low.length > 10 || own(pool, tenant, band) > 5) return false;
				}
				return true;
			},
		),
		{ numRuns: 200 },
	);
	t.pass();
});

test('what is urgent finds a place when the rest is full', (t) => {
	const room = new WaitingRoom<number>({ ...admissionDefaults, requestsMax: 20, tenantShare: 1 });
	let low = 0;
	while (!('reason' in room.enter(0, arrival(1, 3), 0, NEVER))) low++;
	let normal = 0;
	while (!('reason' in room.enter(0, arrival(1, 2), 0, NEVER))) normal++;
	let critical = 0;
	while (!('reason' in room.enter(0, arrival(1, 0), 0, NEVER))) critical++;
	t.deepEqual([low, normal, critical], [10, 8, 2]);
});

/** Serves one request of cost 10 every 10 ms for two seconds: a token a millisecond. */
function draining(room: WaitingRoom<number>, fromMs: number): number {
	let nowMs = fromMs;
	for (let n = 0; n < 3; n++) room.enter(0, arrival(1, 2), nowMs, NEVER);
	for (let turn = 0; turn < 200; turn++) {
		nowMs += 10;
		room.serve(0, room.next(0, nowMs) as Waiting<number>, nowMs);
		room.enter(0, arrival(1, 2), nowMs, NEVER);
	}
	return nowMs;
}

test('a request whose deadline cannot be met is told so at once, and one that can is let in', (t) => {
	const room = new WaitingRoom<number>({ ...admissionDefaults, waitMaxMs: 60_000 });
	const nowMs = draining(room, 1000);
	for (let n = 0; n < 97; n++) room.enter(0, arrival(1, 2), nowMs, NEVER);
	const waitMs = room.waitMs(0, arrival(1, 2), nowMs);
	t.true(Math.abs(waitMs - 1010) < 50, `100 requests at a token a millisecond: ${waitMs} ms`);
	const late = room.enter(0, arrival(1, 2), nowMs, nowMs + 500);
	t.true('reason' in late && late.reason === 'deadline');
	t.false('reason' in room.enter(0, arrival(1, 2), nowMs, nowMs + 2000));
});

test('a tenant that asks little is not told to wait for those that ask much', (t) => {
	const room = new WaitingRoom<number>({ ...admissionDefaults, waitMaxMs: 60_000 });
	const nowMs = draining(room, 0);
	for (let n = 0; n < 400; n++) room.enter(0, arrival(1, 2), nowMs, NEVER);
	const heavyMs = room.waitMs(0, arrival(1, 2), nowMs);
	const lightMs = room.waitMs(0, arrival(2, 2), nowMs);
	t.true(lightMs < heavyMs / 20, `${lightMs} ms against ${heavyMs} ms`);
});

test('a queue longer than requests may wait takes nobody in, and says when to come again', (t) => {
	const room = new WaitingRoom<number>({ ...admissionDefaults, waitMaxMs: 500 });
	const nowMs = draining(room, 0);
	let refusal: unknown;
	for (let n = 0; n < 200 && refusal === undefined; n++) {
		const entered = room.enter(0, arrival(1, 2), nowMs, NEVER);
		if ('reason' in entered) refusal = entered;
	}
	t.like(refusal, { reason: 'wait' });
	t.true((refusal as { retryAfterMs: number }).retryAfterMs >= 1000);
	t.true(room.size < 60);
});

test('nothing is claimed of a pool whose queue nobody has watched', (t) => {
	const room = new WaitingRoom<number>(admissionDefaults);
	for (let n = 0; n < 100; n++) room.enter(0, arrival(1, 2), 0, NEVER);
	t.is(room.waitMs(0, arrival(1, 2), 0), 0);
	t.false('reason' in room.enter(0, arrival(1, 2), 0, 1));
});

test('how long answers take counts against the deadline, of streams and whole ones apart', (t) => {
	const room = new WaitingRoom<number>(admissionDefaults);
	room.enter(0, arrival(1, 2), 0, NEVER);
	t.false(room.isHopeless(0, false, 1, 0), 'nothing is known yet');
	for (let n = 0; n < 100; n++) {
		room.answered(0, false, n % 2 === 0 ? 900 : 1100);
		room.answered(0, true, 50);
	}
	t.true(room.isHopeless(0, false, 1050, 0), 'half of all answers are slower than the mean');
	t.false(room.isHopeless(0, false, 1400, 0));
	t.false(room.isHopeless(0, true, 100, 0));
	t.true(room.isHopeless(0, true, 1040, 1000));
	const late = room.enter(0, arrival(1, 2), 0, 1000, false);
	t.true('reason' in late && late.reason === 'deadline');
	t.false('reason' in room.enter(0, arrival(1, 2), 0, 1000, true));
});
