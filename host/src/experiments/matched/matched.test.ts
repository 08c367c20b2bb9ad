// Matched cells: how cells are paired, what makes them no cells of one comparison, and what two meshes in virtual time find together, each running its own blocks.
import test from 'ava';
import { quickDesign, VirtualMesh } from '../controller/testing.js';
import { CELL_PAIRS_MAX, MATCHED_PAIRS_MAX } from '../design/design.js';
import { armOfCell } from '../design/schedule.js';
import { POINTS_MAX } from '../record.js';
import { documentOf, type ExperimentDocument } from '../views.js';
import { jointDocument } from './joint.js';
import { renderJointHtml } from './joint-html.js';
import { type CellLook, checkApart, type NamedLook } from './look.js';
import { CELLS_MAX, type CellTraffic, distance, matchCells } from './match.js';

const traffic = (name: string, requestsPerS: number, tokensIn = 1000, tokensOut = 100): CellTraffic => ({
	name,
	requestsPerS,
	tokensIn,
	tokensOut,
});

test('cells that are alike in load and mix become pairs: the least sum over all pairings, whatever the order they are named in', (t) => {
	const cells = [
		traffic('a', 10),
		traffic('b', 100),
		traffic('c', 11),
		traffic('d', 90),
		traffic('e', 10, 8000),
		traffic('f', 12, 7000),
	];
	const expected = [
		['a', 'c'],
		['b', 'd'],
		['e', 'f'],
	];
	t.deepEqual(matchCells(cells).pairs, expected);
	t.deepEqual(matchCells([...cells].reverse()).pairs, expected);
	t.deepEqual(matchCells(cells).notes, []);
	// Taking the closest two first would leave the others far apart.
	const line = [traffic('p', 1), traffic('q', 2), traffic('r', 3.5), traffic('s', 7)];
	t.true(
		distance(line[1] as CellTraffic, line[2] as CellTraffic) < distance(line[0] as CellTraffic, line[1] as CellTraffic),
	);
	t.deepEqual(matchCells(line).pairs, [
		['p', 'q'],
		['r', 's'],
	]);
	t.regex(matchCells([traffic('x', 1), traffic('y', 9)]).notes.join(), /x and y are not alike: load differ 9\.0 times/);
	t.deepEqual(matchCells([traffic('x', 0), traffic('y', 0)]).pairs, [['x', 'y']], 'idle cells are alike');
	t.is(
		matchCells(Array.from({ length: CELLS_MAX }, (_, at) => traffic(`c${at}`, 1 + (at >> 1)))).pairs.length,
		CELLS_MAX / 2,
	);
	t.is(CELLS_MAX, 2 * CELL_PAIRS_MAX);
});

test('too few cells, an odd number, or too many are refused by name', (t) => {
	const some = (count: number): CellTraffic[] => Array.from({ length: count }, (_, at) => traffic(`c${at}`, 1));
	for (const [cells, pairsMin, why] of [
		[some(0), 1, /0 cells are 0 pairs, and at least 1/],
		[some(3), 1, /3 cells cannot be paired/],
		[some(4), 3, /4 cells are 2 pairs, and at least 3/],
		[some(18), 1, /18 cells are more than the 16/],
	] as const)
		t.throws(() => matchCells(cells, pairsMin), { code: 'IM_EXPERIMENT_CELLS', message: why });
});

const lookOf = (name: string, more: Partial<CellLook> = {}): NamedLook => ({
	name,
	host: `${name}.example`,
	look: {
		cell: name,
		model: 'm',
		baseline: 'b@1',
		nodes: [`node-${name}`],
		engines: ['http://127.0.0.1:8000'],
		requestsPerS: 1,
		requests: 1,
		tokensIn: 1,
		tokensOut: 1,
		border: { sendsTo: [], hearsOf: [] },
		...more,
	},
});

test('cells that share an engine, a node or requests are no cells; the same loopback address on two hosts is two engines', (t) => {
	t.notThrows(() => checkApart([lookOf('a'), lookOf('b')]));
	const linked = { sendsTo: [], hearsOf: ['b'] };
	t.notThrows(() => checkApart([lookOf('a', { border: linked }), lookOf('b')]), 'b is asked itself whether it sends');
	const refused: readonly (readonly [Partial<CellLook>, Partial<CellLook>, RegExp])[] = [
		[{ nodes: ['n'] }, { nodes: ['n'] }, /a and b have the node n in common/],
		[{ engines: ['http://gpu:8000'] }, { engines: ['http://GPU:8000/v1'] }, /the engine gpu:8000 in common/],
		[{ engines: ['https://gpu'] }, { engines: ['https://gpu:443/'] }, /the engine gpu:443 in common/],
		[{ border: { sendsTo: ['b'], hearsOf: ['b'] } }, {}, /a: requests may be sent to b/],
		[{}, { border: { sendsTo: [], hearsOf: ['z'] } }, /b: z may send requests here/],
	];
	for (const [a, b, message] of refused)
		t.throws(() => checkApart([lookOf('a', a), lookOf('b', b)]), { code: 'IM_EXPERIMENT_CELLS_SHARED', message });
	const samehost = [lookOf('a'), { ...lookOf('b'), host: 'a.example' }];
	t.throws(() => checkApart(samehost), { code: 'IM_EXPERIMENT_CELLS_SHARED' });
});

const cellPairs = [['east', 'west']] as const;
const designOf = (cell: string, more: Parameters<typeof quickDesign>[0] = {}) =>
	quickDesign({ kind: 'matched-cells', cellPairs, cell, promote: 'never', ...more });
const reportsOf = (...meshes: readonly VirtualMesh[]): ExperimentDocument[] =>
	meshes.map(({ record }) => documentOf(record));

test('two meshes run their own blocks on different sides, come to no verdict alone, and to one together', async (t) => {
	const armsAre = { baseline: { good: 0.7 }, candidate: { good: 0.95 } };
	const east = new VirtualMesh(designOf('east'), armsAre, { seed: 1 });
	const west = new VirtualMesh(designOf('west'), armsAre, { seed: 2 });
	for (let step = 0; step < 40 && jointDocument(reportsOf(east, west)).verdict === 'undecided'; step++) {
		await Promise.all([east.run(10_000), west.run(10_000)]);
		await east.takeOver();
	}
	const joint = jointDocument(reportsOf(east, west));
	t.is(joint.verdict, 'win');
	t.is(joint.next.action, 'end', 'promotion is left to people');
	t.like(joint, { state: 'ended', design: { cellPairs } });
	t.false('cell' in joint.design);
	t.regex(joint.switchback.attainmentDifference.guarantee, /cells do not touch/);
	t.true(Math.abs(joint.switchback.attainmentDifference.value.mean - 0.25) < 0.04);
	t.log(`${joint.switchback.pairs.length} pairs of blocks`);
	for (const [cell, mesh] of [
		['east', east],
		['west', west],
	] as const) {
		t.is(mesh.record.state, 'running', 'a cell does not stop by what it sees alone');
		t.true(mesh.record.points.length >= 2 * joint.switchback.pairs.length);
		t.true(mesh.record.points.every(({ block, arm }) => arm === armOfCell(mesh.record.design, block, cell)));
	}
	const both = east.record.points.map(({ arm }, at) => [arm, west.record.points[at]?.arm]);
	t.true(
		both.slice(0, 2 * joint.switchback.pairs.length).every(([a, b]) => a !== b),
		'always on different sides',
	);
	t.true(joint.switchback.burnInRequests > 0);
	const html = renderJointHtml(joint);
	t.regex(html, /<p class="banner good">the candidate is better; promotion is left to people/);
	t.regex(html, /win rate; [\s\S]*confidence sequence[\s\S]*<b>east: Requests[\s\S]*<b>west: Requests/);
	t.notRegex(html, /±\+|\+ 0 ms/, 'a size has no sign, and no time a token is not told');
	t.regex(html, /east with west[\s\S]*confidence sequence|confidence sequence[\s\S]*east with west/);
	t.regex(html, /cells do not touch/);
	t.deepEqual(jointDocument(reportsOf(west, east)), joint, 'whoever is asked first');
});

test('a cell that a guardrail ends takes its later pairs with it, for all; one that is not by itself any more ends', async (t) => {
	const fine = { baseline: { good: 0.9 }, candidate: { good: 0.9 } };
	const east = new VirtualMesh(designOf('east'), fine, { seed: 1 });
	const west = new VirtualMesh(designOf('west'), { ...fine, candidate: { good: 0.9, trap: 0.0005 } }, { seed: 2 });
	await Promise.all([east.run(200_000), west.run(200_000)]);
	t.is(west.record.trip?.rule, 'traps');
	t.is(east.record.state, 'running');
	const joint = jointDocument(reportsOf(east, west));
	t.like(joint, { state: 'ended', next: { action: 'rollback' } });
	t.true(joint.switchback.pairs.length <= west.record.points.length / 2);
	t.true(joint.switchback.pairs.length < Math.floor(east.record.points.length / 2));
	t.regex(joint.notes.join(), /west has ended \(rollback: guardrail traps/);
	east.border = { sendsTo: [], hearsOf: ['west'] };
	await east.run(3000);
	t.is(east.record.state, 'running', 'a cell of the comparison is asked itself');
	east.border = { sendsTo: ['west'], hearsOf: ['west'] };
	await east.run(3000);
	t.like(east.record, { state: 'ended', end: { how: 'end', by: 'rule' } });
	t.regex(east.record.end?.reason ?? '', /not by itself any more: requests may be sent to west/);
	const plain = new VirtualMesh(quickDesign(), fine);
	plain.border = { sendsTo: ['west'], hearsOf: ['west'] };
	await plain.run(3000);
	t.is(plain.record.state, 'running', 'a switchback does not ask');
});

test('reports of other cells, designs, experiments or modules are not put together', async (t) => {
	const fine = { baseline: { good: 0.9 }, candidate: { good: 0.9 } };
	const east = documentOf(new VirtualMesh(designOf('east'), fine).record);
	const west = documentOf(new VirtualMesh(designOf('west'), fine).record);
	t.is(jointDocument([east, west]).switchback.pairs.length, 0);
	const refused: readonly (readonly [readonly ExperimentDocument[], RegExp])[] = [
		[[], /no cell has reported/],
		[[east], /nothing was reported of west/],
		[[east, west, west], /reported twice/],
		[[east, { ...west, id: 'x-2' }], /west: another experiment, x-2/],
		[
			[east, { ...west, digests: { ...west.digests, candidate: 'z' } }],
			/west: its strategies are other modules than those of east/,
		],
		[[east, documentOf(new VirtualMesh(designOf('west', { seed: 8 }), fine).record)], /west: another design/],
		[[documentOf(new VirtualMesh(quickDesign(), fine).record)], /a switchback/],
	];
	for (const [reports, message] of refused)
		t.throws(() => jointDocument(reports), { code: 'IM_EXPERIMENT_CELLS_DIFFER', message });
	t.throws(() => designOf('north'), { code: 'IM_EXPERIMENT_DESIGN', message: /cell: one of east, west, not north/ });
	t.throws(() => designOf('east', { pairsMax: MATCHED_PAIRS_MAX + 1 }), { code: 'IM_EXPERIMENT_DESIGN' });
	t.is(MATCHED_PAIRS_MAX, POINTS_MAX / 2, 'all blocks of a cell are there to be judged');
});
