// What several watchers may be told of one stream of changes, and what is noticed when they are not.
import test from 'ava';
import { Trail } from './trail.js';

function trail(watchers = 2, from = 10): { readonly trail: Trail; readonly wrong: string[] } {
	const wrong: string[] = [];
	return { trail: new Trail(watchers, from, (what) => wrong.push(what)), wrong };
}

test('watchers that are told the same, at their own pace, are right', (t) => {
	const { trail: all, wrong } = trail();
	all.owe(11, 'a=1');
	for (const revision of [11, 12, 15]) all.tell(0, revision, [`a=${revision - 10}`]);
	all.owe(12, 'a=2');
	for (const revision of [11, 12, 15]) all.tell(1, revision, [`a=${revision - 10}`]);
	all.owe(15, 'a=5');
	all.progress(0, 20);
	all.progress(1, 20);
	t.deepEqual(wrong, []);
	t.is(all.told, 6);
	t.is(all.position(1), 20);
});

test('one that is left out is noticed by what comes next, by progress, and when another is told first', (t) => {
	const later = trail();
	for (const revision of [11, 12]) later.trail.tell(0, revision, ['a']);
	later.trail.tell(1, 12, ['a']);
	t.deepEqual(later.wrong, ['watcher 2 was not told revision 11']);

	const stands = trail();
	stands.trail.tell(0, 11, ['a']);
	stands.trail.progress(1, 12);
	t.deepEqual(stands.wrong, ['watcher 2 was not told revision 11']);

	const first = trail();
	first.trail.tell(1, 12, ['a']);
	first.trail.tell(0, 11, ['a']);
	for (const watcher of [0, 1]) first.trail.tell(watcher, 13, ['a']);
	t.deepEqual(first.wrong, ['watcher 2 was not told revision 11', 'watcher 1 was not told revision 12']);

	const standing = trail();
	standing.trail.progress(1, 12);
	standing.trail.tell(0, 11, ['a']);
	standing.trail.tell(1, 13, ['a']);
	t.deepEqual(standing.wrong, ['watcher 2 was not told revision 11'], 'said once');
});

test('repeats, backward steps and other events are noticed', (t) => {
	const { trail: all, wrong } = trail();
	all.tell(0, 11, ['a=1', 'b=1']);
	all.tell(0, 11, ['a=1', 'b=1']);
	all.tell(1, 11, ['a=1']);
	t.deepEqual(wrong, [
		'watcher 1 was told revision 11 after 11',
		'watcher 2 was told a=1 at revision 11, others a=1, b=1',
	]);
});

test('what was acknowledged and told to nobody is noticed, whether the answer came before or after', (t) => {
	const before = trail();
	before.trail.owe(11, 'a=1');
	for (const watcher of [0, 1]) before.trail.progress(watcher, 11);
	t.is(before.wrong.length, 1);

	const after = trail();
	for (const watcher of [0, 1]) after.trail.tell(watcher, 11, ['b=1']);
	after.trail.owe(11, 'a=1');
	t.deepEqual(after.wrong, ['a=1 was acknowledged at revision 11 and told to no watcher']);
});

test('what all have passed long ago is forgotten', (t) => {
	const { trail: all, wrong } = trail(1);
	for (let revision = 11; revision < 20_000; revision++) all.tell(0, revision, ['a']);
	all.owe(19_000, 'a');
	t.deepEqual(wrong, []);
	all.owe(12, 'a');
	t.is(wrong.length, 1, 'an answer that comes so late cannot be judged any more');
});
