// Long strings and lists of token ids taken out of a body before it is parsed: the prompt that is laid out is the same as that of the body parsed whole, whatever is escaped in it and
// however it is nested.
import { SeededRandom } from '@infermesh/proto';
import test from 'ava';
import * as fc from 'fast-check';
import { readIds } from './long-ids.js';
import { IDS_DEPTH, LongStrings, type PromptMembers, unescapeJson } from './long-strings.js';
import { collectPrompt } from './prompt.js';
import { PromptBuffer } from './prompt-buffer.js';

const seed = 20_261_126;
const MEMBERS: PromptMembers = new Map([
	['messages', IDS_DEPTH.none],
	['prompt', IDS_DEPTH.lists],
	['tools', IDS_DEPTH.none],
]);
type Json = Readonly<Record<string, unknown>>;

function layOut(body: Buffer, longs?: LongStrings): { bytes: string; tokens: number; taken: number } {
	const into = new PromptBuffer(1 << 20, longs);
	const json = longs === undefined ? body : longs.take(body, MEMBERS);
	collectPrompt(JSON.parse(json.toString('utf8')) as Json, into, [
		{ member: 'tools', as: 'json' },
		{ member: 'messages', as: 'messages' },
		{ member: 'prompt', as: 'batch' },
	]);
	return { bytes: Buffer.from(into.bytes).toString('hex'), tokens: into.tokens, taken: longs?.count ?? 0 };
}

/** As Python's json module writes by default: nothing beyond ASCII. */
function asciiJson(value: unknown): string {
	return JSON.stringify(value).replace(
		/[\u0080-\uffff]/g,
		(unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`,
	);
}

const text = fc
	.tuple(fc.array(fc.string({ unit: 'grapheme', maxLength: 40 }), { maxLength: 6 }), fc.integer({ min: 1, max: 90 }))
	.map(([parts, times]) => `${parts.join('\n"\\')}x`.repeat(times));

test('a body with its long strings taken out has the prompt of the whole body', (t) => {
	t.log(`seed ${seed}`);
	let taken = 0;
	fc.assert(
		fc.property(
			fc.array(fc.tuple(fc.constantFrom('user', 'system', 'tool'), text, text), { minLength: 1, maxLength: 5 }),
			fc.boolean(),
			fc.constantFrom(0, 2),
			(messages, ascii, indent) => {
				const value = {
					model: 'm',
					tools: [{ type: 'function', function: { name: 'f', description: messages[0]?.[1] } }],
					messages: [
						...messages.map(([role, a, b]) => ({ role, content: [{ type: 'text', text: a }, b] })),
						...messages.map(([role, a]) => ({ role, content: a })),
						{ role: 'user', content: 'y'.repeat(9000) },
					],
				};
				const body = Buffer.from(ascii ? asciiJson(value) : JSON.stringify(value, undefined, indent));
				const whole = layOut(body);
				const parts = layOut(body, new LongStrings(new SeededRandom(seed)));
				taken += parts.taken;
				// What a tool's description says is hashed as the client wrote it: only bodies that write as JSON.stringify does have the same bytes there.
				if (ascii) return true;
				return parts.bytes === whole.bytes && parts.tokens === whole.tokens;
			},
		),
		{ seed, numRuns: 150 },
	);
	t.true(taken > 300, `${taken} taken`);
});

test('unescaping a text gives what JSON.parse gives', (t) => {
	t.log(`seed ${seed}`);
	fc.assert(
		fc.property(fc.string({ unit: 'binary', maxLength: 400 }), fc.boolean(), (text, ascii) => {
			const quoted = ascii ? asciiJson(text) : JSON.stringify(text);
			const escaped = Buffer.from(quoted.slice(1, -1));
			const into = Buffer.alloc(escaped.length + 3);
			const end = unescapeJson(escaped, into, 3);
			return into.subarray(3, end).equals(Buffer.from(JSON.parse(quoted) as string));
		}),
		{ seed, numRuns: 2000 },
	);
	for (const [escaped, wanted] of [
		['\\ud83d\\ude00\\u4f60', '😀你'],
		['\\u4f60\\ud83d\\ude00', '你😀'],
		['\\ud83dx', '\ufffdx'],
		['\\ude00', '\ufffd'],
		['a\\u12', 'a\\u12'],
		['a\\', 'a\\'],
		['\\/\\"\\\\', '/"\\'],
	] as const) {
		const bytes = Buffer.from(escaped);
		const into = Buffer.alloc(bytes.length);
		t.is(into.toString('utf8', 0, unescapeJson(bytes, into, 0)), wanted);
	}
});

test('only what the prompt lies in is taken, and a mark that a client writes is its text', (t) => {
	const longs = new LongStrings(new SeededRandom(seed));
	const long = 'z'.repeat(10_000);
	const body = Buffer.from(
		JSON.stringify({ user: long, prompt: long, [long]: { messages: long }, metadata: { prompt: long } }),
	);
	const parsed = JSON.parse(longs.take(body, MEMBERS).toString()) as { user: string; prompt: string };
	t.is(longs.count, 1);
	t.is(parsed.user, long);
	t.true(longs.has(parsed.prompt));
	t.is(longs.bytes(parsed.prompt).toString(), long);
	const forged = `${parsed.prompt.slice(0, -1)}7`;
	t.false(longs.has(forged));
	t.is(longs.take(Buffer.from('{"prompt":"short"}'), MEMBERS).toString(), '{"prompt":"short"}');
	t.false(longs.has(parsed.prompt));
});

test('a text beyond the bound is counted and not kept', (t) => {
	const longs = new LongStrings(new SeededRandom(seed));
	const body = Buffer.from(JSON.stringify({ prompt: 'a\n'.repeat(20_000) }));
	const into = new PromptBuffer(16_384, longs);
	collectPrompt(JSON.parse(longs.take(body, MEMBERS).toString()) as Json, into, [{ member: 'prompt', as: 'text' }]);
	t.true(into.bytes.length <= 16_384 && into.bytes.length > 10_000);
	t.true(into.tokens >= 10_000 && into.tokens <= 15_000, `${into.tokens}`);
});

const ids = fc.array(fc.nat({ max: 0xffff_ffff }), { minLength: 1, maxLength: 900, size: 'max' });

test('lists of token ids that are taken out are the prompt, and the ids, of the whole body', (t) => {
	t.log(`seed ${seed}`);
	let taken = 0;
	let exact = 0;
	fc.assert(
		fc.property(
			fc.array(ids, { minLength: 1, maxLength: 3 }),
			fc.boolean(),
			fc.constantFrom(0, 1),
			(lists, flat, indent) => {
				const prompt = flat ? lists[0] : lists;
				const value = { model: 'm', prompt, messages: [{ content: 'z'.repeat(9000) }] };
				const body = Buffer.from(JSON.stringify(value, undefined, indent));
				const longs = new LongStrings(new SeededRandom(seed));
				const [whole, parts] = [undefined, longs].map((one) => {
					const into = new PromptBuffer(1 << 20, one);
					const json = one === undefined ? body : one.take(body, MEMBERS);
					collectPrompt(JSON.parse(json.toString()) as Json, into, [{ member: 'prompt', as: 'batch' }]);
					return { bytes: Buffer.from(into.bytes).toString('hex'), tokens: into.tokens, ids: into.exactIds() };
				});
				taken += longs.count - 1;
				const alone = flat || lists.length === 1;
				if (alone) exact++;
				t.deepEqual(parts, whole);
				t.is(parts?.tokens, (flat ? (lists[0] as number[]) : lists.flat()).length);
				t.deepEqual(parts?.ids, alone ? Uint32Array.from(lists[0] as number[]) : undefined);
			},
		),
		{ seed, numRuns: 60 },
	);
	t.true(taken > 50 && exact > 20, `${taken} taken, ${exact} exact`);
});

test('a list is ids only where JSON.parse would say so, and every one is in range', (t) => {
	t.log(`seed ${seed}`);
	const piece = fc.constantFrom(
		'0',
		'1',
		'7',
		'42',
		'4294967295',
		'4294967296',
		',',
		' ',
		'\n',
		'-',
		'.',
		'e',
		']',
		'[',
		'"',
	);
	fc.assert(
		fc.property(fc.array(piece, { maxLength: 12 }), (pieces) => {
			const text = `[${pieces.join('')}]`;
			const into = new Uint32Array(16);
			const found = readIds(Buffer.from(text), 0, into, 3);
			if (found === undefined) return !isIds(text);
			const list = text.slice(0, found.end);
			if (!isIds(list)) return false;
			const said = JSON.parse(list) as number[];
			return said.length === found.count && said.every((id, at) => into[3 + at] === id);
		}),
		{ seed, numRuns: 20_000 },
	);
	for (const text of [
		'[]',
		'[01]',
		'[1,]',
		'[,1]',
		'[1 2]',
		'[1.0]',
		'[1e3]',
		'[-1]',
		'[4294967296]',
		'[42949672950]',
		'[1',
		'[1,',
		'["1"]',
	])
		t.is(readIds(Buffer.from(text), 0, new Uint32Array(9), 0), undefined, text);
	t.deepEqual(readIds(Buffer.from('[ 0 ,\t4294967295 ]x'), 0, new Uint32Array(1), 0), { end: 18, count: 2 });
});

function isIds(text: string): boolean {
	try {
		const value: unknown = JSON.parse(text);
		const all =
			Array.isArray(value) && value.length > 0 && value.every((id) => Number.isInteger(id) && id <= 0xffff_ffff);
		return all && /^[\s\d,[\]]+$/.test(text);
	} catch {
		return false;
	}
}

test('ids beyond the bound are counted, and what is known of the prompt is its beginning', (t) => {
	const longs = new LongStrings(new SeededRandom(seed));
	const many = Array.from({ length: 20_000 }, (_, at) => at * 7);
	const few = new LongStrings(new SeededRandom(seed), 5000);
	const body = Buffer.from(JSON.stringify({ prompt: [many, many] }));
	const both = new PromptBuffer(1 << 20, few);
	collectPrompt(JSON.parse(few.take(body, MEMBERS).toString()) as Json, both, [{ member: 'prompt', as: 'batch' }]);
	t.is(both.tokens, 40_000);
	t.is(both.bytes.length, 4 * 5000 + 2, 'what is kept is the beginning, and the marks of both');
	for (const prompt of [many, [many]]) {
		const into = new PromptBuffer(16_386, longs);
		const body = Buffer.from(JSON.stringify({ prompt }));
		collectPrompt(JSON.parse(longs.take(body, MEMBERS).toString()) as Json, into, [{ member: 'prompt', as: 'batch' }]);
		t.is(longs.count, 1);
		t.is(into.tokens, 20_000);
		t.deepEqual(into.exactIds(), Uint32Array.from(many.slice(0, 4096)));
	}
});

test('ids are taken only where a prompt may be ids, and text beside them makes them none', (t) => {
	const longs = new LongStrings(new SeededRandom(seed));
	const many = Array.from({ length: 3000 }, (_, at) => at);
	const body = { messages: many, tools: [{ enum: many }], prompt: [[many], { ids: many }], seed: many };
	t.deepEqual(JSON.parse(longs.take(Buffer.from(JSON.stringify(body)), MEMBERS).toString()), body);
	const into = new PromptBuffer(1 << 20);
	const exact = (prompt: unknown): Uint32Array | undefined => {
		collectPrompt({ prompt }, into, [{ member: 'prompt', as: 'batch' }]);
		return into.exactIds();
	};
	t.deepEqual(exact([1, 2]), Uint32Array.of(1, 2));
	t.deepEqual(exact([[1, 2]]), Uint32Array.of(1, 2));
	for (const prompt of ['text', ['text'], [1, 'x'], [1, -2], [1.5], [2 ** 32], [[1], [2]], [[1], 'x'], [[]], []])
		t.is(exact(prompt), undefined, JSON.stringify(prompt));
});
