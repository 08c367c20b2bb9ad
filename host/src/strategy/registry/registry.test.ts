import { createLocalEngine, MemoryBlobs } from '@infermesh/fabric';
import { MeshError } from '@infermesh/proto';
import test, { type ExecutionContext } from 'ava';
import { systemClock, systemRandom } from '../../main/clock.js';
import { recordKinds } from '../../records/kinds.js';
import { Mirror } from '../../records/mirror.js';
import { Records } from '../../records/records.js';
import { StrategyTrust } from '../signing/trust.js';
import { StrategyRegistry } from './registry.js';
import { StrategySync } from './sync.js';
import { managerForTests, wasm } from './testing.js';

/** One router over a store of its own. */
async function setUp(t: ExecutionContext) {
	const engine = createLocalEngine({
		clock: systemClock,
		random: systemRandom(),
		fault: (error) => t.fail(String(error)),
	});
	const blobs = new MemoryBlobs();
	const { manager, judge, workers } = managerForTests();
	const listeners = new Set<() => void>();
	const failures: string[] = [];
	const mirror = <K extends 'strategies' | 'staging' | 'routers'>(kind: K) =>
		new Mirror<(typeof recordKinds)[K]['schema']>(recordKinds[kind], engine, systemClock, {
			changed: () => {
				if (kind !== 'routers') sync.changed();
				for (const listener of listeners) listener();
			},
		});
	const records = new Records(engine);
	const strategies = mirror('strategies');
	const staging = mirror('staging');
	const routers = mirror('routers');
	const trust = new StrategyTrust({ require: 'unsigned', inline: 'trusted', key: () => undefined });
	const sync: StrategySync = new StrategySync({
		clock: systemClock,
		blobs,
		manager,
		trust,
		strategies,
		staging,
		report: async (record) => void (await records.put(recordKinds.routers, 'this', record)),
		failed: (what) => failures.push(what),
	});
	const registry = new StrategyRegistry({
		clock: systemClock,
		records,
		blobs,
		judge,
		trust,
		local: manager,
		strategies,
		staging,
		routers,
		onChange: (listener) => {
			listeners.add(listener);
			return () => void listeners.delete(listener);
		},
		node: 'this',
	});
	await Promise.all([strategies.ready, staging.ready, routers.ready]);
	t.teardown(async () => {
		sync.close();
		manager.close();
		for (const one of [strategies, staging, routers]) one.close();
		await engine.close();
	});
	const load = async (): Promise<string> =>
		(await registry.load({ module: wasm, sourceMap: undefined, settings: undefined, activate: true, model: undefined }))
			.label;
	return { engine, blobs, records, manager, workers, registry, strategies, staging, load, failures };
}

test('what is loaded and staged are records; the router carries them out before the operation ends', async (t) => {
	const { registry, records, manager, load } = await setUp(t);
	const label = await load();
	t.is(manager.active(''), label);
	t.deepEqual((await records.list(recordKinds.staging)).items[0]?.value.history, [label]);
	const again = await load();
	t.regex(again, /^least_queue@.*\+[0-9a-f]{8}$/, 'the same name and version gets build metadata');
	t.is(await registry.rollback(undefined), label);
	t.is(manager.active(''), label);
	await registry.unload(again);
	t.deepEqual(
		manager.list().map(({ strategy }) => strategy.label),
		[label],
	);
});

test('an active strategy is not its own canary or shadow', async (t) => {
	const { registry, load } = await setUp(t);
	const label = await load();
	for (const stage of ['canary', 'shadow'] as const)
		await t.throwsAsync(registry.stage(label, stage, {}), { code: 'IM_STRATEGY_ACTIVE' });
	await t.notThrowsAsync(registry.stage(label, 'canary', { model: 'm0' }));
});

test('a staging that a router cannot put in force is taken back, and the error says who and why', async (t) => {
	const { registry, workers, manager, records, load } = await setUp(t);
	const first = await load();
	const second = await load();
	workers.failing = true;
	const error = await t.throwsAsync<MeshError>(registry.stage(first, 'active', {}), { instanceOf: MeshError });
	t.is(error.code, 'IM_STRATEGY_PREPARE');
	t.is(error.where, 'node this');
	t.is(manager.active(''), second);
	t.deepEqual((await records.list(recordKinds.staging)).items[0]?.value.history, [first, second]);
	workers.failing = false;
	await registry.stage(first, 'active', {});
	t.is(manager.active(''), first);
});

test('a module that no router can load leaves no record behind', async (t) => {
	const { registry, workers, strategies } = await setUp(t);
	workers.failing = true;
	await t.throwsAsync(
		registry.load({ module: wasm, sourceMap: undefined, settings: undefined, activate: false, model: undefined }),
		{ code: 'IM_STRATEGY_PREPARE' },
	);
	t.deepEqual(strategies.all(), []);
});

test('seeding loads once and leaves a staging that is there alone', async (t) => {
	const { registry, manager, load } = await setUp(t);
	const seed = { module: wasm, sourceMap: undefined, settings: undefined, activate: true, model: undefined };
	await registry.seed(seed);
	const [first] = manager.list();
	await registry.seed(seed);
	t.is(manager.list().length, 1);
	const second = await load();
	await registry.seed(seed);
	t.is(manager.active(''), second);
	t.not(first?.strategy.label, second);
});

test('loading makes room by dropping the oldest version nobody would miss', async (t) => {
	const { registry, manager, load } = await setUp(t);
	const labels: string[] = [];
	for (let n = 0; n < 8; n++) labels.push(await load());
	t.true(manager.list().length <= 6);
	t.is(await registry.rollback(undefined), labels.at(-2));
});

test('a model under experiment is not staged by hand, and its experiment goes only forward', async (t) => {
	const { registry, manager, load } = await setUp(t);
	const baseline = await load();
	const candidate = await load();
	await registry.stage(baseline, 'active', {});
	const block = (at: number, arm: 'baseline' | 'candidate', id = 'e1') => ({
		id,
		tag: 3,
		block: at,
		baseline,
		candidate,
		arm,
		measureFromMs: 0,
		objectives: { ttftMs: 1000, tpotMs: 50, ttftPerTokenMs: 0 },
	});
	await registry.stageExperiment('m0', block(0, 'baseline'));
	await registry.stageExperiment('m0', block(1, 'candidate'));
	t.is(manager.currentPlan().byModel.get('m0')?.experiment?.arm, 'candidate', 'every router follows when it resolves');
	await t.throwsAsync(registry.stage(candidate, 'active', { model: 'm0' }), { code: 'IM_EXPERIMENT_STAGING' });
	await t.throwsAsync(registry.stage(candidate, 'shadow', { model: 'm0' }), { code: 'IM_EXPERIMENT_STAGING' });
	await t.throwsAsync(registry.rollback('m0'), { code: 'IM_EXPERIMENT_STAGING' });
	const refused = { code: 'IM_EXPERIMENT_STAGING', message: /e1 runs on m0/ };
	for (const stage of ['active', 'canary', 'shadow', 'loaded'] as const)
		await t.throwsAsync(registry.stage(candidate, stage, {}), refused, `${stage} for the whole mesh`);
	await t.throwsAsync(registry.rollback(undefined), refused);
	await t.throwsAsync(load(), refused, 'nor loaded and made active in one');
	await t.notThrowsAsync(registry.stage(candidate, 'shadow', { model: 'another' }));
	t.deepEqual(await registry.experimentsUnder(undefined), ['e1']);
	t.deepEqual(await registry.experimentsUnder('another'), []);
	await t.throwsAsync(registry.unload(candidate), { code: 'IM_STRATEGY_STAGED' });
	await t.throwsAsync(registry.stageExperiment('m0', block(0, 'baseline')), { code: 'IM_EXPERIMENT_OVERTAKEN' });
	await t.throwsAsync(registry.stageExperiment('m0', block(0, 'baseline', 'e2')), { code: 'IM_EXPERIMENT_MODEL_BUSY' });
	await registry.endExperiment('m0', 'e2', candidate);
	t.is(await registry.experimentOn('m0'), 'e1', 'another experiment does not end it');
	await registry.endExperiment('m0', 'e1', candidate);
	t.is(manager.active('m0'), candidate);
	t.is(manager.currentPlan().byModel.get('m0')?.experiment, undefined);
	await registry.stage(baseline, 'active', { model: 'm0' });
});
