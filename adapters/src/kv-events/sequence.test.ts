// Numbers of batches: in order, with holes, through reconnects and restarts. The property holds a publisher with a bounded memory against
// what a subscriber ends up knowing.
import test from 'ava';
import * as fc from 'fast-check';
import { BatchSequence } from './sequence.js';

interface Heard {
	readonly log: string[];
	readonly sequence: BatchSequence;
}

function subscriber(replays = true, waitingMax = 8): Heard {
	const log: string[] = [];
	const sequence = new BatchSequence(
		{ replays, waitingMax },
		{
			apply: (payload) => void log.push(`apply ${payload[0]}`),
			forget: (cause) => void log.push(`forget ${cause}`),
			askReplay: (from) => void log.push(`ask ${from}`),
			gap: (missing) => void log.push(`gap ${missing}`),
			live: (live) => void log.push(live ? 'live' : 'not live'),
		},
	);
	return { log, sequence };
}

const payload = (number: number): Uint8Array => Uint8Array.of(number);

test('a first connection replays from the start, then batches go on in order', (t) => {
	const { log, sequence } = subscriber();
	sequence.connected();
	sequence.batch(2, payload(2));
	sequence.replayed(0, payload(0));
	sequence.replayed(1, payload(1));
	sequence.replayed(2, payload(2));
	sequence.replayEnded();
	sequence.batch(3, payload(3));
	t.deepEqual(log, ['not live', 'ask 0', 'apply 0', 'apply 1', 'apply 2', 'live', 'apply 3']);
});

test('a gap is filled by a replay before anything behind it is applied', (t) => {
	const { log, sequence } = subscriber();
	sequence.connected();
	sequence.replayEnded();
	sequence.batch(0, payload(0));
	sequence.batch(3, payload(3));
	sequence.batch(4, payload(4));
	sequence.replayed(1, payload(1));
	sequence.replayed(2, payload(2));
	sequence.replayed(3, payload(3));
	sequence.replayEnded();
	t.deepEqual(log.slice(3), [
		'apply 0',
		'gap 2',
		'not live',
		'ask 1',
		'apply 1',
		'apply 2',
		'apply 3',
		'apply 4',
		'live',
	]);
});

test('what a replay cannot bring makes all before it forgotten', (t) => {
	const { log, sequence } = subscriber();
	sequence.connected();
	sequence.replayEnded();
	sequence.batch(0, payload(0));
	sequence.batch(9, payload(9));
	sequence.replayed(7, payload(7));
	sequence.replayed(8, payload(8));
	sequence.replayEnded();
	t.deepEqual(log.slice(3), [
		'apply 0',
		'gap 8',
		'not live',
		'ask 1',
		'forget lost',
		'apply 7',
		'apply 8',
		'apply 9',
		'live',
	]);
	sequence.batch(12, payload(12));
	sequence.replayFailed();
	t.deepEqual(log.slice(12), ['gap 2', 'not live', 'ask 10', 'forget replay_failed', 'apply 12', 'live']);
});

test('a replay that never helps is given up, not asked for without end', (t) => {
	const { log, sequence } = subscriber();
	sequence.connected();
	sequence.replayEnded();
	sequence.batch(0, payload(0));
	sequence.batch(5, payload(5));
	for (let asked = 0; asked < 10; asked++) sequence.replayEnded();
	t.is(log.filter((line) => line.startsWith('ask')).length <= 5, true);
	t.deepEqual(log.slice(-3), ['forget lost', 'apply 5', 'live']);
});

test('an engine that has restarted is known by its numbers, or by not having the last batch', (t) => {
	const { log, sequence } = subscriber();
	sequence.connected();
	sequence.replayEnded();
	for (const number of [0, 1, 2]) sequence.batch(number, payload(number));
	sequence.batch(0, payload(10));
	t.deepEqual(log.slice(-2), ['forget restarted', 'apply 10']);
	sequence.batch(1, payload(11));
	sequence.disconnected();
	sequence.connected();
	sequence.replayEnded();
	t.deepEqual(log.slice(-5), ['not live', 'not live', 'ask 1', 'forget restarted', 'live']);
	sequence.batch(0, payload(20));
	sequence.disconnected();
	sequence.connected();
	sequence.replayed(0, payload(20));
	sequence.replayed(1, payload(21));
	sequence.replayEnded();
	t.deepEqual(log.slice(-3), ['ask 0', 'apply 21', 'live']);
});

test('without a replay socket a gap or a reconnect forgets, and what follows is taken', (t) => {
	const { log, sequence } = subscriber(false);
	sequence.connected();
	sequence.batch(7, payload(7));
	sequence.batch(9, payload(9));
	sequence.disconnected();
	sequence.connected();
	sequence.batch(12, payload(12));
	t.deepEqual(log, [
		'live',
		'apply 7',
		'gap 1',
		'forget lost',
		'apply 9',
		'not live',
		'forget reconnected',
		'live',
		'apply 12',
	]);
});

test('property: whatever is lost, cut or restarted, what is known when live is a suffix without a hole, and the whole when nothing was beyond recall', (t) => {
	const seed = 20_265;
	t.log(`seed ${seed}`);
	const KEPT = 6;
	const step = fc.constantFrom('publish', 'publish', 'publish', 'drop', 'cut', 'restart');
	fc.assert(
		fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
			let published: number[] = [];
			let life = 0;
			let known: number[] = [];
			let live = false;
			let forgot = false;
			let asked: number | undefined;
			const sequence: BatchSequence = new BatchSequence(
				{ replays: true, waitingMax: 4 },
				{
					apply: (bytes) => void known.push((bytes[0] as number) * 256 + (bytes[1] as number)),
					forget: () => {
						known = [];
						forgot = true;
					},
					askReplay: (from) => void (asked = from),
					gap: () => undefined,
					live: (now) => void (live = now),
				},
			);
			const bytes = (number: number): Uint8Array => Uint8Array.of(life, number);
			const serve = (): void => {
				while (asked !== undefined) {
					const from = asked;
					asked = undefined;
					for (const number of published.slice(-KEPT)) if (number >= from) sequence.replayed(number, bytes(number));
					sequence.replayEnded();
				}
			};
			sequence.connected();
			serve();
			for (const action of steps) {
				if (action === 'restart') {
					life++;
					published = [];
				} else if (action !== 'cut') published.push(published.length);
				if (action === 'publish') sequence.batch(published.length - 1, bytes(published.length - 1));
				if (action === 'cut' || action === 'restart') {
					sequence.disconnected();
					sequence.connected();
				}
				serve();
			}
			published.push(published.length);
			sequence.batch(published.length - 1, bytes(published.length - 1));
			serve();
			const all = published.map((number) => life * 256 + number);
			const tail = all.slice(all.length - known.length);
			if (!live || JSON.stringify(known) !== JSON.stringify(tail)) return false;
			return forgot || known.length === all.length;
		}),
		{ seed, numRuns: 1000 },
	);
	t.pass();
});
