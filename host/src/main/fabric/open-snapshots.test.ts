import { hasCode } from '@infermesh/fabric';
import test from 'ava';
import { HandClock } from '../../fleet/testing.js';
import { OpenSnapshots } from './open-snapshots.js';

const pieces = (count: number) => (): Iterable<Uint8Array> =>
	Array.from({ length: count }, (_, at) => Uint8Array.of(at));

test('a snapshot is read piece by piece, and its end makes room', (t) => {
	const open = new OpenSnapshots(new HandClock());
	const numbers = [1, 2, 3, 4].map(() => open.begin(pieces(2)));
	t.true(
		hasCode(
			t.throws(() => open.begin(pieces(2))),
			'IM_CONSENSUS_LIMIT',
		),
	);
	const [first = 0, second = 0] = numbers;
	t.deepEqual([open.next(first), open.next(first), open.next(first)], [Uint8Array.of(0), Uint8Array.of(1), undefined]);
	open.begin(pieces(2));
	open.end(second);
	open.end(second);
	open.begin(pieces(2));
	t.true(
		hasCode(
			t.throws(() => open.begin(pieces(2))),
			'IM_CONSENSUS_LIMIT',
		),
	);
});

test('a snapshot that nobody reads on is let go of, and whoever comes back to it is told that it is not whole', (t) => {
	const clock = new HandClock();
	const open = new OpenSnapshots(clock);
	const [left = 0, , , read = 0] = [1, 2, 3, 4].map(() => open.begin(pieces(9)));
	clock.advance(59_999);
	open.next(read);
	clock.advance(1);
	t.true(
		hasCode(
			t.throws(() => open.next(left)),
			'IM_CONSENSUS_TIMEOUT',
		),
	);
	t.deepEqual(open.next(read), Uint8Array.of(1));
	for (let n = 0; n < 3; n++) open.begin(pieces(1));
	t.true(
		hasCode(
			t.throws(() => open.begin(pieces(1))),
			'IM_CONSENSUS_LIMIT',
		),
	);
	clock.advance(60_000);
	t.is(clock.timers, 0);
});
