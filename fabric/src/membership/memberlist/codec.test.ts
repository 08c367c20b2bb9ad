// Everything the core says reads back over every combination of layers; what a real agent wrote is understood; what is hostile is refused, with its
// cause, and never thrown.
import { createCipheriv, randomBytes } from 'node:crypto';
import test from 'ava';
import * as fc from 'fast-check';
import type { RefusalCause } from '../codec.js';
import { emptyBytes, type GossipMessage, type StreamMessage } from '../messages.js';
import { MemberlistCodec, type MemberlistCodecOptions } from './codec.js';
import { agentPushPull, message, record, target } from './codec-test-support.js';
import { MemberlistKeys } from './crypto.js';
import { checksummed, compound, compressed, wireType } from './framing.js';
import { messageBytes, serfProtocol } from './messages.js';
import { decodeTags } from './serf.js';

const key = (): Uint8Array => new Uint8Array(randomBytes(32));
const shared = key();
const variants: readonly Omit<MemberlistCodecOptions, 'self'>[] = [
	{},
	{ label: 'pool' },
	{ keys: new MemberlistKeys(shared) },
	{ keys: new MemberlistKeys(shared), label: 'pool', compress: false },
];
const codecs = variants.map((variant) => new MemberlistCodec({ self: 'self', ...variant }));
const plain = codecs[0] as MemberlistCodec;
const nack: GossipMessage = { kind: 'nack', sequence: 7 };
const refusalOf = (codec: MemberlistCodec, packet: Uint8Array): RefusalCause | undefined =>
	codec.decodePacket(packet, '', 0).refused;

test('packets read back whole over labels, keys and checksums, and never pass their bound', (t) => {
	fc.assert(
		fc.property(
			fc.array(message, { minLength: 1, maxLength: 12 }),
			fc.constantFrom(...codecs),
			fc.boolean(),
			(wanted, codec, knows) => {
				const messages: GossipMessage[] = [];
				let room = codec.messagesMaxBytes;
				for (const one of wanted) {
					if (codec.sizeOf(one) > room) continue;
					room -= codec.sizeOf(one);
					messages.push(one);
				}
				const packet = codec.encodePacket(messages, target(knows ? serfProtocol : emptyBytes));
				t.true(packet.length <= codec.packetMaxBytes);
				const { messages: read, refused } = codec.decodePacket(packet, '', 0);
				t.is(refused, undefined);
				t.deepEqual(read, messages);
			},
		),
		{ numRuns: 100 },
	);
});

test('full state reads back over every layer, and is found whole however it arrives', (t) => {
	fc.assert(
		fc.property(
			fc.array(record, { maxLength: 20 }),
			fc.uint8Array({ maxLength: 200 }),
			fc.boolean(),
			fc.constantFrom(...codecs),
			fc.array(fc.nat(4_000), { maxLength: 6 }),
			(records, user, join, codec, cuts) => {
				const sent: StreamMessage = { kind: 'pushPull', from: '', join, records, user };
				const bytes = codec.encodeStream(sent, target());
				let progress: { readonly at: number; readonly parts: number } | undefined;
				for (const cut of [...new Set(cuts)].sort((a, b) => a - b)) {
					if (cut >= bytes.length) break;
					const result = codec.framing.unwrap(bytes.subarray(0, cut), false, progress);
					if (result.kind !== 'incomplete') return t.fail(result.kind);
					t.true(result.atLeastBytes > cut && result.atLeastBytes <= bytes.length);
					progress = result.progress;
				}
				t.is(codec.framing.unwrap(bytes, false, progress).kind, 'message');
				const decoded = codec.decodeStream(bytes, '', 0);
				t.deepEqual(decoded, { ok: true, message: sent, sender: undefined });
				return undefined;
			},
		),
		{ numRuns: 100 },
	);
});

test('the other stream messages read back, and silence is "done"', (t) => {
	const messages: StreamMessage[] = [
		{ kind: 'streamPing', sequence: 4_000_000_000, target: 'b', from: 'a' },
		{ kind: 'streamAck', sequence: 1, payload: emptyBytes },
		{ kind: 'refused', reason: 'no' },
		{ kind: 'done' },
		{
			kind: 'deliver',
			from: '',
			messages: [{ kind: 'user', origin: '', key: '', sequence: 0, payload: new Uint8Array(5_000), proof: emptyBytes }],
		},
	];
	for (const codec of codecs)
		for (const sent of messages) {
			const bytes = codec.encodeStream(sent, target());
			t.is(codec.framing.unwrap(bytes, true).kind, 'message');
			t.deepEqual(codec.decodeStream(bytes, '', 0), { ok: true, message: sent, sender: undefined });
		}
	t.throws(() => plain.encodeStream({ kind: 'digest', from: '', sums: new Uint32Array(32) }, target()), {
		code: 'IM_MEMBERSHIP_SETTING',
	});
});

test('what a real agent answered is understood', (t) => {
	t.is(plain.framing.unwrap(agentPushPull, false).kind, 'message');
	const decoded = plain.decodeStream(agentPushPull, '', 0);
	if (!decoded.ok || decoded.message.kind !== 'pushPull') return t.fail();
	const [only, ...more] = decoded.message.records;
	t.is(more.length, 0);
	t.deepEqual(only?.marks, []);
	t.like(only?.alive, { id: 'alpha', incarnation: 1, address: '127.0.0.1:17946' });
	t.deepEqual(only?.alive.protocol, serfProtocol);
	t.deepEqual([...(decodeTags(only?.alive.meta ?? emptyBytes) ?? [])], [['role', 'x']]);
	return undefined;
});

test('a checksum goes to those who understand it, and one that does not fit is refused', (t) => {
	t.is(plain.encodePacket([nack], target())[0], wireType.hasCrc);
	t.is(plain.encodePacket([nack], target(Uint8Array.of(1, 4, 2, 2, 5, 5)))[0], wireType.nack);
	const packet = plain.encodePacket([nack], target());
	for (let at = 1; at < packet.length; at++)
		t.is(refusalOf(plain, packet.with(at, (packet[at] as number) ^ 1)), 'checksum');
});

test('each refusal has its cause', (t) => {
	const [, labelled, sealed] = codecs as [MemberlistCodec, MemberlistCodec, MemberlistCodec];
	const stranger = new MemberlistCodec({ self: 'x', keys: new MemberlistKeys(key()) });
	const bare = plain.encodePacket([nack], target(emptyBytes));
	t.is(refusalOf(labelled, bare), 'label');
	t.is(refusalOf(plain, labelled.encodePacket([nack], target())), 'label');
	t.is(refusalOf(sealed, bare), 'plaintext');
	t.is(refusalOf(sealed, stranger.encodePacket([nack], target())), 'key');
	t.is(refusalOf(plain, new Uint8Array(70_000)), 'oversized');
	t.is(refusalOf(plain, emptyBytes), 'malformed');
	const stream = plain.encodeStream({ kind: 'streamPing', sequence: 1, target: '', from: '' }, target());
	t.like(sealed.decodeStream(stream, '', 0), { ok: false, refused: 'plaintext' });
	t.like(plain.decodeStream(sealed.encodeStream({ kind: 'refused', reason: 'x' }, target()), '', 0), {
		ok: false,
		refused: 'key',
	});
	t.like(labelled.decodeStream(stream, '', 0), { ok: false, refused: 'label' });
});

const claim = {
	kind: 'alive',
	id: 'n',
	incarnation: 1,
	address: '10.0.0.1:7946',
	meta: emptyBytes,
	credential: emptyBytes,
	protocol: serfProtocol,
	proof: emptyBytes,
} as const;

test('a member of other versions is refused, in packets and in full state', (t) => {
	const foreign = { ...claim, protocol: Uint8Array.of(3, 5, 3, 2, 5, 5) };
	const { messages, refused } = plain.decodePacket(plain.encodePacket([foreign, nack], target()), '', 0);
	t.is(refused, 'version');
	t.deepEqual(messages, [nack]);
	const user = emptyBytes;
	const state: StreamMessage = {
		kind: 'pushPull',
		from: '',
		join: true,
		records: [{ alive: foreign, marks: [] }],
		user,
	};
	t.like(plain.decodeStream(plain.encodeStream(state, target()), '', 0), { ok: false, refused: 'version' });
});

test('incarnations stay within 32 bits, with room to refute', (t) => {
	const high = { ...claim, incarnation: 2 ** 32 - 1 };
	t.is(refusalOf(plain, plain.encodePacket([high], target())), 'malformed');
	t.throws(() => plain.encodePacket([{ ...claim, incarnation: 2 ** 32 }], target()), { code: 'IM_MEMBERSHIP_SETTING' });
	t.throws(() => plain.sizeOf({ ...claim, address: 'host.example:1' }), { code: 'IM_MEMBERSHIP_ADDRESS' });
});

test('compression within its bound is read, a bomb is refused, layers without end are too', (t) => {
	const user = {
		kind: 'user',
		origin: '',
		key: '',
		sequence: 0,
		payload: new Uint8Array(9_000),
		proof: emptyBytes,
	} as const;
	const packed = checksummed(compressed(compound([messageBytes(user), messageBytes(nack)])));
	t.true(packed.length < 1_000);
	t.deepEqual(plain.decodePacket(packed, '', 0), { messages: [user, nack], sender: undefined, refused: undefined });
	const bomb = compressed(messageBytes({ ...user, payload: new Uint8Array(1_000_000) }));
	t.is(refusalOf(plain, bomb), 'oversized');
	// Each part alone is within the bound.
	const half = compressed(messageBytes({ ...user, payload: new Uint8Array(40_000) }));
	const both = plain.decodePacket(compound([half, half]), '', 0);
	t.is(both.refused, 'oversized');
	t.is(both.messages.length, 1);
	let nested = messageBytes(nack);
	for (let layers = 0; layers < 6; layers++) nested = compound([nested]);
	t.is(refusalOf(plain, nested), 'malformed');
});

test('what was understood before a compound is cut short is kept', (t) => {
	const packet = compound([messageBytes(nack), messageBytes(claim)]);
	t.deepEqual(plain.decodePacket(packet.subarray(0, packet.length - 3), '', 0), {
		messages: [nack],
		sender: undefined,
		refused: 'malformed',
	});
});

test('keys rotate: install, use, remove; padding of the first version is taken off', (t) => {
	const [first, second] = [key(), key()];
	const keys = new MemberlistKeys(first);
	const peer = new MemberlistCodec({ self: 'peer', keys: new MemberlistKeys(second) });
	const codec = new MemberlistCodec({ self: 'self', keys });
	const packet = (): Uint8Array => peer.encodePacket([nack], target());
	t.is(refusalOf(codec, packet()), 'key');
	keys.install(second);
	t.is(refusalOf(codec, packet()), undefined);
	t.is(refusalOf(peer, codec.encodePacket([nack], target())), 'key');
	keys.use(second);
	t.is(refusalOf(peer, codec.encodePacket([nack], target())), undefined);
	keys.remove(first);
	t.is(keys.keys.length, 1);
	t.throws(() => keys.remove(second), { code: 'IM_MEMBERSHIP_KEY' });
	t.throws(() => keys.install(new Uint8Array(31)), { code: 'IM_MEMBERSHIP_KEY' });
	t.throws(() => keys.use(first), { code: 'IM_MEMBERSHIP_KEY' });

	const nonce = randomBytes(12);
	const body = messageBytes(nack);
	const padding = 16 - (body.length % 16);
	const cipher = createCipheriv('aes-256-gcm', second, nonce).setAAD(emptyBytes);
	const padded = Buffer.concat([body, new Uint8Array(padding).fill(padding)]);
	const text = Buffer.concat([cipher.update(padded), cipher.final()]);
	const old = Buffer.concat([Uint8Array.of(0), nonce, text, cipher.getAuthTag()]);
	t.deepEqual(codec.decodePacket(old, '', 0).messages, [nack]);
});

test('arbitrary and changed bytes never throw', (t) => {
	const packet = plain.encodePacket([claim, { ...nack, kind: 'ack', payload: emptyBytes }], target(emptyBytes));
	const stream = plain.encodeStream(
		{ kind: 'pushPull', from: '', join: true, records: [{ alive: claim, marks: [] }], user: Uint8Array.of(1) },
		target(),
	);
	const tried = (bytes: Uint8Array): void => {
		for (const codec of codecs) {
			codec.decodePacket(bytes, '', 0);
			codec.decodeStream(bytes, '', 0);
			codec.framing.unwrap(bytes, false);
		}
	};
	fc.assert(fc.property(fc.uint8Array({ maxLength: 300 }), tried), { numRuns: 1_000 });
	fc.assert(
		fc.property(
			fc.constantFrom<Uint8Array>(packet, stream, agentPushPull),
			fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 4 }),
			(bytes, changes) => {
				const changed = new Uint8Array(bytes);
				for (const [at, to] of changes) changed[at % changed.length] = to;
				tried(changed);
			},
		),
		{ numRuns: 1_000 },
	);
	t.pass();
});
