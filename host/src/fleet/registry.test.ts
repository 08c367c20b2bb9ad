import { COLUMN_COST, COLUMN_MODEL, COLUMN_STATE, COLUMN_TARGET, COLUMN_WEIGHT, TargetState } from '@infermesh/sdk';
import test from 'ava';
import * as fc from 'fast-check';
import { NameTable } from './interner.js';
import { TargetRegistry, type TargetSpec } from './registry.js';
import { createFleetTable, FleetTableWriter, GENERATION_COLUMN } from './table.js';

const ROWS = 16;

function open(modelsMax = 32) {
	const table = new FleetTableWriter(createFleetTable(ROWS));
	const names = {
		targets: new NameTable(64),
		nodes: new NameTable(64),
		zones: new NameTable(64),
		regions: new NameTable(64),
		models: new NameTable(modelsMax),
		revisions: new NameTable(64),
	};
	return { table, names, registry: new TargetRegistry(table, names) };
}

function spec(id: string, more: Partial<TargetSpec> = {}): TargetSpec {
	return {
		id,
		url: 'http://127.0.0.1:9/base/',
		models: ['m'],
		runtime: 'auto',
		apiKey: undefined,
		upstreamModel: undefined,
		revision: undefined,
		quant: undefined,
		weight: 1,
		role: 'both',
		node: 'n',
		zone: 'z',
		region: 'r',
		costPerHour: 2.5,
		metricsPath: '/metrics',
		healthPath: '/health',
		...more,
	};
}

test('a target gets a row, its identity columns, and a place in the pool of each of its models', (t) => {
	const { table, names, registry } = open();
	const record = registry.add(spec('a', { models: ['m', 'n', 'm'], weight: 3 }));
	t.deepEqual(
		registry.pools().map(({ model, targets }) => [model, targets.map((target) => target?.id)]),
		[
			['m', ['a']],
			['n', ['a']],
		],
		'named twice is named once',
	);
	t.is(record.upstream.origin, 'http://127.0.0.1:9');
	t.is(record.upstream.pathPrefix, '/base');
	t.is(names.targets.name(table.getU32(COLUMN_TARGET, record.row)), 'a');
	t.is(names.models.name(table.getU32(COLUMN_MODEL, record.row)), 'm');
	t.is(table.getF32(COLUMN_WEIGHT, record.row), 3);
	t.is(table.getF32(COLUMN_COST, record.row), 2.5);
	t.is(table.getU32(GENERATION_COLUMN, record.row), record.generation);
});

test('what cannot be a target is refused with its reason, and nothing is taken', (t) => {
	const { registry } = open();
	registry.add(spec('a'));
	t.throws(() => registry.add(spec('a')), { code: 'IM_TARGET_EXISTS' });
	t.throws(() => registry.add(spec('b', { models: [] })), { code: 'IM_TARGET_INVALID' });
	for (const url of ['nonsense', 'ftp://127.0.0.1', '', 'http://'])
		t.throws(() => registry.add(spec('b', { url })), { code: 'IM_TARGET_INVALID' });
	t.throws(() => registry.get('b'), { code: 'IM_TARGET_UNKNOWN' });
	t.throws(() => registry.remove('b'), { code: 'IM_TARGET_UNKNOWN' });
	t.is(registry.records().length, 1);
	t.is(registry.pools()[0]?.targets.length, 1);
});

test('a full table and a full list of models say so, and recover', (t) => {
	const { registry } = open(1);
	t.throws(() => registry.add(spec('other', { models: ['m', 'second'] })), { code: 'IM_FLEET_MODELS' });
	for (let row = 0; row < ROWS; row++) registry.add(spec(`t${row}`));
	for (let again = 0; again < 3; again++) t.throws(() => registry.add(spec('more')), { code: 'IM_FLEET_FULL' });
	registry.release(registry.remove('t5'));
	t.is(registry.add(spec('more')).row, 5);
});

test('a removed target leaves a hole at once; its row waits for release and comes back under a new generation', (t) => {
	const { table, registry } = open();
	const [a, b] = [registry.add(spec('a')), registry.add(spec('b'))];
	const before = registry.pools()[0];
	registry.remove('a');
	t.not(registry.pools()[0], before);
	t.deepEqual(registry.pools()[0]?.targets, [undefined, b.upstream]);
	t.is(table.getU32(COLUMN_STATE, a.row), TargetState.quarantined);
	const c = registry.add(spec('c'));
	t.not(c.row, a.row, 'its row may still have work');
	t.deepEqual(registry.pools()[0]?.targets, [c.upstream, b.upstream], 'the hole in the pool is used');
	registry.release(a);
	const d = registry.add(spec('d'));
	t.is(d.row, a.row);
	t.is(d.generation, a.generation + 1);
	t.is(table.getU32(COLUMN_STATE, d.row), TargetState.unknown);
});

test('a target may come back under its id while its old row is still waiting', (t) => {
	const { table, names, registry } = open();
	const old = registry.add(spec('a'));
	registry.remove('a');
	const back = registry.add(spec('a'));
	registry.release(old);
	t.is(names.targets.name(table.getU32(COLUMN_TARGET, back.row)), 'a');
	t.is(registry.get('a'), back);
});

test('whatever comes and goes, rows, generations and pools agree', (t) => {
	const act = fc.record({ id: fc.nat(9), add: fc.boolean(), model: fc.nat(2) });
	fc.assert(
		fc.property(fc.array(act, { maxLength: 60, size: 'max' }), (acts) => {
			const { registry } = open();
			const seen = new Set<string>();
			for (const { id, add, model } of acts) {
				const known = registry.records().some((record) => record.spec.id === `t${id}`);
				if (add && !known) {
					const { row, generation } = registry.add(spec(`t${id}`, { models: [`m${model}`] }));
					t.false(seen.has(`${row}/${generation}`), 'no row has the same generation twice');
					seen.add(`${row}/${generation}`);
				} else if (!add && known) registry.release(registry.remove(`t${id}`));
				const records = registry.records();
				t.is(new Set(records.map(({ row }) => row)).size, records.length);
				const pools = registry.pools();
				t.deepEqual(
					pools.map(({ index }) => index),
					[...pools.keys()],
				);
				const inPools = pools.flatMap(({ targets }) => targets.flatMap((target) => target?.id ?? []));
				t.deepEqual(inPools.sort(), records.map((record) => record.spec.id).sort());
				for (const { targets } of pools)
					t.true(targets.length === 0 || targets.at(-1) !== undefined, 'no hole at the end');
			}
		}),
		{ numRuns: 100 },
	);
});

test('names are numbered from 1, within their bound, and numbers given back are used again', (t) => {
	const names = new NameTable(2);
	t.deepEqual(
		[names.intern('a'), names.intern('b'), names.intern('a'), names.intern('c'), names.intern('')],
		[1, 2, 1, 0, 0],
	);
	t.is(names.find('c'), 0);
	t.is(names.name(2), 'b');
	t.is(names.name(99), '');
	names.release('a');
	names.release('nobody');
	t.is(names.name(1), '');
	t.is(names.intern('c'), 1);
	t.is(names.find('a'), 0);
	t.deepEqual(names.entries(), ['c', 'b']);
});

test('rows that stand for other cells are a pool of their own beside that of the model’s engines', (t) => {
	const { registry } = open();
	registry.add(spec('engine'));
	const away = registry.add(spec('cell:west/m', { cell: 'west' }));
	const pools = registry.pools().map(({ index, model, elsewhere, targets }) => ({
		index,
		model,
		elsewhere,
		targets: targets.map((target) => target?.id),
	}));
	t.deepEqual(pools, [
		{ index: 0, model: 'm', elsewhere: false, targets: ['engine'] },
		{ index: 1, model: 'm', elsewhere: true, targets: ['cell:west/m'] },
	]);
	t.is(away.upstream.cell, 'west');
	registry.remove('cell:west/m');
	t.deepEqual(
		registry.pools().map(({ targets }) => targets.length),
		[1, 0],
	);
});
