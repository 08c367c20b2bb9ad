import { SeededRandom } from '@infermesh/proto';
import { COLUMN_STATE, TargetState } from '@infermesh/sdk';
import test from 'ava';
import { createInflight, InflightReader } from '../../fleet/inflight.js';
import { openPolicy } from '../../fleet/placement.js';
import { createFleetTable, FleetTableReader, FleetTableWriter, GENERATION_COLUMN } from '../../fleet/table.js';
import { systemClock } from '../../main/clock.js';
import { prepareStrategy } from '../../project/prepare.js';
import type { ModelPool } from '../../router/ports.js';
import { fuelDefaults, type StrategyModule } from './instance.js';
import { CONTROL_BYTES, emptyPlan, GENERATION_WORD, type RoutingPlan } from './plan.js';
import { PlanRuntimes } from './plan-runtimes.js';

const { module } = await prepareStrategy('least_queue');

function version(versionId: number): StrategyModule {
	return { ...module, versionId, label: `least_queue@${versionId}` };
}

function planOf(generation: number, active: number, spare: readonly number[] = []): RoutingPlan {
	return {
		...emptyPlan,
		generation,
		common: { activeVersionId: active, canary: undefined, shadowVersionId: undefined },
		warm: new Set([active]),
		spare: new Set(spare),
	};
}

function poolOf(index: number, row: number, generation: number): ModelPool {
	const target = {
		id: `t${row}`,
		tableRow: row,
		generation,
		origin: 'http://t',
		pathPrefix: '',
		apiKey: undefined,
		runtime: 'vllm',
		upstreamModel: undefined,
	};
	return { index, model: `m${index}`, modelId: index + 1, revision: undefined, policy: openPolicy, targets: [target] };
}

function setUp() {
	const table = createFleetTable(64);
	const writer = new FleetTableWriter(table);
	const control = new SharedArrayBuffer(CONTROL_BYTES);
	const deferred: (() => void)[] = [];
	const runtimes = new PlanRuntimes(
		{ fuel: fuelDefaults, spares: 1, meshSeed: [1, 2], waits: true },
		{
			clock: systemClock,
			random: new SeededRandom(1),
			table: new FleetTableReader(table),
			counters: new InflightReader(createInflight(64, 1)),
			control,
			defer: (task) => void deferred.push(task),
			onUnready: (_pool, _strategy, error) => {
				throw error;
			},
		},
	);
	const store = (generation: number) => Atomics.store(new Int32Array(control), GENERATION_WORD, generation);
	const runDeferred = () => deferred.splice(0).forEach((task) => task());
	const seat = (row: number, generation: number) => {
		writer.resetRow(row);
		writer.setU32(GENERATION_COLUMN, row, generation);
		writer.setU32(COLUMN_STATE, row, TargetState.ready);
		writer.publish();
	};
	return { runtimes, store, runDeferred, seat };
}

test('a worker without requests keeps the instances of the present plan only, however often strategies are reloaded', (t) => {
	const { runtimes, store, runDeferred } = setUp();
	const pool = poolOf(0, 0, 0);
	runtimes.setPools([pool]);
	for (let n = 1; n <= 100; n++) {
		runtimes.addStrategy(version(n));
		runtimes.prepare(planOf(n, n));
		store(n);
		runtimes.removeStrategy(n - 2);
	}
	runDeferred();
	t.true(runtimes.instances <= 6, `${runtimes.instances} instances are alive`);
	t.is(runtimes.current().generation, 100);
	t.false(runtimes.of(pool)?.set(100)?.primary?.poisoned ?? true, 'the active version is ready');
});

test('a plan that names a version this worker does not know is refused, and the one in force stays', (t) => {
	const { runtimes, store } = setUp();
	runtimes.setPools([poolOf(0, 0, 0)]);
	runtimes.addStrategy(version(1));
	runtimes.prepare(planOf(1, 1));
	store(1);
	t.is(runtimes.current().generation, 1);
	t.throws(() => runtimes.prepare(planOf(2, 9)), { message: /version 9 is not known/ });
	t.is(runtimes.current().generation, 1);
});

test('a pool that comes after a plan was prepared is ready for it', (t) => {
	const { runtimes, store } = setUp();
	runtimes.addStrategy(version(1));
	runtimes.prepare(planOf(1, 1));
	const pool = poolOf(0, 0, 0);
	runtimes.setPools([pool]);
	store(1);
	t.is(runtimes.current().generation, 1);
	t.truthy(runtimes.of(pool)?.set(1)?.primary);
});

test('a pool without targets has no instances', (t) => {
	const { runtimes } = setUp();
	runtimes.addStrategy(version(1));
	runtimes.prepare(planOf(1, 1));
	const empty: ModelPool = { ...poolOf(0, 0, 0), targets: [undefined] };
	runtimes.setPools([empty]);
	t.is(runtimes.instances, 0);
	t.is(runtimes.of(empty), undefined);
});

test('a row that was given to another target is not eligible in a pool that was made for the old one', (t) => {
	const { runtimes, seat } = setUp();
	seat(3, 1);
	const old = poolOf(0, 3, 1);
	runtimes.setPools([old]);
	const view = runtimes.of(old)?.view;
	t.true(view?.isEligible(0));
	runtimes.setPools([]);
	seat(3, 2);
	view?.sync();
	t.false(view?.isEligible(0), 'a retry on the old pool must not go to the row’s new owner');
});
