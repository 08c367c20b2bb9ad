import { MeshError } from '@infermesh/proto';
import test from 'ava';
import { fleetErrors } from '../fleet/errors.js';
import type { TargetSpec } from '../fleet/registry.js';
import type { CellView } from './book.js';
import { type CellReport, CellRows, nearest } from './rows.js';
import { modelSummary, summaryOf } from './testing.js';

const view = (cell: string, over: Partial<CellView> = {}, summary = summaryOf(cell)): CellView => ({
	summary,
	ageMs: 100,
	stale: false,
	rttMs: 12,
	...over,
});

function rows(full = false) {
	const specs = new Map<string, TargetSpec>();
	const reports = new Map<string, CellReport>();
	const done: string[] = [];
	const failures: string[] = [];
	const made = new CellRows(
		{ nodeId: 'me', place: { zone: 'z', region: 'eu' }, apiKey: 'k', rowsMax: 3 },
		{
			current: () => new Map(specs),
			add(spec) {
				if (full) throw new MeshError(fleetErrors, 'IM_FLEET_FULL');
				specs.set(spec.id, spec);
				done.push(`+${spec.id}`);
			},
			remove(id) {
				specs.delete(id);
				done.push(`-${id}`);
			},
			report: (id, report) => void reports.set(id, report),
		},
		(what, { code }) => void failures.push(`${what}: ${code}`),
	);
	return { made, specs, reports, done, failures };
}

test('one row stands for a cell and model, with the load of all behind it and their number as weight', (t) => {
	const { made, specs, reports, done } = rows();
	made.apply([view('a')]);
	t.like(specs.get('cell:a/m'), { url: 'http://a.example:8080', cell: 'a', zone: 'z', region: 'eu', apiKey: 'k' });
	t.like(reports.get('cell:a/m'), {
		ageMs: 100,
		weight: 2,
		delta: { queueDepth: 1, running: 2, maxSequences: 64 },
		link: { basis: 'measured', rttMs: 12, linkClass: 'same_zone' },
	});
	made.apply([view('a', {}, summaryOf('a', { models: [modelSummary({ queue: 9 })] }))]);
	t.is(reports.get('cell:a/m')?.delta.queueDepth, 9);
	t.deepEqual(done, ['+cell:a/m'], 'figures that change leave the row where it is');
});

test('a row goes when its cell is stale, its targets are all ill or it has no router, and moves when its router goes', (t) => {
	const { made, done, specs } = rows();
	const gone: CellView[] = [
		view('a', { stale: true }),
		view('a', {}, summaryOf('a', { models: [modelSummary({ healthy: 0 })] })),
		view('a', {}, summaryOf('a', { routers: [] })),
	];
	for (const one of gone) {
		made.apply([view('a')]);
		made.apply([one]);
		t.deepEqual(done.splice(0), ['+cell:a/m', '-cell:a/m']);
	}
	made.apply([view('a')]);
	made.apply([view('a', {}, summaryOf('a', { routers: ['http://b.example'] }))]);
	t.deepEqual(done, ['+cell:a/m', '-cell:a/m', '+cell:a/m']);
	t.is(specs.get('cell:a/m')?.url, 'http://b.example');
});

test('no more rows than the bound stand for other cells', (t) => {
	const { made, specs, failures } = rows();
	made.apply(['a', 'b', 'c', 'd', 'e'].map((cell) => view(cell)));
	t.deepEqual([...specs.keys()], ['cell:a/m', 'cell:b/m', 'cell:c/m']);
	made.apply(['a', 'b', 'c', 'd'].map((cell) => view(cell)));
	t.deepEqual(failures, ['rows of other cells: IM_CELL_ROWS'], 'told once');
	made.apply([view('a')]);
	made.apply(['a', 'b', 'c', 'd'].map((cell) => view(cell)));
	t.is(failures.length, 2, 'and again when it comes again');
});

test('a row for which there is no room is told of once', (t) => {
	const { made, failures } = rows(true);
	for (let n = 0; n < 3; n++) made.apply([view('a')]);
	t.deepEqual(failures, ['a row for cell:a/m: IM_FLEET_FULL']);
});

test('each node keeps to one router while it is there, and nodes spread over all of them', (t) => {
	const routers = ['http://1', 'http://2', 'http://3', 'http://4'];
	const counts = new Map<string, number>();
	for (let n = 0; n < 400; n++) {
		const mine = nearest(`node-${n}`, routers) ?? '';
		counts.set(mine, (counts.get(mine) ?? 0) + 1);
		const others = routers.filter((one) => one !== mine);
		t.is(nearest(`node-${n}`, [...others.slice(1), mine]), mine, 'the loss of another moves nobody');
	}
	for (const router of routers) t.true((counts.get(router) ?? 0) > 50, `${router}: ${counts.get(router)}`);
	t.is(nearest('me', []), undefined);
});
