import type { Clock } from '@infermesh/proto';
import test from 'ava';
import { createInflight, InflightReader } from '../../fleet/inflight.js';
import { openPolicy } from '../../fleet/placement.js';
import { PoolView } from '../../fleet/pool-view.js';
import { createFleetTable, FleetTableReader } from '../../fleet/table.js';
import { systemClock } from '../../main/clock.js';
import { openStrategy } from '../../project/prepare.js';
import type { ModelPool } from '../../router/ports.js';
import { wasmEngine } from '../admission/engine.js';
import { type Inspection, inspectDefaults, inspectModule } from '../admission/inspect.js';
import { fuelDefaults } from '../runtime/instance.js';
import type { RoutingPlan } from '../runtime/plan.js';
import { quarantineDefaults } from '../runtime/quarantine.js';
import { StrategyManager } from './manager.js';
import { rollBack, type Staging, stageActive, WHOLE_MESH } from './staging.js';

/** A clock that only moves when told, with its timers. */
class HandClock implements Clock {
	now = 1000;
	#timers: { at: number; fn: () => void }[] = [];
	nowMs = (): number => this.now;
	wallMs = (): number => this.now;
	after(delayMs: number, fn: () => void) {
		const timer = { at: this.now + delayMs, fn };
		this.#timers.push(timer);
		return { cancel: () => void (this.#timers = this.#timers.filter((other) => other !== timer)) };
	}
	every(): never {
		throw new Error('not used');
	}
	async advance(ms: number): Promise<void> {
		this.now += ms;
		const due = this.#timers.filter((timer) => timer.at <= this.now);
		this.#timers = this.#timers.filter((timer) => timer.at > this.now);
		for (const timer of due) timer.fn();
		await settled();
	}
}

async function settled(): Promise<void> {
	for (let turn = 0; turn < 20; turn++) await Promise.resolve();
}

const { wasm } = await openStrategy('least_queue');
const limits = { fuel: fuelDefaults, moduleBytesMax: 1 << 20, calibration: { sizes: [16], decisions: 10, seed: 1 } };
const inspected: Inspection = inspectModule(wasm, { ...inspectDefaults, ...limits }, systemClock);

function setUp(poolCount = 1) {
	const clock = new HandClock();
	const table = createFleetTable(64);
	const counters = createInflight(64, 1);
	const pools: ModelPool[] = Array.from({ length: poolCount }, (_, index) => ({
		index,
		model: `m${index}`,
		modelId: index + 1,
		revision: undefined,
		policy: openPolicy,
		targets: [
			{
				id: `t${index}`,
				tableRow: index,
				generation: 0,
				origin: 'http://t',
				pathPrefix: '',
				apiKey: undefined,
				runtime: 'vllm',
				upstreamModel: undefined,
			},
		],
	}));
	const committed: RoutingPlan[] = [];
	const attempted: number[] = [];
	const events: string[] = [];
	const workers = { failing: false };
	const manager = new StrategyManager(
		{
			fuel: fuelDefaults,
			moduleBytesMax: 1 << 20,
			loadedMax: 6,
			instancesMax: 40,
			instancesPerPool: 3,
			quarantine: quarantineDefaults,
			statePublishMs: 10,
			meshSeed: [1, 2],
			settings: {},
		},
		{
			clock,
			admit: () => Promise.resolve(inspected),
			compile: (bytes) => Promise.resolve(new wasmEngine.Module(bytes)),
			workers: {
				addStrategy: () => undefined,
				addState: () => undefined,
				removeStrategy: () => undefined,
				commit(plan) {
					attempted.push(plan.generation);
					if (workers.failing) return Promise.reject(new Error('a worker did not answer'));
					committed.push(plan);
					return Promise.resolve();
				},
			},
			pools: () => pools,
			openView: (pool) =>
				new PoolView(
					new FleetTableReader(table),
					new InflightReader(counters),
					pool.targets.map((target) => target?.tableRow ?? 0),
				),
			events: {
				admitted: () => undefined,
				swapped: (label, kind) => events.push(`${kind} ${label}`),
				struck: () => undefined,
				quarantined: (label) => events.push(`quarantined ${label}`),
			},
		},
	);
	let staging: Staging = new Map();
	let next = 1;
	/** Loads another version and makes it active. */
	const load = async () => {
		const label = `least_queue@1.0.${next++}`;
		const loaded = await manager.load(wasm, { label, sourceMap: undefined, settings: undefined });
		staging = stageActive(staging, WHOLE_MESH, label);
		await manager.apply(staging);
		return loaded;
	};
	const rollback = async () => {
		staging = rollBack(staging, WHOLE_MESH) ?? staging;
		await manager.apply(staging);
		return manager.active(WHOLE_MESH);
	};
	const strike = (versionId: number) =>
		manager.strike({ versionId, label: '', cause: 'trap', model: 'm0', trap: '', fuel: 0 });
	return { manager, clock, committed, attempted, events, workers, load, rollback, strike };
}

test('a quarantine that could not be committed is committed as soon as the workers answer again', async (t) => {
	const { manager, clock, committed, workers, load, strike } = setUp();
	const loaded = await load();
	const { versionId } = loaded.strategy;
	workers.failing = true;
	for (let n = 0; n < 3; n++) strike(versionId);
	await settled();
	t.true(manager.isQuarantined(loaded));
	t.false(committed.at(-1)?.quarantined.has(versionId), 'the commit failed, so the plan in force does not say it yet');
	await clock.advance(1000);
	workers.failing = false;
	await clock.advance(1000);
	t.true(committed.at(-1)?.quarantined.has(versionId));
	manager.close();
});

test('a quarantine ends in the plan too', async (t) => {
	const { manager, clock, committed, load, strike } = setUp();
	const loaded = await load();
	for (let n = 0; n < 3; n++) strike(loaded.strategy.versionId);
	await settled();
	t.true(committed.at(-1)?.quarantined.has(loaded.strategy.versionId));
	await clock.advance(quarantineDefaults.firstMs + 1);
	t.false(committed.at(-1)?.quarantined.has(loaded.strategy.versionId));
	manager.close();
});

test('a rejected plan uses up its generation, so that a late answer to it is never taken for one to the next', async (t) => {
	const { manager, attempted, committed, workers, load } = setUp();
	await load();
	workers.failing = true;
	await t.throwsAsync(load());
	workers.failing = false;
	await load();
	t.is(new Set(attempted).size, attempted.length);
	t.is(committed.at(-1)?.generation, attempted.at(-1));
	manager.close();
});

test('a version whose dropping fails half-way is still there, still staged as before, and can still be struck', async (t) => {
	const { manager, workers, load, rollback } = setUp();
	const first = await load();
	await load();
	workers.failing = true;
	await t.throwsAsync(manager.drop(first.strategy.label));
	t.is(manager.find(first.strategy.label), first);
	workers.failing = false;
	await manager.drop(first.strategy.label);
	t.throws(() => manager.find(first.strategy.label), { message: /no loaded strategy/ });
	await manager.drop(first.strategy.label);
	t.is(await rollback(), undefined, 'what a rollback would go back to is gone: the fallback decides');
	manager.close();
});

test('a staging that a worker cannot prepare changes nothing', async (t) => {
	const { manager, workers, load, rollback } = setUp();
	await load();
	const second = await load();
	workers.failing = true;
	await t.throwsAsync(rollback());
	t.is(manager.active(WHOLE_MESH), second.strategy.label);
	manager.close();
});

test('what happens to the deciding strategy is named: stage, rollback, unload', async (t) => {
	const { manager, load, rollback, events } = setUp();
	const first = await load();
	const second = await load();
	await rollback();
	await manager.drop(second.strategy.label);
	t.deepEqual(events, [
		`stage ${first.strategy.label}`,
		`stage ${second.strategy.label}`,
		`rollback ${first.strategy.label}`,
		`unload ${second.strategy.label}`,
	]);
	manager.close();
});

test('what is active can be its own canary or shadow nowhere but in another scope', async (t) => {
	const { manager, load, attempted } = setUp();
	const { label } = (await load()).loaded.strategy;
	const plans = attempted.length;
	for (const stage of ['canary', 'shadow'] as const)
		await t.throwsAsync(manager.stage(label, stage, {}), { code: 'IM_STRATEGY_ACTIVE' });
	t.is(attempted.length, plans);
	await t.notThrowsAsync(manager.stage(label, 'canary', { model: 'm0' }));
	manager.close();
});

test('with many pools loading is refused for want of instances, and everything else goes on', async (t) => {
	const { manager, load, rollback, strike, committed } = setUp(10);
	const kept: Awaited<ReturnType<typeof load>>[] = [];
	for (let n = 0; n < 3; n++) kept.push(await load());
	// 4 versions × 10 pools × 3 instances are more than 40.
	t.true(manager.full());
	await t.throwsAsync(load(), { message: /3 strategies are loaded/ });
	const active = kept.at(-1);
	for (let n = 0; n < 3; n++) strike(active?.strategy.versionId ?? 0);
	await settled();
	t.true(committed.at(-1)?.quarantined.has(active?.strategy.versionId ?? 0));
	t.is(await rollback(), kept.at(-2)?.strategy.label);
	manager.close();
});
