import { createHash } from 'node:crypto';
import test from 'ava';
import type { Caller } from '../router/ports.js';
import { createAuthenticator } from './authenticator.js';

const sha256 = (key: string): string => createHash('sha256').update(key).digest('hex');
const clock = { now: 0, wallMs: () => clock.now };
const open = (defaultTenantId: number) => ({ defaultTenantId, openWithoutKeys: true });
const keys = [
	{ sha256: sha256('sk-one'), tenant: 'a', tenantId: 2, policyMask: 5, leastGrade: 0, trusted: true },
	{ sha256: sha256('sk-two'), tenant: 'b', tenantId: 3, policyMask: 0, leastGrade: 0, trusted: false },
];

test('without keys everyone is the trusted default tenant', (t) => {
	const { authenticate } = createAuthenticator([], clock, open(9));
	for (const header of [undefined, '', 'Bearer anything'])
		t.deepEqual(authenticate(header), { tenant: 'default', tenantId: 9, policyMask: 0, leastGrade: 0, trusted: true });
});

test('a known key names its caller, however the scheme is written', (t) => {
	const { authenticate } = createAuthenticator(keys, clock, open(1));
	for (const header of ['Bearer sk-one', 'bearer sk-one', 'BEARER   sk-one'])
		t.deepEqual(authenticate(header), { tenant: 'a', tenantId: 2, policyMask: 5, leastGrade: 0, trusted: true });
	t.is(authenticate('Bearer sk-two')?.trusted, false);
});

test('everything else is refused', (t) => {
	const { authenticate } = createAuthenticator(keys, clock, open(1));
	const refused = [
		undefined,
		'',
		'sk-one',
		'Basic sk-one',
		'Bearer',
		'Bearer ',
		'Bearer sk-one extra',
		`Bearer ${sha256('sk-one')}`,
	];
	for (const header of [
		...refused,
		'Bearer SK-ONE',
		` Bearer sk-one`,
		`Bearer ${'x'.repeat(5000)}`,
		'Bearer __proto__',
	])
		t.is(authenticate(header), undefined, String(header).slice(0, 40));
});

test('beyond loopback nobody is let in without a key, whether there are keys or not', (t) => {
	const { authenticate, replace, stands } = createAuthenticator([], clock, {
		defaultTenantId: 1,
		openWithoutKeys: false,
	});
	t.is(authenticate(undefined), undefined);
	t.is(authenticate('Bearer anything'), undefined);
	replace(keys);
	const caller = authenticate('Bearer sk-one');
	t.is(caller?.tenant, 'a');
	t.true(stands(caller as Caller));
	replace([]);
	t.false(stands(caller as Caller), 'a connection that has shown the key is not let in by it any more');
	t.is(authenticate('Bearer sk-one'), undefined);
});

test('a key stops to count when it expires', (t) => {
	const { authenticate } = createAuthenticator([{ ...keys[0], expiresAtMs: 100 } as (typeof keys)[0]], clock, open(1));
	t.truthy(authenticate('Bearer sk-one'));
	clock.now = 100;
	t.is(authenticate('Bearer sk-one'), undefined);
	clock.now = 0;
});
