// What a way between two nodes does to what passes, by its rules.
import { SeededRandom } from '@infermesh/proto';
import test from 'ava';
import { calm, Link, type LinkRules } from './link.js';

const packets = 1_000;

function through(rules: Partial<LinkRules>): { readonly link: Link; readonly delays: readonly (readonly number[])[] } {
	const link = new Link(new SeededRandom(1));
	link.rules = { ...calm, ...rules };
	return { link, delays: Array.from({ length: packets }, (_, at) => link.datagramDelaysMs(100, at)) };
}

test('calm passes everything at once', (t) => {
	t.true(through({}).delays.every((copies) => copies.length === 1 && copies[0] === 0));
});

test('a cut passes nothing', (t) => {
	const { link, delays } = through({ cut: true });
	t.true(delays.every((copies) => copies.length === 0));
	t.is(link.counts.cut, packets);
});

test('loss, duplicates and reordering come at their shares', (t) => {
	const near = (count: number, share: number): boolean => Math.abs(count / packets - share) < 0.05;
	const { link, delays } = through({ loss: 0.2 });
	t.true(near(link.counts.lost, 0.2) && delays.filter(({ length }) => length === 0).length === link.counts.lost);
	t.true(near(through({ duplicate: 0.4 }).link.counts.duplicated, 0.4));
	t.true(near(through({ reorder: 0.3 }).link.counts.reordered, 0.3));
});

test('delay lies between its bounds', (t) => {
	const { delays } = through({ delayMs: 10, jitterMs: 5 });
	t.true(delays.flat().every((ms) => ms >= 10 && ms < 15));
});

test('a limited way spreads what passes over time, and drops what would wait too long', (t) => {
	// 100 bytes a millisecond are offered, 50 taken.
	const { link, delays } = through({ bytesPerSecond: 50_000 });
	const waits = delays.flat();
	t.true(waits.every((ms, at) => at === 0 || ms >= (waits[at - 1] ?? 0) - 2));
	t.true(Math.max(...waits) > 900 && Math.max(...waits) <= 1_000);
	t.is(link.counts.lost, packets - waits.length);
	t.true(link.counts.limited > 0);
});

test('a lost piece of a connection comes late rather than never', (t) => {
	const link = new Link(new SeededRandom(1));
	link.rules = { ...calm, loss: 1 };
	const delayMs = link.streamDelayMs(100, 0);
	t.true(delayMs >= 200 && delayMs <= 400);
});
