// Regular work of a thread comes together, on the beat; a failure of one is nothing to the others.
import test from 'ava';
import { BEAT_MS, Beat } from './beat.js';

const beatOf = (): Beat => new Beat(() => performance.timeOrigin + performance.now());

test('work of several periods, begun at different times, is done in the same turns, on whole beats', async (t) => {
	const beat = beatOf();
	const seen: { readonly name: string; readonly atMs: number }[] = [];
	const note = (name: string) => (): void => void seen.push({ name, atMs: performance.timeOrigin + performance.now() });
	const timers = [beat.every(BEAT_MS, note('a'))];
	await new Promise((resolve) => setTimeout(resolve, 130));
	timers.push(beat.every(BEAT_MS, note('b')), beat.every(2 * BEAT_MS, note('c')));
	await new Promise((resolve) => setTimeout(resolve, 4.6 * BEAT_MS));
	for (const timer of timers) timer.cancel();
	const count = (wanted: string): number => seen.filter(({ name }) => name === wanted).length;
	t.true(count('a') >= 3 && count('a') <= 5, String(count('a')));
	t.true(count('c') >= 1 && count('c') <= 2, String(count('c')));
	const turns = new Set(seen.map(({ atMs }) => Math.round(atMs / BEAT_MS)));
	t.true(turns.size <= 5, 'no turns beside the beat');
	for (const turn of turns) {
		const times = seen.filter(({ atMs }) => Math.round(atMs / BEAT_MS) === turn).map(({ atMs }) => atMs);
		t.true(Math.max(...times) - Math.min(...times) < BEAT_MS / 4, 'together');
	}
	const before = seen.length;
	await new Promise((resolve) => setTimeout(resolve, 1.2 * BEAT_MS));
	t.is(seen.length, before, 'nothing after it was cancelled');
});

test('work may end itself and other work, and begin more', async (t) => {
	const beat = beatOf();
	const calls: string[] = [];
	await new Promise<void>((resolve) => {
		const other = beat.every(10 * BEAT_MS, () => t.fail());
		const own = beat.every(BEAT_MS, () => {
			calls.push('own');
			own.cancel();
			other.cancel();
			const next = beat.every(BEAT_MS, () => {
				calls.push('next');
				next.cancel();
				resolve();
			});
		});
	});
	t.deepEqual(calls, ['own', 'next']);
});
