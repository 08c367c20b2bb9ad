import { randomUUID } from 'node:crypto';
import { MeshError } from '@infermesh/proto';
import { IdentityService as Definition, JoinRequest, RenewRequest } from '@infermesh/proto/grpc/identity/v1/identity';
import test from 'ava';
import * as fc from 'fast-check';
import { IdentityService, identityServiceBounds } from './identity-service.js';
import { ManualClock, testAuthority } from './identity-test-support.js';
import { makeCsr } from './issue.js';
import { JoinTokens, type NewJoinToken, parseJoinToken } from './join-tokens.js';
import { generateNodeKey, type KeyPair } from './keys.js';
import { type IssuanceRecord, type JoinTokenRecord, MemoryRecordStore } from './ports.js';
import { makeRenewRequest } from './renewal.js';
import { RevocationList } from './revocation.js';
import { type Identity, makeIdentity } from './source.js';
import type { IdentityMutation } from './svid.js';

const hour = 3_600_000;

async function setUp(mutation?: IdentityMutation): Promise<{
	readonly clock: ManualClock;
	readonly service: IdentityService;
	readonly tokens: JoinTokens;
	readonly store: MemoryRecordStore<JoinTokenRecord>;
	readonly revocations: RevocationList;
	readonly removed: Set<string>;
	readonly token: (options?: Partial<NewJoinToken>) => Promise<string>;
	readonly join: (token: string, keys?: KeyPair) => Promise<Identity>;
	readonly renew: (identity: Identity, next: KeyPair, signedAtMs?: number) => Promise<Identity>;
}> {
	const clock = new ManualClock();
	const authority = await testAuthority(clock.wallMs());
	const store = new MemoryRecordStore<JoinTokenRecord>();
	const tokens = new JoinTokens(store);
	const revocations = new RevocationList();
	const removed = new Set<string>();
	const service = new IdentityService({
		authority,
		tokens,
		issuances: new MemoryRecordStore<IssuanceRecord>(),
		revocations,
		removed: (uuid) => removed.has(uuid),
		clock,
		mutations: new Set(mutation === undefined ? [] : [mutation]),
	});
	return {
		clock,
		service,
		tokens,
		store,
		revocations,
		removed,
		token: async (options) =>
			(await tokens.create({ ttlMs: hour, ...options }, authority.fingerprint, clock.wallMs())).text,
		join: async (token, keys) => {
			const mine = keys ?? (await generateNodeKey());
			const reply = await service.join({ token, csrDer: makeCsr(mine) });
			return makeIdentity(reply.chainDer, mine.privateKey, authority.bundle, clock.wallMs());
		},
		renew: async (identity, next, signedAtMs) => {
			const reply = await service.renew(await makeRenewRequest(identity, next, signedAtMs ?? clock.wallMs()));
			return makeIdentity(reply.chainDer, next.privateKey, authority.bundle, clock.wallMs());
		},
	};
}

test('a token lets one node in, once; the node gets a UUID of its own', async (t) => {
	const { token, join, service } = await setUp();
	const text = await token();
	const identity = await join(text);
	t.regex(identity.svid.nodeUuid ?? '', /^[0-9a-f-]{36}$/);
	await t.throwsAsync(join(text), { code: 'IM_IDENTITY_TOKEN_USED' });
	t.is(service.refusals.get('IM_IDENTITY_TOKEN_USED'), 1);
});

test('the same key may ask again when the answer was lost: same node', async (t) => {
	const { token, join } = await setUp();
	const text = await token();
	const keys = await generateNodeKey();
	const first = await join(text, keys);
	t.is((await join(text, keys)).svid.nodeUuid, first.svid.nodeUuid);
});

test('a token for three lets three in, though ten come at once', async (t) => {
	const { token, join } = await setUp();
	const text = await token({ uses: 3 });
	const results = await Promise.allSettled(Array.from({ length: 10 }, async () => join(text)));
	const joined = results.filter((result) => result.status === 'fulfilled');
	t.is(joined.length, 3);
	t.is(new Set(joined.map((result) => result.value.svid.nodeUuid)).size, 3);
	const codes = results
		.filter((result) => result.status === 'rejected')
		.map((result) => (result.reason as MeshError).code);
	t.true(codes.every((code) => code === 'IM_IDENTITY_TOKEN_USED'));
});

test('tokens expire, are kept only as hashes, and are forgotten', async (t) => {
	const { token, join, clock, store, tokens } = await setUp();
	const text = await token({ ttlMs: 60_000, label: 'rack 4' });
	const stored = JSON.stringify([...(await store.list())]);
	t.false(stored.includes(parseJoinToken(text).secret));
	t.true(stored.includes('rack 4'));
	clock.advance(60_001);
	await t.throwsAsync(join(text), { code: 'IM_IDENTITY_TOKEN_EXPIRED' });
	t.is(await tokens.purge(clock.wallMs()), 0);
	clock.advance(25 * hour);
	t.is(await tokens.purge(clock.wallMs()), 1);
	await t.throwsAsync(join(text), { code: 'IM_IDENTITY_TOKEN_UNKNOWN' });
	for (const bad of [{ ttlMs: 0 }, { ttlMs: 8 * 24 * hour }, { uses: 0 }, { uses: 1.5 }, { uses: 1001 }])
		await t.throwsAsync(token(bad), { code: 'IM_IDENTITY_TOKEN_LIMIT' });
});

test('a join needs a token of the form, and a request that proves its key', async (t) => {
	const { token, service, join } = await setUp();
	for (const bad of ['', 'imj1', 'imj2.a.b', `imj1.${'0'.repeat(64)}.short`, 'x'.repeat(5000)])
		await t.throwsAsync(join(bad), { code: 'IM_IDENTITY_TOKEN_MALFORMED' });
	await t.throwsAsync(join(`imj1.${'0'.repeat(64)}.${'a'.repeat(43)}`), { code: 'IM_IDENTITY_TOKEN_UNKNOWN' });
	const text = await token();
	const csrDer = makeCsr(await generateNodeKey());
	csrDer[csrDer.length - 1] = (csrDer.at(-1) ?? 0) ^ 1;
	await t.throwsAsync(service.join({ token: text, csrDer }), { code: 'IM_IDENTITY_CSR_INVALID' });
	await t.notThrowsAsync(join(text), 'a bad request does not use the token up');
});

test('a node renews, years after its certificate expired', async (t) => {
	const { token, join, renew, clock } = await setUp();
	const identity = await join(await token());
	clock.advance(200 * 24 * hour);
	const renewed = await renew(identity, await generateNodeKey());
	t.is(renewed.svid.nodeUuid, identity.svid.nodeUuid);
	t.true(renewed.svid.notAfterMs > clock.wallMs());
});

test('known bug renew-needs-valid-certificate: the node that slept is locked out', async (t) => {
	const { token, join, renew, clock } = await setUp('renew-needs-valid-certificate');
	const identity = await join(await token());
	clock.advance(48 * hour);
	await t.throwsAsync(renew(identity, await generateNodeKey()), { code: 'IM_IDENTITY_EXPIRED' });
});

test('a revoked node neither renews nor joins again with its token', async (t) => {
	const { token, join, renew, revocations } = await setUp();
	const text = await token();
	const keys = await generateNodeKey();
	const identity = await join(text, keys);
	revocations.update([identity.svid.nodeUuid ?? ''], 5n);
	await t.throwsAsync(renew(identity, await generateNodeKey()), { code: 'IM_IDENTITY_REVOKED' });
	await t.throwsAsync(join(text, keys), { code: 'IM_IDENTITY_REVOKED' });
	revocations.update([], 6n);
	await t.notThrowsAsync(renew(identity, await generateNodeKey()));
});

test('a node that was removed is told so: it neither renews nor joins again with its token', async (t) => {
	const { token, join, renew, revocations, removed } = await setUp();
	const text = await token();
	const keys = await generateNodeKey();
	const identity = await join(text, keys);
	const uuid = identity.svid.nodeUuid ?? '';
	removed.add(uuid);
	revocations.update([uuid], 5n);
	await t.throwsAsync(renew(identity, await generateNodeKey()), { code: 'IM_IDENTITY_REMOVED' });
	await t.throwsAsync(join(text, keys), { code: 'IM_IDENTITY_REMOVED' });
	const anew = await join(await token());
	t.not(anew.svid.nodeUuid, uuid);
	await t.notThrowsAsync(renew(anew, await generateNodeKey()));
});

test('a node that another cell has revoked is refused as well, and not told of as revoked here', async (t) => {
	const { token, join, renew, revocations, service } = await setUp();
	const identity = await join(await token());
	const uuid = identity.svid.nodeUuid ?? '';
	let changes = 0;
	revocations.onChange(() => changes++);
	revocations.updateElsewhere([uuid]);
	t.is(changes, 1, 'its connections close');
	await t.throwsAsync(renew(identity, await generateNodeKey()), { code: 'IM_IDENTITY_REVOKED' });
	t.deepEqual(service.trust().revoked, []);
	revocations.update([], 7n);
	t.true(revocations.isRevoked(uuid), 'this cell’s own list leaves it as it is');
	revocations.updateElsewhere([]);
	t.false(revocations.isRevoked(uuid));
});

test('a renewal counts once, in its time, by its key', async (t) => {
	const { token, join, renew, service, clock } = await setUp();
	const identity = await join(await token({ uses: 2 }));
	const next = await generateNodeKey();
	const window = identityServiceBounds.signedAtWindowMs;
	await t.throwsAsync(renew(identity, next, clock.wallMs() - window - 1000), { code: 'IM_IDENTITY_RENEW_STALE' });
	await t.throwsAsync(renew(identity, next, clock.wallMs() + window + 1000), { code: 'IM_IDENTITY_RENEW_STALE' });

	const thief = await generateNodeKey();
	const stolen = { ...identity, privateKey: thief.privateKey };
	await t.throwsAsync(renew(stolen, thief), { code: 'IM_IDENTITY_RENEW_SIGNATURE' });

	const request = await makeRenewRequest(identity, next, clock.wallMs());
	await t.throwsAsync(service.renew({ ...request, csrDer: makeCsr(thief) }), {
		code: 'IM_IDENTITY_RENEW_SIGNATURE',
	});
	await t.throwsAsync(service.renew({ ...request, signedAtMs: request.signedAtMs + 1n }), {
		code: 'IM_IDENTITY_RENEW_SIGNATURE',
	});
	await service.renew(request);
	await t.throwsAsync(service.renew(request), { code: 'IM_IDENTITY_RENEW_REPLAYED' });
});

test('only the key of the last certificate renews; the one before may fetch a lost answer, for the same key', async (t) => {
	const { token, join, renew } = await setUp();
	const first = await join(await token());
	const next = await generateNodeKey();
	const second = await renew(first, next);
	t.is((await renew(first, next)).svid.nodeUuid, second.svid.nodeUuid, 'the answer was lost: asked again');
	await t.throwsAsync(renew(first, await generateNodeKey()), { code: 'IM_IDENTITY_RENEW_SUPERSEDED' });
	const third = await renew(second, await generateNodeKey());
	await t.throwsAsync(renew(first, next), { code: 'IM_IDENTITY_RENEW_SUPERSEDED' });
	await t.notThrowsAsync(renew(third, await generateNodeKey()));
});

test('a certificate of another authority, or of a client, does not renew', async (t) => {
	const { service, clock } = await setUp();
	const other = await testAuthority(clock.wallMs());
	const keys = await generateNodeKey();
	const foreign = {
		chain: await other.issueNode(randomUUID(), keys.publicKey, clock.wallMs()),
		privateKey: keys.privateKey,
	};
	const request = await makeRenewRequest(foreign, await generateNodeKey(), clock.wallMs());
	await t.throwsAsync(service.renew(request), { code: 'IM_IDENTITY_UNTRUSTED' });
});

test('hostile join and renew messages are refused by name, whatever they hold', async (t) => {
	const { service } = await setUp();
	const runs = Number(process.env['FUZZ_RUNS'] ?? 200);
	const named = async (work: Promise<unknown>): Promise<boolean> =>
		work.then(
			() => false,
			(error: unknown) => error instanceof MeshError && error.code.startsWith('IM_IDENTITY_'),
		);
	const bytes = fc.uint8Array({ maxLength: 600 });
	await fc.assert(
		fc.asyncProperty(fc.string({ maxLength: 120 }), bytes, async (token, csrDer) =>
			named(service.join({ token, csrDer })),
		),
		{ numRuns: runs },
	);
	const whole = fc.record({ certificateDer: bytes, csrDer: bytes, signature: bytes, signedAtMs: fc.bigInt() });
	await fc.assert(
		fc.asyncProperty(whole, async (request) => named(service.renew(request))),
		{ numRuns: runs },
	);
	// The wire form: what does not decode is refused by gRPC itself; what does is judged.
	for (const type of [JoinRequest, RenewRequest])
		fc.assert(
			fc.property(bytes, (wire) => {
				try {
					type.decode(wire);
				} catch (error) {
					return error instanceof Error;
				}
				return true;
			}),
			{ numRuns: runs },
		);
	t.is(Object.keys(Definition).length, 2);
});
