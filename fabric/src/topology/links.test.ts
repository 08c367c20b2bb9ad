import test from 'ava';
import { type Coordinate, origin } from './coordinate.js';
import { LinkTable, linkDefaults } from './links.js';

const here = { zone: 'a', region: 'eu' };
const at = (x: number): Coordinate => ({ ...origin, vector: [x, 0, 0, 0, 0, 0, 0, 0], error: 0.1 });

test('a link is unknown, then estimated, then measured, and estimated again when the measurement is old', (t) => {
	const links = new LinkTable('me', here);
	t.like(links.estimate('p', at(0), 0), { basis: 'unknown', rttMs: undefined });
	links.coordinate('p', at(0.05), 1000);
	const estimated = links.estimate('p', at(0), 3000);
	t.is(estimated.basis, 'estimated');
	t.true(Math.abs((estimated.rttMs ?? 0) - 50) < 1);
	t.is(estimated.ageMs, 2000);
	links.measured('p', 40, 4000);
	t.like(links.estimate('p', at(0), 5000), { basis: 'measured', rttMs: 40, ageMs: 1000 });
	t.is(links.estimate('p', at(0), 4001 + linkDefaults.freshMs).basis, 'estimated');
});

test('a peer that cannot be reached is never shown by an estimate, and comes back with the first measurement', (t) => {
	const links = new LinkTable('me', here);
	links.coordinate('p', at(0.001), 0);
	for (let n = 0; n < linkDefaults.failuresMax; n++) links.failed('p');
	t.is(links.estimate('p', at(0), 1).basis, 'unreachable');
	links.measured('p', 3, 2);
	t.is(links.estimate('p', at(0), 3).basis, 'measured');
});

test('whether a peer can be reached is told apart from how far it is', (t) => {
	const links = new LinkTable('me', here);
	links.coordinate('p', at(0.05), 0);
	t.like(links.estimate('p', at(0), 1), { basis: 'estimated', reach: 'untried' });
	links.measured('p', 40, 2);
	t.is(links.estimate('p', at(0), 3).reach, 'reached');
	for (let n = 0; n < linkDefaults.failuresMax; n++) links.failed('p');
	t.like(links.estimate('p', at(0), 4), { basis: 'unreachable', reach: 'unreachable', rttMs: 40 });
	links.answered('p');
	t.like(links.estimate('p', at(0), 5), { basis: 'measured', reach: 'reached' });
});

test('link classes follow zone and region; this node itself is no distance away', (t) => {
	const links = new LinkTable('me', here);
	links.placed('near', { zone: 'a', region: 'eu' });
	links.placed('region', { zone: 'b', region: 'eu' });
	links.placed('far', { zone: 'a', region: 'us' });
	const classOf = (peer: string): string => links.estimate(peer, at(0), 0).linkClass;
	t.deepEqual(['me', 'near', 'region', 'far', 'unheard'].map(classOf), [
		'same_node',
		'same_zone',
		'same_region',
		'wan',
		'wan',
	]);
	t.is(links.estimate('me', at(0), 0).rttMs, 0);
});

test('bandwidth is learned from transfers that are large enough to tell', (t) => {
	const links = new LinkTable('me', here);
	links.transferred('p', 1000, 1);
	t.is(links.estimate('p', at(0), 0).bandwidthBytesPerS, undefined);
	links.transferred('p', 10 * 1024 * 1024, 100);
	t.is(links.estimate('p', at(0), 0).bandwidthBytesPerS, 100 * 1024 * 1024);
});

test('rubbish measurements are ignored and the table is bounded', (t) => {
	const links = new LinkTable('me', here, { ...linkDefaults, linksMax: 2 });
	for (const rtt of [Number.NaN, -1, Number.POSITIVE_INFINITY]) links.measured('p', rtt, 0);
	t.is(links.estimate('p', at(0), 0).basis, 'unknown');
	for (const peer of ['a', 'b', 'c', 'd']) links.measured(peer, 1, 0);
	t.is(links.peers().length, 2);
	t.is(links.estimate('d', at(0), 0).basis, 'unknown');
});
