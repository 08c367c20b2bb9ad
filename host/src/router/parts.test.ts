// The small parts, by themselves: ids, retry budget, hold queue, prompt text, JSON bytes, usage, event streams.
import { SeededRandom } from '@infermesh/proto';
import test from 'ava';
import * as fc from 'fast-check';
import { HoldQueue } from './hold-queue.js';
import { IdGenerator } from './ids.js';
import { isTame, prependMember, replaceSpan, topLevelValue } from './json-bytes.js';
import { collectPrompt } from './prompt.js';
import { PromptBuffer } from './prompt-buffer.js';
import { RetryBudget } from './retry-budget.js';
import { SseRelay } from './sse-relay.js';
import { chunkEvent, doneEvent, testClock, usageEvent } from './testing/kit.js';
import { usageInTail } from './usage.js';

const seed = 20_261_124;

test('ids are UUIDv7, unique, and ordered even when the clock stands still', (t) => {
	let wallMs = 1_700_000_000_000;
	const ids = new IdGenerator({ ...testClock, wallMs: () => wallMs }, new SeededRandom(1));
	const made = Array.from({ length: 10_000 }, () => ids.next());
	wallMs -= 5000;
	made.push(ids.next());
	t.is(new Set(made).size, made.length);
	t.deepEqual([...made].sort(), made);
	t.true(made.every((id) => /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/.test(id)));
	t.is(Number.parseInt((made[0] as string).replaceAll('-', '').slice(0, 12), 16), 1_700_000_000_000);
});

test('the retry budget is earned by requests and by time, and is bounded', (t) => {
	const budget = new RetryBudget({ budgetRatio: 0.2, budgetBurst: 10 }, 0);
	const takeAll = (nowMs: number): number => {
		let taken = 0;
		while (taken < 10_000 && budget.take(nowMs)) taken++;
		return taken;
	};
	t.is(takeAll(0), 10);
	for (let request = 0; request < 50; request++) budget.earn();
	t.is(takeAll(0), 10);
	t.is(takeAll(500), 5);
	t.is(takeAll(10_000_000), 100);
	t.is(takeAll(0), 0);
});

test('held requests come out by key, then by age; ageing lets none starve', (t) => {
	const queue = new HoldQueue<{ name: string }>({ requestsMax: 4, ageingPerS: 1 });
	const [a, b, c, d, e] = ['a', 'b', 'c', 'd', 'e'].map((name) => ({ name })) as [
		{ name: string },
		{ name: string },
		{ name: string },
		{ name: string },
		{ name: string },
	];
	t.true(queue.push(0, a, 5, 0));
	t.true(queue.push(0, b, 1, 0));
	t.true(queue.push(0, c, 1, 10_000));
	t.true(queue.push(7, d, 0, 0));
	t.false(queue.push(0, e, 0, 0), 'the bound is of all pools');
	t.false(queue.push(0, a, 0, 0));
	t.deepEqual([queue.held(0), queue.held(7), queue.held(9), queue.size], [3, 1, 0, 4]);
	t.deepEqual([queue.pop(0), queue.pop(0), queue.pop(0), queue.pop(0)], [b, a, c, undefined]);
	t.true(queue.remove(d));
	t.false(queue.remove(d));
	t.deepEqual([queue.pop(7), queue.size, queue.pools()], [undefined, 0, []]);
});

test('the hold queue orders like a sort, whatever is removed between', (t) => {
	t.log(`seed ${seed}`);
	fc.assert(
		fc.property(
			fc.array(fc.record({ key: fc.integer({ min: 0, max: 9 }), removed: fc.boolean() }), { maxLength: 100 }),
			(given) => {
				const queue = new HoldQueue<object>({ requestsMax: 1000, ageingPerS: 0 });
				const items = given.map((one, at) => ({ ...one, at }));
				for (const item of items) queue.push(1, item, item.key, 0);
				for (const item of items) if (item.removed) queue.remove(item);
				const wanted = items.filter((item) => !item.removed).sort((x, y) => x.key - y.key || x.at - y.at);
				return wanted.every((item) => queue.pop(1) === item) && queue.pop(1) === undefined && queue.size === 0;
			},
		),
		{ seed, numRuns: 200 },
	);
	t.pass();
});

test('the prompt is every text of every message; four bytes are a token', (t) => {
	const buffer = new PromptBuffer(1024);
	const tokens = (body: object): number => {
		collectPrompt(body as Record<string, unknown>, buffer);
		return buffer.tokens;
	};
	t.is(
		tokens({
			messages: [
				{ role: 'user', content: 'abcd' },
				{ role: 'user', content: [{ type: 'text', text: 'éé' }, 'x'] },
			],
		}),
		3,
	);
	t.is(tokens({ prompt: 'abcde' }), 2);
	t.is(tokens({ prompt: [1, 2, 3] }), 3);
	t.is(tokens({ input: ['abcd', [1, 2]] }), 3);
	t.is(tokens({ messages: [{ content: [{ type: 'image_url', image_url: { url: 'data:x' } }] }] }), 256);
	t.is(tokens({ messages: 'no list' }), 0);
	t.is(tokens({ prompt: 'y'.repeat(40_000) }), 10_000);
	t.is(buffer.bytes.length, 1024);
	collectPrompt(
		{
			messages: [
				{ role: 'user', content: 'ab' },
				{ role: 'user', content: 'c' },
			],
		},
		buffer,
	);
	const two = Buffer.from(buffer.bytes);
	collectPrompt(
		{
			messages: [
				{ role: 'user', content: 'a' },
				{ role: 'user', content: 'bc' },
			],
		},
		buffer,
	);
	t.notDeepEqual(two, Buffer.from(buffer.bytes));
});

test('a top-level value is found and replaced in any valid JSON, and nothing else changes', (t) => {
	t.log(`seed ${seed}`);
	const spaced = fc.tuple(
		fc.dictionary(fc.string(), fc.jsonValue(), { maxKeys: 6 }),
		fc.jsonValue(),
		fc.constantFrom(0, 1, 3),
	);
	fc.assert(
		fc.property(spaced, ([rest, value, indent]) => {
			const object = { ...rest, model: value, ...rest, last: 1 };
			object.model = value;
			const body = Buffer.from(JSON.stringify(object, null, indent));
			const span = topLevelValue(body, 'model');
			if (span === undefined) return false;
			const text = JSON.stringify(value, null, indent);
			if (JSON.stringify(JSON.parse(body.toString('utf8', span.start, span.end)), null, indent) !== text) return false;
			const changed = JSON.parse(replaceSpan(body, span, '"new"').toString()) as Record<string, unknown>;
			const wanted: Record<string, unknown> = JSON.parse(body.toString()) as Record<string, unknown>;
			wanted['model'] = 'new';
			const first = JSON.parse(prependMember(body, '"added":1').toString()) as Record<string, unknown>;
			return JSON.stringify(changed) === JSON.stringify(wanted) && ('added' in rest || first['added'] === 1);
		}),
		{ seed, numRuns: 500 },
	);
	t.is(topLevelValue(Buffer.from('{"a":{"model":1}}'), 'model'), undefined);
	const twice = Buffer.from('{"model":1,"x":"\\\\\\"","model": 22 }');
	const span = topLevelValue(twice, 'model');
	t.is(span && twice.toString('utf8', span.start, span.end), '22');
});

test('nesting and containers are bounded; strings do not count', (t) => {
	const tame = (text: string): boolean => isTame(Buffer.from(text), 3, 5);
	t.true(tame('[[[]]]'));
	t.false(tame('[[[[]]]]'));
	t.false(tame('[[],[],[],[],[]]'));
	t.true(tame('["[[[[[[[","\\"[[[["]'));
});

test('property: whatever strings hold, a body is tame exactly when what it opens outside of them is within the bounds', (t) => {
	t.log(`seed ${seed}`);
	const piece = fc.constantFrom('"', '\\', '\\\\', '[', '{', '}', ']', 'x'.repeat(70), 'a', 'é', '\n');
	const text = fc.array(piece, { maxLength: 30 }).map((pieces) => pieces.join(''));
	const { value } = fc.letrec<{ value: unknown }>((tie) => ({
		value: fc.oneof(
			{ maxDepth: 4 },
			text,
			fc.array(tie('value'), { maxLength: 4 }),
			fc.dictionary(text, tie('value'), { maxKeys: 3 }),
		),
	}));
	const depthOf = (of: unknown): number =>
		typeof of === 'object' && of !== null ? 1 + Math.max(0, ...Object.values(of).map(depthOf)) : 0;
	const countOf = (of: unknown): number =>
		typeof of === 'object' && of !== null ? Object.values(of).reduce((sum: number, one) => sum + countOf(one), 1) : 0;
	fc.assert(
		fc.property(value, fc.nat({ max: 4 }), fc.nat({ max: 9 }), (given, depthMax, containersMax) => {
			const expected = depthOf(given) <= depthMax && countOf(given) <= containersMax;
			return isTame(Buffer.from(JSON.stringify(given)), depthMax, containersMax) === expected;
		}),
		{ seed, numRuns: 1000 },
	);
	t.pass();
});

test('usage is read from the end of a body, and only as counts', (t) => {
	const read = (text: string): unknown => usageInTail(Buffer.from(text));
	t.deepEqual(read('{"usage":{"prompt_tokens":3,"completion_tokens":2}}'), {
		tokensIn: 3,
		tokensOut: 2,
		tokensCached: 0,
		tellsCached: false,
	});
	t.deepEqual(
		read(
			'{"usage":null,"x":{"usage" : {"prompt_tokens":-1,"completion_tokens":"9","prompt_tokens_details":{"cached_tokens":4}}}}',
		),
		{
			tokensIn: 0,
			tokensOut: 0,
			tokensCached: 4,
			tellsCached: true,
		},
	);
	t.is(read('{"usage":null}'), undefined);
	t.is(read('{"usage":{"prompt_tokens":3'), undefined);
	t.is(read('{"text":"\\"usage\\":{\\"prompt_tokens\\":1}"}'), undefined);
});

test('however a stream is cut into chunks, the same bytes pass and the same is noted', (t) => {
	t.log(`seed ${seed}`);
	const events = [
		': ping\n\n',
		chunkEvent('a'),
		chunkEvent('\\n\\n "usage":{'),
		'event: x\r\ndata: {"crlf":1}\r\n\r\n',
		'\n',
		chunkEvent('é'),
		usageEvent,
		doneEvent,
	];
	const whole = Buffer.from(events.join(''));
	const stripped = events.filter((event) => event !== usageEvent).join('');
	fc.assert(
		fc.property(fc.array(fc.integer({ min: 1, max: 60 }), { maxLength: 60 }), fc.boolean(), (sizes, stripUsage) => {
			const relay = new SseRelay({ eventBytesMax: 4096, stripUsage });
			const out: Buffer[] = [];
			let at = 0;
			for (const size of [...sizes, whole.length]) {
				if (at < whole.length) out.push(relay.push(whole.subarray(at, at + size)));
				at += size;
			}
			out.push(relay.flush());
			const passed = Buffer.concat(out).toString();
			return (
				passed === (stripUsage ? stripped : whole.toString()) &&
				relay.done &&
				relay.events === 4 &&
				relay.usage?.tokensOut === 2 &&
				!relay.startsWithError
			);
		}),
		{ seed, numRuns: 300 },
	);
	t.pass();
});

test('only whole events pass, until one is larger than the bound', (t) => {
	const relay = new SseRelay({ eventBytesMax: 100, stripUsage: true });
	t.is(relay.push(Buffer.from('data: {"a')).length, 0);
	t.false(relay.midEvent);
	t.is(relay.push(Buffer.from('":1}\n\ndata')).toString(), 'data: {"a":1}\n\n');
	t.is(relay.push(Buffer.from('x'.repeat(200))).length, 204);
	t.true(relay.midEvent);
	t.is(relay.push(Buffer.from('y\n\nz')).toString(), 'y\n\nz');
});
