import {
	COLUMN_COST,
	COLUMN_FETCHES_PREFIXES,
	COLUMN_MODEL,
	COLUMN_STATE,
	COLUMN_TARGET,
	COLUMN_TARGET_HASH,
	COLUMN_WEIGHT,
	TargetState,
} from '@infermesh/sdk';
import test from 'ava';
import * as fc from 'fast-check';
import { NameTable } from './interner.js';
import { TargetRegistry, type TargetSpec } from './registry.js';
import { createFleetTable, FleetTableWriter, GENERATION_COLUMN } from './table.js';

const ROWS = 16;

function open(modelsMax = 32, remoteModelsMax = 8) {
	const table = new FleetTableWriter(createFleetTable(ROWS));
	const names = {
		targets: new NameTable(64),
		nodes: new NameTable(64),
		zones: new NameTable(64),
		regions: new NameTable(64),
		models: new NameTable(modelsMax),
		revisions: new NameTable(64),
	};
	return { table, names, registry: new TargetRegistry(table, names, remoteModelsMax) };
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
	t.is(table.getU32(COLUMN_FETCHES_PREFIXES, record.row), 0);
	const fetching = registry.add(spec('b', { fetchesPrefixes: true }));
	t.is(table.getU32(COLUMN_FETCHES_PREFIXES, fetching.row), 1);
	t.is(table.getU32(GENERATION_COLUMN, record.row), record.generation);
});

test('routers that were told of targets in another order hash them alike, and none two alike', (t) => {
	const ids = ['a', 'b', 'gpu-1', 'gpu-2', 'node-7/0'];
	const hashes = (order: readonly string[]) => {
		const { table, registry } = open();
		return new Map(order.map((id) => [id, table.getU32(COLUMN_TARGET_HASH, registry.add(spec(id)).row)]));
	};
	const forward = hashes(ids);
	const backward = hashes([...ids].reverse());
	for (const id of ids) t.is(backward.get(id), forward.get(id), id);
	t.is(new Set(forward.values()).size, ids.length);
	t.is(forward.get('a'), 530_429_928, 'a hash that changes moves every session of every mesh');
});

test('a target speaks gRPC at its own address, at another, or not at all', (t) => {
	const { registry } = open();
	const origin = (id: string, grpc: string | undefined): string | undefined =>
		registry.add(spec(id, { url: 'http://host:1/base', grpc })).upstream.grpcOrigin;
	t.is(origin('none', undefined), undefined);
	t.is(origin('same', 'same'), 'http://host:1');
	t.is(origin('own', 'https://other:2'), 'https://other:2');
	for (const wrong of ['host:2', 'ftp://host:2', 'http://host:2/path'])
		t.throws(() => origin('wrong', wrong), { code: 'IM_TARGET_INVALID' });
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
	t.is(names.find('a'), 1, 'what is interned stays');
	names.release('nobody');
	const held = new NameTable(2);
	t.is(held.hold('a'), 1);
	t.is(held.hold('a'), 1);
	held.release('a');
	t.is(held.find('a'), 1, 'another one holds it');
	held.release('a');
	t.is(held.name(1), '');
	t.is(held.hold('c'), 1);
	t.is(held.find('a'), 0);
	t.deepEqual(held.entries(), ['c']);
});

test('a cell that calls its models something else all the time takes no room from this one', (t) => {
	const { names, registry } = open(8, 2);
	for (let round = 0; round < 300; round++) {
		const row = registry.add(
			spec('cell:west', {
				cell: 'west',
				models: [`m${round}`],
				node: `n${round}`,
				zone: `z${round}`,
				region: `r${round}`,
			}),
		);
		registry.remove('cell:west');
		t.is(registry.pools().length, 1, 'it waits for what is in flight');
		registry.release(row);
		t.deepEqual(registry.pools(), []);
	}
	for (const table of Object.values(names)) t.true(table.entries().length <= 1, 'names are given back');
	const own = Array.from({ length: 8 }, (_, n) => registry.add(spec(`own${n}`, { models: [`own${n}`] })));
	t.is(new Set(own.map(({ row }) => row)).size, 8, 'every name is this cell’s');
});

test('models of other cells have a bound of their own, and one that is refused takes nothing', (t) => {
	const { names, registry } = open(8, 2);
	const away = (model: string) => spec(`cell:west/${model}`, { cell: 'west', models: [model] });
	const a = registry.add(away('a'));
	registry.add(away('b'));
	t.throws(() => registry.add(away('c')), { code: 'IM_FLEET_REMOTE_MODELS' });
	t.is(names.models.find('c'), 0);
	registry.add({ ...away('a'), id: 'cell:east/a', cell: 'east' });
	registry.remove('cell:west/a');
	registry.release(a);
	t.throws(() => registry.add(away('c')), { code: 'IM_FLEET_REMOTE_MODELS' }, 'the other cell’s row holds the name');
	t.is(registry.pools().length, 2);
});

test('a model whose targets are gone stays known until its name is wanted', (t) => {
	const { names, registry } = open(2);
	registry.add(spec('a', { models: ['a'] }));
	const b = registry.add(spec('b', { models: ['b'] }));
	registry.remove('b');
	t.throws(() => registry.add(spec('c', { models: ['c'] })), { code: 'IM_FLEET_MODELS' }, 'its row may have work');
	registry.release(b);
	t.deepEqual(
		registry.pools().map(({ model }) => model),
		['a', 'b'],
	);
	registry.add(spec('c', { models: ['c'] }));
	t.deepEqual(
		registry.pools().map(({ model, index }) => [model, index]),
		[
			['a', 0],
			['c', 2],
		],
		'under an index that no pool had',
	);
	t.is(names.models.find('b'), 0);
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
