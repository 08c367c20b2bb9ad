// The stream scanner: what each event means, and that cutting the bytes anywhere changes nothing.
import test from 'ava';
import * as fc from 'fast-check';
import { SseScanner, type StreamEvent } from './sse.js';

function scan(chunks: readonly Buffer[]): { events: StreamEvent[]; data: string[] } {
	const events: StreamEvent[] = [];
	const data: string[] = [];
	const scanner = new SseScanner((event, bytes) => {
		events.push(event);
		if (bytes !== undefined) data.push(bytes.toString());
	});
	for (const chunk of chunks) scanner.push(chunk);
	scanner.end();
	return { events, data };
}

const scanText = (text: string) => scan([Buffer.from(text)]);

for (const [name, text, expected] of [
	['chat text', 'data: {"choices":[{"delta":{"content":"a"}}]}\n\n', ['token']],
	['with spaces and CRLF', 'data: {"choices": [{"delta": {"content" : "a"}}]}\r\n\r\n', ['token']],
	['without a space after the colon', 'data:{"choices":[{"text":"a"}]}\n\n', ['token']],
	['reasoning', 'data: {"choices":[{"delta":{"reasoning_content":"a","content":null}}]}\n\n', ['token']],
	['a tool call', 'data: {"choices":[{"delta":{"tool_calls":[{"index":0}]}}]}\n\n', ['token']],
	['a role', 'data: {"choices":[{"delta":{"role":"assistant","content":""}}]}\n\n', ['other']],
	['null content', 'data: {"choices":[{"delta":{"content":null},"finish_reason":"stop"}]}\n\n', ['other']],
	['null usage', 'data: {"choices":[{"delta":{"content":"a"}}],"usage":null}\n\n', ['token']],
	['usage', 'data: {"choices":[],"usage":{"completion_tokens":3}}\n\n', ['other', 'usage']],
	[
		'continuous usage',
		'data: {"choices":[{"delta":{"content":"a"}}],"usage":{"completion_tokens":1}}\n\n',
		['token', 'usage'],
	],
	['an error', 'event: error\ndata: {"error":{"message":"m"}}\n\n', ['error']],
	['an old error', 'data: {"object":"error","message":"m"}\n\n', ['error']],
	['an error key inside text', 'data: {"choices":[{"delta":{"content":"{\\"error\\":{}}"}}]}\n\n', ['token']],
	['a content key inside text', 'data: {"choices":[{"delta":{"role":"x\\"content\\":\\"y"}}]}\n\n', ['other']],
	['done', 'data: [DONE]\n\n', ['done']],
	['done at the end without a blank line', 'data: {"choices":[{"text":"a"}]}\n\ndata: [DONE]', ['token', 'done']],
	['a comment', ': keep-alive\n\n', ['other']],
	['blank lines between', '\n\ndata: [DONE]\n\n\n\ndata: [DONE]\n\n', ['done', 'done']],
] as const) {
	test(`an event is told for what it is: ${name}`, (t) => {
		t.deepEqual(scanText(text).events, [...expected]);
	});
}

test('cutting a stream anywhere changes nothing', (t) => {
	const text = [
		': hello\r\n\r\n',
		'data: {"choices":[{"delta":{"role":"assistant","content":""}}]}\n\n',
		'event: message\nid: 1\ndata: {"choices":[{"delta":{"content":"żółw \\n\\n"}}]}\n\n',
		'data: {"choices":[{"delta":{"content":"b"}}]}\r\n\r\n',
		'data: {"choices":[],"usage":{"completion_tokens":2}}\n\n',
		'data: [DONE]\n\n',
	].join('');
	const bytes = Buffer.from(text);
	const whole = scan([bytes]);
	t.deepEqual(whole.events, ['other', 'other', 'token', 'token', 'other', 'usage', 'done']);
	fc.assert(
		fc.property(fc.array(fc.nat(bytes.length), { maxLength: 40 }), (cuts) => {
			const sorted = [0, ...cuts.sort((left, right) => left - right), bytes.length];
			const chunks = sorted.slice(1).map((end, index) => bytes.subarray(sorted[index], end));
			t.deepEqual(scan(chunks), whole);
		}),
	);
});

test('an event without end is given up at the bound', (t) => {
	const events: StreamEvent[] = [];
	const scanner = new SseScanner((event) => events.push(event), 1000);
	for (let i = 0; i < 100 && scanner.ok; i++) scanner.push(Buffer.from('data: '.padEnd(100, 'x')));
	t.false(scanner.ok);
	scanner.push(Buffer.from('\n\ndata: [DONE]\n\n'));
	scanner.end();
	t.deepEqual(events, []);
});
