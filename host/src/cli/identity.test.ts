// `infermesh ca`: an authority on disk, and what it gives to a person.
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { certificatesOfPem, validateSvidChain } from '@infermesh/fabric';
import test, { type ExecutionContext } from 'ava';
import { type Ran, run } from './testing.js';

const HOUR_MS = 3_600_000;

function open(t: ExecutionContext): {
	readonly root: string;
	readonly ca: (...args: readonly string[]) => Promise<Ran>;
} {
	const root = mkdtempSync(path.join(tmpdir(), 'infermesh-ca-'));
	t.teardown(() => rmSync(root, { recursive: true }));
	const files = { 'node.yaml': `state_dir: ${root}\nfabric: { trust_domain: mesh.test }\n` };
	return { root, ca: (...args) => run(['ca', ...args, '--config', 'node.yaml'], { files }) };
}

test('ca client gives a key and a chain that the mesh accepts as that client, for as long as was asked', async (t) => {
	const { root, ca } = open(t);
	t.is((await ca('init')).code, 0);
	const { code, json } = await ca('client', 'ann', '--ttl', '2h', '--json');
	t.is(code, 0);
	const made = json as { id: string; expiresAtMs: number; key: string; certificate: string; bundle: string };
	t.is(made.id, 'spiffe://mesh.test/client/ann');
	t.true(Math.abs(made.expiresAtMs - Date.now() - 2 * HOUR_MS) < 60_000);
	t.is(made.key, path.join(root, 'clients', 'ann.key'));
	t.is(statSync(made.key).mode & 0o777, 0o600);
	const pem = (file: string): readonly Uint8Array[] => certificatesOfPem(readFileSync(file, 'utf8'), 4);
	const bundle = { trustDomain: 'mesh.test', roots: pem(made.bundle) };
	const verdict = validateSvidChain(pem(made.certificate), bundle, Date.now());
	t.true(verdict.ok && verdict.svid.id.uri === made.id && verdict.svid.nodeUuid === undefined);
});

test('ca client writes where it is told, and says what it has written', async (t) => {
	const { root, ca } = open(t);
	await ca('init');
	const out = path.join(root, 'elsewhere');
	const { code, out: text } = await ca('client', 'ann', '--out', out);
	t.is(code, 0);
	t.regex(text, /^spiffe:\/\/mesh\.test\/client\/ann, until /);
	for (const name of ['ann.key', 'ann.pem', 'bundle.pem']) t.true(text.includes(path.join(out, name)), name);
});

test('ca client refuses a name that is none, and says so where there is no authority', async (t) => {
	const { ca } = open(t);
	t.regex((await ca('client', 'ann')).err, /IM_FABRIC_NO_AUTHORITY/);
	await ca('init');
	const { code, err } = await ca('client', '../root');
	t.not(code, 0);
	t.regex(err, /IM_IDENTITY_ID_INVALID/);
});
