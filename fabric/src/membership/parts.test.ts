import { SeededRandom } from '@infermesh/proto';
import test from 'ava';
import * as fc from 'fast-check';
import { pushPullSpanMs } from './anti-entropy.js';
import { Awareness } from './awareness.js';
import { BroadcastQueue, retransmitLimit } from './broadcasts.js';
import { DeadlineQueue } from './deadlines.js';
import { bucketsFor, Digest, differingBuckets } from './digest.js';
import type { UserMessage } from './messages.js';
import { decodeMeta, encodeMeta, roleBits } from './meta.js';
import { Seeds } from './seeds.js';
import { checkSettings, swimProfiles } from './settings.js';
import { Suspicion, suspicionSpan, suspicionTimeoutMs } from './suspicion.js';

const message = (key: string): UserMessage => ({
	kind: 'user',
	origin: 'o',
	key,
	sequence: 1,
	payload: new Uint8Array(0),
	proof: new Uint8Array(0),
});

function takenFrom(queue: BroadcastQueue, room: number, limit = 10): string[] {
	return queue.take(room, limit, []).map((one) => (one.kind === 'user' ? one.key : one.kind));
}

test('suspicion: the timeouts of memberlist for a pool of 100', (t) => {
	const span = suspicionSpan(swimProfiles.lan, 100, false);
	t.deepEqual(span, { confirmationsNeeded: 2, minMs: 8_000, maxMs: 48_000 });
	// max − (max − min) · ln(c + 1) / ln(3)
	t.deepEqual(
		[0, 1, 2, 3].map((c) => suspicionTimeoutMs(span, c)),
		[48_000, 22_762, 8_000, 8_000],
	);
	const ofThree = suspicionSpan(swimProfiles.lan, 3, false);
	t.is(ofThree.confirmationsNeeded, 0, 'too few to confirm');
	t.is(suspicionTimeoutMs(ofThree, 0), 6_000, 'longer than a standstill of 5 s');
	t.is(Math.round(suspicionSpan(swimProfiles.lan, 32, false).minMs), 6_021, 'as memberlist from 32 on');
	t.is(suspicionTimeoutMs(suspicionSpan(swimProfiles.lan, 100, true), 0), 8_000, 'plain SWIM');
});

test('suspicion: only distinct accusers count, and not the first', (t) => {
	const suspicion = new Suspicion(suspicionSpan(swimProfiles.lan, 100, false), 'a', 1_000);
	t.false(suspicion.confirm('a'));
	t.true(suspicion.confirm('b'));
	t.false(suspicion.confirm('b'));
	t.is(suspicion.deadlineMs, 1_000 + 22_762);
	t.true(suspicion.confirm('c'));
	t.false(suspicion.confirm('d'), 'no more are needed');
	suspicion.extend(500);
	t.is(suspicion.deadlineMs, 9_500);
});

test('awareness stays within its bounds and can be switched off', (t) => {
	const awareness = new Awareness(8, true);
	awareness.apply(-3);
	t.is(awareness.scale(100), 100);
	awareness.apply(50);
	t.deepEqual([awareness.score, awareness.scale(100)], [7, 800]);
	const off = new Awareness(8, false);
	off.apply(3);
	t.is(off.score, 0);
});

test('broadcasts: fewest sends, then the longest, then the newest; a key once; sent to its limit', (t) => {
	const queue = new BroadcastQueue({ max: 10, messageMaxBytes: 100 });
	queue.enqueue('short', message('short'), 10);
	queue.enqueue('old', message('old'), 20);
	queue.enqueue('new', message('new'), 20);
	t.deepEqual(takenFrom(queue, 40), ['new', 'old']);
	t.deepEqual(takenFrom(queue, 30), ['short', 'new'], 'what was not sent yet first');
	queue.enqueue('old', message('old again'), 20);
	t.is(queue.size, 3);
	t.deepEqual(takenFrom(queue, 100, 3), ['old again', 'short', 'new']);
	takenFrom(queue, 100, 3);
	takenFrom(queue, 100, 3);
	t.is(queue.size, 0);
});

test('broadcasts: the oversized are refused at once, and the most sent make room', (t) => {
	const queue = new BroadcastQueue({ max: 2, messageMaxBytes: 100 });
	t.is(queue.enqueue('big', message('big'), 101), 'oversized');
	t.is(queue.size, 0);
	queue.enqueue('a', message('a'), 10);
	takenFrom(queue, 100);
	queue.enqueue('b', message('b'), 10);
	queue.enqueue('c', message('c'), 10);
	t.deepEqual([queue.has('a'), queue.has('b'), queue.has('c'), queue.evicted], [false, true, true, 1]);
	t.is(retransmitLimit(4, 1_000), 16);
});

test('broadcasts: what a packet holds already is not taken again', (t) => {
	const queue = new BroadcastQueue({ max: 10, messageMaxBytes: 100 });
	const [there, other] = [message('there'), message('other')];
	queue.enqueue('there', there, 20);
	queue.enqueue('other', other, 20);
	t.deepEqual(queue.take(100, 3, [there]), [other]);
	t.deepEqual(queue.take(20, 3, []), [there], 'and does not count as sent');
});

test('broadcasts: bounded and consistent under any use', (t) => {
	const act = fc.tuple(fc.constantFrom('enqueue', 'take', 'remove'), fc.nat(20), fc.nat(120));
	fc.assert(
		fc.property(fc.array(act, { maxLength: 200 }), (acts) => {
			const queue = new BroadcastQueue({ max: 8, messageMaxBytes: 100 });
			const sizes = new Map<string, number>();
			for (const [kind, number, size] of acts) {
				const key = `${number}`;
				if (kind === 'enqueue' && queue.enqueue(key, message(key), size) === 'queued') sizes.set(key, size);
				if (kind === 'remove') queue.remove(key);
				if (kind === 'take') {
					const taken = takenFrom(queue, size, 3);
					t.true(taken.reduce((sum, one) => sum + (sizes.get(one) ?? 0), 0) <= size);
					t.is(new Set(taken).size, taken.length);
				}
				t.true(queue.size <= 8);
				t.is([...sizes.keys()].filter((one) => queue.has(one)).length, queue.size);
			}
			for (let i = 0; i < 30; i++) takenFrom(queue, 10_000, 3);
			t.is(queue.size, 0);
		}),
	);
});

test('deadlines come in order', (t) => {
	fc.assert(
		fc.property(fc.array(fc.nat(1_000)), (times) => {
			const queue = new DeadlineQueue<number>();
			for (const time of times) queue.push(time, time);
			queue.shift(5);
			const popped: number[] = [];
			for (let item = queue.popDue(Infinity); item !== undefined; item = queue.popDue(Infinity)) popped.push(item);
			t.deepEqual(
				popped,
				times.toSorted((a, b) => a - b),
			);
		}),
	);
});

test('digest: what was taken out leaves no trace, and a difference shows in its bucket only', (t) => {
	const entry = fc.record({
		h0: fc.nat(0xffffffff),
		h1: fc.nat(0xffffffff),
		incarnation: fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }),
		state: fc.constantFrom('alive' as const, 'suspect' as const, 'dead' as const, 'left' as const),
	});
	fc.assert(
		fc.property(
			fc.array(entry, { maxLength: 50 }),
			entry,
			fc.constantFrom(16, 64, 1_024),
			(entries, extra, buckets) => {
				const [a, b] = [new Digest(), new Digest()];
				for (const one of entries) a.add(1, one.h0, one.h1, one.incarnation, one.state);
				for (const one of entries.toReversed()) b.add(1, one.h0, one.h1, one.incarnation, one.state);
				t.deepEqual(differingBuckets(a.sums(buckets), b.sums(buckets)), []);
				b.add(1, extra.h0, extra.h1, extra.incarnation, extra.state);
				t.deepEqual(differingBuckets(a.sums(buckets), b.sums(buckets)), [extra.h0 & (buckets - 1)]);
				b.add(-1, extra.h0, extra.h1, extra.incarnation, extra.state);
				b.add(1, extra.h0, extra.h1, extra.incarnation, extra.state === 'dead' ? 'left' : 'dead');
				t.deepEqual(differingBuckets(a.sums(buckets), b.sums(buckets)), [extra.h0 & (buckets - 1)]);
			},
		),
	);
	t.deepEqual([1, 100, 10_000].map(bucketsFor), [16, 32, 1_024]);
});

test('anti-entropy grows rarer above 32 members as in memberlist', (t) => {
	t.deepEqual(
		[2, 32, 33, 64, 65, 1_024].map((n) => pushPullSpanMs(30_000, n)),
		[30_000, 30_000, 60_000, 60_000, 90_000, 180_000],
	);
});

test('seeds: backoff doubles to its bound, never ends, and starts anew after an answer', (t) => {
	const seeds = new Seeds(swimProfiles.lan, new SeededRandom(1));
	seeds.add(['s:1', 's:1'], 0);
	t.is(seeds.size, 1);
	const pauses: number[] = [];
	let nowMs = 0;
	for (let i = 0; i < 12; i++) {
		t.deepEqual(
			seeds.due(nowMs, () => false),
			['s:1'],
		);
		t.deepEqual(
			seeds.due(nowMs, () => false),
			[],
			'it is being asked',
		);
		seeds.failed('s:1', nowMs);
		pauses.push(seeds.nextDeadlineMs() - nowMs);
		nowMs = seeds.nextDeadlineMs();
	}
	for (const [i, pause] of pauses.entries()) {
		const fullMs = Math.min(60_000, 1_000 * 2 ** i);
		t.true(pause >= fullMs / 2 && pause <= fullMs, `pause ${i}: ${pause}`);
	}
	seeds.due(nowMs, () => false);
	seeds.answered('s:1', 'id', nowMs);
	t.true(seeds.nextDeadlineMs() - nowMs <= 1_000);
	nowMs = seeds.nextDeadlineMs();
	t.deepEqual(
		seeds.due(nowMs, (id) => id === 'id'),
		[],
		'a live member is not asked',
	);
});

test('metadata survives, bounded; what is none is refused', (t) => {
	const meta = {
		name: 'rack-3 node',
		roles: roleBits.gpu | roleBits.router,
		version: '0.1.0',
		digest: new Uint8Array(32),
	};
	t.deepEqual(decodeMeta(encodeMeta(meta)), meta);
	const gateway = { ...meta, cell: 'west', agent: '10.0.0.1:8082' };
	t.deepEqual(decodeMeta(encodeMeta(gateway)), gateway);
	t.throws(() => encodeMeta({ ...gateway, cell: 'x'.repeat(65) }), { code: 'IM_MEMBERSHIP_OVERSIZED' });
	t.throws(() => encodeMeta({ ...meta, name: 'x'.repeat(200) }), { code: 'IM_MEMBERSHIP_OVERSIZED' });
	t.throws(() => encodeMeta({ ...meta, digest: new Uint8Array(65) }), { code: 'IM_MEMBERSHIP_OVERSIZED' });
	fc.assert(
		fc.property(fc.uint8Array({ maxLength: 600 }), (bytes) => {
			const read = decodeMeta(bytes);
			t.true(read === undefined || bytes[0] === 1);
		}),
	);
});

test('profiles are accepted; settings that cannot work are refused', (t) => {
	for (const profile of Object.values(swimProfiles)) t.notThrows(() => checkSettings(profile));
	for (const change of [
		{ probeTimeoutMs: 1_000 },
		{ gossipNodes: 0 },
		{ gossipNodes: 1.5 },
		{ reapMs: Number.NaN },
		{ seedBackoffMaxMs: 1 },
	])
		t.throws(
			() => checkSettings({ ...swimProfiles.lan, ...change }),
			{ code: 'IM_MEMBERSHIP_SETTING' },
			JSON.stringify(change),
		);
});
