// The wire format against itself and against hostile bytes: any cut of a stream gives the same messages, and no bytes do worse than a fault.
import test from 'ava';
import * as fc from 'fast-check';
import { encodeCommand, encodeMessage, greeting, type SocketType, ZmtpFault, ZmtpPeer } from './frames.js';

const seed = 20_263;

interface Heard {
	readonly messages: string[][];
	readonly sent: Buffer[];
	readonly subscriptions: string[];
	ready: string;
}

function peer(type: SocketType, limits?: { messageBytesMax: number; framesMax: number }): Heard & { peer: ZmtpPeer } {
	const heard: Heard = { messages: [], sent: [], subscriptions: [], ready: '' };
	const made = new ZmtpPeer(
		type,
		{
			onReady: (other) => void (heard.ready = other),
			onMessage: (frames) => void heard.messages.push(frames.map((frame) => Buffer.from(frame).toString('hex'))),
			onSubscription: (topic, wanted) =>
				void heard.subscriptions.push(`${wanted ? '+' : '-'}${Buffer.from(topic).toString()}`),
		},
		(bytes) => void heard.sent.push(bytes),
		limits,
	);
	return Object.assign(heard, { peer: made });
}

function readyOf(type: string): Buffer {
	const value = Buffer.from(type);
	return encodeCommand(
		'READY',
		Buffer.concat([Buffer.from('\x0bSocket-Type'), Buffer.of(0, 0, 0, value.length), value]),
	);
}

test('two peers shake hands and pass messages of any size', (t) => {
	const [sub, pub] = [peer('SUB'), peer('PUB')];
	sub.peer.start();
	pub.peer.start();
	for (let round = 0; round < 2; round++) {
		for (const bytes of sub.sent.splice(0)) pub.peer.receive(bytes);
		for (const bytes of pub.sent.splice(0)) sub.peer.receive(bytes);
	}
	t.is(sub.ready, 'PUB');
	t.is(pub.ready, 'SUB');
	const large = Buffer.alloc(70_000, 7);
	sub.peer.receive(encodeMessage([Buffer.from('topic'), Buffer.alloc(0), large]));
	t.deepEqual(sub.messages, [['746f706963', '', large.toString('hex')]]);
	pub.peer.receive(encodeCommand('SUBSCRIBE', Buffer.from('kv')));
	pub.peer.receive(encodeCommand('CANCEL', Buffer.from('kv')));
	t.deepEqual(pub.subscriptions, ['+kv', '-kv']);
	pub.peer.receive(encodeCommand('PING', Buffer.concat([Buffer.of(0, 1), Buffer.from('ctx')])));
	t.true(pub.sent.at(-1)?.equals(encodeCommand('PONG', Buffer.from('ctx'))));
});

test('property: however a stream is cut, the same messages come out', (t) => {
	t.log(`seed ${seed}`);
	const message = fc.array(fc.uint8Array({ maxLength: 600 }), { minLength: 1, maxLength: 4 });
	fc.assert(
		fc.property(fc.array(message, { maxLength: 12 }), fc.array(fc.integer({ min: 1, max: 200 })), (messages, cuts) => {
			const stream = Buffer.concat([greeting(1), readyOf('PUB'), ...messages.map(encodeMessage)]);
			const heard = peer('SUB');
			heard.peer.start();
			let at = 0;
			for (let step = 0; at < stream.length; step++) {
				const next = at + (cuts.length === 0 ? stream.length : (cuts[step % cuts.length] as number));
				heard.peer.receive(stream.subarray(at, next));
				at = next;
			}
			const expected = messages.map((frames) => frames.map((frame) => Buffer.from(frame).toString('hex')));
			return JSON.stringify(heard.messages) === JSON.stringify(expected);
		}),
		{ seed, numRuns: 200 },
	);
	t.pass();
});

test('property: hostile bytes end in a fault or in waiting for more, never in anything else', (t) => {
	t.log(`seed ${seed}`);
	fc.assert(
		fc.property(fc.boolean(), fc.array(fc.uint8Array({ maxLength: 64 }), { maxLength: 20 }), (shaken, chunks) => {
			const heard = peer('DEALER', { messageBytesMax: 256, framesMax: 3 });
			heard.peer.start();
			if (shaken) heard.peer.receive(Buffer.concat([greeting(0), readyOf('ROUTER')]));
			try {
				for (const chunk of chunks) heard.peer.receive(Buffer.from(chunk));
			} catch (error) {
				return error instanceof ZmtpFault;
			}
			return heard.messages.every((frames) => frames.length <= 3 && frames.join('').length <= 512);
		}),
		{ seed, numRuns: 1000 },
	);
	t.pass();
});

test('what is no ZMTP, another mechanism, a wrong partner, an early message and sizes beyond the bounds are refused', (t) => {
	const fault = (...chunks: Buffer[]): string => {
		const heard = peer('SUB', { messageBytesMax: 100, framesMax: 2 });
		heard.peer.start();
		try {
			for (const chunk of chunks) heard.peer.receive(chunk);
			return 'none';
		} catch (error) {
			return error instanceof ZmtpFault ? error.kind : 'other';
		}
	};
	const curve = greeting();
	curve.write('CURVE', 12, 'latin1');
	const old = greeting();
	old[10] = 1;
	t.is(fault(Buffer.from('HTTP/1.1 400 Bad Request\r\n'.repeat(4))), 'greeting');
	t.is(fault(curve), 'mechanism');
	t.is(fault(old), 'greeting');
	t.is(fault(greeting(), readyOf('REP')), 'peer');
	t.is(fault(greeting(), encodeMessage([Buffer.from('x')])), 'handshake');
	t.is(fault(greeting(), encodeCommand('ERROR', Buffer.from('\x02no'))), 'refused');
	t.is(fault(greeting(), encodeCommand('READY', Buffer.from('\x05Socket'))), 'handshake');
	const open = [greeting(), readyOf('PUB')];
	t.is(fault(...open, encodeMessage([Buffer.alloc(60), Buffer.alloc(60)])), 'size');
	t.is(fault(...open, encodeMessage([1, 2, 3].map(() => Buffer.alloc(1)))), 'size');
	t.is(fault(...open, Buffer.of(2, 0xff, 0, 0, 0, 0, 0, 0, 0)), 'size');
	t.is(fault(...open, Buffer.of(0x80, 1, 0)), 'frame');
	t.is(fault(...open, encodeMessage([Buffer.alloc(100)])), 'none');
});
