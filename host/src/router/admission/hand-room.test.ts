// Room at targets whose limit is set by hand: who made it leaves it to others for a while, what nobody takes is anybody's, and nothing goes beyond what there is.
import type { Clock } from '@infermesh/proto';
import test from 'ava';
import { HandRoom, LEFT_MS } from './hand-room.js';
import { MeshTurns } from './mesh-turns.js';
import { admissionDefaults } from './options.js';
import { WaitingRoom } from './waiting-room.js';

test('room of one’s own making is left to others for one stretch of time, and two at most', (t) => {
	const hand = new HandRoom(4);
	hand.freed(1, 100);
	hand.freed(1, 110);
	t.is(hand.leftToOthers(1, 110), 2);
	t.is(hand.leftToOthers(2, 110), 0);
	t.is(hand.leftToOthers(1, 119 + LEFT_MS), 2);
	t.is(hand.leftToOthers(1, 110 + 2 * LEFT_MS), 0);
});

test('what stands for a stretch of time is taken by halves, and what came and went does not stand', (t) => {
	const hand = new HandRoom(4);
	const look = (room: number, nowMs: number): boolean => {
		hand.seen(1, room, 10 * LEFT_MS + nowMs);
		return room > 0 && hand.takeLeft(1);
	};
	t.false(look(4, 0));
	t.false(look(4, LEFT_MS - 1), 'one look is no time');
	t.true(look(4, LEFT_MS));
	t.true(look(3, LEFT_MS + 1));
	t.true(look(2, LEFT_MS + 2));
	t.false(look(1, LEFT_MS + 3), 'the rest may be taken by others now');
	t.false(look(0, 2 * LEFT_MS), 'it was');
	t.false(look(3, 2 * LEFT_MS + 1));
	t.false(look(3, 3 * LEFT_MS), 'there was a moment without any');
	t.true(look(3, 4 * LEFT_MS));
	t.false(look(3, 40 * LEFT_MS), 'nobody looked meanwhile');
});

test('turns and room by hand: nobody goes beyond it, who is owed takes it at once, and others when it is left', (t) => {
	let nowMs = 1000;
	const clock: Clock = {
		nowMs: () => nowMs,
		wallMs: () => nowMs,
		after: () => ({ cancel: () => undefined }),
		every: () => ({ cancel: () => undefined }),
	};
	let left: number | undefined = 1;
	const room = new WaitingRoom<string>({ ...admissionDefaults, tells: true });
	const turns = new MeshTurns(
		{ ...admissionDefaults },
		{ room: () => left, handRows: 8, tell: () => undefined },
		room,
		clock,
	);
	t.true(turns.takes(3, true));
	left = 0;
	t.false(turns.takes(3, true), 'nobody waits, and there is none');
	const entry = room.enter(
		0,
		{ item: 'a', band: 2, tenant: 1, weight: 1, dueMs: 0, sinceMs: nowMs, cost: 10, bytes: 1 },
		nowMs,
		Number.POSITIVE_INFINITY,
	);
	if ('reason' in entry) return t.fail();
	const takes = (band: number, tenant: number, room_: number | undefined): boolean => {
		room.heard({ pool: 0, band, tenant, service: 0, waiting: 2 }, 1);
		turns.begin(0, entry);
		left = room_;
		const taken = turns.takes(3, true);
		turns.end();
		room.heard({ pool: 0, band, tenant, service: 0, waiting: 0 }, 1);
		return taken;
	};
	// Its own tenant waits elsewhere, too.
	t.true(takes(2, 1, 1));
	turns.freed(3);
	t.false(takes(2, 1, 1), 'it made this room');
	t.true(takes(2, 1, 2), 'but not this');
	t.true(takes(2, 5, 1), 'others of its band wait, and it is owed');
	t.false(takes(2, 5, 0));
	nowMs += 2 * LEFT_MS;
	t.true(takes(2, 1, 1), 'nobody took it');
	for (let n = 0; n < 9; n++) {
		t.false(takes(1, 5, n % 3), 'more urgent ones wait, and take it now and then');
		nowMs += LEFT_MS / 2;
	}
	let taken = 0;
	for (let n = 0; n < 6; n++, nowMs += LEFT_MS / 2) if (takes(1, 5, 1)) taken++;
	t.true(taken > 0 && taken < 4, `nobody takes it: ${taken}`);
	t.true(takes(1, 5, undefined), 'nothing is known of a row that stands for another cell');
});
