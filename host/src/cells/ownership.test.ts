import test from 'ava';
import { GatewayCells, ownNodes, shutOutBy } from './ownership.js';
import { summaryOf } from './testing.js';

test('a cell shuts out nodes of its own, never the gateway of a third cell, there or away', (t) => {
	const cells = new GatewayCells();
	cells.note('north-1', 'north');
	cells.note('west-1', 'west');
	const told = summaryOf('west', { quarantined: ['north-1', 'west-1', 'nobody-met'] });
	t.like(cells.ofItsOwn(told), { summary: { quarantined: ['west-1', 'nobody-met'] }, foreign: 1 });
	cells.note('north-1', 'west');
	t.is(cells.ofItsOwn(told).foreign, 0, 'a node that has moved says so itself');
	for (let n = 0; n < 1023; n++) cells.note(`other-${n}`, 'other');
	t.is(cells.ofItsOwn(summaryOf('west', { quarantined: ['north-1'] })).foreign, 0);
	t.is(cells.ofItsOwn(summaryOf('north', { quarantined: ['north-1'] })).foreign, 1, 'the newest are remembered');
	cells.note('one-more', 'other');
	t.is(cells.ofItsOwn(summaryOf('north', { quarantined: ['north-1'] })).foreign, 0, 'no more than the bound');
});

test('a node of this cell is shut out by this cell alone', (t) => {
	const summaries = [summaryOf('a', { quarantined: ['mine', 'z', 'a'] }), summaryOf('b', { quarantined: ['a'] })];
	t.deepEqual(
		shutOutBy(summaries, (id) => id === 'mine'),
		['a', 'z'],
	);
});

test('a node of this cell that is away is not shut out by another’s word', (t) => {
	const present = new Map([['here', {}]]);
	const registered = new Map([
		['here', {}],
		['rebooting', {}],
	]);
	const isOwn = ownNodes([present, registered], () => [{ id: 'of-gossip' }]);
	const quarantined = ['here', 'rebooting', 'of-gossip', 'stranger'];
	t.deepEqual(shutOutBy([summaryOf('a', { quarantined })], isOwn), ['stranger']);
});
