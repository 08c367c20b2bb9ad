// Workloads in memory: the same seed gives the same requests, halves are halves, adapters and tenants are drawn over them without moving anything else.
import test from 'ava';
import { smallScenario } from '../grid/testing.js';
import { workloadDigest } from './digest.js';
import { openWorkload } from './open-workload.js';

const { workload } = smallScenario();

test('one seed gives one workload; another seed another', async (t) => {
	const one = await openWorkload(workload, 4, 'all');
	t.deepEqual(await openWorkload(workload, 4, 'all'), one);
	t.notDeepEqual((await openWorkload(workload, 5, 'all')).requests, one.requests);
	t.is(one.requests.length, 60);
});

test('the two halves are the whole, each starting at 0', async (t) => {
	const all = await openWorkload(workload, 4, 'all');
	const first = await openWorkload(workload, 4, 'first_half');
	const second = await openWorkload(workload, 4, 'second_half');
	t.deepEqual(first.requests, all.requests.slice(0, 30));
	t.deepEqual(
		second.requests.map(({ inputTokens, blocks }) => [inputTokens, blocks]),
		all.requests.slice(30).map(({ inputTokens, blocks }) => [inputTokens, blocks]),
	);
	t.is(second.requests[0]?.atMs, 0);
	t.regex(second.name, /\(second half\)$/);
});

test('adapters, tenants and priorities are drawn over the requests and change nothing else', async (t) => {
	const plain = await openWorkload(workload, 4, 'all');
	const dressed = await openWorkload(
		{ ...workload, loras: { names: ['a', 'b'], share: 0.5 }, tenants: 3, priorities: [0, 10] },
		4,
		'all',
	);
	t.deepEqual(
		dressed.requests.map(({ lora: _lora, tenant: _tenant, priority: _priority, ...rest }) => rest),
		[...plain.requests],
	);
	const share = dressed.requests.filter(({ lora }) => lora !== undefined).length / dressed.requests.length;
	t.true(share > 0.3 && share < 0.7, `${share}`);
	t.is(new Set(dressed.requests.map(({ tenant }) => tenant)).size, 3);
	const priorities = dressed.requests.map(({ priority }) => priority);
	t.true(priorities.includes(0) && priorities.includes(10) && new Set(priorities).size === 2);
});

test('a bound on requests cuts a workload', async (t) => {
	t.is((await openWorkload({ ...workload, requestsMax: 7 }, 4, 'all')).requests.length, 7);
});

test('the digest of a generated workload follows its settings', async (t) => {
	const digest = await workloadDigest(workload);
	t.regex(digest, /^[0-9a-f]{64}$/);
	t.is(await workloadDigest({ ...workload }), digest);
	t.not(await workloadDigest({ ...workload, tenants: 2 }), digest);
});
