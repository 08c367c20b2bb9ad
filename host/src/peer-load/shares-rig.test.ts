// Tenants and their weights over three routers, in virtual time: who asks where makes no difference to what each is served, and costs the engines nothing.
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

const tenant = (name: string, weight: number, ratePerS: readonly number[], tokensOut: number): RigTenant => ({
	name,
	weight,
	ratePerS,
	tokensOut,
});

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
	const { service, busy, queueMost } = runShares({ ...base, tenants, ...more });
	const sum = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0);
	const weights = sum(tenants.map(({ weight }) => weight));
	const all = sum(service);
	const off = service.map((had, at) => ((had / all) * weights) / (tenants[at] as RigTenant).weight);
	return { off, busy, queueMost, service };
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
