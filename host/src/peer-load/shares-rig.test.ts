// Tenants and their weights, and bands, over three routers, in virtual time: who asks where makes no difference to what each is served, and costs the engines nothing.
import test from 'ava';
import { type RigTenant, runShares, type SharesRigOptions } from './shares-rig.js';

const base = {
	seed: 1,
	routers: 3,
	engines: 2,
	sequences: 8,
	exchange: true,
	delayMs: 2,
	durationMs: 90_000,
	warmMs: 15_000,
} as const;

const tenant = (
	name: string,
	weight: number,
	ratePerS: readonly number[],
	tokensOut: number,
	band?: number,
): RigTenant => ({ name, weight, ratePerS, tokensOut, ...(band === undefined ? {} : { band }) });

/** All of them ask for more than their share, each at routers of its own choice. 16 requests at once make 1,600 tokens a second. */
const skewed: Readonly<Record<string, readonly RigTenant[]>> = {
	'one at one router, the other at all': [tenant('a', 1, [20], 80), tenant('b', 1, [10, 20, 20], 80)],
	'three of them, weights 2, 1 and 1, answers of different length': [
		tenant('a', 2, [25], 60),
		tenant('b', 1, [8, 16, 16], 100),
		tenant('c', 1, [0, 0, 20], 80),
	],
	'the heavy one at one router, the light one at all': [tenant('a', 4, [0, 30], 60), tenant('b', 1, [16, 16, 16], 100)],
};

/** What each is served over what its weight says, 1 = as it should be. */
function shares(tenants: readonly RigTenant[], more: Partial<SharesRigOptions> = {}) {
	const { service, ...rest } = runShares({ ...base, tenants, ...more });
	const sum = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0);
	const weights = sum(tenants.map(({ weight }) => weight));
	const all = sum(service);
	const off = service.map((had, at) => ((had / all) * weights) / (tenants[at] as RigTenant).weight);
	return { ...rest, off, service };
}

for (const [what, tenants] of Object.entries(skewed))
	test(`served by weight over all routers within 5 %: ${what}`, (t) => {
		for (const seed of [1, 2]) {
			const together = shares(tenants, { seed });
			t.log(`seed ${seed}: ${together.off.map((one) => one.toFixed(3)).join(', ')}; busy ${together.busy.toFixed(3)}`);
			t.true(together.off.every((one) => Math.abs(one - 1) < 0.05));
			t.true(together.busy > 0.99, 'no engine waits for a turn');
			t.true(together.queueMost <= 16, `nor is one flooded: ${together.queueMost}`);
		}
		const apart = shares(tenants, { exchange: false });
		t.log(`without exchange: ${apart.off.map((one) => one.toFixed(3)).join(', ')}`);
		t.true(Math.max(...apart.off.map((one) => Math.abs(one - 1))) > 0.25, 'each router for itself is far off');
	});

test('routers that are far apart are served by weight all the same', (t) => {
	const { off, busy } = shares(skewed['one at one router, the other at all'] ?? [], { delayMs: 60 });
	t.log(off.map((one) => one.toFixed(3)).join(', '), busy.toFixed(3));
	t.true(off.every((one) => Math.abs(one - 1) < 0.05));
	t.true(busy > 0.99);
});

test('the same options give the same result', (t) => {
	const tenants = skewed['the heavy one at one router, the light one at all'] ?? [];
	const options = { durationMs: 10_000, warmMs: 1000 };
	t.deepEqual(shares(tenants, options), shares(tenants, options));
});

test('who waits at a router that has died is waited for until its lease ends, and no engine is idle for it', (t) => {
	const { service, busy } = shares([tenant('a', 4, [30], 80), tenant('b', 1, [0, 20, 20], 80)], {
		dies: { router: 0, atMs: 15_000 },
		warmMs: 20_000,
		durationMs: 40_000,
	});
	t.is(service[0], 0);
	t.true((service[1] as number) > 0.9 * 20 * 1600, `${service[1]}`);
	t.true(busy > 0.99, `${busy}`);
});

test('a router of before that tells of its load alone is served beside the others, and disturbs nobody', (t) => {
	const { off, busy } = shares(skewed['one at one router, the other at all'] ?? [], { old: 2 });
	t.log(off.map((one) => one.toFixed(3)).join(', '));
	t.true(busy > 0.99);
	t.true((off[0] as number) > 0.5, 'better than each for itself');
});

/** Low at all routers asks for three times what there is; high at the first only, for half of it and for twice. */
const flood = tenant('low', 1, [20, 20, 20], 80, 3);
const half = [tenant('high', 1, [10], 80, 1), flood];
const twice = [tenant('high', 1, [40], 80, 1), flood];

/** Room as it is learned, and as it is set by hand: what engines run at once. */
const rooms: Readonly<Record<string, Partial<SharesRigOptions>>> = {
	learned: {},
	'by hand': { requestsMax: base.sequences },
};

for (const [room, more] of Object.entries(rooms)) {
	test(`what is more urgent comes first over all routers, room ${room}`, (t) => {
		const together = runShares({ ...base, ...more, tenants: half });
		const apart = runShares({ ...base, ...more, tenants: half, exchange: false });
		const [wait, waitApart] = [together.waits[0]?.meanMs ?? 0, apart.waits[0]?.meanMs ?? 0];
		t.log(
			`asks for half: waits ${wait.toFixed(0)} ms, each router for itself ${waitApart.toFixed(0)} ms; busy ${together.busy.toFixed(3)}`,
		);
		t.true(wait < 400 && waitApart > 5000);
		t.true(together.busy > 0.98 && together.queueMost <= 16);
		const over = runShares({ ...base, ...more, tenants: twice });
		const low = (over.service[1] as number) / over.service.reduce((sum, one) => sum + one, 0);
		t.log(`asks for twice: low is served ${(100 * low).toFixed(1)} %`);
		t.true(low > 0.08 && low < 0.18, 'an eighth is due to what has starved');
		t.true(over.busy > 0.98);
	});

	test(`a router that tells of urgent requests and serves none holds up the others for no longer than they have patience, room ${room}`, (t) => {
		const { service, busy } = runShares({
			...base,
			...more,
			tenants: half,
			sticks: { router: 0, atMs: 15_000 },
			warmMs: 25_000,
			durationMs: 60_000,
		});
		t.log(`busy ${busy.toFixed(3)}`);
		t.is(service[0], 0);
		t.true(busy > 0.95);
	});
}

test('with limits set by hand tenants are served by weight over all routers, and engines are given what they take', (t) => {
	for (const tenants of Object.values(skewed)) {
		const { off, busy, atOnceMost } = shares(tenants, { requestsMax: base.sequences });
		t.log(`${off.map((one) => one.toFixed(3)).join(', ')}; busy ${busy.toFixed(3)}; at once ${atOnceMost}`);
		t.true(off.every((one) => Math.abs(one - 1) < 0.05));
		t.true(busy > 0.98);
		t.true(atOnceMost <= 8 + 4, `room of eight, and what is sent before others have heard: ${atOnceMost}`);
	}
});

test('room for one request, set by hand, goes round', (t) => {
	const one = { ...base, requestsMax: 1, sequences: 1, engines: 1, tenants: [tenant('a', 1, [10, 10, 10], 80)] };
	const { busy, atOnceMost, fromRouters } = runShares({ ...one, durationMs: 300_000 });
	const all = fromRouters.reduce((sum, one) => sum + one, 0);
	const parts = fromRouters.map((one) => one / all);
	t.log(`${parts.map((one) => one.toFixed(2)).join(', ')}; busy ${busy.toFixed(3)}; at once ${atOnceMost}`);
	t.true(
		parts.every((one) => one > 0.15),
		'no router keeps what it has',
	);
	t.true(busy > 0.98 && atOnceMost <= 3);
});
