// What is kept on disk: the node's identity, the authority, and who may read it.
import { randomBytes, randomUUID } from 'node:crypto';
import {
	chmodSync,
	mkdtempSync,
	readdirSync,
	readFileSync,
	rmSync,
	statSync,
	symlinkSync,
	writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { AuthorityDirectory, developmentAuthority, developmentIdentity } from './authority-directory.js';
import { testAuthority, testDomain, testIdentity } from './identity-test-support.js';
import { generateNodeKey } from './keys.js';
import { NodeDirectory } from './node-directory.js';
import { readPrivateFile, readSealingSecret, writePrivateFile } from './private-files.js';
import { validateSvidChain } from './svid.js';

const day = 86_400_000;

function folder(t: ExecutionContext): string {
	const made = mkdtempSync(path.join(tmpdir(), 'identity-'));
	t.teardown(() => rmSync(made, { recursive: true, force: true }));
	return path.join(made, 'state');
}

test('an identity is kept and comes back, also long after it expired; the pending key is kept until then', async (t) => {
	const at = folder(t);
	const directory = new NodeDirectory(at);
	t.is(directory.load(), undefined);
	t.is(directory.loadPendingKey(), undefined);
	const authority = await testAuthority(Date.now() - 30 * day);
	const identity = await testIdentity(authority, Date.now() - 20 * day);
	const pending = await generateNodeKey();
	directory.savePendingKey(pending);
	t.true(new NodeDirectory(at).loadPendingKey()?.privateKey.equals(pending.privateKey));
	directory.save(identity);
	const back = new NodeDirectory(at).load();
	t.is(back?.svid.id.uri, identity.svid.id.uri);
	t.true(back?.privateKey.equals(identity.privateKey));
	t.deepEqual(back?.bundle, identity.bundle);
	t.is(directory.loadPendingKey(), undefined);
	t.is(statSync(at).mode & 0o777, 0o700);
	for (const name of readdirSync(at)) t.is(statSync(path.join(at, name)).mode & 0o777, 0o600, name);
	t.deepEqual(readdirSync(at).sort(), ['bundle.pem', 'identity.pem']);
});

test('a secret that others may read, a link and a missing file are refused', (t) => {
	const at = folder(t);
	const file = path.join(at, 'secret');
	writePrivateFile(file, 'a long passphrase\n');
	t.deepEqual(readSealingSecret(file), { kind: 'passphrase', passphrase: 'a long passphrase' });
	for (const mode of [0o640, 0o604, 0o644]) {
		chmodSync(file, mode);
		t.throws(() => readPrivateFile(file), { code: 'IM_IDENTITY_KEY_FILE' });
	}
	chmodSync(file, 0o400);
	t.notThrows(() => readPrivateFile(file));
	symlinkSync(file, path.join(at, 'link'));
	t.throws(() => readPrivateFile(path.join(at, 'link')), { code: 'IM_IDENTITY_KEY_FILE' });
	t.throws(() => readPrivateFile(path.join(at, 'none')), { code: 'IM_IDENTITY_KEY_FILE' });
	t.throws(() => readPrivateFile(at), { code: 'IM_IDENTITY_KEY_FILE' });
	const key = randomBytes(32);
	writePrivateFile(path.join(at, 'key'), key);
	t.deepEqual(readSealingSecret(path.join(at, 'key')), { kind: 'key', key: new Uint8Array(key) });
});

test('files that hold no identity, or one that nobody vouches for, are refused by name', async (t) => {
	const at = folder(t);
	const directory = new NodeDirectory(at);
	directory.save(await testIdentity(await testAuthority()));
	const whole = readFileSync(path.join(at, 'identity.pem'), 'utf8');
	for (const text of ['', 'nonsense', whole.slice(0, 200), whole.slice(whole.indexOf('-----BEGIN CERTIFICATE'))]) {
		writePrivateFile(path.join(at, 'identity.pem'), text);
		t.throws(() => directory.load(), { code: 'IM_IDENTITY_KEY_FILE' });
	}
	writePrivateFile(path.join(at, 'identity.pem'), whole);
	directory.saveBundle((await testAuthority()).bundle);
	t.throws(() => directory.load(), { code: 'IM_IDENTITY_UNTRUSTED' });
});

test('an authority is made once, opens with its secret, and keeps what changed', async (t) => {
	const at = folder(t);
	const secret = { kind: 'key', key: randomBytes(32) } as const;
	const directory = new AuthorityDirectory(at, secret);
	await t.throwsAsync(directory.open(), { code: 'IM_IDENTITY_KEY_FILE' });
	const made = await directory.create(testDomain, Date.now());
	await t.throwsAsync(directory.create(testDomain, Date.now()), { code: 'IM_IDENTITY_AUTHORITY' });
	await made.prepareRoot(Date.now());
	await directory.save(made);
	const opened = await directory.open();
	t.is(opened.bundle.roots.length, 2);
	t.is(opened.fingerprint, made.fingerprint);
	const other = new AuthorityDirectory(at, { kind: 'key', key: randomBytes(32) });
	await t.throwsAsync(other.open(), { code: 'IM_IDENTITY_KEY_SEALED' });
	const sealed = readFileSync(path.join(at, 'authority.sealed'), 'latin1');
	t.false(/PRIVATE|MIGHAgEA/.test(sealed));
	t.is(readFileSync(path.join(at, 'bundle.pem'), 'utf8').match(/BEGIN CERTIFICATE/g)?.length, 2);
});

test('a development mesh gets its authority and identities, the same after a restart, new ones when the authority is gone', async (t) => {
	const at = folder(t);
	const now = Date.now();
	const start = async (): ReturnType<typeof developmentAuthority> =>
		developmentAuthority(path.join(at, 'ca'), 'dev.mesh', now);
	const { authority } = await start();
	const [one, two] = [randomUUID(), randomUUID()];
	const first = await developmentIdentity(authority, path.join(at, 'node-1'), one, now);
	await developmentIdentity(authority, path.join(at, 'node-2'), two, now);
	t.true(validateSvidChain(first.chain, authority.bundle, now).ok);

	const again = await start();
	t.is(again.authority.fingerprint, authority.fingerprint);
	const kept = await developmentIdentity(again.authority, path.join(at, 'node-1'), one, now);
	t.is(kept.svid.leaf.serial, first.svid.leaf.serial);
	const later = await developmentIdentity(again.authority, path.join(at, 'node-1'), one, now + 2 * day);
	t.not(later.svid.leaf.serial, first.svid.leaf.serial);

	rmSync(path.join(at, 'ca'), { recursive: true });
	const anew = await start();
	const replaced = await developmentIdentity(anew.authority, path.join(at, 'node-2'), two, now);
	t.true(validateSvidChain(replaced.chain, anew.authority.bundle, now).ok);
	t.is(replaced.svid.nodeUuid, two);
});

test('a half-written file of a crash is replaced, never read', (t) => {
	const file = path.join(folder(t), 'secret');
	writePrivateFile(file, 'old');
	writeFileSync(`${file}.part`, 'half', { mode: 0o644 });
	t.is(Buffer.from(readPrivateFile(file)).toString(), 'old');
	writePrivateFile(file, 'new');
	t.is(Buffer.from(readPrivateFile(file)).toString(), 'new');
});
