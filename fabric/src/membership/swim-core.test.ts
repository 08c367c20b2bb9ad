import { SeededRandom } from '@infermesh/proto';
import test from 'ava';
import * as fc from 'fast-check';
import type { SwimEvent } from './events.js';
import { emptyBytes, type GossipMessage, type MemberRecord, type StreamMessage } from './messages.js';
import { unsignedRecords } from './ports.js';
import { swimBounds, swimProfiles } from './settings.js';
import { SwimCore } from './swim-core.js';

const sizes = { messagesMaxBytes: 1_340, sizeOf: () => 100 };

function core(signedRecords: boolean): SwimCore {
	return new SwimCore({
		id: 'self',
		address: '10.0.0.1:1',
		meta: emptyBytes,
		incarnation: undefined,
		settings: swimProfiles.lan,
		random: new SeededRandom(1),
		sizes,
		signer: unsignedRecords,
		verifier: unsignedRecords,
		signedRecords,
		digestFirst: signedRecords,
		seeds: ['10.0.0.9:1'],
	});
}

const id = fc.constantFrom('self', 'a', 'b', 'c', 'd', '');
const incarnation = fc.oneof(
	fc.integer({ min: 1, max: 5 }),
	fc.constantFrom(2 ** 20, 2 ** 32, Number.MAX_SAFE_INTEGER),
);
const address = fc.constantFrom('10.0.0.1:1', '10.0.0.2:1', '10.0.0.3:1');
const sequence = fc.nat(3);
const empty = fc.constant(emptyBytes);
const alive = fc.record({
	kind: fc.constant('alive' as const),
	id,
	incarnation,
	address,
	meta: fc.uint8Array({ maxLength: 3 }),
	credential: empty,
	protocol: empty,
	proof: empty,
});
const accusation = fc.record({
	kind: fc.constantFrom('suspect' as const, 'dead' as const),
	id,
	incarnation,
	by: id,
	proof: empty,
});
const left = fc.record({ kind: fc.constant('left' as const), id, incarnation, proof: empty });
const message: fc.Arbitrary<GossipMessage> = fc.oneof(
	alive,
	accusation,
	left,
	fc.record({
		kind: fc.constant('user' as const),
		origin: id,
		key: fc.constantFrom('k', 'l'),
		sequence,
		payload: empty,
		proof: empty,
	}),
	fc.record({ kind: fc.constant('ping' as const), sequence, target: id, from: id, fromAddress: address }),
	fc.record({
		kind: fc.constant('pingRequest' as const),
		sequence,
		target: id,
		targetAddress: address,
		wantNack: fc.boolean(),
		from: id,
		fromAddress: address,
	}),
	fc.record({ kind: fc.constant('ack' as const), sequence: fc.nat(0xffffffff), payload: empty }),
	fc.record({ kind: fc.constant('nack' as const), sequence }),
);
const record: fc.Arbitrary<MemberRecord> = fc.record({
	alive,
	marks: fc.array(fc.oneof(accusation, left), { maxLength: 3 }),
});
const records = fc.array(record, { maxLength: 4 });
const stream: fc.Arbitrary<StreamMessage> = fc.oneof(
	fc.record({ kind: fc.constant('pushPull' as const), from: id, join: fc.boolean(), records, user: empty }),
	fc.record({ kind: fc.constant('push' as const), from: id, records }),
	fc.record({
		kind: fc.constant('difference' as const),
		from: id,
		buckets: fc.array(fc.nat(2_000), { maxLength: 5 }),
		records,
	}),
	fc.record({ kind: fc.constant('digest' as const), from: id, sums: fc.uint32Array({ maxLength: 80 }) }),
	fc.record({ kind: fc.constant('deliver' as const), from: id, messages: fc.array(message, { maxLength: 3 }) }),
	fc.record({ kind: fc.constant('streamPing' as const), sequence, target: id, from: id }),
	fc.record({ kind: fc.constant('streamAck' as const), sequence, payload: empty }),
	fc.constant({ kind: 'done' as const }),
);
const event: fc.Arbitrary<SwimEvent> = fc.oneof(
	{
		weight: 6,
		arbitrary: fc.record({
			kind: fc.constant('packet' as const),
			from: address,
			messages: fc.array(message, { maxLength: 5 }),
		}),
	},
	fc.record({ kind: fc.constant('request' as const), token: fc.nat(), from: address, message: stream }),
	fc.record({ kind: fc.constant('answered' as const), exchange: fc.nat(20), message: stream }),
	fc.record({ kind: fc.constant('exchangeFailed' as const), exchange: fc.nat(20) }),
	fc.constant({ kind: 'tick' as const }),
	fc.record({ kind: fc.constant('lag' as const), lagMs: fc.nat(9_000) }),
	fc.record({ kind: fc.constant('forget' as const), id }),
);
const numRuns = Number(process.env['FUZZ_RUNS'] ?? 400);

test('whatever peers say, the core goes on: own incarnation and those of others never fall, every request is answered once', (t) => {
	fc.assert(
		fc.property(fc.boolean(), fc.array(fc.tuple(fc.nat(3_000), event), { maxLength: 60 }), (signed, events) => {
			const swim = core(signed);
			let nowMs = 0;
			swim.step({ kind: 'start' }, nowMs);
			let own = swim.self.incarnation;
			const known = new Map<string, number>();
			for (const [passedMs, one] of events) {
				nowMs += passedMs;
				const effects = swim.step(one, nowMs);
				const answers = effects.filter((effect) => effect.kind === 'answer').length;
				t.is(answers, one.kind === 'request' ? 1 : 0);
				t.true(swim.self.incarnation >= own);
				own = swim.self.incarnation;
				t.true(swim.nextDeadlineMs() >= 0);
				const members = [...swim.members()];
				t.is(swim.liveMembers, 1 + members.filter(({ state }) => state === 'alive' || state === 'suspect').length);
				if (one.kind === 'forget') known.delete(one.id);
				for (const { claim, incarnation: now } of members) {
					t.not(claim.id, 'self');
					t.true(now >= (known.get(claim.id) ?? 0));
					known.set(claim.id, now);
				}
			}
		}),
		{ numRuns },
	);
});

test('an accusation cannot use a life of incarnations up at once', (t) => {
	const swim = core(true);
	swim.step({ kind: 'start' }, 0);
	const accuse = (incarnationOf: number, about: string): void => {
		const claim = { kind: 'suspect', id: about, incarnation: incarnationOf, by: 'b', proof: emptyBytes } as const;
		swim.step({ kind: 'packet', from: '10.0.0.2:1', messages: [claim] }, 1);
	};
	accuse(Number.MAX_SAFE_INTEGER, 'self');
	t.is(swim.self.incarnation, 1);
	accuse(swimBounds.incarnationLeapMax, 'self');
	t.is(swim.self.incarnation, swimBounds.incarnationLeapMax + 1, 'what a wiped disk may have lost is taken');
	t.is(swim.counters.claimsLeaping, 1);
});

test('a clone of this identity at another address is reported', (t) => {
	const swim = core(true);
	swim.step({ kind: 'start' }, 0);
	const clone = { ...swim.self, address: '10.0.0.7:1', incarnation: 4 };
	const effects = swim.step({ kind: 'packet', from: '10.0.0.7:1', messages: [clone] }, 1);
	t.true(effects.some((effect) => effect.kind === 'event' && effect.event.kind === 'identityConflict'));
	t.is(swim.self.incarnation, 5);
});

for (const [what, sender, unreached] of [
	['the member itself, from an address that is written otherwise than the one known', 'b', false],
	['a helper', 'c', true],
	['whoever, where the protocol tells nothing but the address', undefined, true],
] as const)
	test(`a late ack comes from ${what}: ${unreached ? 'the member was not reached' : 'it was'}`, (t) => {
		const swim = core(false);
		const effects = [...swim.step({ kind: 'start' }, 0)];
		const alive = {
			kind: 'alive',
			id: 'b',
			incarnation: 1,
			address: 'b.mesh.test:1',
			meta: emptyBytes,
			credential: emptyBytes,
			protocol: emptyBytes,
			proof: emptyBytes,
		} as const;
		effects.push(...swim.step({ kind: 'packet', from: '10.0.0.2:1', messages: [alive] }, 1));
		// Until a ping of its own has gone unanswered and a stream is tried beside it.
		const tried = (): boolean =>
			effects.some((effect) => effect.kind === 'exchange' && effect.message.kind === 'streamPing');
		while (!tried()) effects.push(...swim.step({ kind: 'tick' }, swim.nextDeadlineMs()));
		const ping = effects.flatMap((effect) => (effect.kind === 'packet' ? effect.messages : [])).find(isPing);
		const nowMs = swim.nextDeadlineMs() - 1;
		const ack = { kind: 'ack', sequence: ping?.sequence ?? -1, payload: emptyBytes } as const;
		const after = swim.step({ kind: 'packet', from: '10.0.0.2:1', sender, messages: [ack] }, nowMs);
		t.is(
			after.some((effect) => effect.kind === 'event' && effect.event.kind === 'unreached'),
			unreached,
		);
		t.is(swim.counters.misdirected, 0);
	});

function isPing(message: GossipMessage): message is GossipMessage & { readonly kind: 'ping' } {
	return message.kind === 'ping';
}
