// One simulation as its caller sees it: every request ends once, the same arguments give the same result, and strategies make the difference they should.
import test from 'ava';
import { prepareStrategy } from '../project/prepare.js';
import { simulate } from './simulate.js';
import { group, specOf, workloadOf } from './simulation.test-support.js';

const leastQueue = (await prepareStrategy('least_queue')).module;
const hybridMesh = (await prepareStrategy('hybrid_mesh')).module;
const roundRobin = (await prepareStrategy('baseline_rr')).module;

test('every request ends once, in order of time, and the totals are theirs', (t) => {
	const workload = workloadOf();
	const { summary, rows, targets, strategies, digest } = simulate(specOf(), workload, [hybridMesh]);
	t.is(summary.finished, workload.requests.length);
	t.is(summary.requests, workload.requests.length);
	t.is(summary.ttft.count, workload.requests.length);
	t.is(
		targets.reduce((sum, target) => sum + target.requests, 0),
		workload.requests.length,
	);
	t.is(
		targets.reduce((sum, target) => sum + target.decodeTokens, 0),
		workload.requests.reduce((sum, { outputTokens }) => sum + outputTokens - 1, 0),
	);
	t.regex(digest, /^[0-9a-f]{64}$/);
	t.deepEqual(strategies[0]?.fallbacks, {});
	t.is(strategies[0]?.decisions, workload.requests.length);
	for (const [index, ttftMs] of rows?.ttftMs.entries() ?? []) {
		const e2eMs = rows?.e2eMs[index] as number;
		t.true(ttftMs > 0 && ttftMs <= e2eMs);
	}
});

test('the same arguments give the same digest; another seed, workload or strategy does not', (t) => {
	const workload = workloadOf();
	const spec = specOf({ signals: { prefix: 'approximate' }, router: { exploration: 0.1 } });
	const { digest } = simulate(spec, workload, [hybridMesh]);
	t.is(simulate(spec, workload, [hybridMesh]).digest, digest);
	t.not(simulate({ ...spec, seed: 8 }, workload, [hybridMesh]).digest, digest);
	t.not(simulate(spec, workloadOf({ seed: 12 }), [hybridMesh]).digest, digest);
	t.not(simulate(spec, workload, [leastQueue]).digest, digest);
});

test('what is simulated does not change when the simulator becomes faster: digests of small caches that spill, with a strategy that asks for prefixes', async (t) => {
	const { module } = await prepareStrategy('min_ttft');
	const fleet = [group({ blockTokens: 16, kvTokens: 12_000, hostKvTokens: 16_000 })];
	const faults = [{ kind: 'lost', target: 'engine1', fromMs: 3000, toMs: 9000 }] as const;
	// Other figures are right only where the model, the workload or the strategy is meant to have changed.
	const expected = {
		events: ['d7840bdedac4746f997541674d2c31c8', 'b0cf86783e45a020d2ef3ede0f18a4f3'],
		approximate: ['653a850e96de971a10d45a19cb17e257', '7464c23996290937b75b89b14da675cd'],
		oracle: ['2397dbd2e221f28798132e6be72a4092', '726f176ce8d094b1b47d904c0fce868c'],
	};
	for (const prefix of ['events', 'approximate', 'oracle'] as const) {
		const shared = simulate(specOf({ fleet, signals: { prefix }, router: { count: 2 } }), workloadOf(), [module]);
		const lost = simulate(specOf({ fleet, signals: { prefix }, faults }), workloadOf(), [module]);
		t.deepEqual(
			[shared, lost].map(({ digest }) => digest.slice(0, 32)),
			expected[prefix],
			prefix,
		);
	}
});

test('prefix hits are found by what the router remembers, and more by what engines hold', (t) => {
	const workload = workloadOf({ families: 4 });
	const ratioOf = (prefix: 'none' | 'approximate' | 'oracle'): number =>
		simulate(specOf({ signals: { prefix } }), workload, [hybridMesh]).summary.hitRatio;
	const blind = ratioOf('none');
	t.true(ratioOf('approximate') >= blind);
	t.true(ratioOf('oracle') >= blind);
	t.true(blind > 0);
});

test('a slow engine costs round robin more than a strategy that sees the queue', (t) => {
	const workload = workloadOf({ requests: 600, ratePerS: 30 });
	const fleet = [group({ id: 'fast', count: 3 }), group({ id: 'slow', count: 1, slowFactor: 4 })];
	const meanOf = (strategy: typeof leastQueue): number =>
		simulate(specOf({ fleet }), workload, [strategy]).summary.ttft.mean;
	t.true(meanOf(roundRobin) > 1.2 * meanOf(leastQueue));
});

test('it can be stopped between slices, and says that its result is partial', (t) => {
	const workload = workloadOf({ requests: 4000, ratePerS: 40 });
	const result = simulate(specOf(), workload, [leastQueue], { aborted: () => true });
	t.is(result.partial, 'stopped before its end');
	t.true(result.summary.unfinished > 0);
	t.is(result.summary.finished + result.summary.unfinished, workload.requests.length);
});

test('what cannot be simulated is refused by name', (t) => {
	const workload = workloadOf({ requests: 1 });
	const refusal = (spec: ReturnType<typeof specOf>, code: string): void => {
		t.throws(() => simulate(spec, workload, [leastQueue]), { code });
	};
	refusal(specOf({ fleet: [] }), 'IM_SIMULATION_FLEET');
	refusal(specOf({ fleet: [group(), group()] }), 'IM_SIMULATION_FLEET');
	refusal(specOf({ fleet: [group({ blockTokens: 48 })] }), 'IM_SIMULATION_BLOCKS');
	refusal(specOf({ assignment: { kind: 'single', arm: 1 } }), 'IM_SIMULATION_ARMS');
	refusal(specOf({ assignment: { kind: 'switchback', blockMs: 1000 } }), 'IM_SIMULATION_ARMS');
	refusal(specOf({ fleet: [group({ profile: 'none' })] }), 'IM_ENGINE_PROFILE_UNKNOWN');
	refusal(specOf({ speed: 0 }), 'IM_SIMULATION_SPEC');
	refusal(specOf({ router: { count: 0 } }), 'IM_SIMULATION_SPEC');
	refusal(specOf({ signals: { delayMs: Number.NaN } }), 'IM_SIMULATION_SPEC');
	refusal(specOf({ timelineBins: 1.5 }), 'IM_SIMULATION_SPEC');
});

test('an arm that is only asked changes nothing, and says what it would have chosen', (t) => {
	const workload = workloadOf({ requests: 300 });
	const run = (router: { askedArm?: number; exploration: number }, asked: typeof leastQueue) =>
		simulate(specOf({ router }), workload, [leastQueue, asked]).rows;
	const same = run({ askedArm: 1, exploration: 0 }, leastQueue);
	t.deepEqual(same?.ttftMs, run({ exploration: 0 }, leastQueue)?.ttftMs);
	t.is(run({ exploration: 0 }, leastQueue)?.asked, undefined);
	const rows = run({ askedArm: 1, exploration: 0.5 }, hybridMesh);
	t.deepEqual(rows?.ttftMs, run({ exploration: 0.5 }, hybridMesh)?.ttftMs);
	const count = (answer: number): number => rows?.asked?.filter((one) => one === answer).length ?? 0;
	t.true(count(1) > 30 && count(0) > 30, `${count(1)} would have gone where they went, ${count(0)} elsewhere`);
});
