import { randomUUID } from 'node:crypto';
import test from 'ava';
import { testAuthority, testIdentity } from '../../identity/identity-test-support.js';
import { type Accusation, type AliveClaim, emptyBytes } from '../messages.js';
import { RecordAuthority } from './record-authority.js';

async function two() {
	const ca = await testAuthority();
	const ids = [randomUUID(), randomUUID()] as const;
	const [mine, theirs] = [await testIdentity(ca, Date.now(), ids[0]), await testIdentity(ca, Date.now(), ids[1])];
	return { ca, ids, mine: new RecordAuthority('one', mine), theirs: new RecordAuthority('one', theirs) };
}

function aliveOf(authority: RecordAuthority, id: string, incarnation = 1): AliveClaim {
	const { credential } = authority;
	const claim = {
		kind: 'alive',
		id,
		incarnation,
		address: '10.0.0.1:8946',
		meta: emptyBytes,
		credential,
		protocol: emptyBytes,
	} as const;
	return { ...claim, proof: authority.sign(claim) };
}

function accusationOf(authority: RecordAuthority, by: string, id: string): Accusation {
	const claim = { kind: 'suspect', id, incarnation: 3, by } as const;
	return { ...claim, proof: authority.sign(claim) };
}

test('a claim is unknown until its certificate has come, then valid, and checked once', async (t) => {
	const { ids, mine, theirs } = await two();
	const claim = aliveOf(theirs, ids[1]);
	t.is(mine.verify(claim, 0), 'unknown');
	t.deepEqual(theirs.chainsOf([ids[0]]), [], 'who knows no chain gives none');
	const [chain] = theirs.chainsOf([ids[1]]);
	t.is(mine.admit(chain as Uint8Array, 0, Date.now()), 'admitted');
	t.is(mine.verify(claim, 0), 'valid');
	t.is(mine.verify({ ...claim }, 0), 'valid');
	t.deepEqual([mine.checked, mine.remembered], [1, 1]);
	t.deepEqual(mine.chainsOf([ids[1]]), [chain]);
});

test('any changed field, another signer, another cluster: forged', async (t) => {
	const { ids, mine, theirs } = await two();
	mine.admit(theirs.chainsOf([ids[1]])[0] as Uint8Array, 0, Date.now());
	const claim = aliveOf(theirs, ids[1]);
	for (const changed of [
		{ incarnation: 2 },
		{ address: '10.0.0.2:8946' },
		{ meta: Uint8Array.of(1) },
		{ proof: new Uint8Array(64) },
		{ proof: emptyBytes },
	])
		t.is(mine.verify({ ...claim, ...changed }, 0), 'forged', Object.keys(changed)[0]);
	const accusation = accusationOf(theirs, ids[1], ids[0]);
	t.is(mine.verify(accusation, 0), 'valid');
	t.is(mine.verify({ ...accusation, kind: 'dead' }, 0), 'forged');
	t.is(mine.verify({ ...accusation, by: ids[0] }, 0), 'forged', 'in the name of another');
	t.is(mine.verify(accusationOf(mine, ids[1], ids[0]), 0), 'forged', 'with the key of another');
	const { ca } = await two();
	const elsewhere = new RecordAuthority('two', await testIdentity(ca, Date.now(), ids[1]));
	t.is(mine.verify(accusationOf(elsewhere, ids[1], ids[0]), 0), 'forged', 'of another cluster');
});

test('after a rotation both certificates count; after a revocation none', async (t) => {
	const { ca, ids, mine, theirs } = await two();
	mine.admit(theirs.chainsOf([ids[1]])[0] as Uint8Array, 0, Date.now());
	const before = accusationOf(theirs, ids[1], ids[0]);
	theirs.setIdentity(await testIdentity(ca, Date.now(), ids[1]));
	const after = aliveOf(theirs, ids[1], 2);
	t.is(mine.verify(after, 0), 'unknown', 'it names a certificate that is not here yet');
	t.is(mine.admit(theirs.chainsOf([ids[1]])[0] as Uint8Array, 0, Date.now()), 'admitted');
	t.is(mine.verify(after, 0), 'valid');
	t.is(mine.verify(before, 0), 'valid');
	mine.setRevoked([ids[1]]);
	t.is(mine.verify(after, 0), 'forged');
	t.is(mine.verify(before, 0), 'forged');
	t.is(mine.admit(theirs.chainsOf([ids[1]])[0] as Uint8Array, 0, Date.now()), 'revoked');
});

test('a chain of another authority, expired, cut short or no chain is refused', async (t) => {
	const { ids, mine, theirs } = await two();
	const stranger = new RecordAuthority('one', await testIdentity(await testAuthority(), Date.now(), ids[1]));
	t.is(mine.admit(stranger.chainsOf([ids[1]])[0] as Uint8Array, 0, Date.now()), 'refused');
	const chain = theirs.chainsOf([ids[1]])[0] as Uint8Array;
	t.is(mine.admit(chain, 0, Date.now() + 10 * 365 * 86_400_000), 'refused');
	t.is(mine.admit(chain.subarray(0, chain.length - 5), 0, Date.now()), 'refused');
	t.is(mine.admit(Uint8Array.of(1, 2, 3), 0, Date.now()), 'refused');
	t.is(mine.admit(emptyBytes, 0, Date.now()), 'refused');
});

test('checks are bounded a second, and a claim put off is no forgery', async (t) => {
	const { ca, ids, theirs } = await two();
	const mine = new RecordAuthority('one', await testIdentity(ca), { checksPerSecondMax: 10, checksBurst: 5 });
	mine.admit(theirs.chainsOf([ids[1]])[0] as Uint8Array, 0, Date.now());
	const verdicts = Array.from({ length: 8 }, (_, i) => mine.verify(aliveOf(theirs, ids[1], i + 1), 0));
	t.deepEqual(verdicts, ['valid', 'valid', 'valid', 'valid', 'busy', 'busy', 'busy', 'busy']);
	t.is(mine.verify(aliveOf(theirs, ids[1], 8), 500), 'valid');
	t.is(mine.admit(Uint8Array.of(1), 500, Date.now()), 'refused');
});

test('an answer to a probe is proven by its member alone, for one challenge and one coordinate', async (t) => {
	const { ids, mine, theirs } = await two();
	const challenge = { by: ids[0], nonce: mine.nonce() };
	const answer = { kind: 'answer', id: ids[1], challenge, payload: Uint8Array.of(1, 2) } as const;
	const proof = theirs.sign(answer);
	t.false(mine.provesAnswer(answer, proof), 'its certificate is not known yet');
	mine.admit(theirs.chainsOf([ids[1]])[0] as Uint8Array, 0, Date.now());
	t.true(mine.provesAnswer(answer, proof));
	t.false(mine.provesAnswer(answer, mine.sign(answer)), 'signed by another');
	t.false(mine.provesAnswer({ ...answer, payload: Uint8Array.of(1, 3) }, proof));
	t.false(mine.provesAnswer({ ...answer, challenge: { ...challenge, nonce: mine.nonce() } }, proof));
	t.false(mine.provesAnswer({ ...answer, challenge: { ...challenge, by: randomUUID() } }, proof));
	t.false(mine.provesAnswer({ ...answer, id: ids[0] }, proof));
	mine.setRevoked([ids[1]]);
	t.false(mine.provesAnswer(answer, proof), 'a revoked node proves nothing');
});
