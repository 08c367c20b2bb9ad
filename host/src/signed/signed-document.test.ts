// Signed reports: the text that is signed is one whatever the order of members, and any change of document, statement or signature is seen.
import { createPrivateKey, createPublicKey } from 'node:crypto';
import test from 'ava';
import { newKeyPair, signModule } from '../strategy/signing/signature.js';
import { canonicalJson } from './canonical-json.js';
import { readSigned, type SignedDocument, signDocument, verifySigned } from './signed-document.js';

const pair = newKeyPair();
const privateKey = createPrivateKey(pair.privatePem);
const publicKey = createPublicKey(pair.publicPem);
const document = { schema: 'x', effect: 0.1, nested: { b: [1, 'ü', null], a: true, 10: 1, 9: 2 } };
const made = signDocument(document, { kind: 'gate', subject: 'mine@1', signedAtMs: 7 }, privateKey);

test('canonical JSON is that of RFC 8785', (t) => {
	// Section 3.2.2 and 3.2.3 of the RFC.
	const given = JSON.parse(
		String.raw`{"numbers":[333333333.33333329,1E30,4.50,2e-3,0.000000000000000000000000001],"string":"\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/","literals":[null,true,false]}`,
	) as unknown;
	t.is(
		canonicalJson(given),
		String.raw`{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],"string":"€$\u000f\nA'B\"\\\\\"/"}`,
	);
	const sorted = { '€': 'Euro', '\r': 'CR', '\ufb33': 'Dalet', '1': 'One', '😀': 'Face', '\u0080': 'Control', ö: 'o' };
	t.deepEqual(
		[...canonicalJson(sorted).matchAll(/:"([^"]+)"/g)].map(([, name]) => name),
		['CR', 'One', 'Control', 'o', 'Euro', 'Face', 'Dalet'],
	);
	t.is(canonicalJson({ 10: 1, 9: 2 }), '{"10":1,"9":2}', 'by text, not by number');
	t.is(canonicalJson({ a: undefined, b: [undefined] }), '{"b":[null]}');
	t.throws(() => canonicalJson(() => 1), { instanceOf: RangeError });
	let deep: unknown = 1;
	for (let at = 0; at < 200; at++) deep = [deep];
	t.throws(() => canonicalJson(deep), { instanceOf: RangeError });
});

test('a signed document is verified whatever the order and spacing of its members', (t) => {
	const read = readSigned(JSON.stringify(made, null, 4), 'r.json');
	t.notThrows(() => verifySigned(read, publicKey, 'r.json'));
	const { nested, effect, schema } = document;
	const turned = { ...made, document: { nested: { a: nested.a, b: nested.b, 9: 2, 10: 1 }, schema, effect } };
	t.notThrows(() => verifySigned(turned, publicKey, 'r.json'));
});

test('any change is seen, and a signature made for anything else is none', (t) => {
	const other = newKeyPair();
	const changed: readonly SignedDocument[] = [
		{ ...made, document: { ...document, effect: 0.2 } },
		{ ...made, document: { ...document, more: 1 } },
		{ ...made, document: { ...document, nested: { ...document.nested, b: ['ü', 1, null] } } },
		{ ...made, statement: { ...made.statement, subject: 'theirs@1' } },
		{ ...made, statement: { ...made.statement, kind: 'experiment' } },
		{ ...made, statement: { ...made.statement, signedAtMs: 8 } },
		{ ...made, statement: { ...made.statement, more: 1 } as never },
		{ ...made, signature: { ...made.signature, key: other.id } },
		{ ...made, signature: { ...made.signature, value: made.signature.value.slice(4) } },
		{ ...made, signature: signModule(Buffer.from(JSON.stringify(document)), privateKey) },
	];
	for (const one of changed)
		t.throws(() => verifySigned(one, publicKey, 'r.json'), { code: 'IM_REPORT_SIGNATURE' }, JSON.stringify(one));
	t.throws(() => verifySigned(made, createPublicKey(other.publicPem), 'r.json'), { code: 'IM_REPORT_SIGNATURE' });
});

test('what is no signed report is refused by name', (t) => {
	const { statement, ...without } = made;
	const wrong = [
		'{',
		'null',
		'[]',
		JSON.stringify(document),
		JSON.stringify(without),
		JSON.stringify({ ...made, signature: {} }),
		JSON.stringify({ ...made, statement: { ...statement, signedAtMs: 'now' } }),
	];
	for (const text of wrong) t.throws(() => readSigned(text, 'r.json'), { code: 'IM_REPORT_FORMAT' }, text);
});
