import type { IncomingMessage, ServerResponse } from 'node:http';
import { passThrough } from '@infermesh/adapters';
import { SeededRandom } from '@infermesh/proto';
import test from 'ava';
import { authenticate } from './authenticate.js';
import { createEnv, type RouterEnv } from './env.js';
import { Exchange } from './exchange.js';
import type { Caller, RouterPorts } from './ports.js';
import type { Protocol } from './routed-request.js';
import { testClock } from './testing/kit.js';

const callers = new Map<string, Caller>([
	['Bearer a', { tenant: 'a', tenantId: 1, policyMask: 0, trusted: false }],
	['Bearer b', { tenant: 'b', tenantId: 2, policyMask: 0, trusted: false }],
]);

function open() {
	const asked: (string | undefined)[] = [];
	const taken = new Set<Caller>();
	const authenticator = {
		stands: (caller: Caller) => !taken.has(caller),
		authenticate: (authorization: string | undefined) => {
			asked.push(authorization);
			const caller = callers.get(authorization ?? '');
			return caller === undefined || taken.has(caller) ? undefined : caller;
		},
	};
	const env: RouterEnv = createEnv({}, {
		clock: testClock,
		random: new SeededRandom(1),
		authenticator,
	} as unknown as RouterPorts);
	/** Tenant of a request on `socket`, or why it is refused. */
	const ask = (socket: object, headers: Readonly<Record<string, string>>): string => {
		const req = { socket, headers } as unknown as IncomingMessage;
		const exchange = new Exchange({} as Protocol, req, {} as ServerResponse, passThrough, '/', '/', 0);
		return authenticate(env, exchange)?.code ?? exchange.caller.tenant;
	};
	return { ask, asked, taken };
}

test('a connection that repeats its credentials is not checked again; with others it is', (t) => {
	const { ask, asked } = open();
	const socket = {};
	for (let i = 0; i < 3; i++) t.is(ask(socket, { authorization: 'Bearer a' }), 'a');
	t.deepEqual(asked, ['Bearer a']);
	t.is(ask(socket, { 'x-api-key': 'b' }), 'b');
	t.is(ask(socket, { authorization: 'Bearer wrong' }), 'IM_REQUEST_UNAUTHENTICATED');
	t.is(ask(socket, {}), 'IM_REQUEST_UNAUTHENTICATED');
	t.is(ask(socket, { authorization: 'Bearer a' }), 'a');
});

test('a key that is taken back opens no connection that has shown it before', (t) => {
	const { ask, taken } = open();
	const socket = {};
	t.is(ask(socket, { authorization: 'Bearer a' }), 'a');
	taken.add(callers.get('Bearer a') as Caller);
	t.is(ask(socket, { authorization: 'Bearer a' }), 'IM_REQUEST_UNAUTHENTICATED');
});

test('what one connection has proved says nothing of another, and a refusal is not remembered', (t) => {
	const { ask, asked } = open();
	t.is(ask({}, { authorization: 'Bearer a' }), 'a');
	const socket = {};
	for (let i = 0; i < 2; i++) t.is(ask(socket, {}), 'IM_REQUEST_UNAUTHENTICATED');
	for (let i = 0; i < 2; i++) t.is(ask(socket, { authorization: 'Bearer c' }), 'IM_REQUEST_UNAUTHENTICATED');
	t.is(asked.length, 5);
});
