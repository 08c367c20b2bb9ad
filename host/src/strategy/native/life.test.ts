// The life of sandboxes: a version that starts, or never does, holds up no other; what is needed no more ends, idle or not; a keeper of state loses no
// outcome while its sandbox starts; and all of it is counted.
import { COLUMN_STATE, OUTCOMES_MAX, TargetState } from '@infermesh/sdk';
import test from 'ava';
import { HandClock } from '../../fleet/testing.js';
import { systemClock } from '../../main/clock.js';
import { simulate } from '../../simulator/simulate.js';
import { specOf, workloadOf } from '../../simulator/simulation.test-support.js';
import { createMetricsBuffer, MetricsBlock } from '../../telemetry/block.js';
import { totalOf } from '../../telemetry/exposition.js';
import { createNativeMetrics } from '../../telemetry/native-metrics.js';
import { type ObservedOutcome, StateKeeper } from '../registry/state-keeper.js';
import type { FallbackCause } from '../runtime/decision.js';
import { fuelDefaults } from '../runtime/instance.js';
import { emptyPlan, type RoutingPlan } from '../runtime/plan.js';
import { createRig } from '../runtime/rig.js';
import { Harness, rankRows, testPool, written } from '../runtime/testing.js';
import { patientLimits } from './code.js';
import {
	compileNative,
	countingC,
	countingManifest,
	hostileC,
	leastQueueC,
	misdeeds,
	nativeModule,
	sandboxesOf,
	slowToLoad,
} from './testing.js';

const START_MS = 300;
const leastQueue = await compileNative(leastQueueC);
const hostile = await compileNative(hostileC);
const slow = await compileNative(slowToLoad(START_MS));

const sandboxes = (): number => sandboxesOf(process.pid).length;
const wait = (ms: number): Promise<void> => new Promise((resolve) => void systemClock.after(ms, resolve));

async function until(what: string, holds: () => boolean): Promise<void> {
	for (let look = 0; look < 10_000; look++) {
		if (holds()) return;
		await wait(2);
	}
	throw new Error(`it never came true: ${what}`);
}

function ready(harness: Harness): Harness {
	for (let row = 0; row < harness.rig.rows; row++) harness.rig.table.setU32(COLUMN_STATE, row, TargetState.ready);
	harness.rig.table.publish();
	return harness;
}

function planOf(generation: number, warm: readonly number[], spare: readonly number[] = []): RoutingPlan {
	const common = { ...emptyPlan.common, activeVersionId: warm[0] };
	return { ...emptyPlan, generation, common, warm: new Set(warm), spare: new Set(spare) };
}

/** Counts on a block of its own, as a worker does. */
function counted() {
	const buffer = createMetricsBuffer();
	const total = (key: Parameters<typeof totalOf>[1], cause?: string): number =>
		totalOf([buffer], key, (labels) => cause === undefined || labels.includes(cause));
	return { events: createNativeMetrics(new MetricsBlock(buffer), (versionId) => `v@${versionId}`), total };
}

test.afterEach.always(() => until('no sandbox is left', () => sandboxes() === 0));

test.serial('a version that takes its time to load is not waited for: others decide meanwhile', async (t) => {
	const harness = ready(new Harness(8, { waits: false }));
	const { runtimes } = harness.decider;
	const native = { ...(await nativeModule(slow)), versionId: 7 };
	harness.add(written(2, rankRows([3])), native);
	harness.plan({ activeVersionId: 2 });
	const plan = planOf(9, [7], [2]);
	runtimes.prepare(plan);
	t.false(runtimes.ready(plan), 'its constructor is still at work');
	t.is(harness.decide().strategy, 'written@2');
	t.false(runtimes.ready(plan));
	await until('it is ready', () => runtimes.ready(plan));
	harness.decider.close();
});

test.serial('a version that can be loaded no more is refused to the plan, and the next plan begins anew', async (t) => {
	const harness = ready(new Harness(8, { waits: false }));
	const { runtimes } = harness.decider;
	const limits = { ...patientLimits, startMs: 20 };
	harness.add({ ...(await nativeModule(slow, { limits })), versionId: 7 });
	for (const generation of [1, 2]) {
		const plan = planOf(generation, [7]);
		const seen: unknown[] = [];
		await until('it is refused', () => {
			try {
				if (runtimes.instances === 0) runtimes.prepare(plan);
				return runtimes.ready(plan);
			} catch (error) {
				return seen.push(error) > 0;
			}
		});
		t.regex(String(seen[0]), /did not load within 20 ms/);
		t.is(runtimes.instances, 0);
	}
});

test.serial('a change of the fleet waits for what loads fast, and for nothing else', async (t) => {
	const harness = ready(new Harness(8, { waits: false }));
	const { runtimes } = harness.decider;
	const fast = { ...(await nativeModule(leastQueue)), versionId: 1 };
	const late = { ...(await nativeModule(slow)), versionId: 7 };
	harness.add(fast, late);
	const plan = planOf(1, [1, 7]);
	runtimes.prepare(plan);
	await until('both are ready', () => runtimes.ready(plan));
	const next = testPool(4, { index: 1, model: 'n' });
	runtimes.setPools([harness.pool, next]);
	t.false(runtimes.ready(plan), 'the slow one is on its way');
	await until('both are ready', () => runtimes.ready(plan));
	harness.decider.close();
});

test.serial('an idle worker ends the sandboxes of a version that is unloaded', async (t) => {
	const harness = ready(new Harness());
	harness.add({ ...(await nativeModule(leastQueue)), versionId: 1 }, written(2, rankRows([3])));
	harness.plan({ activeVersionId: 1 });
	t.is(sandboxes(), 2);
	harness.plan({ activeVersionId: 2 });
	harness.decider.runtimes.removeStrategy(1);
	await until('they end without a decision', () => sandboxes() === 0);
	t.pass();
});

test.serial('sandboxes of a pool that was replaced end when no request can retry on it any more', async (t) => {
	const harness = ready(new Harness());
	harness.add({ ...(await nativeModule(leastQueue)), versionId: 1 });
	harness.plan({ activeVersionId: 1 });
	harness.decide();
	harness.decider.runtimes.setPools([testPool(7)]);
	t.is(sandboxes(), 4);
	t.is(harness.decide().cause, 'none', 'a request that began with the old pool still has its strategy');
	harness.clock.advance(60_001);
	await until('those of the old pool end', () => sandboxes() === 2);
	t.is(harness.decide().cause, 'no_instance');
	harness.decider.close();
});

test.serial('what happens to sandboxes is counted: those alive, ends by cause, hand-overs, allowances', async (t) => {
	const { events, total } = counted();
	const harness = ready(new Harness(8, {}, undefined, events));
	// A loop is charged what it runs, and on a busy machine that is little for a while.
	const limits = { ...patientLimits, deadlineUs: 20_000, graceUs: 20_000_000 };
	harness.add({ ...(await nativeModule(hostile, { limits })), versionId: 1 });
	harness.plan({ activeVersionId: 1 });
	const decide = (misdeed: number): FallbackCause => {
		harness.rig.nextRequest();
		harness.rig.features.tokensIn = misdeed;
		harness.decider.decide(harness.pool, harness.rig.features, harness.rig.hits, [], harness.out);
		harness.settle();
		return harness.out.cause;
	};
	t.is(total('nativeSandboxes'), 2);
	const calls = (): number => total('nativeHandOver');
	const before = calls();
	t.is(decide(misdeeds.none), 'none');
	t.true(total('nativeSandboxes') === 2 && calls() >= before);
	for (const [misdeed, cause] of [
		[misdeeds.crash, 'trap'],
		[misdeeds.hang, 'deadline'],
		[misdeeds.headerWrite, 'corrupt'],
	] as const) {
		t.is(decide(misdeed), cause);
		t.is(total('nativeRestarts', cause), 1, cause);
		t.is(total('nativeSandboxes'), 2, 'another has taken its place');
	}
	t.is(total('nativeRestarts'), 3);
	harness.decider.close();
	t.is(total('nativeSandboxes'), 0);
	t.is(total('nativeRestarts'), 3, 'what is ended because nobody needs it is no restart');
});

test.serial('a call that the machine held up counts as an allowance, taken or given up', async (t) => {
	const { events, total } = counted();
	// It works for 100 ms by the clock.
	for (const [graceUs, deadlineUs, result, cause] of [
		[10_000_000, 150_000, 'answered', 'none'],
		[20_000, 150_000, 'given_up', 'host_error'],
	] as const) {
		const harness = ready(new Harness(8, { spares: 0 }, undefined, events));
		const limits = { ...patientLimits, graceUs, deadlineUs };
		harness.add({ ...(await nativeModule(hostile, { limits })), versionId: 1 });
		harness.plan({ activeVersionId: 1 });
		harness.rig.nextRequest();
		harness.rig.features.tokensIn = misdeeds.slow;
		harness.decider.decide(harness.pool, harness.rig.features, harness.rig.hits, [], harness.out);
		t.is(harness.out.cause, cause);
		if (result === 'given_up') t.is(total('nativeAllowances', result), 1);
		harness.decider.close();
	}
	t.is(total('nativeRestarts'), 0);
});

test.serial('an init that the machine holds up is called again, and is no failure', async (t) => {
	const library = await compileNative(
		slowToLoad(
			0,
			`static int32_t rank(uint8_t *frame) { return im_rank_lowest(frame, im_scratch_f32(frame, 0), IM_TOP_K); }
static int calls;
static int32_t init(uint8_t *frame) {
	(void)frame;
	for (const long until = now() + (calls++ == 0 ? 60 : 0); now() < until;) {}
	return IM_STATUS_OK;
}
IM_STRATEGY(IM_NATIVE_HAS_RANK | IM_NATIVE_HAS_INIT, .rank = rank, .init = init)
`,
		),
	);
	const harness = ready(new Harness(8, { spares: 0 }));
	const limits = { ...patientLimits, graceUs: 5000, deadlineUs: 1_000_000 };
	harness.add({ ...(await nativeModule(library, { limits })), versionId: 1 });
	harness.plan({ activeVersionId: 1 });
	t.is(harness.decide().cause, 'host_error', 'it is still at it');
	await until('it decides', () => harness.decide().cause === 'none');
	t.deepEqual(harness.strikes, []);
	harness.decider.close();
});

test.serial('a simulation leaves no sandbox behind, and two routers have their own', async (t) => {
	const { strategies } = simulate(specOf({ router: { count: 2 } }), workloadOf(), [await nativeModule(leastQueue)]);
	t.true((strategies[0]?.decisions ?? 0) > 0);
	t.deepEqual(strategies[0]?.fallbacks, {});
	await until('they are gone', () => sandboxes() === 0);
});

function outcome(more: Partial<ObservedOutcome> = {}): ObservedOutcome {
	return {
		poolIndex: 0,
		poolRow: 2,
		tableRow: 2,
		status: 'ok',
		tokensIn: 10,
		tokensOut: 1,
		tokensCached: 0,
		ttftMs: 1,
		tpotMs: 1,
		e2eMs: 1,
		predictedTtftMs: 0,
		tenant: 1,
		flags: 0,
		...more,
	};
}

test.serial(
	'outcomes that come while the keeper’s sandbox starts are kept; a crash costs its batch and no more',
	async (t) => {
		const clock = new HandClock();
		const faults: FallbackCause[] = [];
		const { events, total } = counted();
		const keeper = new StateKeeper(
			await nativeModule(await compileNative(slowToLoad(START_MS, countingC), countingManifest)),
			createRig(4, 1).view,
			{ fuel: fuelDefaults, meshSeed: [1, 2], publishMs: 10, waits: false },
			{ clock, onFault: (cause) => void faults.push(cause), native: events },
		);
		const seen = (): number => new Uint32Array(keeper.snapshot().buffer)[0] as number;
		keeper.observe([outcome(), outcome()]);
		t.is(seen(), 0, 'it has not begun');
		await until('they are observed', () => {
			clock.advance(20);
			return seen() === 2;
		});
		keeper.observe([outcome({ tokensOut: 666 })]);
		t.deepEqual(faults, ['trap']);
		t.is(seen(), 2, 'what the crash left behind is not believed');
		keeper.observe([outcome()]);
		await until('it goes on', () => {
			clock.advance(20);
			return seen() === 3;
		});
		t.is(total('nativeRestarts', 'trap'), 1);
		t.is(total('nativeSandboxes'), 1);
		keeper.close();
		t.is(total('nativeSandboxes'), 0);
		keeper.observe([outcome()]);
		t.is(total('nativeSandboxes'), 0, 'nothing begins again after the end');
	},
);

test.serial('of the outcomes that wait for a sandbox the oldest are lost beyond a bound', async (t) => {
	const clock = new HandClock();
	const keeper = new StateKeeper(
		await nativeModule(await compileNative(slowToLoad(START_MS, countingC), countingManifest)),
		createRig(4, 1).view,
		{ fuel: fuelDefaults, meshSeed: [1, 2], publishMs: 10, waits: false },
		{ clock, onFault: () => undefined },
	);
	const state = (): Uint32Array => new Uint32Array(keeper.snapshot().buffer);
	for (let i = 0; i < 20; i++) keeper.observe(Array.from({ length: OUTCOMES_MAX }, () => outcome()));
	await until('those that were kept are observed', () => {
		clock.advance(20);
		return (state()[0] as number) > 0;
	});
	t.is(state()[0], 8 * OUTCOMES_MAX);
	keeper.tick();
	t.is(state()[1], 1);
	keeper.close();
});
