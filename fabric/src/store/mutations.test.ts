// The store's known bugs, switched on one by one, are noticed by what members must agree on and what callers were promised.
import test from 'ava';
import { type StoreMutation, storeMutations } from './mutations.js';
import { Store } from './store.js';
import { bytes, run } from './testing/run.js';

const requestId = new Uint8Array(16).fill(1);
const command = { kind: 'transact', transaction: { when: [], then: [{ put: 'k', value: bytes('x') }] } } as const;

const notices: Record<StoreMutation, (mutations: ReadonlySet<StoreMutation>) => boolean> = {
	'apply-requests-again': (mutations) => {
		const store = new Store({ mutations });
		run(store, command, requestId);
		run(store, command, requestId);
		return store.read({ key: 'k' }).items[0]?.version !== 1;
	},
	'expire-renewed-leases': (mutations) => {
		const store = new Store({ mutations });
		const lease = run(store, { kind: 'grant', ttlMs: 1_000 });
		if (lease.kind !== 'lease') throw new Error('no lease');
		run(store, { kind: 'renew', ids: [lease.id] });
		run(store, { kind: 'expire', leases: [{ id: lease.id, renewals: 0 }] });
		return store.lease(lease.id) === undefined;
	},
	'snapshot-without-requests': (mutations) => {
		const [source, taker] = [new Store({ mutations }), new Store({ mutations })];
		run(source, command, requestId);
		const restore = taker.beginRestore();
		for (const piece of source.snapshot()) restore.push(piece);
		restore.finish();
		for (const member of [source, taker]) run(member, command, requestId);
		return source.appliedHash !== taker.appliedHash;
	},
};

for (const mutation of storeMutations) {
	test(`${mutation} is noticed, and only when it is switched on`, (t) => {
		t.true(notices[mutation](new Set([mutation])));
		t.false(notices[mutation](new Set()));
	});
}
