// Batches of KV events in every way they are written, and hostile ones. The samples are made from the published descriptions of vLLM's and
// SGLang's events: no capture of real event bytes with a licence to keep was found.
import test from 'ava';
import * as fc from 'fast-check';
import { decodeKvEvents, type KvEvent } from './events.js';
import { decodeMsgpack, encodeMsgpack, MsgpackError, type MsgpackValue } from './msgpack.js';

const seed = 20_264;
const HASH = 0xfedc_ba98_7654_3210n;

function map(entries: Readonly<Record<string, MsgpackValue>>): Map<string, MsgpackValue> {
	return new Map(Object.entries(entries));
}

function only(batch: MsgpackValue): KvEvent {
	const { events } = decodeKvEvents(encodeMsgpack(batch));
	return events[0] as KvEvent;
}

const storedFields = {
	block_hashes: [HASH, 5],
	parent_block_hash: 77,
	token_ids: [1, 2, 3, 4],
	block_size: 2,
	lora_id: null,
	medium: 'GPU',
} as const;

test('a stored event reads the same as array or map, in a batch that is array or map', (t) => {
	const array = ['BlockStored', ...Object.values(storedFields)];
	const asMap = map({ type: 'BlockStored', ...storedFields, lora_name: null, extra_keys: null, group_idx: 0 });
	const batches: MsgpackValue[] = [
		[1.5, [array]],
		[1.5, [asMap], 3],
		map({ ts: 1.5, events: [array] }),
		map({ ts: 1.5, events: [asMap], data_parallel_rank: 3 }),
		// SGLang leaves trailing fields out.
		[1.5, [array.slice(0, 5)]],
	];
	for (const batch of batches) {
		const event = only(batch);
		t.deepEqual(event, {
			kind: 'stored',
			blocks: { lows: Uint32Array.of(0x76543210, 5), highs: Uint32Array.of(0xfedcba98, 0) },
			parent: { low: 77, high: 0 },
			tokens: Uint32Array.of(1, 2, 3, 4),
			blockTokens: 2,
			lora: '',
			tier: 0,
			plainBlocks: 2,
		});
	}
	t.is(decodeKvEvents(encodeMsgpack(batches[1] as MsgpackValue)).dpRank, 3);
	t.is(decodeKvEvents(encodeMsgpack(batches[0] as MsgpackValue)).atS, 1.5);
});

test('removed and cleared events, byte names, tiers and groups', (t) => {
	const digest = new Uint8Array(32).fill(9);
	const a = only([0, [['BlockRemoved', [digest], 'CPU']]]);
	const b = only([0, [map({ type: 'BlockRemoved', block_hashes: [digest], medium: 'DISK' })]]);
	if (a.kind !== 'removed' || b.kind !== 'removed') return t.fail();
	t.deepEqual(a.blocks, b.blocks);
	t.deepEqual([a.tier, b.tier], [1, 2]);
	const grouped = only([0, [map({ type: 'BlockRemoved', block_hashes: [digest], group_idx: 1 })]]);
	t.notDeepEqual(grouped.kind === 'removed' && grouped.blocks, a.blocks);
	t.deepEqual(only([0, [['AllBlocksCleared']]]), { kind: 'cleared' });
	t.deepEqual(only([0, [map({ type: 'AllBlocksCleared' })]]), { kind: 'cleared' });
});

test('adapters are named; blocks with keys beyond tokens, and windows that slide, are not matched', (t) => {
	const stored = (more: Readonly<Record<string, MsgpackValue>>): KvEvent | undefined =>
		decodeKvEvents(encodeMsgpack([0, [map({ type: 'BlockStored', ...storedFields, ...more })]])).events[0];
	t.like(stored({ lora_name: 'sql', lora_id: 4 }), { lora: 'sql', plainBlocks: 2 });
	t.like(stored({ lora_id: 4 }), { lora: 'id:4' });
	t.like(stored({ lora_name: 'sql', extra_keys: [['sql'], ['sql']] }), { plainBlocks: 2 });
	t.like(stored({ extra_keys: [null, ['image-hash']] }), { plainBlocks: 1 });
	t.is(stored({ kv_cache_spec_kind: 'sliding_window' }), undefined);
	t.like(stored({ kv_cache_spec_kind: 'full_attention' }), { kind: 'stored' });
	t.like(stored({ token_ids: [], medium: 'CPU' }), { tier: 1 });
});

test('what cannot be read of one event is counted and costs the others nothing', (t) => {
	const batch = decodeKvEvents(
		encodeMsgpack([
			0,
			[
				['BlockStored', [1], null, [1, 2, 3], 2],
				['BlockStored', ['text'], null, [1], 1],
				['SomethingNew', 1],
				7,
				['BlockRemoved', [1]],
			],
		]),
	);
	t.is(batch.unread, 4);
	t.is(batch.events.length, 1);
	t.throws(() => decodeKvEvents(encodeMsgpack([0])), { instanceOf: MsgpackError });
	t.throws(() => decodeKvEvents(encodeMsgpack('text')), { instanceOf: MsgpackError });
});

test('property: what is written is read back', (t) => {
	t.log(`seed ${seed}`);
	const { value } = fc.letrec<{ value: MsgpackValue }>((tie) => ({
		value: fc.oneof(
			{ maxDepth: 4 },
			fc.constant(null),
			fc.boolean(),
			fc.maxSafeInteger(),
			fc.double({ noNaN: true, noDefaultInfinity: true }).filter((number) => !Number.isInteger(number)),
			fc.bigInt({ min: 1n << 53n, max: (1n << 64n) - 1n }),
			fc.string({ maxLength: 300 }),
			fc.uint8Array({ maxLength: 300 }),
			fc.array(tie('value'), { maxLength: 20 }),
			fc.dictionary(fc.string(), tie('value'), { maxKeys: 20 }).map((entries) => new Map(Object.entries(entries))),
		),
	}));
	fc.assert(
		fc.property(value, (given) => {
			t.deepEqual(decodeMsgpack(encodeMsgpack(given)), given);
		}),
		{ seed, numRuns: 200 },
	);
});

test('property: hostile bytes are an error or a value, at a cost bounded by their length', (t) => {
	t.log(`seed ${seed}`);
	fc.assert(
		fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
			try {
				decodeKvEvents(bytes);
			} catch (error) {
				return error instanceof MsgpackError;
			}
			return true;
		}),
		{ seed, numRuns: 2000 },
	);
	// Lengths that promise more than there is.
	for (const bytes of [
		[0xdd, 0xff, 0xff, 0xff, 0xff],
		[0xdf, 0xff, 0xff, 0xff, 0xff],
		[0xc6, 0xff, 0xff, 0xff, 0xff],
		Array.from({ length: 100 }, () => 0x91),
	])
		t.throws(() => decodeMsgpack(Uint8Array.from(bytes)), { instanceOf: MsgpackError });
});
