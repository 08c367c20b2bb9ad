// The store against a simple model over random histories, and what single commands must do.
import test from 'ava';
import * as fc from 'fast-check';
import { hasCode } from '../consensus/errors.js';
import { decodeCommand, encodeCommand } from './command-codec.js';
import { deletesMax, leaseKeysMax, operationsMax, requestWindowMax } from './limits.js';
import { decodeResult } from './result-codec.js';
import { Store } from './store.js';
import { selection, transaction } from './testing/arbitraries.js';
import { ModelStore } from './testing/model.js';
import { bytes, put, run, write } from './testing/run.js';

const settings = { quotaBytes: 1 << 20, historyRevisionsMax: 1_000, historyBytesMax: 1 << 20 };

function refusedWith(result: ReturnType<typeof run>): string | undefined {
	return result.kind === 'refused' ? result.code : undefined;
}

test('random histories: results, reads at every revision, and paged reads agree with a model', (t) => {
	const step = fc.oneof(
		{ weight: 10, arbitrary: transaction.map((transaction) => ({ kind: 'transact' as const, transaction })) },
		{ weight: 2, arbitrary: fc.constant({ kind: 'grant' as const }) },
		{
			weight: 1,
			arbitrary: fc.integer({ min: 1, max: 3 }).map((n) => ({ kind: 'end' as const, id: `000000000000000${n}` })),
		},
	);
	let writes = 0;
	fc.assert(
		fc.property(
			fc.array(step, { minLength: 1, maxLength: 40, size: 'max' }),
			selection,
			fc.integer({ min: 1, max: 3 }),
			(steps, wanted, limit) => {
				const store = new Store();
				const model = new ModelStore();
				for (const step of steps) {
					if (step.kind === 'grant') {
						const granted = run(store, { kind: 'grant', ttlMs: 1_000 });
						if (granted.kind === 'lease') model.leases.add(granted.id);
					} else if (step.kind === 'end') {
						run(store, { kind: 'revoke', id: step.id });
						model.endLease(step.id);
					} else {
						const expected = model.transact(step.transaction);
						const got = run(store, { kind: 'transact', transaction: step.transaction });
						if (expected === undefined) t.is(got.kind, 'refused');
						else t.deepEqual(got, { kind: 'transaction', revision: model.revision, ...expected } as typeof got);
					}
					t.is(store.revision, model.revision);
				}
				writes += store.revision - 1;
				for (let revision = 1; revision <= store.revision; revision++)
					t.deepEqual(store.read(wanted, { revision }).items, model.read(wanted, revision));
				const paged = [];
				let after: string | undefined;
				for (let more = true; more; ) {
					const page = store.read(wanted, after === undefined ? { limit } : { limit, after });
					t.true(page.items.length <= limit);
					paged.push(...page.items);
					after = page.items.at(-1)?.key;
					more = page.more;
				}
				t.deepEqual(paged, model.read(wanted, model.revision));
			},
		),
		{ numRuns: 300 },
	);
	t.true(writes > 1_500, `${writes} writes: too few for the test to mean anything`);
});

test('random histories: after compaction earlier reads are refused, later ones are as they were', (t) => {
	const arbitrary = fc.tuple(fc.array(transaction, { minLength: 3, maxLength: 25, size: 'max' }), fc.nat());
	fc.assert(
		fc.property(arbitrary, ([transactions, pick]) => {
			const store = new Store();
			const model = new ModelStore();
			for (const transaction of transactions) {
				model.transact(transaction);
				run(store, { kind: 'transact', transaction });
			}
			const compacted = 1 + (pick % store.revision);
			run(store, { kind: 'compact', revision: compacted });
			t.is(store.compactedRevision, compacted);
			for (let revision = 1; revision <= store.revision; revision++) {
				const read = () => store.read({ prefix: '' }, { revision }).items;
				if (revision < compacted) t.true(hasCode(t.throws(read), 'IM_CONSENSUS_COMPACTED'));
				else t.deepEqual(read(), model.read({ prefix: '' }, revision));
			}
		}),
		{ numRuns: 200 },
	);
});

test('bytes of presence and history return to nothing when all is deleted and compacted', (t) => {
	fc.assert(
		fc.property(fc.array(transaction, { maxLength: 30 }), (transactions) => {
			const store = new Store();
			for (const transaction of transactions) run(store, { kind: 'transact', transaction });
			write(store, { delete: { prefix: '' } });
			t.is(store.usedBytes, 0);
			run(store, { kind: 'compact', revision: store.revision });
			t.is(store.historyBytes, 0);
			t.is([...store.snapshot()].length, 2, 'a header and an end');
		}),
		{ numRuns: 100 },
	);
});

test('history is bounded by revisions and by bytes, and what is kept can be read', (t) => {
	const store = new Store();
	run(store, { kind: 'configure', settings: { ...settings, historyRevisionsMax: 10 } });
	for (let i = 0; i < 100; i++) put(store, 'k', `${i}`);
	t.is(store.revision, 101);
	t.is(store.compactedRevision, 91);
	t.deepEqual(store.read({ key: 'k' }, { revision: 91 }).items[0]?.value, bytes('89'));
	run(store, { kind: 'configure', settings: { ...settings, historyBytesMax: 1_000 } });
	for (let i = 0; i < 20; i++) put(store, 'k', 'y'.repeat(200));
	t.true(store.historyBytes <= 1_000);
	t.is(store.compactedRevision, store.revision - 3);
});

test('a full store takes deletes, revokes and compaction, and puts again below 90 per cent', (t) => {
	const store = new Store();
	run(store, { kind: 'configure', settings: { ...settings, quotaBytes: 10_000 } });
	let stored = 0;
	while (put(store, `k${stored}`, 'v'.repeat(368)).kind === 'transaction') stored++;
	t.is(stored, 20, 'each takes 500 bytes at most');
	t.true(store.noSpace);
	t.is(refusedWith(put(store, 'k', '')), 'IM_STORE_NO_SPACE');
	t.is(refusedWith(put(store, 'k0', 'v')), 'IM_STORE_NO_SPACE', 'not even a smaller value');
	t.is(write(store, { get: { key: 'k0' } }).kind, 'transaction');
	t.is(run(store, { kind: 'compact', revision: store.revision }).kind, 'done');
	t.is(write(store, { delete: { key: 'k0' } }).kind, 'transaction');
	t.true(store.noSpace, 'at 95 per cent it is still full');
	t.is(write(store, { delete: { key: 'k1' } }, { delete: { key: 'k2' } }).kind, 'transaction');
	t.false(store.noSpace);
	t.is(put(store, 'k', '').kind, 'transaction');
});

test('a transaction over a bound is refused whole', (t) => {
	const store = new Store();
	const many = (count: number) => Array.from({ length: count }, (_, i) => ({ put: `k${i}`, value: bytes('') }));
	const tooMany = { kind: 'transact', transaction: { when: [], then: many(operationsMax + 1) } } as const;
	t.true(
		hasCode(
			t.throws(() => encodeCommand(tooMany)),
			'IM_STORE_REQUEST_TOO_LARGE',
		),
	);
	const tooBig = { put: 'k', value: new Uint8Array(1 << 20) };
	t.true(
		hasCode(
			t.throws(() => write(store, tooBig)),
			'IM_STORE_REQUEST_TOO_LARGE',
		),
	);
	for (let i = 0; i <= deletesMax; i++) put(store, `d/${i}`);
	const { revision } = store;
	t.is(
		refusedWith(write(store, { put: 'k', value: bytes('') }, { delete: { prefix: 'd/' } })),
		'IM_STORE_REQUEST_TOO_LARGE',
	);
	t.is(store.revision, revision);
	t.is(store.read({ key: 'k' }).items.length, 0);
	for (let i = 0; i < 6; i++) put(store, `big/${i}`, 'v'.repeat(500_000));
	t.is(
		refusedWith(write(store, { put: 'k', value: bytes('') }, { get: { prefix: 'big/' } })),
		'IM_STORE_ANSWER_TOO_LARGE',
	);
	t.is(store.read({ key: 'k' }).items.length, 0);
});

test('a lease holds so many keys and no more', (t) => {
	const store = new Store();
	const lease = run(store, { kind: 'grant', ttlMs: 1_000 });
	t.true(lease.kind === 'lease');
	const id = lease.kind === 'lease' ? lease.id : '';
	for (let i = 0; i < leaseKeysMax; i++) put(store, `k${i}`, '', id);
	t.is(refusedWith(put(store, 'more', '', id)), 'IM_STORE_REQUEST_TOO_LARGE');
	t.is(put(store, 'k0', 'again', id).kind, 'transaction', 'one it has already');
	run(store, { kind: 'revoke', id });
	t.is(store.read({ prefix: '' }).items.length, 0);
});

test('a key moved to another lease, or to none, does not end with the first', (t) => {
	const store = new Store();
	const grant = () => {
		const result = run(store, { kind: 'grant', ttlMs: 1_000 });
		return result.kind === 'lease' ? result.id : '';
	};
	const [first, second] = [grant(), grant()];
	for (const key of ['moved', 'freed', 'kept']) put(store, key, 'x', first);
	put(store, 'moved', 'x', second);
	put(store, 'freed', 'x');
	run(store, { kind: 'revoke', id: first });
	t.deepEqual(
		store.read({ prefix: '' }).items.map(({ key }) => key),
		['freed', 'moved'],
	);
	run(store, { kind: 'revoke', id: second });
	t.deepEqual(
		store.read({ prefix: '' }).items.map(({ key }) => key),
		['freed'],
	);
});

test('an expiry that was decided before a renewal does not end the lease after it', (t) => {
	const store = new Store();
	const lease = run(store, { kind: 'grant', ttlMs: 1_000 });
	const id = lease.kind === 'lease' ? lease.id : '';
	put(store, 'k', 'x', id);
	t.deepEqual(run(store, { kind: 'renew', ids: [id, 'unknown'] }), { kind: 'renewed', ttlsMs: [1_000, 0] });
	run(store, { kind: 'expire', leases: [{ id, renewals: 0 }] });
	t.is(store.read({ key: 'k' }).items.length, 1);
	run(store, { kind: 'expire', leases: [{ id, renewals: 1 }] });
	t.is(store.read({ key: 'k' }).items.length, 0);
	t.deepEqual(run(store, { kind: 'renew', ids: [id] }), { kind: 'renewed', ttlsMs: [0] });
	t.is(refusedWith(put(store, 'k', 'x', id)), 'IM_CONSENSUS_LEASE_LOST');
});

test('a request proposed twice takes effect once and is answered the same, also a refused one', (t) => {
	const store = new Store();
	const id = (n: number) => {
		const bytes = new Uint8Array(16);
		new DataView(bytes.buffer).setUint32(0, n);
		return bytes;
	};
	const increment = { kind: 'transact', transaction: { when: [], then: [{ put: 'k', value: bytes('x') }] } } as const;
	const first = run(store, increment, id(0));
	t.deepEqual(run(store, increment, id(0)), first);
	t.is(store.read({ key: 'k' }).items[0]?.version, 1);
	const guarded = {
		kind: 'transact',
		transaction: { when: [], then: [{ put: 'l', value: bytes(''), lease: 'gone' }] },
	} as const;
	t.is(refusedWith(run(store, guarded, id(1))), 'IM_CONSENSUS_LEASE_LOST');
	t.is(refusedWith(run(store, guarded, id(1))), 'IM_CONSENSUS_LEASE_LOST');
	for (let n = 2; n < requestWindowMax; n++) run(store, { kind: 'compact', revision: 1 }, id(n));
	t.deepEqual(run(store, increment, id(0)), first, 'the window is just long enough');
	run(store, { kind: 'compact', revision: 1 }, id(requestWindowMax));
	run(store, increment, id(0));
	t.is(store.read({ key: 'k' }).items[0]?.version, 2, 'forgotten: the window is bounded');
});

test('unknown kinds and garbage are refused by name on every member alike, and are part of the hash', (t) => {
	const members = [new Store(), new Store(), new Store()] as const;
	const unknown = Uint8Array.of(1, 99, 0, 1, 2, 3);
	const codes = new Set<string | undefined>();
	for (const member of members) codes.add(refusedWith(decodeResult(member.apply(unknown, 1))));
	t.deepEqual([...codes], ['IM_STORE_COMMAND_UNKNOWN']);
	for (const member of members)
		t.is(refusedWith(decodeResult(member.apply(Uint8Array.of(1, 2, 0, 9), 2))), 'IM_STORE_COMMAND_CORRUPT');
	t.is(new Set(members.map((member) => member.appliedHash)).size, 1);
	members[0].apply(unknown, 3);
	members[1].apply(Uint8Array.of(1, 98), 3);
	t.not(members[0].appliedHash, members[1].appliedHash);
	members[2].apply(unknown, 4);
	t.not(members[0].appliedHash, members[2].appliedHash, 'the index counts too');
	t.throws(() => members[2].apply(unknown, 4), { instanceOf: RangeError });
});

test('what is read or answered is a copy', (t) => {
	const store = new Store();
	const value = bytes('value');
	write(store, { put: 'k', value });
	value.fill(0);
	store.read({ key: 'k' }).items[0]?.value.fill(0);
	t.deepEqual(store.read({ key: 'k' }).items[0]?.value, bytes('value'));
});

test('a key that may not be is refused where it is made and where it is decoded', (t) => {
	for (const key of ['', 'with space', 'ümlaut', 'tab\t', 'k'.repeat(513)])
		t.true(
			hasCode(
				t.throws(() => write(new Store(), { put: key, value: bytes('') })),
				'IM_STORE_KEY_INVALID',
			),
			key,
		);
	t.is(write(new Store(), { put: `!~${'k'.repeat(510)}`, value: bytes('') }).kind, 'transaction');
	const forged = encodeCommand({ kind: 'transact', transaction: { when: [], then: [{ delete: { key: 'abc' } }] } });
	forged[forged.indexOf(0x62)] = 0x20;
	t.true(
		hasCode(
			t.throws(() => decodeCommand(forged)),
			'IM_STORE_KEY_INVALID',
		),
	);
});

test('the cluster is founded once', (t) => {
	const store = new Store();
	run(store, { kind: 'found', clusterId: 'first' });
	run(store, { kind: 'found', clusterId: 'second' });
	t.is(store.clusterId, 'first');
});
