import test from 'ava';
import { CellBook } from './book.js';
import { cellBounds } from './summary.js';
import { summaryOf } from './testing.js';

const T0 = 1_000_000;
const book = () => new CellBook('own', { staleAfterMs: 10_000, forgetAfterMs: 60_000 });
const known = (cell: string, ageMs = 0, clusterId = `cluster-${cell}`) => ({
	summary: summaryOf(cell, { clusterId }),
	ageMs,
});

test('the newest summary of a cell stays, grows old, says so, and is forgotten', (t) => {
	const kept = book();
	t.true(kept.take(known('b'), T0));
	t.true(kept.take({ ...known('a'), rttMs: 7 }, T0));
	t.false(kept.take(known('b', 500), T0 + 100), 'an older one that comes later');
	t.true(kept.take(known('b', 50), T0 + 100));
	t.like(kept.list(T0 + 5000), { 0: { ageMs: 5000, stale: false, rttMs: 7 }, 1: { ageMs: 4950, stale: false } });
	t.deepEqual(
		kept.list(T0 + 10_020).map(({ summary, stale }) => [summary.cell, stale]),
		[
			['a', true],
			['b', false],
		],
	);
	t.is(kept.list(T0 + 60_020).length, 1);
	t.is(kept.list(T0 + 70_000).length, 0);
});

test('what a cell passes on of others has the age it had there', (t) => {
	const [gateway, node] = [book(), book()];
	gateway.take(known('a', 1000), T0);
	for (const one of gateway.known(T0 + 500)) node.take(one, T0 + 500);
	t.is(node.list(T0 + 600)[0]?.ageMs, 1600);
});

test('nobody speaks for this node’s own cell, and no other cluster takes a name while its owner is heard of', (t) => {
	const kept = book();
	t.false(kept.take(known('own'), T0));
	kept.take(known('a'), T0);
	t.throws(() => kept.take(known('a', 0, 'another'), T0 + 5000), { code: 'IM_CELL_NAME_TAKEN' });
	t.is(kept.list(T0 + 5000)[0]?.summary.clusterId, 'cluster-a');
	t.true(kept.take(known('a', 0, 'rebuilt'), T0 + 10_001), 'the former owner has been silent');
});

test('cells beyond the bound are refused by name, and make room when they are forgotten', (t) => {
	const kept = book();
	for (let n = 0; n < cellBounds.cells; n++) kept.take(known(`c${n}`), T0);
	t.throws(() => kept.take(known('late'), T0), { code: 'IM_CELL_FULL' });
	t.true(kept.take(known('late'), T0 + 60_001));
});
