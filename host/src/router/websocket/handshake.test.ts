import test from 'ava';
import { handshakeFault, mayConnect, offerOf } from './handshake.js';

const good = { 'sec-websocket-version': '13', 'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==' };

test('a handshake needs GET, version 13, a key of 16 bytes and distinct subprotocols', (t) => {
	t.is(handshakeFault('GET', good), undefined);
	t.is(handshakeFault('GET', { ...good, 'sec-websocket-protocol': 'a, b' }), undefined);
	t.is(handshakeFault('POST', good)?.code, 'IM_REQUEST_METHOD');
	for (const bad of [
		{ ...good, 'sec-websocket-version': '8' },
		{ ...good, 'sec-websocket-key': 'short' },
		{ ...good, 'sec-websocket-key': '' },
		{ ...good, 'sec-websocket-protocol': 'a, a' },
		{ ...good, 'sec-websocket-protocol': 'a,,b' },
		{ ...good, 'sec-websocket-protocol': 'a b' },
		{ ...good, 'sec-websocket-protocol': 'x'.repeat(5000) },
	])
		t.is(handshakeFault('GET', bad)?.code, 'IM_WEBSOCKET_HANDSHAKE', JSON.stringify(bad).slice(0, 80));
});

test('keys among the subprotocols are taken out of the offer', (t) => {
	t.deepEqual(offerOf({}), { protocols: [], authorization: undefined });
	t.deepEqual(offerOf({ 'sec-websocket-protocol': 'a, bearer.k, b' }), {
		protocols: ['a', 'b'],
		authorization: 'Bearer k',
	});
	t.deepEqual(offerOf({ 'sec-websocket-protocol': 'realtime, openai-insecure-api-key.sk-1' }), {
		protocols: ['realtime'],
		authorization: 'Bearer sk-1',
	});
	t.is(offerOf({ 'sec-websocket-protocol': 'bearer-base64.YS9iPQ' })?.authorization, 'Bearer a/b=');
});

test('origins: none, this machine, and those listed', (t) => {
	t.true(mayConnect(undefined, []));
	t.true(mayConnect('http://localhost:5173', []));
	t.true(mayConnect('https://a.example', ['*']));
	t.false(mayConnect('https://a.example', ['https://b.example']));
	t.false(mayConnect('http://127.0.0.1.evil.example', []));
	t.false(mayConnect('http://localhost:1/@evil.example', []));
});
