// The order of waiting requests, by properties over random arrivals: shares follow weights, nobody starves, nothing is lost or served twice, and
// what is settled afterwards comes back as more or fewer turns.
import test from 'ava';
import * as fc from 'fast-check';
import type { Waiting } from './flow-band.js';
import { FlowQueue } from './flow-queue.js';

interface Item {
	readonly tenant: number;
	readonly n: number;
}

const plain = { agedMs: 1000, agedEvery: 8 };

function arrival(tenant: number, more: Partial<Parameters<FlowQueue<Item>['push']>[0]> = {}) {
	return {
		item: { tenant, n: 0 },
		band: 2,
		tenant,
		weight: 1,
		dueMs: 0,
		sinceMs: 0,
		cost: 10,
		bytes: 1,
		...more,
	};
}

/** Serves `turns` requests of queues that are filled up again at once; answers service by tenant. */
function serve(
	queue: FlowQueue<Item>,
	tenants: readonly {
		readonly weight: number;
		readonly costs: () => number;
		readonly actual?: (cost: number) => number;
	}[],
	turns: number,
): number[] {
	const service = tenants.map(() => 0);
	const fill = (tenant: number): void => {
		const { weight, costs } = tenants[tenant] as (typeof tenants)[number];
		queue.push(arrival(tenant, { weight, cost: costs() }));
	};
	for (let tenant = 0; tenant < tenants.length; tenant++) for (let n = 0; n < 3; n++) fill(tenant);
	for (let turn = 0; turn < turns; turn++) {
		const entry = queue.next(turn) as Waiting<Item>;
		queue.serve(entry);
		fill(entry.tenant);
		const actual = tenants[entry.tenant]?.actual?.(entry.cost) ?? entry.cost;
		queue.settle(entry.band, entry.tenant, actual - entry.cost);
		service[entry.tenant] = (service[entry.tenant] ?? 0) + actual;
	}
	return service;
}

test('service of tenants that always wait follows their weights, whatever their requests cost', (t) => {
	fc.assert(
		fc.property(
			fc.array(fc.record({ weight: fc.integer({ min: 1, max: 8 }), cost: fc.integer({ min: 1, max: 500 }) }), {
				minLength: 2,
				maxLength: 6,
			}),
			(tenants) => {
				const largest = Math.max(...tenants.map(({ cost, weight }) => cost / weight));
				const turns = 4000;
				const service = serve(
					new FlowQueue<Item>(plain),
					tenants.map(({ weight, cost }) => ({ weight, costs: () => cost })),
					turns,
				);
				const normalised = service.map((had, at) => had / (tenants[at]?.weight ?? 1));
				// Start-time fairness: nobody is ever further behind than one request of each of two flows.
				return Math.max(...normalised) - Math.min(...normalised) <= 2 * largest + 1e-6;
			},
		),
		{ numRuns: 100 },
	);
	t.pass();
});

test('what answers have really taken counts, not what was expected', (t) => {
	fc.assert(
		fc.property(fc.integer({ min: 1, max: 4 }), fc.integer({ min: 2, max: 10 }), (weight, factor) => {
			const [honest = 0, long = 0] = serve(
				new FlowQueue<Item>(plain),
				[
					{ weight: 1, costs: () => 20 },
					{ weight, costs: () => 20, actual: (cost) => cost * factor },
				],
				6000,
			);
			return Math.abs(long / weight / honest - 1) < 0.05;
		}),
		{ numRuns: 30 },
	);
	t.pass();
});

test('a tenant that was away saves nothing up: it comes back to its share, not to all of it', (t) => {
	const queue = new FlowQueue<Item>(plain);
	serve(queue, [{ weight: 1, costs: () => 10 }], 1000);
	for (let n = 0; n < 50; n++) queue.push(arrival(7));
	const turns = Array.from({ length: 6 }, () => {
		const entry = queue.next(0) as Waiting<Item>;
		queue.serve(entry);
		if (entry.tenant === 0) queue.push(arrival(0));
		return entry.tenant;
	});
	t.is(turns.filter((tenant) => tenant === 7).length, 3);
});

test('within a tenant the request that is due first is served first, and equals in the order they came', (t) => {
	fc.assert(
		fc.property(fc.array(fc.integer({ min: 0, max: 5 }), { minLength: 1, maxLength: 60 }), (dues) => {
			const queue = new FlowQueue<Item>(plain);
			dues.forEach((dueMs, n) => queue.push(arrival(1, { dueMs, item: { tenant: 1, n } })));
			const served: { due: number; n: number }[] = [];
			for (let entry = queue.next(0); entry !== undefined; entry = queue.next(0)) {
				queue.serve(entry);
				served.push({ due: entry.dueMs, n: entry.item.n });
			}
			const sorted = served.toSorted((a, b) => a.due - b.due || a.n - b.n);
			t.deepEqual(served, sorted);
			return served.length === dues.length;
		}),
		{ numRuns: 100 },
	);
});

test('a higher band goes first; a lower one that has waited too long gets one turn in eight, and no more', (t) => {
	const queue = new FlowQueue<Item>(plain);
	for (let n = 0; n < 20; n++) queue.push(arrival(1, { band: 3, sinceMs: 0 }));
	for (let n = 0; n < 100; n++) queue.push(arrival(2, { band: 1, sinceMs: 0 }));
	const turns = (nowMs: number, count: number): number =>
		Array.from({ length: count }, () => {
			const entry = queue.next(nowMs) as Waiting<Item>;
			queue.serve(entry);
			return entry.band;
		}).filter((band) => band === 3).length;
	t.is(turns(1500, 16), 0, 'two bands apart it counts as starved after two periods');
	t.is(turns(2500, 64), 8);
});

test('nobody starves: with every band and tenant full, each request is served within a bounded number of turns', (t) => {
	fc.assert(
		fc.property(fc.integer({ min: 1, max: 5 }), fc.integer({ min: 1, max: 100 }), (tenants, weight) => {
			const queue = new FlowQueue<Item>(plain);
			const small = arrival(0, { band: 3, sinceMs: 0, dueMs: 10_000, item: { tenant: 0, n: 1 } });
			queue.push(small);
			const again = (band: number, tenant: number, nowMs: number): void => {
				queue.push(arrival(tenant, { band, weight, sinceMs: nowMs, dueMs: nowMs + 10_000 }));
			};
			for (let band = 0; band < 4; band++) for (let tenant = 1; tenant <= tenants; tenant++) again(band, tenant, 0);
			for (let turn = 1; turn <= 4000; turn++) {
				const nowMs = turn * 10;
				const entry = queue.next(nowMs) as Waiting<Item>;
				queue.serve(entry);
				if (entry.item.n === 1) return true;
				again(entry.band, entry.tenant, nowMs);
			}
			return false;
		}),
		{ numRuns: 30 },
	);
	t.pass();
});

test('requests that leave, pass over and come again leave the counts as they should be', (t) => {
	const op = fc.oneof(
		fc.record({
			kind: fc.constant('push' as const),
			tenant: fc.nat(4),
			band: fc.nat(3),
			cost: fc.integer({ min: 1, max: 50 }),
		}),
		fc.record({
			kind: fc.constantFrom('serve' as const, 'remove' as const, 'park' as const, 'unpark' as const),
			pick: fc.nat(50),
		}),
	);
	fc.assert(
		fc.property(fc.array(op, { maxLength: 200 }), (ops) => {
			const queue = new FlowQueue<Item>(plain);
			const live = new Set<Waiting<Item>>();
			for (const one of ops) {
				if (one.kind === 'push') live.add(queue.push(arrival(one.tenant, { band: one.band, cost: one.cost })));
				else if (one.kind === 'unpark') queue.unpark();
				else if (one.kind === 'remove') {
					const entry = [...live][one.pick];
					if (entry === undefined) continue;
					queue.remove(entry);
					queue.remove(entry);
					live.delete(entry);
				} else {
					const entry = queue.next(0);
					if (entry === undefined) continue;
					if (!live.has(entry)) return false;
					if (one.kind === 'park') queue.park(entry);
					else {
						queue.serve(entry);
						live.delete(entry);
					}
				}
			}
			queue.unpark();
			if (queue.size !== live.size) return false;
			for (let band = 0; band < 4; band++) {
				if (queue.bandSize(band) !== [...live].filter((entry) => entry.band === band).length) return false;
				const cost = [...live].filter((entry) => entry.band < band).reduce((sum, entry) => sum + entry.cost, 0);
				if (Math.abs(queue.serviceAhead(band, 99, 1e9) - cost) > 1e-6 && queue.bandSize(band) === 0) return false;
			}
			let served = 0;
			for (let entry = queue.next(0); entry !== undefined; entry = queue.next(0)) {
				queue.serve(entry);
				served++;
			}
			return served === live.size && queue.size === 0;
		}),
		{ numRuns: 300 },
	);
	t.pass();
});

const told = { agedMs: 1000, agedEvery: 8, tells: true };
const news = (tenant: number, service: number, waiting: number) => ({ band: 2, tenant, service, waiting });

test('service elsewhere counts as service here', (t) => {
	const queue = new FlowQueue<Item>(told);
	for (const tenant of [1, 2]) for (let n = 0; n < 20; n++) queue.push(arrival(tenant, { weight: tenant }));
	queue.heard(news(2, 100, 3), 2);
	const turns = Array.from({ length: 15 }, () => {
		const entry = queue.next(0) as Waiting<Item>;
		queue.serve(entry);
		return entry.tenant;
	});
	// 100 tokens of weight 2 are 50 of weight 1: five requests, then one to two.
	t.deepEqual(turns.slice(0, 5), [1, 1, 1, 1, 1]);
	t.is(turns.slice(6).filter((tenant) => tenant === 2).length, 6);
});

test('whose turn it is goes by all that wait in the mesh', (t) => {
	const queue = new FlowQueue<Item>(told);
	for (let n = 0; n < 4; n++) queue.push(arrival(1));
	const turn = (): string => queue.turn(queue.next(0) as Waiting<Item>, 0);
	t.is(turn(), 'even', 'nobody waits elsewhere');
	queue.heard(news(1, 0, 5), 1);
	t.is(turn(), 'even', 'of its own tenant only');
	queue.heard(news(2, 0, 5), 1);
	t.is(turn(), 'owed', 'it has had no more than the other');
	queue.serve(queue.next(0) as Waiting<Item>);
	t.is(turn(), 'even', 'ahead by one request, which is as even as it gets');
	queue.serve(queue.next(0) as Waiting<Item>);
	t.is(turn(), 'ahead');
	queue.heard(news(2, 30, 5), 1);
	t.is(turn(), 'owed', 'the other has been served elsewhere');
	queue.heard(news(1, 20, 5), 1);
	t.is(turn(), 'even', 'and so has it');
	queue.serve(queue.next(0) as Waiting<Item>);
	t.is(turn(), 'ahead');
	queue.heard(news(2, 0, 0), 1);
	t.is(turn(), 'even', 'nobody else waits any more');
	t.true(queue.waitsElsewhere);
	queue.heard(news(1, 0, 0), 1);
	t.false(queue.waitsElsewhere);
});

test('a tenant that waits elsewhere is not away: coming here it has what it is owed', (t) => {
	const queue = new FlowQueue<Item>(told);
	queue.heard(news(7, 0, 1), 1);
	serve(queue, [{ weight: 1, costs: () => 10 }], 100);
	for (let n = 0; n < 50; n++) queue.push(arrival(7));
	const turns = Array.from({ length: 20 }, () => {
		const entry = queue.next(0) as Waiting<Item>;
		queue.serve(entry);
		return entry.tenant;
	});
	t.true(turns.every((tenant) => tenant === 7));
});

test('a tenant that comes anew, here or elsewhere, starts where the others are', (t) => {
	const queue = new FlowQueue<Item>(told);
	queue.heard(news(5, 0, 1), 1);
	serve(queue, [{ weight: 1, costs: () => 10 }], 100);
	queue.heard(news(5, 1000, 1), 1);
	queue.heard(news(7, 0, 1), 1);
	const entry = queue.next(0) as Waiting<Item>;
	t.is(queue.turn(entry, 0), 'even', 'one that begins to wait elsewhere now is owed nothing of before');
});

test('what is told adds up to what was charged, and names what waits', (t) => {
	const queue = new FlowQueue<Item>(told);
	for (let n = 0; n < 3; n++) queue.push(arrival(1));
	queue.push(arrival(2, { band: 1 }));
	t.deepEqual(queue.takeChanges(), [
		{ band: 2, tenant: 1, service: 0, waiting: 3 },
		{ band: 1, tenant: 2, service: 0, waiting: 1 },
	]);
	t.deepEqual(queue.takeChanges(), [], 'once');
	const first = queue.next(0) as Waiting<Item>;
	queue.serve(first);
	queue.settle(first.band, first.tenant, 7);
	const second = queue.next(0) as Waiting<Item>;
	queue.serve(second);
	queue.settle(second.band, second.tenant, -4);
	t.deepEqual(queue.takeChanges(), [
		{ band: 1, tenant: 2, service: 17, waiting: 0 },
		{ band: 2, tenant: 1, service: 6, waiting: 2 },
	]);
	queue.park(queue.next(0) as Waiting<Item>);
	queue.unpark();
	t.deepEqual(queue.takeChanges(), [{ band: 2, tenant: 1, service: 0, waiting: 0 }], 'nobody need make room for it');
	queue.serve(queue.next(0) as Waiting<Item>);
	t.deepEqual(queue.takeChanges(), [{ band: 2, tenant: 1, service: 10, waiting: 1 }]);
});

test('flows that wait nowhere are forgotten, also those of other queues', (t) => {
	const queue = new FlowQueue<Item>(told);
	for (let tenant = 1; tenant <= 3000; tenant++) {
		queue.heard(news(tenant, 10, 1), 1);
		queue.heard(news(tenant, 0, 0), 1);
	}
	t.false(queue.waitsElsewhere);
	queue.push(arrival(1));
	t.is(queue.turn(queue.next(0) as Waiting<Item>, 0), 'even');
});

test('what is more urgent comes first wherever it waits', (t) => {
	const queue = new FlowQueue<Item>(told);
	const urgent = (waiting: number, service = 0) => queue.heard({ band: 1, tenant: 9, service, waiting }, 1);
	queue.push(arrival(1));
	const turn = (nowMs = 0): string => queue.turn(queue.next(nowMs) as Waiting<Item>, nowMs);
	t.is(turn(), 'even');
	urgent(3);
	t.is(turn(), 'outranked');
	queue.heard({ band: 3, tenant: 9, service: 0, waiting: 3 }, 1);
	t.is(turn(), 'outranked', 'what is less urgent changes nothing');
	urgent(0);
	t.is(turn(), 'owed', 'it gives way');
	queue.heard(news(2, -5, 1), 1);
	t.is(turn(), 'owed', 'one of its own band has had less by no more than this request, and less urgent ones give way');
	queue.heard(news(2, -50, 1), 1);
	t.is(turn(), 'ahead', 'room that they leave is for that one');
});

test('a starved band has its turn before more urgent ones that wait elsewhere: an eighth of the service, all in all', (t) => {
	const queue = new FlowQueue<Item>(told);
	for (let n = 0; n < 200; n++) queue.push(arrival(1));
	const urgent = (service: number) => queue.heard({ band: 1, tenant: 9, service, waiting: 3 }, 1);
	urgent(0);
	let served = 0;
	const look = (nowMs: number): void => {
		const entry = queue.next(nowMs) as Waiting<Item>;
		if (queue.turn(entry, nowMs) === 'outranked') return;
		queue.serve(entry);
		served += entry.cost;
	};
	let nowMs = 0;
	let given = 0;
	for (; nowMs < 1000; nowMs += 10) {
		urgent(10);
		look(nowMs);
	}
	t.is(served, 0, 'it has not waited for long');
	for (; nowMs < 5000; nowMs += 10) {
		urgent(10);
		given += 10;
		look(nowMs);
	}
	t.true(Math.abs(served / (served + given) - 1 / 8) < 0.02, `${served} beside ${given}`);
	// Another queue takes such turns as well: they count as one.
	served = 0;
	given = 0;
	let elsewhere = 0;
	for (let step = 0; nowMs < 9000; nowMs += 10, step++) {
		urgent(10);
		given += 10;
		if (step % 14 === 0) {
			queue.heard(news(1, 10, 5), 1);
			elsewhere += 10;
		}
		look(nowMs);
	}
	t.true(Math.abs((served + elsewhere) / (served + elsewhere + given) - 1 / 8) < 0.02, `${served} and ${elsewhere}`);
	t.true(served > 0);
});

test('what is more urgent elsewhere and is served nowhere is waited for only so long', (t) => {
	const queue = new FlowQueue<Item>(told);
	queue.heard({ band: 1, tenant: 9, service: 5, waiting: 3 }, 1);
	queue.push(arrival(1, { sinceMs: 5000 }));
	const turn = (nowMs: number): string => queue.turn(queue.next(nowMs) as Waiting<Item>, nowMs);
	t.is(turn(5000), 'outranked');
	t.is(turn(6000), 'outranked');
	t.is(turn(6001), 'owed', 'a second, for one band above');
	queue.heard({ band: 1, tenant: 9, service: 1, waiting: 3 }, 1);
	t.is(turn(6100), 'outranked', 'it is served again');
	queue.heard({ band: 1, tenant: 9, service: 0, waiting: 0 }, 1);
	queue.heard({ band: 0, tenant: 9, service: 0, waiting: 3 }, 1);
	t.is(turn(8000), 'outranked', 'two bands above it are given twice as long');
	t.is(turn(8200), 'owed');
});

test('a starved band’s turn before more urgent ones here is a turn in the mesh as well', (t) => {
	const queue = new FlowQueue<Item>(told);
	queue.push(arrival(1));
	for (let n = 0; n < 20; n++) queue.push(arrival(2, { band: 1 }));
	queue.heard({ band: 0, tenant: 9, service: 0, waiting: 3 }, 1);
	const seen: string[] = [];
	for (let n = 0; n < 8; n++) {
		const entry = queue.next(5000) as Waiting<Item>;
		seen.push(`${entry.tenant} ${queue.turn(entry, 0)}`);
		queue.serve(entry);
	}
	t.deepEqual(seen, [...Array(7).fill('2 outranked'), '1 owed']);
});
