import type { LinkEstimate } from '@infermesh/fabric';
import test from 'ava';
import type { TopologyView } from '../main/fabric.js';
import { allPairs } from './pairs.js';
import { nodeRecord } from './testing.js';

const estimate: LinkEstimate = {
	basis: 'estimated',
	reach: 'untried',
	rttMs: 5,
	ageMs: 1,
	error: 0.2,
	bandwidthBytesPerS: undefined,
	linkClass: 'same_zone',
};
const view = (...to: readonly string[]): TopologyView => ({
	links: to.map((nodeId) => ({ nodeId, estimate })),
	vector: [],
	heightS: 0,
	error: 0,
});
const nodes = ['b', 'a', 'c'].map((id) => nodeRecord(id, `name-${id}`));

test('each node tells its own links; of one that does not answer nothing is made up', async (t) => {
	const { pairs, unanswered, truncated } = await allPairs(nodes, (id) =>
		id === 'c'
			? Promise.reject(new Error('gone'))
			: Promise.resolve(view(...['a', 'b', 'x'].filter((to) => to !== id))),
	);
	t.deepEqual(
		pairs.map(({ from, to, toId }) => [from.name, to?.name ?? toId]),
		[
			['name-a', 'name-b'],
			['name-a', 'x'],
			['name-b', 'name-a'],
			['name-b', 'x'],
		],
	);
	t.deepEqual(unanswered, [{ name: 'name-c', error: 'gone' }]);
	t.false(truncated);
});

test('no more than sixteen nodes are asked at once, and no more pairs shown than the bound', async (t) => {
	const many = Array.from({ length: 60 }, (_, at) => nodeRecord(`n${at}`, `n${at}`));
	let asking = 0;
	let most = 0;
	const { pairs, truncated } = await allPairs(
		many,
		async () => {
			most = Math.max(most, ++asking);
			await Promise.resolve();
			asking--;
			return view('a', 'b');
		},
		100,
	);
	t.is(most, 16);
	t.is(pairs.length, 100);
	t.true(truncated);
});
