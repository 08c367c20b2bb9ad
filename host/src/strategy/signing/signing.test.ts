// Signatures of modules: made and checked, refused when anything about them is changed, and worth what the key that made them is worth.
import { generateKeyPairSync } from 'node:crypto';
import { MeshError } from '@infermesh/proto';
import test from 'ava';
import { type Grade, grades, reaches } from './grade.js';
import { isSignedBy, newKeyPair, readPrivateKey, readPublicKey, signModule } from './signature.js';
import { StrategyTrust } from './trust.js';

const module = Uint8Array.from({ length: 500 }, (_, index) => (index * 7) & 0xff);
const pair = newKeyPair();
const signature = signModule(module, readPrivateKey(pair.privatePem, 'test'));
const codeOf = (run: () => unknown): string => {
	try {
		run();
	} catch (error) {
		return error instanceof MeshError ? error.code : String(error);
	}
	return 'none';
};

test('a signature fits its module and its key, and nothing else', (t) => {
	const key = readPublicKey(pair.publicPem, 'test');
	t.is(signature.key, pair.id);
	t.true(isSignedBy(module, signature, key));
	for (const at of [0, 250, 499]) {
		const changed = module.slice();
		changed[at] = (changed[at] as number) ^ 1;
		t.false(isSignedBy(changed, signature, key));
	}
	t.false(isSignedBy(module, signature, readPublicKey(newKeyPair().publicPem, 'other')));
	t.false(isSignedBy(module, { ...signature, key: '0'.repeat(32) }, key));
	for (const value of ['', 'AAAA', signature.value.slice(4), Buffer.alloc(64).toString('base64')])
		t.false(isSignedBy(module, { ...signature, value }, key));
});

test('what is no Ed25519 key is refused, and a private key where a public one belongs', (t) => {
	const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 });
	const pem = rsa.publicKey.export({ type: 'spki', format: 'pem' }) as string;
	for (const text of ['', 'not a key', pem, pair.privatePem])
		t.is(
			codeOf(() => readPublicKey(text, 'x')),
			'IM_SIGNING_KEY',
		);
	for (const text of ['', pair.publicPem])
		t.is(
			codeOf(() => readPrivateKey(text, 'x')),
			'IM_SIGNING_KEY',
		);
});

test('a module is worth what the key that signed it is worth', (t) => {
	const trust = (require: Grade, grade?: 'signed' | 'trusted'): StrategyTrust =>
		new StrategyTrust({
			require,
			inline: 'trusted',
			key: (id) => (grade === undefined || id !== pair.id ? undefined : { publicKey: pair.publicPem, grade }),
		});
	t.is(trust('unsigned').admit(module, undefined, 'a@1'), 'unsigned');
	t.is(trust('unsigned').admit(module, signature, 'a@1'), 'unsigned');
	t.is(trust('unsigned', 'signed').admit(module, signature, 'a@1'), 'signed');
	t.is(trust('signed', 'trusted').admit(module, signature, 'a@1'), 'trusted');
	t.is(
		codeOf(() => trust('signed').admit(module, signature, 'a@1')),
		'IM_SIGNING_REQUIRED',
	);
	t.is(
		codeOf(() => trust('signed', 'signed').admit(module, undefined, 'a@1')),
		'IM_SIGNING_REQUIRED',
	);
	t.is(
		codeOf(() => trust('trusted', 'signed').admit(module, signature, 'a@1')),
		'IM_SIGNING_REQUIRED',
	);
	t.is(
		codeOf(() => trust('unsigned', 'signed').admit(module.slice(1), signature, 'a@1')),
		'IM_SIGNING_SIGNATURE',
	);
});

test('grades have an order', (t) => {
	for (const [i, a] of grades.entries())
		for (const [j, b] of grades.entries()) t.is(reaches(a, b), i >= j, `${a} ${b}`);
});
