// The end of a bare stream message is found by reading it: in pieces, in time linear in its length, and not at all in what is none.
import test from 'ava';
import type { UnwrapProgress, UnwrapResult } from '../codec.js';
import { emptyBytes } from '../messages.js';
import { memberlistFraming, wireType } from './framing.js';
import { serfProtocol } from './messages.js';
import { streamBytes } from './stream-messages.js';

const unwrap = (received: Uint8Array, ended: boolean, progress?: UnwrapProgress): UnwrapResult =>
	memberlistFraming.unwrap(received, ended, progress);
const records = Array.from({ length: 2_000 }, (_, i) => ({
	alive: {
		kind: 'alive' as const,
		id: `node-${i}`,
		incarnation: 1,
		address: '10.0.0.1:7946',
		meta: new Uint8Array(100),
		credential: emptyBytes,
		protocol: serfProtocol,
		proof: emptyBytes,
	},
	marks: [],
}));

test('a long message that comes byte by byte is passed over once', (t) => {
	const bytes = streamBytes({
		kind: 'pushPull',
		from: '',
		join: true,
		records: records.slice(0, 300),
		user: emptyBytes,
	});
	let progress: { readonly at: number; readonly parts: number } | undefined;
	for (let length = 1; length < bytes.length; length++) {
		const result = unwrap(bytes.subarray(0, length), false, progress);
		if (result.kind !== 'incomplete') return t.fail(`${result.kind} at ${length}`);
		t.true(result.atLeastBytes > length && result.atLeastBytes <= bytes.length);
		({ progress } = result);
	}
	// What is still to be looked at is one member, however long the message.
	t.true(bytes.length - (progress?.at ?? 0) < 400);
	t.is(unwrap(bytes, false, progress).kind, 'message');
	t.is(unwrap(Buffer.concat([bytes, Uint8Array.of(0)]), false, progress).kind, 'malformed');
	t.is(unwrap(bytes.subarray(0, bytes.length - 1), true, progress).kind, 'malformed');
	return undefined;
});

test('what begins no stream message, a member too long and a header too long are malformed', (t) => {
	t.is(unwrap(Uint8Array.of(wireType.alive), false).kind, 'malformed');
	t.is(unwrap(Uint8Array.of(99), false).kind, 'malformed');
	const bytes = streamBytes({ kind: 'pushPull', from: '', join: true, records: records.slice(0, 1), user: emptyBytes });
	const header = bytes.subarray(0, bytes.indexOf(0x87));
	const long = Buffer.concat([header, Uint8Array.of(0x81, 0xa1, 65, 0xda, 0xff, 0xff)]);
	t.is(unwrap(long, false).kind, 'malformed');
	t.is(unwrap(Uint8Array.of(wireType.pushPull, 0x81, 0xda, 0xff, 0xff), false).kind, 'malformed');
	t.deepEqual(unwrap(emptyBytes, true), { kind: 'message', message: emptyBytes });
});

test('an encrypted message tells its length, behind a label too', (t) => {
	const framed = Uint8Array.of(wireType.hasLabel, 1, 65, wireType.encrypt, 0, 0, 1, 0);
	for (let length = 0; length < framed.length; length++) {
		const result = unwrap(framed.subarray(0, length), false);
		t.is(result.kind, 'incomplete');
	}
	t.like(unwrap(framed, false), { kind: 'incomplete', atLeastBytes: framed.length + 256 });
});
