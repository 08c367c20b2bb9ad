import test from 'ava';
import * as fc from 'fast-check';
import { readMessage, serverMessage } from './chat-messages.js';

const seed = 20_261_126;
const bounds = { jsonDepthMax: 32, jsonContainersMax: 1000 };

function read(text: string): unknown {
	return readMessage(Buffer.from(text), bounds);
}

test('a chat’s body is the bytes it was sent as; without `stream` it asks for one', (t) => {
	const message = read(
		'{"request" :{ "a": 1e2,"stream":false } , "type":"chat","id":"1","headers":{"x-infermesh-session":"s"}}',
	);
	t.like(message, { type: 'chat', id: '1', headers: ['x-infermesh-session', 's'] });
	t.is((message as { body: Buffer }).body.toString(), '{ "a": 1e2,"stream":false }');
	const plain = read('{"type":"chat","id":"1","request":{}}') as { body: Buffer };
	t.is(plain.body.toString(), '{"stream":true}');
	t.deepEqual(read('{"type":"cancel","id":"x"}'), { type: 'cancel', id: 'x' });
});

test('what is no message is told why', (t) => {
	for (const bad of [
		'',
		'null',
		'[]',
		'{"type":"chat"}',
		'{"type":"chat","id":7,"request":{}}',
		`{"type":"chat","id":"${'x'.repeat(129)}","request":{}}`,
		'{"type":"chat","id":"1","request":[]}',
		'{"type":"chat","id":"1","request":{},"headers":[1]}',
		'{"type":"chat","id":"1","request":{},"headers":{"cookie":"x"}}',
		'{"type":"chat","id":"1","request":{},"headers":{"x-infermesh-session":"a\\r\\nb"}}',
		'{"type":"chat","id":"1","request":{},"headers":{"x-infermesh-session":1}}',
		`{"type":"chat","id":"1","request":${'['.repeat(40)}${']'.repeat(40)}}`,
	])
		t.is(typeof read(bad), 'string', bad.slice(0, 80));
});

test('whatever the JSON, a message is refused or its body is its own request', (t) => {
	t.log(`seed ${seed}`);
	const value = fc.jsonValue({ maxDepth: 3 });
	const members = fc.uniqueArray(
		fc.tuple(
			fc.constantFrom('type', 'id', 'request', 'headers', 'req\\u0075est', 'x'),
			fc.oneof(value, fc.constantFrom('chat', 'cancel', {})),
		),
		{ selector: ([name]) => name, maxLength: 6 },
	);
	fc.assert(
		fc.property(members, (list) => {
			const text = `{${list.map(([name, one]) => `"${name}":${JSON.stringify(one)}`).join(', ')}}`;
			const message = readMessage(Buffer.from(text), bounds);
			if (typeof message === 'string' || message.type === 'cancel') return true;
			const { request } = JSON.parse(text) as { readonly request: object };
			const body = JSON.parse(message.body.toString()) as object;
			return JSON.stringify(body) === JSON.stringify('stream' in request ? request : { stream: true, ...request });
		}),
		{ seed, numRuns: 2000 },
	);
	fc.assert(
		fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
			const message = readMessage(Buffer.from(bytes), bounds);
			return typeof message === 'string' || message.id !== '';
		}),
		{ seed, numRuns: 500 },
	);
	t.is(serverMessage('chunk', 'a"', { chunk: '{"x":1}' }), '{"type":"chunk","id":"a\\"","chunk":{"x":1}}');
});
