import test from 'ava';
import { summaryOf } from '../cells/testing.js';
import type { CellsView, MemberView } from '../main/fabric.js';
import { cellRows } from './cells-view.js';

const member = (id: string, cell: string, state: MemberView['state'] = 'alive'): MemberView => ({
	id,
	name: `name-${id}`,
	address: `${id}:8947`,
	state,
	incarnation: 1,
	sinceMs: 0,
	accusers: [],
	speaksFor: { cell, agent: `${id}:8082` },
});

function view(over: Partial<CellsView> = {}): CellsView {
	return {
		name: 'own',
		gateway: true,
		describe: () => undefined,
		own: () => summaryOf('own'),
		others: () => [{ summary: summaryOf('a'), ageMs: 12_000, stale: true, rttMs: 30 }],
		pool: () => [member('me', 'own'), member('g1', 'a', 'failed'), member('g2', 'a')],
		onChange: () => () => undefined,
		...over,
	};
}

test('this cell comes first, others with their age and what the pool of gateways says of who speaks for them', (t) => {
	const [own, other, ...rest] = cellRows(view());
	t.deepEqual(rest, []);
	t.like(own, { cell: 'own', own: true, clusterId: 'cluster-own', ageMs: 0, stale: false });
	t.deepEqual(
		own?.gateways.map(({ name }) => name),
		['name-me'],
	);
	t.like(other, { cell: 'a', own: false, ageMs: 12_000, stale: true, rttMs: 30, clusterId: 'cluster-a' });
	t.deepEqual(
		other?.gateways.map(({ name, agent, state }) => [name, agent, state]),
		[
			['name-g1', 'g1:8082', 'failed'],
			['name-g2', 'g2:8082', 'alive'],
		],
	);
});

test('a cell of which nothing is told is there by name; a lone node has none', (t) => {
	const [own] = cellRows(view({ own: () => undefined, others: () => [] }));
	t.like(own, { cell: 'own', clusterId: '', ageMs: undefined, models: [] });
	t.deepEqual(cellRows(undefined), []);
});
