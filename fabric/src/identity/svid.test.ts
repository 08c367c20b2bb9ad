// Each MUST of X509-SVID.md as a test, in both directions: what the authority issues satisfies it, what breaks it is refused by name.
import { randomUUID } from 'node:crypto';
import test from 'ava';
import * as fc from 'fast-check';
import { keyUsageBit, readCertificate, splitDerCertificates } from './certificate.js';
import type { IdentityErrorCode } from './errors.js';
import {
	type CertificateRecipe,
	type Forged,
	forge,
	forgeRoot,
	testAuthority,
	testDomain,
	testIdentity,
	usage,
} from './identity-test-support.js';
import { makeIdentity } from './source.js';
import { type IdentityMutation, type SvidVerdict, validateSvidChain } from './svid.js';

const now = Date.now();
const root = await forgeRoot();

function judge(
	chain: readonly Forged[],
	options: { readonly roots?: readonly Forged[]; readonly nowMs?: number; readonly mutation?: IdentityMutation } = {},
): SvidVerdict {
	return validateSvidChain(
		chain.map((one) => one.der),
		{ trustDomain: testDomain, roots: (options.roots ?? [root]).map((one) => one.der) },
		options.nowMs ?? now,
		new Set(options.mutation === undefined ? [] : [options.mutation]),
	);
}

function codeOf(verdict: SvidVerdict): IdentityErrorCode | 'accepted' {
	return verdict.ok ? 'accepted' : verdict.refusal.code;
}

test('a leaf by the book is accepted, with its id and when the chain expires', async (t) => {
	const uuid = randomUUID();
	const leaf = await forge({ uris: [`spiffe://${testDomain}/node/${uuid}`] }, root);
	const verdict = judge([leaf]);
	t.true(verdict.ok);
	if (!verdict.ok) return;
	t.is(verdict.svid.nodeUuid, uuid);
	t.is(verdict.svid.notAfterMs, Math.min(verdict.svid.leaf.notAfterMs, readCertificate(root.der)?.notAfterMs ?? 0));
});

const refusedLeaves: readonly (readonly [string, CertificateRecipe, IdentityErrorCode])[] = [
	['no URI name', { uris: [], dnsNames: ['a.test'] }, 'IM_IDENTITY_URI_COUNT'],
	['two URI names', { uris: [`spiffe://${testDomain}/a`, `spiffe://${testDomain}/b`] }, 'IM_IDENTITY_URI_COUNT'],
	['a URI that is no SPIFFE id', { uris: ['https://mesh.test/node/a'] }, 'IM_IDENTITY_ID_INVALID'],
	['an id with an upper-case domain', { uris: ['spiffe://Mesh.Test/node/a'] }, 'IM_IDENTITY_ID_INVALID'],
	['an id with dot segments', { uris: [`spiffe://${testDomain}/a/../b`] }, 'IM_IDENTITY_ID_INVALID'],
	['an id with a trailing slash', { uris: [`spiffe://${testDomain}/a/`] }, 'IM_IDENTITY_ID_INVALID'],
	['an id with a port', { uris: [`spiffe://${testDomain}:1/a`] }, 'IM_IDENTITY_ID_INVALID'],
	['an id with a query', { uris: [`spiffe://${testDomain}/a?b`] }, 'IM_IDENTITY_ID_INVALID'],
	['another trust domain', { uris: ['spiffe://other.test/node/a'] }, 'IM_IDENTITY_WRONG_TRUST_DOMAIN'],
	['no path', { uris: [`spiffe://${testDomain}`] }, 'IM_IDENTITY_LEAF_WITHOUT_PATH'],
	['CA true', { ca: true }, 'IM_IDENTITY_LEAF_IS_CA'],
	['no key usage', { keyUsage: undefined }, 'IM_IDENTITY_KEY_USAGE'],
	['key usage not critical', { keyUsageCritical: false }, 'IM_IDENTITY_KEY_USAGE'],
	['no digitalSignature', { keyUsage: usage.keyAgreement }, 'IM_IDENTITY_KEY_USAGE'],
	['keyCertSign', { keyUsage: usage.digitalSignature | usage.keyCertSign }, 'IM_IDENTITY_KEY_USAGE'],
	['cRLSign', { keyUsage: usage.digitalSignature | usage.cRLSign }, 'IM_IDENTITY_KEY_USAGE'],
	['only serverAuth', { extendedKeyUsage: ['1.3.6.1.5.5.7.3.1'] }, 'IM_IDENTITY_EXTENDED_KEY_USAGE'],
	['only clientAuth', { extendedKeyUsage: ['1.3.6.1.5.5.7.3.2'] }, 'IM_IDENTITY_EXTENDED_KEY_USAGE'],
	['empty subject, names not critical', { namesCritical: false }, 'IM_IDENTITY_SAN_NOT_CRITICAL'],
	['an unknown critical extension', { unknownCritical: true }, 'IM_IDENTITY_UNKNOWN_CRITICAL'],
	['a signature with SHA-1', { hash: 'SHA-1' }, 'IM_IDENTITY_ALGORITHM'],
	['expired', { notBeforeMs: now - 7_200_000, notAfterMs: now - 3_600_000 }, 'IM_IDENTITY_EXPIRED'],
	['not valid yet', { notBeforeMs: now + 3_600_000, notAfterMs: now + 7_200_000 }, 'IM_IDENTITY_NOT_YET_VALID'],
];
for (const [what, recipe, code] of refusedLeaves)
	test(`a leaf is refused: ${what}`, async (t) => {
		t.is(codeOf(judge([await forge(recipe, root)])), code);
	});

const acceptedLeaves: readonly (readonly [string, CertificateRecipe])[] = [
	['no extended key usage at all', { extendedKeyUsage: undefined }],
	['further key usages', { keyUsage: usage.digitalSignature | usage.keyAgreement }],
	['DNS names beside the one URI', { dnsNames: ['a.test', 'b.test'] }],
	['a subject, and names not critical', { subject: 'CN=a', namesCritical: false }],
	['an id of another kind', { uris: [`spiffe://${testDomain}/client/alice`] }],
];
for (const [what, recipe] of acceptedLeaves)
	test(`a leaf is accepted: ${what}`, async (t) => {
		t.is(codeOf(judge([await forge(recipe, root)])), 'accepted');
	});

const refusedSigners: readonly (readonly [string, CertificateRecipe])[] = [
	['not a CA', { ca: false }],
	['no keyCertSign', { keyUsage: usage.cRLSign }],
	['no key usage', { keyUsage: undefined }],
	['key usage not critical', { keyUsageCritical: false }],
	['an id with a path', { uris: [`spiffe://${testDomain}/ca`] }],
	['the id of another trust domain', { uris: ['spiffe://other.test'] }],
	['two ids', { uris: [`spiffe://${testDomain}`, `spiffe://${testDomain}/b`] }],
];
for (const [what, recipe] of refusedSigners)
	test(`a signer is refused: ${what}`, async (t) => {
		const signer = await forgeRoot(recipe, root);
		const leaf = await forge({}, signer);
		const code = codeOf(judge([leaf, signer]));
		// OpenSSL's own look at issuer and subject refuses signers without keyCertSign before the rules here do.
		t.true(code === 'IM_IDENTITY_SIGNER_INVALID' || code === 'IM_IDENTITY_UNTRUSTED', code);
	});

test('a path longer than a signer allows is refused', async (t) => {
	const short = await forgeRoot({ pathLength: 0 });
	const between = await forgeRoot({}, short);
	const leaf = await forge({}, between);
	t.is(codeOf(judge([leaf, between], { roots: [short] })), 'IM_IDENTITY_SIGNER_INVALID');
	const direct = await forge({}, short);
	t.is(codeOf(judge([direct], { roots: [short] })), 'accepted');
});

test('an intermediate must be in the chain, in order, and valid itself', async (t) => {
	const between = await forgeRoot({}, root);
	const leaf = await forge({}, between);
	t.is(codeOf(judge([leaf])), 'IM_IDENTITY_UNTRUSTED');
	t.is(codeOf(judge([leaf, between])), 'accepted');
	t.is(codeOf(judge([leaf, between, root])), 'accepted');
	const old = await forgeRoot({ notBeforeMs: now - 7_200_000, notAfterMs: now - 1000 }, root);
	t.is(codeOf(judge([await forge({}, old), old])), 'IM_IDENTITY_EXPIRED');
});

test('a leaf of a root that is not in the bundle is refused, even when it sends that root', async (t) => {
	const stranger = await forgeRoot();
	const leaf = await forge({}, stranger);
	t.is(codeOf(judge([leaf, stranger])), 'IM_IDENTITY_UNTRUSTED');
	t.is(codeOf(judge([leaf], { roots: [root, stranger] })), 'accepted');
});

test('a leaf that claims an issuer which did not sign it is refused', async (t) => {
	const impostor = await forgeRoot({ subject: root.subject });
	t.is(codeOf(judge([await forge({}, impostor)])), 'IM_IDENTITY_UNTRUSTED');
});

test('a chain of none or too many certificates is refused', async (t) => {
	const leaf = await forge({}, root);
	t.is(codeOf(judge([])), 'IM_IDENTITY_CHAIN_LENGTH');
	t.is(codeOf(judge([leaf, leaf, leaf, leaf, leaf, leaf])), 'IM_IDENTITY_CHAIN_LENGTH');
});

test('each switchable bug of the checks lets through exactly what it should not', async (t) => {
	const expired = await forge({ notBeforeMs: now - 7_200_000, notAfterMs: now - 3_600_000 }, root);
	t.is(codeOf(judge([expired], { mutation: 'accept-expired' })), 'accepted');
	const other = await forge({ uris: ['spiffe://other.test/node/a'] }, root);
	t.is(codeOf(judge([other], { mutation: 'accept-other-domain' })), 'accepted');
	const two = await forge({ uris: [`spiffe://${testDomain}/a`, `spiffe://${testDomain}/b`] }, root);
	t.is(codeOf(judge([two], { mutation: 'accept-two-uris' })), 'accepted');
});

test('what the authority issues satisfies every MUST', async (t) => {
	const authority = await testAuthority();
	const identity = await testIdentity(authority);
	const [leaf, issuer] = identity.chain.map((der) => readCertificate(der));
	const [trusted] = authority.bundle.roots.map((der) => readCertificate(der));
	t.is(leaf?.uris.length, 1);
	t.regex(leaf?.uris[0] ?? '', /^spiffe:\/\/mesh\.test\/node\/[0-9a-f-]{36}$/);
	t.false(leaf?.isCa);
	t.deepEqual(leaf?.keyUsage, { bits: keyUsageBit.digitalSignature, critical: true });
	t.deepEqual(leaf?.extendedKeyUsage, ['1.3.6.1.5.5.7.3.1', '1.3.6.1.5.5.7.3.2']);
	t.true(leaf?.subjectEmpty);
	t.true(leaf?.namesCritical);
	for (const signer of [issuer, trusted]) {
		t.true(signer?.isCa);
		t.deepEqual(signer?.keyUsage, { bits: keyUsageBit.keyCertSign | keyUsageBit.cRLSign, critical: true });
		t.deepEqual(signer?.uris, [`spiffe://${testDomain}`]);
		t.is(signer?.extendedKeyUsage, undefined);
	}
	t.is(issuer?.pathLength, 0);
	t.is(trusted?.pathLength, 1);
});

test('a key of another certificate makes no identity', async (t) => {
	const authority = await testAuthority();
	const [a, b] = [await testIdentity(authority), await testIdentity(authority)];
	t.throws(() => makeIdentity(a.chain, b.privateKey, authority.bundle, now), { code: 'IM_IDENTITY_UNTRUSTED' });
});

test('hostile bytes are refused by name and never throw', async (t) => {
	const leaf = await forge({}, root);
	const bundle = { trustDomain: testDomain, roots: [root.der] };
	const runs = Number(process.env['FUZZ_RUNS'] ?? 300);
	fc.assert(
		fc.property(fc.uint8Array({ maxLength: 400 }), (bytes) => {
			const verdict = validateSvidChain([bytes], bundle, now);
			return !verdict.ok && splitDerCertificates(bytes, 4) !== null;
		}),
		{ numRuns: runs },
	);
	fc.assert(
		fc.property(fc.nat(leaf.der.length - 1), fc.integer({ min: 1, max: 255 }), (at, flip) => {
			const changed = Uint8Array.from(leaf.der);
			changed[at] = (changed[at] ?? 0) ^ flip;
			return !validateSvidChain([changed], bundle, now).ok;
		}),
		{ numRuns: runs },
	);
	fc.assert(
		fc.property(fc.nat(leaf.der.length - 1), (length) => {
			return !validateSvidChain([leaf.der.subarray(0, length)], bundle, now).ok;
		}),
		{ numRuns: runs },
	);
	t.is(
		codeOf(validateSvidChain([Buffer.concat([leaf.der, Uint8Array.of(0)])], bundle, now)),
		'IM_IDENTITY_CERTIFICATE_MALFORMED',
	);
});
