import { randomUUID } from 'node:crypto';
import { SeededRandom } from '@infermesh/proto';
import test from 'ava';
import type { CertificateAuthority } from './authority.js';
import { ManualClock, testAuthority, testIdentity } from './identity-test-support.js';
import type { KeyPair } from './keys.js';
import { type IdentityStorage, RotatingIdentity, type SvidRenewer } from './rotation.js';
import type { Identity } from './source.js';
import type { TrustBundle } from './svid.js';

const hour = 3_600_000;

class MemoryStorage implements IdentityStorage {
	pending: KeyPair | undefined;
	saved: Identity | undefined;
	bundle: TrustBundle | undefined;
	loadPendingKey(): KeyPair | undefined {
		return this.pending;
	}
	savePendingKey(keys: KeyPair): void {
		this.pending = keys;
	}
	save(identity: Identity): void {
		this.saved = identity;
		this.pending = undefined;
	}
	saveBundle(bundle: TrustBundle): void {
		this.bundle = bundle;
	}
}

interface Rig {
	readonly clock: ManualClock;
	readonly authority: CertificateAuthority;
	readonly rotating: RotatingIdentity;
	readonly storage: MemoryStorage;
	readonly attempts: { key: KeyPair; atMs: number }[];
	/** What the authority does: answer, refuse, or lose the answer after having issued. */
	mode: 'answer' | 'refuse' | 'lose' | 'hang';
	/** Resolves when no attempt is under way, or the one that is will hang. */
	settled(): Promise<void>;
}

async function rig(options: { readonly seed?: number; readonly leafMs?: number } = {}): Promise<Rig> {
	const clock = new ManualClock(Date.parse('2026-06-01T00:00:00Z'));
	const authority = await testAuthority(clock.wallMs(), { leafMs: options.leafMs ?? 24 * hour });
	const uuid = randomUUID();
	const storage = new MemoryStorage();
	const attempts: Rig['attempts'] = [];
	const attempt = { hung: false };
	const made: Omit<Rig, 'rotating'> = {
		clock,
		authority,
		storage,
		attempts,
		mode: 'answer',
		settled: async () => {
			while (rotating.health().renewing && !attempt.hung) await new Promise((resolve) => setImmediate(resolve));
		},
	};
	const renew: SvidRenewer = async (_current, next) => {
		attempts.push({ key: next, atMs: clock.wallMs() });
		attempt.hung = made.mode === 'hang';
		if (attempt.hung) return new Promise(() => {});
		const chain = await authority.issueNode(uuid, next.publicKey, clock.wallMs());
		if (made.mode !== 'answer') throw new Error(`the network did ${made.mode}`);
		return { chain, bundle: authority.bundle };
	};
	const rotating: RotatingIdentity = new RotatingIdentity({
		identity: await testIdentity(authority, clock.wallMs(), uuid),
		renew,
		storage,
		clock,
		random: new SeededRandom(options.seed ?? 7),
	});
	return Object.assign(made, { rotating });
}

/** Moves time in small steps, letting renewals finish in between. */
async function live(rig: Rig, ms: number, stepMs: number): Promise<void> {
	for (let passed = 0; passed < ms; passed += stepMs) {
		rig.clock.advance(stepMs);
		await rig.settled();
	}
}

test('it renews at half-life, give or take the jitter, with a new key each time', async (t) => {
	const one = await rig();
	const start = one.clock.wallMs();
	const changes: string[] = [];
	one.rotating.onChange((identity) => changes.push(identity.svid.leaf.serial));
	await live(one, 30 * hour, hour / 4);
	t.is(one.attempts.length, 2);
	const [first, second] = one.attempts.map((attempt) => (attempt.atMs - start) / hour);
	t.true((first ?? 0) > 10.5 && (first ?? 0) < 13.75, `at ${first} h`);
	t.true((second ?? 0) - (first ?? 0) > 10.5 && (second ?? 0) - (first ?? 0) < 13.75);
	t.false(one.attempts[0]?.key.publicKey.equals(one.attempts[1]?.key.publicKey ?? one.attempts[0].key.publicKey));
	t.is(changes.length, 2);
	t.is(one.rotating.health().state, 'fresh');
	t.is(one.storage.saved?.svid.leaf.serial, one.rotating.current().svid.leaf.serial);
	one.rotating.close();
	t.is(one.clock.pending, 0, 'nothing is left ticking');
});

test('the authority is away past expiry: health fails, tries go on for ever, and it recovers by itself', async (t) => {
	const one = await rig();
	one.mode = 'refuse';
	await live(one, 14 * hour, hour / 2);
	t.is(one.rotating.health().state, 'late');
	// In steps shorter than an attempt may take, so that it ends by its answer.
	await live(one, 120_000, 10_000);
	t.regex(one.rotating.health().lastError?.message ?? '', /network/);
	await live(one, 16 * hour, hour / 2);
	t.is(one.rotating.health().state, 'expired');
	t.true(one.rotating.health().expiresInMs < 0);
	const tries = one.attempts.length;
	t.true(tries > 20);
	one.mode = 'answer';
	await live(one, 120_000, 10_000);
	t.is(one.rotating.health().state, 'fresh');
	t.is(one.rotating.health().lastError, undefined);
	t.true(one.rotating.current().svid.notAfterMs > one.clock.wallMs());
	one.rotating.close();
});

test('a lost answer is asked for again with the same key, and a hanging one is given up', async (t) => {
	const one = await rig();
	one.mode = 'lose';
	await live(one, 14 * hour, hour / 4);
	t.true(one.attempts.length > 1);
	const [first, ...others] = one.attempts;
	t.true(others.every((attempt) => attempt.key === first?.key));
	one.mode = 'hang';
	await live(one, 120_000, 10_000);
	const hanging = one.attempts.length;
	one.mode = 'answer';
	await live(one, 240_000, 10_000);
	t.true(one.attempts.length > hanging);
	t.is(one.rotating.health().state, 'fresh');
	t.is(one.storage.pending, undefined);
	one.rotating.close();
});

test('a machine that slept for a month renews at its first look', async (t) => {
	const one = await rig();
	one.clock.advance(30 * 24 * hour);
	await one.settled();
	t.is(one.rotating.health().state, 'fresh');
	one.rotating.close();
});

test('waits between failed tries grow to their bound and are spread', async (t) => {
	const one = await rig({ seed: 11 });
	one.mode = 'refuse';
	await live(one, 13.5 * hour, hour / 4);
	const from = one.attempts.length;
	await live(one, 600_000, 1000);
	const at = one.attempts.slice(from).map((attempt) => attempt.atMs);
	const waits = at.slice(1).map((ms, index) => ms - (at[index] ?? 0));
	t.true(waits.length > 5);
	t.true(waits.every((ms) => ms <= 61_000));
	t.true(new Set(waits).size > 2);
	one.rotating.close();
});

test('a bundle with both roots is taken and stored; one that drops our root makes us renew at once', async (t) => {
	const one = await rig();
	await one.authority.prepareRoot(one.clock.wallMs());
	one.rotating.updateBundle(one.authority.bundle);
	await one.settled();
	t.is(one.rotating.current().bundle.roots.length, 2);
	t.is(one.storage.bundle?.roots.length, 2);
	t.is(one.attempts.length, 0);
	await one.authority.activateRoot(one.clock.wallMs());
	one.authority.retireRoot(one.clock.wallMs(), true);
	one.rotating.updateBundle(one.authority.bundle);
	await one.settled();
	t.is(one.attempts.length, 1);
	t.is(one.rotating.current().bundle.roots.length, 1);
	one.rotating.close();
});

test('an answer that names another node is not taken', async (t) => {
	const one = await rig();
	const other = randomUUID();
	const before = one.rotating.current();
	const bad = new RotatingIdentity({
		identity: before,
		renew: async (_current, next) => ({
			chain: await one.authority.issueNode(other, next.publicKey, one.clock.wallMs()),
			bundle: one.authority.bundle,
		}),
		storage: new MemoryStorage(),
		clock: one.clock,
		random: new SeededRandom(1),
	});
	bad.renewSoon();
	while (bad.health().renewing) await new Promise((resolve) => setImmediate(resolve));
	t.is(bad.current(), before);
	t.is(bad.health().failures, 1);
	bad.close();
	one.rotating.close();
});
