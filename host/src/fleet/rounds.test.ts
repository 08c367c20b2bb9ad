import { SeededRandom } from '@infermesh/proto';
import test from 'ava';
import { Rounds } from './rounds.js';
import { HandClock } from './testing.js';

function open(visit: (member: string) => void) {
	const clock = new HandClock();
	return { clock, rounds: new Rounds<string>(clock, new SeededRandom(7, 0), 1000, visit) };
}

test('a few members share a timer, and each has one turn a period', (t) => {
	const turns = new Map<string, number>();
	const { clock, rounds } = open((member) => turns.set(member, (turns.get(member) ?? 0) + 1));
	for (let i = 0; i < 10; i++) rounds.add(`m${i}`);
	t.is(clock.timers, 3);
	clock.advance(11_000);
	for (let i = 0; i < 10; i++) t.true([10, 11].includes(turns.get(`m${i}`) ?? 0), `m${i}: ${turns.get(`m${i}`)}`);
});

test('a member may leave in its own turn; the others of its group still have theirs', (t) => {
	const seen: string[] = [];
	const { clock, rounds } = open((member) => {
		seen.push(member);
		if (member === 'a') rounds.remove('a');
	});
	rounds.add('a');
	rounds.add('b');
	clock.advance(1000);
	t.deepEqual(seen, ['a', 'b']);
	clock.advance(1000);
	t.deepEqual(seen.slice(2), ['b']);
});

test('the last of a group takes its timer along, and the next member opens another', (t) => {
	const { clock, rounds } = open(() => undefined);
	rounds.add('a');
	rounds.remove('a');
	rounds.remove('a');
	t.is(clock.timers, 0);
	rounds.add('b');
	t.is(clock.timers, 1);
});

test('turns keep their places in the period under a clock whose regular timers come together', (t) => {
	/** As that of a process with a beat: what is regular waits for the next whole second. */
	class BeatClock extends HandClock {
		override every(periodMs: number, fn: () => void) {
			let ended = false;
			const strike = (): void => {
				if (ended) return;
				fn();
				this.after(periodMs, strike);
			};
			this.after(1000 - (this.nowMs() % 1000), strike);
			return { cancel: () => void (ended = true) };
		}
	}
	const clock = new BeatClock();
	const tenths = new Map<number, number>();
	const rounds = new Rounds<number>(clock, new SeededRandom(7, 0), 1000, () => {
		const tenth = Math.floor((clock.nowMs() % 1000) / 100);
		tenths.set(tenth, (tenths.get(tenth) ?? 0) + 1);
	});
	for (let i = 0; i < 400; i++) rounds.add(i);
	clock.advance(5000);
	t.is(tenths.size, 10);
	for (const [tenth, turns] of tenths) t.true(turns >= 5 * 30 && turns <= 5 * 50, `${turns} turns in tenth ${tenth}`);
});
