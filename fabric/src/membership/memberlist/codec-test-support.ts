// Owns what the tests of the memberlist codec share: arbitrary messages as the core makes them, and bytes that real agents wrote.
import * as fc from 'fast-check';
import { encodeCoordinate } from '../../topology/coordinate.js';
import type { PacketTarget } from '../codec.js';
import { type AliveClaim, emptyBytes, type GossipMessage, type MemberRecord } from '../messages.js';
import { incarnationMax } from './fields.js';
import { serfProtocol } from './messages.js';

/** The answer of a real agent (Serf 0.9.4, memberlist 0.2.2) to full state: compressed by Go's compress/lzw, one member, alpha, tagged role=x. */
export const agentPushPull = Buffer.from(
	'0982a4416c676f00a3427566da00d4000d0c22a5e44d1a37c24a397943a6cc9c00acaacc2923670a9d3074ca3029e3a69980268748052143' +
		'460ea93f0000045895c4cd983072dc604cf3c64d00524dca5c4cf52f1029396fd8940985879493306dca940ac3060e9a30a4a0bc9143a7' +
		'99110da52c622c03609495396e4c052820404001b2865415b1c3910e132a69920630b5b6ed1c6e020000dbcbb7afdfbf80030b1e4cb8b0' +
		'e1c388132b5eccb8b1e3c790234b9e4cb9b2e5cb9813977a1bb7ccca8d66e8e46c2386e21c48aaa2d4a19887b35c565ae9d499e3da61a0' +
		'a54d9f020808',
	'hex',
);

export const target = (protocol: Uint8Array = serfProtocol): PacketTarget => ({
	address: '127.0.0.1:7946',
	id: 'peer',
	protocol,
});

const name = fc.string({ minLength: 1, maxLength: 40, unit: 'grapheme' });
const u32 = fc.integer({ min: 0, max: 0xffff_ffff });
const incarnation = fc.integer({ min: 1, max: incarnationMax });
const port = fc.integer({ min: 1, max: 65_535 });
const address = fc
	.tuple(fc.oneof(fc.ipV4(), fc.constantFrom('[::1]', '[fd00::12:3]', '[2001:db8:0:1:0:0:0:9]')), port)
	.map(([host, at]) => `${host.replace('2001:db8:0:1:0:0:0:9', '2001:db8:0:1::9')}:${at}`);

export const coordinate = fc
	.record({
		vector: fc.array(fc.float({ min: -1, max: 1, noNaN: true }), { minLength: 8, maxLength: 8 }),
		error: fc.float({ min: 0, max: 1.5, noNaN: true }),
		adjustmentS: fc.float({ min: -1, max: 1, noNaN: true }),
		heightS: fc.float({ min: 0, max: 1, noNaN: true }),
	})
	.map(encodeCoordinate);

const payload = fc.oneof(fc.constant(emptyBytes), coordinate);

export const alive: fc.Arbitrary<AliveClaim> = fc.record({
	kind: fc.constant('alive' as const),
	id: name,
	incarnation,
	address,
	meta: fc.uint8Array({ maxLength: 512 }),
	credential: fc.constant(emptyBytes),
	protocol: fc.constantFrom(serfProtocol, emptyBytes),
	proof: fc.constant(emptyBytes),
});

const accusation = fc
	.record({
		kind: fc.constantFrom('suspect' as const, 'dead' as const),
		id: name,
		incarnation,
		by: name.map((by) => `${by} accuses`),
		proof: fc.constant(emptyBytes),
	})
	.filter(({ id, by }) => id !== by);

const left = fc.record({ kind: fc.constant('left' as const), id: name, incarnation, proof: fc.constant(emptyBytes) });

export const message: fc.Arbitrary<GossipMessage> = fc.oneof(
	alive,
	accusation,
	left,
	fc.record({
		kind: fc.constant('ping' as const),
		sequence: u32,
		target: fc.oneof(name, fc.constant('')),
		from: fc.oneof(name, fc.constant('')),
		fromAddress: fc.oneof(address, fc.constant('')),
	}),
	fc.record({
		kind: fc.constant('pingRequest' as const),
		sequence: u32,
		target: name,
		targetAddress: address,
		wantNack: fc.boolean(),
		from: name,
		fromAddress: address,
	}),
	fc.record({ kind: fc.constant('ack' as const), sequence: u32, payload }),
	fc.record({ kind: fc.constant('nack' as const), sequence: u32 }),
	fc.record({
		kind: fc.constant('user' as const),
		origin: fc.constant(''),
		key: fc.constant(''),
		sequence: fc.constant(0),
		payload: fc.uint8Array({ maxLength: 300 }),
		proof: fc.constant(emptyBytes),
	}),
);

/** As full state carries them: at most one mark, by nobody, of the incarnation told. */
export const record: fc.Arbitrary<MemberRecord> = fc
	.tuple(alive, fc.constantFrom('alive', 'suspect', 'dead', 'left'))
	.map(([claim, state]) => {
		const { id } = claim;
		const mark = { id, incarnation: claim.incarnation, proof: emptyBytes };
		if (state === 'suspect' || state === 'dead')
			return { alive: claim, marks: [{ ...mark, kind: state, by: '' } as const] };
		return { alive: claim, marks: state === 'left' ? [{ ...mark, kind: 'left' as const }] : [] };
	});
