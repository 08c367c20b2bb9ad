// Serf's tags, coordinates and intents to leave: there and back, and hostile ones passed over.
import test from 'ava';
import * as fc from 'fast-check';
import { ByteWriter } from '../../bytes/binary.js';
import { emptyBytes } from '../messages.js';
import { MemberlistCodec } from './codec.js';
import { coordinate, target } from './codec-test-support.js';
import { struct } from './fields.js';
import { type Encodable, writeValue } from './msgpack.js';
import {
	decodeTags,
	encodeTags,
	leaveIntentMaxBytes,
	meshCoordinate,
	metaOfTags,
	SerfClock,
	serfCoordinate,
	tagsOfMeta,
} from './serf.js';

function typed(type: number, fields: Readonly<Record<string, Encodable>>): Uint8Array {
	const writer = new ByteWriter();
	writer.u8(type);
	writeValue(writer, struct(fields));
	return writer.finish();
}

test('tags read back, and a node’s metadata through them', (t) => {
	const tags = new Map([
		['role', 'web'],
		['größe', '3'],
	]);
	t.deepEqual(decodeTags(encodeTags(tags)), tags);
	t.deepEqual(decodeTags(emptyBytes), new Map());
	t.is(decodeTags(Uint8Array.of(1, 2)), undefined);
	t.is(decodeTags(Uint8Array.of(255, 0x81, 0xa1)), undefined);
	t.throws(() => encodeTags(new Map([['long', 'x'.repeat(600)]])), { code: 'IM_MEMBERSHIP_OVERSIZED' });
	const meta = { name: 'rack 3', roles: 5, version: '0.1.0', digest: emptyBytes };
	t.deepEqual(metaOfTags(tagsOfMeta(meta)), meta);
	t.deepEqual(metaOfTags(new Map([['roles', 'toString,gpu']])).roles, 4);
});

test('coordinates go to Serf’s form and back, and what no network can have is dropped', (t) => {
	fc.assert(
		fc.property(coordinate, (bytes) => {
			t.deepEqual(meshCoordinate(serfCoordinate(bytes)), bytes);
		}),
	);
	const vec = Array.from({ length: 8 }, () => ({ float: 0 }));
	const of = (fields: Readonly<Record<string, Encodable>>): Uint8Array =>
		meshCoordinate(
			typed(1, { Adjustment: { float: 0 }, Error: { float: 1 }, Height: { float: 0.1 }, Vec: vec, ...fields }),
		);
	t.true(of({}).length > 0);
	t.is(of({ Error: { float: Number.NaN } }).length, 0);
	t.is(of({ Height: { float: Number.POSITIVE_INFINITY } }).length, 0);
	t.is(of({ Vec: vec.slice(1) }).length, 0);
	t.is(of({ Vec: 'none' }).length, 0);
	t.is(meshCoordinate(Uint8Array.of(2)).length, 0);
	t.is(serfCoordinate(Uint8Array.of(9, 9)).length, 0);
});

test('the own intent to leave is later than all that was heard, and does not change', (t) => {
	const clock = new SerfClock('self');
	clock.onState(typed(2, { LTime: 40, LeftMembers: ['b'], StatusLTimes: new Map([['b', 17]]) }));
	clock.onUser(typed(0, { LTime: 55, Node: 'c' }));
	clock.onUser(typed(0, { LTime: Number.MAX_SAFE_INTEGER, Node: 'd' }));
	clock.onUser(Uint8Array.of(0, 0xc1));
	clock.onState(Uint8Array.of(2, 0x90));
	const intent = clock.leaveIntent('self');
	t.deepEqual(intent, typed(0, { LTime: 56, Node: 'self' }));
	clock.onUser(typed(0, { LTime: 90, Node: 'e' }));
	t.deepEqual(clock.leaveIntent('self'), intent);
	t.deepEqual(clock.leaveIntent('b'), typed(0, { LTime: 17, Node: 'b' }));
	t.is(clock.leaveIntent('d'), undefined);
	t.true((intent?.length ?? 0) <= leaveIntentMaxBytes('self'));
});

test('a leave travels with its intent, also that of another, and fits its size', (t) => {
	const codec = new MemberlistCodec({ self: 'self' });
	const left = (id: string) => ({ kind: 'left', id, incarnation: 3, proof: emptyBytes }) as const;
	const read = (id: string) => {
		const packet = codec.encodePacket([left(id)], target(emptyBytes));
		t.true(packet.length <= 2 + codec.sizeOf(left(id)));
		return codec.decodePacket(packet, '', 0).messages.map(({ kind }) => kind);
	};
	t.deepEqual(read('self'), ['user', 'left', 'user']);
	t.deepEqual(read('other'), ['left']);
	const heard = { kind: 'user', origin: '', key: '', sequence: 0, proof: emptyBytes } as const;
	const payload = typed(0, { LTime: 9, Node: 'other' });
	codec.decodePacket(codec.encodePacket([{ ...heard, payload }], target()), '', 0);
	t.deepEqual(read('other'), ['user', 'left', 'user']);
});
