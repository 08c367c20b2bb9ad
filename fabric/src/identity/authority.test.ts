import { randomBytes, randomUUID } from 'node:crypto';
import test from 'ava';
import { CertificateAuthority } from './authority.js';
import { sealAuthority, unsealAuthority } from './authority-state.js';
import { readCertificate } from './certificate.js';
import { testAuthority, testDomain } from './identity-test-support.js';
import { makeCsr, readCsr } from './issue.js';
import { generateNodeKey, signFor, verifyFor } from './keys.js';
import { validateSvidChain } from './svid.js';

const start = Date.parse('2026-01-01T00:00:00Z');
const day = 86_400_000;
/** scrypt at its lowest cost: tests seal many times. */
const cheap = 14;

async function leafOf(authority: CertificateAuthority, nowMs: number): Promise<readonly Uint8Array[]> {
	return authority.issueNode(randomUUID(), (await generateNodeKey()).publicKey, nowMs);
}

test('a sealed authority opens with its secret and signs on; another secret and a flipped bit are refused', async (t) => {
	const authority = await testAuthority(start);
	for (const secret of [
		{ kind: 'passphrase', passphrase: 'correct horse battery' },
		{ kind: 'key', key: randomBytes(32) },
	] as const) {
		const sealed = await sealAuthority(authority.state, secret, cheap);
		t.false(Buffer.from(sealed).includes('PRIVATE'));
		const opened = new CertificateAuthority(await unsealAuthority(sealed, secret));
		const chain = await leafOf(opened, start);
		t.true(validateSvidChain(chain, authority.bundle, start).ok);
		const other =
			secret.kind === 'key'
				? ({ kind: 'key', key: randomBytes(32) } as const)
				: ({ kind: 'passphrase', passphrase: 'incorrect horse' } as const);
		await t.throwsAsync(unsealAuthority(sealed, other), { code: 'IM_IDENTITY_KEY_SEALED' });
		const flipped = Buffer.from(sealed);
		const at = flipped.indexOf('"sealed": "') + 40;
		flipped[at] = flipped[at] === 0x41 ? 0x42 : 0x41;
		await t.throwsAsync(unsealAuthority(flipped, secret), { code: 'IM_IDENTITY_KEY_SEALED' });
	}
	await t.throwsAsync(unsealAuthority(Buffer.from('{}'), { kind: 'key', key: randomBytes(32) }), {
		code: 'IM_IDENTITY_KEY_SEALED',
	});
	await t.throwsAsync(sealAuthority(authority.state, { kind: 'passphrase', passphrase: 'short' }, cheap), {
		code: 'IM_IDENTITY_KEY_FILE',
	});
});

test('a root is renewed with overlap: at every step the old leaves and the new ones are trusted', async (t) => {
	const authority = await testAuthority(start);
	const before = await leafOf(authority, start);
	const firstRoot = authority.fingerprint;
	await authority.prepareRoot(start);
	t.is(authority.bundle.roots.length, 2);
	t.is(authority.fingerprint, firstRoot);
	t.true(validateSvidChain(await leafOf(authority, start), authority.bundle, start).ok);
	await t.throwsAsync(authority.prepareRoot(start), { code: 'IM_IDENTITY_AUTHORITY' });

	const prepared = authority.bundle;
	await authority.activateRoot(start);
	t.not(authority.fingerprint, firstRoot);
	const after = await leafOf(authority, start);
	// A node that has only seen the prepared bundle trusts both.
	for (const chain of [before, after]) t.true(validateSvidChain(chain, prepared, start).ok);
	t.throws(() => authority.retireRoot(start), { code: 'IM_IDENTITY_AUTHORITY' });
	t.throws(() => authority.retireRoot(start + 30 * day - 1), { code: 'IM_IDENTITY_AUTHORITY' }, 'a client may need it');

	authority.retireRoot(start + 30 * day);
	t.is(authority.bundle.roots.length, 1);
	t.false(validateSvidChain(before, authority.bundle, start).ok);
	t.true(validateSvidChain(after, authority.bundle, start).ok);
	const old = readCertificate(before[0] ?? new Uint8Array());
	t.true(old !== undefined && authority.issued(old), 'a leaf of the past issuer is recognised for its renewal');
});

test('left alone for thirty years of maintenance the authority always issues leaves its own bundle trusts', async (t) => {
	const authority = await testAuthority(start);
	let previous: readonly Uint8Array[] | undefined;
	const seen = new Set<string>();
	for (let nowMs = start; nowMs < start + 30 * 365 * day; nowMs += day) {
		for (const change of await authority.maintain(nowMs)) seen.add(change);
		// Issuing is the slow part; a few days in each season are enough.
		if (Math.floor((nowMs - start) / day) % 30 !== 0) {
			previous = undefined;
			continue;
		}
		const chain = await leafOf(authority, nowMs);
		t.true(validateSvidChain(chain, authority.bundle, nowMs).ok);
		if (previous !== undefined) t.true(validateSvidChain(previous, authority.bundle, nowMs).ok);
		previous = chain;
	}
	t.deepEqual([...seen].sort(), ['issuer-renewed', 'root-activated', 'root-prepared', 'root-retired']);
});

test('a leaf never outlives its issuer, and an authority nobody maintained refuses to issue', async (t) => {
	const authority = await testAuthority(start, { issuerMs: 2 * day });
	const late = await leafOf(authority, start + 1.5 * day);
	const [leaf, issuer] = late.map((der) => readCertificate(der));
	t.is(leaf?.notAfterMs, issuer?.notAfterMs);
	await t.throwsAsync(leafOf(authority, start + 3 * day), { code: 'IM_IDENTITY_AUTHORITY' });
});

test('a client’s certificate lives as long as is asked, up to a bound', async (t) => {
	const authority = await testAuthority(start);
	const { publicKey } = await generateNodeKey();
	const endOf = async (lifetimeMs?: number): Promise<number | undefined> => {
		const chain = await authority.issueClient('ann', publicKey, start, lifetimeMs);
		return readCertificate(chain[0] ?? new Uint8Array())?.notAfterMs;
	};
	t.is(await endOf(), start + day);
	t.is(await endOf(7 * day), start + 7 * day);
	t.is(await endOf(365 * day), start + 30 * day);
});

test('bad names and keys are refused by name', async (t) => {
	await t.throwsAsync(CertificateAuthority.create('Bad Domain', start), { code: 'IM_IDENTITY_ID_INVALID' });
	const authority = await testAuthority(start);
	const { publicKey } = await generateNodeKey();
	await t.throwsAsync(authority.issueNode('not-a-uuid', publicKey, start), { code: 'IM_IDENTITY_ID_INVALID' });
	await t.throwsAsync(authority.issueClient('../root', publicKey, start), { code: 'IM_IDENTITY_ID_INVALID' });
	t.is(authority.trustDomain, testDomain);
});

test('a certificate request proves its key; one with a byte changed proves no other', async (t) => {
	const keys = await generateNodeKey();
	const csr = makeCsr(keys);
	t.true((await readCsr(csr))?.equals(keys.publicKey));
	// The algorithm beside the signature is not signed over; what matters is that no other key gets through.
	let others = 0;
	for (let at = 0; at < csr.length; at++) {
		const changed = Uint8Array.from(csr);
		changed[at] = (changed[at] ?? 0) ^ 0x01;
		const key = await readCsr(changed);
		if (key !== undefined && !key.equals(keys.publicKey)) others++;
	}
	t.is(others, 0);
	t.is(await readCsr(new Uint8Array(5000)), undefined);
});

test('a signature holds for one purpose, one message and one key', async (t) => {
	const [one, other] = [await generateNodeKey(), await generateNodeKey()];
	const message = Buffer.from('alive');
	const signature = signFor('gossip', message, one.privateKey);
	t.is(signature.length, 64);
	t.true(verifyFor('gossip', message, signature, one.publicKey));
	t.false(verifyFor('renew', message, signature, one.publicKey));
	t.false(verifyFor('gossip', Buffer.from('dead'), signature, one.publicKey));
	t.false(verifyFor('gossip', message, signature, other.publicKey));
	t.false(verifyFor('gossip', message, signature.subarray(1), one.publicKey));
	t.false(verifyFor('gossi', Buffer.from('palive'), signature, one.publicKey));
});
