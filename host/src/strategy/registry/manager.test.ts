import test from 'ava';
import { quarantineDefaults } from '../runtime/quarantine.js';
import { rollBack, type Staging, stageActive, WHOLE_MESH } from './staging.js';
import { managerForTests, settled, wasm } from './testing.js';

function setUp(poolCount = 1) {
	const parts = managerForTests(poolCount);
	const { manager } = parts;
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
	return { ...parts, load, rollback };
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

test('the state kept for a pool goes with the pool', async (t) => {
	const { manager, pools } = managerForTests(2, { stateBytes: 32, hooks: ['rank', 'tick'] });
	await manager.load(wasm, { label: 'least_queue@1.0.1', sourceMap: undefined, settings: undefined });
	const introduced = (): number[] => {
		const indices: number[] = [];
		manager.introduce({ addStrategy: () => undefined, addState: (_version, index) => void indices.push(index) });
		return indices;
	};
	t.deepEqual(introduced(), [0, 1]);
	manager.poolsChanged(pools.slice(1));
	t.deepEqual(introduced(), [1]);
	manager.close();
});
