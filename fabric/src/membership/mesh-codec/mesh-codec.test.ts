import { randomUUID } from 'node:crypto';
import test from 'ava';
import * as fc from 'fast-check';
import { ByteWriter } from '../../bytes/binary.js';
import { refusalCauses } from '../codec.js';
import { groupSecret } from '../membership-test-support.js';
import { emptyBytes, type GossipMessage, type MemberRecord, type StreamMessage } from '../messages.js';
import { groupKeyOf, KeyRing } from './key-ring.js';
import { MeshCodec } from './mesh-codec.js';
import { ReplayWindow, replayWindowSize } from './replay-window.js';
import { Sealer, sealKind } from './seal.js';

const nobody = { address: '10.0.0.1:1', id: undefined, protocol: emptyBytes };
const from = '10.0.0.2:8946';
/** A long run: FUZZ_RUNS=100000. */
const numRuns = Number(process.env['FUZZ_RUNS'] ?? 300);

function pair(secret = groupSecret(), label = 'one') {
	const make = () => {
		const self = randomUUID();
		const ring = new KeyRing(label, secret);
		return { self, ring, codec: new MeshCodec({ label, self, ring, session: 1_000 }) };
	};
	return [make(), make()] as const;
}

const id = fc.uuid();
const bytes = (maxLength: number) => fc.uint8Array({ maxLength });
const incarnation = fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER });
const u32 = fc.nat({ max: 0xffffffff });
const port = fc.integer({ min: 1, max: 65_535 });
const address = fc.oneof(
	fc.tuple(fc.ipV4(), port).map(([host, at]) => `${host}:${at}`),
	fc.constantFrom('[::1]:80', '[fd00::1:0:0:1]:8946', '[2001:db8:1:2:3:4:5:6]:1', 'node-1.mesh.test:8946', '[::]:9'),
);
const proof = bytes(72);
const alive = fc.record({
	kind: fc.constant('alive' as const),
	id,
	incarnation,
	address,
	meta: bytes(512),
	credential: fc.oneof(fc.constant(emptyBytes), fc.uint8Array({ minLength: 32, maxLength: 32 })),
	protocol: fc.constant(emptyBytes),
	proof,
});
const accusation = fc.record({
	kind: fc.constantFrom('suspect' as const, 'dead' as const),
	id,
	incarnation,
	by: id,
	proof,
});
const left = fc.record({ kind: fc.constant('left' as const), id, incarnation, proof });
const user = fc.record({
	kind: fc.constant('user' as const),
	origin: id,
	key: fc.string({ maxLength: 16 }),
	sequence: fc.nat(),
	payload: bytes(300),
	proof,
});
const ack = fc.record({ kind: fc.constant('ack' as const), sequence: u32, payload: bytes(256), proof });
const nack = fc.record({ kind: fc.constant('nack' as const), sequence: u32 });
const carried: fc.Arbitrary<GossipMessage> = fc.oneof(alive, accusation, left, user, ack, nack);
const record: fc.Arbitrary<MemberRecord> = fc.record({
	alive,
	marks: fc.array(fc.oneof(accusation, left), { maxLength: 4 }),
});

test('messages survive a packet, and take no more bytes than was said', (t) => {
	const [a, b] = pair();
	fc.assert(
		fc.property(fc.array(carried, { maxLength: 8 }), (messages) => {
			const fitting: GossipMessage[] = [];
			let room = a.codec.messagesMaxBytes;
			for (const message of messages) {
				room -= a.codec.sizeOf(message);
				if (room < 0) break;
				fitting.push(message);
			}
			const packet = a.codec.encodePacket(fitting, nobody);
			t.true(packet.length <= 1_400);
			const read = b.codec.decodePacket(packet, from, 0);
			t.is(read.refused, undefined);
			t.is(read.sender, a.self);
			t.deepEqual(read.messages, fitting);
		}),
		{ numRuns },
	);
});

test('a probe is told who sent it by its seal, not by its content', (t) => {
	const [a, b] = pair();
	const ping: GossipMessage = {
		kind: 'ping',
		sequence: 7,
		target: b.self,
		from: randomUUID(),
		fromAddress: '10.6.6.6:6',
		challenge: { by: randomUUID(), nonce: new Uint8Array(8).fill(9) },
	};
	const ask: GossipMessage = { ...ping, kind: 'pingRequest', targetAddress: '[fd00::1]:80', wantNack: true };
	const { messages } = b.codec.decodePacket(a.codec.encodePacket([ping, ask], nobody), from, 0);
	t.deepEqual(messages, [
		{ ...ping, from: a.self, fromAddress: '' },
		{ ...ask, from: a.self, fromAddress: '' },
	]);
});

test('stream messages survive', (t) => {
	const [a, b] = pair();
	const records = fc.array(record, { maxLength: 6 });
	const message: fc.Arbitrary<StreamMessage> = fc.oneof(
		fc.record({ kind: fc.constant('streamPing' as const), sequence: u32, target: id, from: fc.constant(a.self) }),
		fc.record({ kind: fc.constant('streamAck' as const), sequence: u32, payload: bytes(256) }),
		fc.record({
			kind: fc.constant('digest' as const),
			from: fc.constant(a.self),
			sums: fc.uint32Array({ maxLength: 64 }),
		}),
		fc.record({
			kind: fc.constant('difference' as const),
			from: fc.constant(a.self),
			buckets: fc.array(fc.nat(1_023), { maxLength: 9 }),
			records,
		}),
		fc.record({
			kind: fc.constant('pushPull' as const),
			from: fc.constant(a.self),
			join: fc.boolean(),
			records,
			user: fc.constant(emptyBytes),
		}),
		fc.record({ kind: fc.constant('push' as const), from: fc.constant(a.self), records }),
		fc.record({
			kind: fc.constant('deliver' as const),
			from: fc.constant(a.self),
			messages: fc.array(carried, { maxLength: 5 }),
		}),
		fc.record({ kind: fc.constant('askCredentials' as const), ids: fc.array(id, { maxLength: 5 }) }),
		fc.record({ kind: fc.constant('credentials' as const), chains: fc.array(bytes(700), { maxLength: 5 }) }),
		fc.constant({ kind: 'done' as const }),
		fc.record({ kind: fc.constant('refused' as const), reason: fc.string({ maxLength: 40 }) }),
	);
	fc.assert(
		fc.property(message, (sent) => {
			const framed = a.codec.framing.wrap(a.codec.encodeStream(sent, nobody));
			const whole = b.codec.framing.unwrap(framed, false);
			t.is(whole.kind, 'message');
			const read = b.codec.decodeStream(whole.kind === 'message' ? whole.message : emptyBytes, from, 0);
			t.deepEqual(read, { ok: true, message: sent, sender: a.self });
			t.is(b.codec.framing.unwrap(framed.subarray(0, framed.length - 1), false).kind, 'incomplete');
			t.is(b.codec.framing.unwrap(framed.subarray(0, framed.length - 1), true).kind, 'malformed');
		}),
		{ numRuns },
	);
});

test('garbage, sealed or not, is refused by cause and never throws', (t) => {
	const secret = groupSecret();
	const [, b] = pair(secret);
	const attacker = new Sealer({ ring: new KeyRing('one', secret), label: 'one', self: randomUUID(), session: 1 });
	fc.assert(
		fc.property(fc.uint8Array({ maxLength: 1_600 }), fc.boolean(), fc.nat(12), (garbage, sealed, kind) => {
			const plain = garbage.subarray(0, 1_300);
			// Behind a good seal: a length and a kind that exist, then garbage.
			const inner = new ByteWriter().bytes(new ByteWriter().u8(kind).raw(plain).finish()).finish();
			const packet = sealed ? attacker.seal(sealKind.packet, inner) : garbage;
			const { refused, messages } = b.codec.decodePacket(packet, from, 0);
			t.true(refused === undefined || refusalCauses.includes(refused));
			if (!sealed) t.deepEqual([messages.length, refused !== undefined], [0, true]);
			const stream = b.codec.decodeStream(
				sealed ? attacker.seal(sealKind.stream, new ByteWriter().u8(kind).raw(plain).finish()) : garbage,
				from,
				0,
			);
			t.true(stream.ok ? sealed : refusalCauses.includes(stream.refused));
		}),
		{ numRuns: numRuns * 5 },
	);
});

test('a flipped bit anywhere is noticed', (t) => {
	const [a, b] = pair();
	const nackOf = (sequence: number): GossipMessage => ({ kind: 'nack', sequence });
	const { length } = a.codec.encodePacket([nackOf(1)], nobody);
	for (let bit = 0; bit < length * 8; bit++) {
		const packet = a.codec.encodePacket([nackOf(bit)], nobody);
		packet[bit >> 3] = (packet[bit >> 3] as number) ^ (1 << (bit & 7));
		const { messages, refused } = b.codec.decodePacket(packet, from, 0);
		t.deepEqual(messages, []);
		t.not(refused, undefined);
	}
});

test('a packet counts once, whatever comes in between; its own reflection never', (t) => {
	const [a, b] = pair();
	const packets = Array.from({ length: 50 }, (_, sequence) =>
		a.codec.encodePacket([{ kind: 'nack', sequence }], nobody),
	);
	for (const packet of packets.toReversed()) t.is(b.codec.decodePacket(packet, from, 0).refused, undefined);
	for (const packet of packets) t.is(b.codec.decodePacket(packet, from, 0).refused, 'replayed');
	t.is(a.codec.decodePacket(packets[0] as Uint8Array, from, 0).refused, 'replayed');
});

test('packets of an earlier life of a sender are replays', (t) => {
	const secret = groupSecret();
	const [a, b] = pair(secret);
	const old = a.codec.encodePacket([{ kind: 'nack', sequence: 1 }], nobody);
	const reborn = new MeshCodec({ label: 'one', self: a.self, ring: new KeyRing('one', secret), session: 1_001 });
	t.is(b.codec.decodePacket(reborn.encodePacket([], nobody), from, 0).refused, undefined);
	t.is(b.codec.decodePacket(old, from, 0).refused, 'replayed');
});

test('the window agrees with a set of all that was seen', (t) => {
	fc.assert(
		fc.property(fc.array(fc.nat(3_000), { maxLength: 400 }), (counters) => {
			const window = new ReplayWindow();
			const seen = new Set<number>();
			let highest = -1;
			for (const counter of counters) {
				const isNew = !seen.has(counter) && counter > highest - replayWindowSize;
				t.is(window.accept(1, counter), isNew);
				if (isNew) seen.add(counter);
				highest = Math.max(highest, counter);
			}
		}),
		{ numRuns },
	);
});

test('a rotation overlaps: install, use, remove', (t) => {
	const [a, b] = pair();
	const next = groupSecret();
	const nack: GossipMessage = { kind: 'nack', sequence: 1 };
	const read = () => b.codec.decodePacket(a.codec.encodePacket([nack], nobody), from, 0).refused;
	const before = a.ring.primary.id;
	const keyId = a.ring.install(next);
	t.is(read(), undefined, 'installed, the old key still seals');
	a.ring.use(keyId);
	t.is(read(), 'key', 'a node that was passed over hears nothing');
	b.ring.rotate(next);
	t.is(read(), undefined);
	b.ring.remove(before);
	b.codec.forgetRemovedKeys();
	t.is(read(), undefined);
	a.ring.use(before);
	t.is(read(), 'key', 'the old key is refused once removed');
	t.throws(() => a.ring.remove(before), { code: 'IM_MEMBERSHIP_KEY' });
	t.throws(() => b.ring.use(before), { code: 'IM_MEMBERSHIP_KEY' });
	t.throws(() => new KeyRing('one', new Uint8Array(16)), { code: 'IM_MEMBERSHIP_KEY' });
});

test('keys that are not in the list any more open nothing, and the others open what they sealed', (t) => {
	const [a, b] = pair();
	const nack: GossipMessage = { kind: 'nack', sequence: 1 };
	const read = () => b.codec.decodePacket(a.codec.encodePacket([nack], nobody), from, 0).refused;
	const old = a.ring.primary.secret;
	const [next, other] = [groupSecret(), groupSecret()];
	b.ring.replace([next, old, other]);
	b.codec.forgetRemovedKeys();
	t.is(read(), undefined, 'sealed under the key before');
	t.deepEqual(
		b.ring.ids,
		[next, old, other].map((secret) => groupKeyOf(secret).id),
	);
	b.ring.replace([next]);
	b.codec.forgetRemovedKeys();
	t.is(read(), 'key');
	a.ring.replace([next]);
	t.is(read(), undefined);
	t.throws(() => b.ring.replace([]), { code: 'IM_MEMBERSHIP_KEY' });
});

test('keys for strangers are derived at a bounded rate', (t) => {
	const secret = groupSecret();
	const [, b] = pair(secret);
	const packets = Array.from({ length: 2_100 }, () =>
		new MeshCodec({ label: 'one', self: randomUUID(), ring: new KeyRing('one', secret), session: 1 }).encodePacket(
			[],
			nobody,
		),
	);
	const refused = packets.map((packet) => b.codec.decodePacket(packet, from, 0).refused);
	t.is(refused.filter((cause) => cause === undefined).length, 2_000);
	t.is(refused.filter((cause) => cause === 'senders').length, 100);
	t.is(
		b.codec.decodePacket(packets.at(-1) as Uint8Array, from, 1_000).refused,
		undefined,
		'a second later there is room',
	);
});

test('a kind of a later version is passed over', (t) => {
	const secret = groupSecret();
	const [, b] = pair(secret);
	const later = new Sealer({ ring: new KeyRing('one', secret), label: 'one', self: randomUUID(), session: 1 });
	const plain = new ByteWriter()
		.bytes(Uint8Array.of(200, 1, 2, 3))
		.bytes(Uint8Array.of(9, 0, 0, 0, 5))
		.finish();
	t.deepEqual(b.codec.decodePacket(later.seal(sealKind.packet, plain), from, 0).messages, [
		{ kind: 'nack', sequence: 5 },
	]);
});
