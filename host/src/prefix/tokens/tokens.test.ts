// Token ids from files and from engines: exact, cut and cached without a difference, waited for within a bound. The tokeniser is a small
// byte-level BPE in Hugging Face's form, made here: its vocabulary is the 256 bytes, some merges and a few special tokens.
import test from 'ava';
import * as fc from 'fast-check';
import { testClock, testPool } from '../../router/testing/kit.js';
import { FileTokenizer, type TokenizerFiles } from './file-tokenizer.js';
import type { TokenReply, TokenRequest } from './protocol.js';
import { SegmentCache } from './segment-cache.js';
import { TokenClient, type TokenClientOptions, type TokenResult } from './token-client.js';
import { TokenService, type TokenServiceOptions, type TokenServicePorts } from './token-service.js';

/** The letters that stand for bytes in byte-level BPE: printable ones for themselves, the others from U+0100 on. */
function byteLetters(): string[] {
	const printable = (byte: number): boolean =>
		(byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || (byte >= 174 && byte <= 255);
	let next = 256;
	return Array.from({ length: 256 }, (_, byte) => String.fromCharCode(printable(byte) ? byte : next++));
}

const MERGES = ['t h', 'th e', 'Ġ the', 'a n', 'an d', 'l l', 'e ll', 'h ell', 'hell o'];
const SPECIAL = ['<|start|>', '<|end|>', '<bos>'];
const TEMPLATE =
	"{{ bos_token }}{% if tools %}<|start|>tools\n{{ tools | tojson }}<|end|>{% endif %}{% for message in messages %}<|start|>{{ message['role'] }}\n{{ message['content'] }}<|end|>\n{% endfor %}{% if add_generation_prompt %}<|start|>assistant\n{% endif %}";

function files(more: Readonly<Record<string, unknown>> = {}): TokenizerFiles {
	const vocabulary = [...byteLetters(), ...MERGES.map((merge) => merge.replace(' ', ''))];
	return {
		tokenizer: {
			version: '1.0',
			added_tokens: SPECIAL.map((content, at) => ({
				id: vocabulary.length + at,
				content,
				single_word: false,
				lstrip: false,
				rstrip: false,
				normalized: false,
				special: true,
			})),
			normalizer: null,
			pre_tokenizer: { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true },
			post_processor: {
				type: 'TemplateProcessing',
				single: [{ SpecialToken: { id: '<bos>', type_id: 0 } }, { Sequence: { id: 'A', type_id: 0 } }],
				pair: [],
				special_tokens: { '<bos>': { id: '<bos>', ids: [vocabulary.length + 2], tokens: ['<bos>'] } },
			},
			decoder: { type: 'ByteLevel' },
			model: {
				type: 'BPE',
				vocab: Object.fromEntries(vocabulary.map((token, id) => [token, id])),
				merges: MERGES,
				unk_token: null,
			},
			...more,
		},
		config: { bos_token: '<bos>', eos_token: { content: '<|end|>' }, chat_template: TEMPLATE },
		template: undefined,
	};
}

const BOS = 256 + MERGES.length + 2;
const START = 256 + MERGES.length;

function tokenizer(cacheBytes = 1 << 20, given = files()): FileTokenizer {
	return new FileTokenizer(given, new SegmentCache(cacheBytes));
}

test('a completion has the special tokens its tokeniser adds, a chat those of its template', (t) => {
	const made = tokenizer();
	const hello = 256 + MERGES.indexOf('hell o');
	const the = 256 + MERGES.indexOf('Ġ the');
	t.deepEqual([...made.completion('hello the')], [BOS, hello, the]);
	const ids = made.chat({ messages: [{ role: 'user', content: 'hello' }] });
	t.deepEqual([...(ids ?? [])].slice(0, 2), [BOS, START]);
	t.true([...(ids ?? [])].includes(hello));
	t.is(
		made.chat({ messages: [{ role: 'user', content: [{ type: 'image_url', image_url: { url: 'x' } }] }] }),
		undefined,
	);
	t.deepEqual(
		made.chat({
			messages: [
				{
					role: 'user',
					content: [
						{ type: 'text', text: 'a' },
						{ type: 'text', text: 'b' },
					],
				},
			],
		}),
		made.chat({ messages: [{ role: 'user', content: 'a\nb' }] }),
	);
	const tools = [{ type: 'function', function: { name: 'look' } }];
	t.notDeepEqual(made.chat({ messages: [], tools }), made.chat({ messages: [] }));
	t.notDeepEqual(made.chat({ messages: [], add_generation_prompt: false }), made.chat({ messages: [] }));
});

test('the ids of a conversation are a prefix of those of its next turn, up to what asks for the answer', (t) => {
	const made = tokenizer();
	const first = [{ role: 'user', content: 'hello the land' }];
	const next = [...first, { role: 'assistant', content: 'and the hello' }, { role: 'user', content: 'hm' }];
	const before = made.chat({ messages: first, add_generation_prompt: false }) ?? new Uint32Array(0);
	const after = made.chat({ messages: next }) ?? new Uint32Array(0);
	t.deepEqual(after.slice(0, before.length), before);
});

test('property: with a cache of any size, cut at special tokens, ids are those of the whole text', (t) => {
	const seed = 20_267;
	t.log(`seed ${seed}`);
	const piece = fc.constantFrom(
		'the ',
		' the',
		'hello',
		'and',
		' ',
		'\n',
		'é',
		'日本',
		'<|start|>',
		'<|end|>',
		'<bos>',
		'<|',
		'x',
	);
	// A token that takes the spaces around it is no clean edge: such a tokeniser is never cut.
	const added = files().tokenizer['added_tokens'] as readonly object[];
	const whole = tokenizer(
		0,
		files({ added_tokens: added.map((token) => Object.assign({}, token, { normalized: true })) }),
	);
	const cut = tokenizer(1 << 20);
	const poor = tokenizer(600);
	fc.assert(
		fc.property(fc.array(piece, { maxLength: 30 }), (pieces) => {
			const text = pieces.join('');
			const expected = JSON.stringify([...whole.completion(text)]);
			return [cut, poor].every((one) => JSON.stringify([...one.completion(text)]) === expected);
		}),
		{ seed, numRuns: 300 },
	);
	t.pass();
});

test('the cache keeps what was used last within its bound', (t) => {
	const cache = new SegmentCache(1000);
	for (let at = 0; at < 20; at++) {
		cache.set(`text ${at}`, new Uint32Array(10));
		cache.get('text 0');
		t.true(cache.bytes <= 1000);
	}
	t.not(cache.get('text 0'), undefined);
	t.is(cache.get('text 1'), undefined);
	cache.set('large', new Uint32Array(1000));
	t.is(cache.get('large'), undefined);
});

function service(
	options: Partial<TokenServiceOptions> = {},
	ports: Partial<TokenServicePorts> = {},
): { service: TokenService; failed: string[] } {
	const failed: string[] = [];
	return {
		failed,
		service: new TokenService(
			{
				tokenizers: { m: { kind: 'file', path: 'somewhere' }, e: { kind: 'engine' } },
				cacheBytesMax: 1 << 20,
				engineTimeoutMs: 1000,
				engineCallsMax: 1,
				answerBytesMax: 1 << 20,
				...options,
			},
			{
				clock: testClock,
				read: () => Promise.resolve(files()),
				post: () => Promise.reject(new Error('no engine')),
				failed: (model) => void failed.push(model),
				...ports,
			},
		),
	};
}

let ids = 0;
function requestOf(model: string, body: unknown, more: Partial<TokenRequest> = {}): TokenRequest {
	return {
		id: ids++,
		model,
		endpoint: 'completion',
		body: Buffer.from(JSON.stringify(body)),
		untilMs: Number.MAX_SAFE_INTEGER,
		engine: { url: 'http://engine', apiKey: undefined, model: 'own-name' },
		...more,
	};
}

function answered(made: TokenService, request: TokenRequest): Promise<TokenReply> {
	return new Promise((resolve) => made.ask(request, resolve));
}

test('files answer, and what they cannot answer is said', async (t) => {
	const { service: made } = service();
	const reply = await answered(made, requestOf('m', { prompt: 'hello' }));
	t.deepEqual(reply.ids, tokenizer().completion('hello'));
	// What was handed over is not what the cache keeps.
	reply.ids?.fill(0);
	t.deepEqual((await answered(made, requestOf('m', { prompt: 'hello' }))).ids, tokenizer().completion('hello'));
	t.is((await answered(made, requestOf('m', { prompt: ['a', 'b'] }))).failure, 'unsupported');
	t.is((await answered(made, requestOf('m', {}, { body: Buffer.from('{') }))).failure, 'failed');
	t.is((await answered(made, requestOf('unknown', { prompt: 'a' }))).failure, 'unsupported');
});

test('files that are not there are said once, and cost nothing else', async (t) => {
	const { service: made, failed } = service({}, { read: () => Promise.reject(new Error('ENOENT')) });
	for (let at = 0; at < 3; at++) t.is((await answered(made, requestOf('m', { prompt: 'a' }))).failure, 'failed');
	t.deepEqual(failed, ['m']);
});

test('what waited too long gives way to what came after it', async (t) => {
	const { service: made } = service();
	const replies = await Promise.all([
		answered(made, requestOf('m', { prompt: 'a' })),
		answered(made, requestOf('m', { prompt: 'b' }, { untilMs: 0 })),
		answered(made, requestOf('m', { prompt: 'c' }, { untilMs: 0 })),
	]);
	t.deepEqual(
		replies.map(({ failure }) => failure),
		[undefined, 'stale', undefined],
	);
});

test('an engine is asked for what makes its prompt, once for the same, and only so many at a time', async (t) => {
	const asked: string[] = [];
	const gate = Promise.withResolvers<{ status: number; body: string }>();
	const { service: made } = service(
		{},
		{
			post: (url, body) => {
				asked.push(`${url} ${body}`);
				return gate.promise;
			},
		},
	);
	const chat = { model: 'public', messages: [{ role: 'user', content: 'x' }], temperature: 1 };
	const first = answered(made, requestOf('e', chat, { endpoint: 'chat' }));
	t.is((await answered(made, requestOf('e', { prompt: 'other' }))).failure, 'stale');
	gate.resolve({ status: 200, body: '{"tokens":[1,2,3],"count":3}' });
	t.deepEqual((await first).ids, Uint32Array.of(1, 2, 3));
	t.deepEqual((await answered(made, requestOf('e', chat, { endpoint: 'chat' }))).ids, Uint32Array.of(1, 2, 3));
	t.deepEqual(asked, ['http://engine/tokenize {"model":"own-name","messages":[{"role":"user","content":"x"}]}']);
	for (const answer of ['{"tokens":["a"]}', '{"tokens":[-1]}', '{}', 'no JSON']) {
		const { service: other } = service({}, { post: () => Promise.resolve({ status: 200, body: answer }) });
		t.is((await answered(other, requestOf('e', { prompt: answer }))).failure, 'failed');
	}
});

/** A clock whose timers fire when they are told to. */
function handClock(): { readonly clock: typeof testClock; readonly fire: () => void } {
	const timers = new Set<() => void>();
	return {
		clock: {
			...testClock,
			after: (_delayMs: number, fn: () => void) => {
				timers.add(fn);
				return { cancel: () => void timers.delete(fn) };
			},
		},
		fire: () => {
			const due = Array.from(timers);
			timers.clear();
			for (const timer of due) timer();
		},
	};
}

test('a request waits for its ids within a bound, and goes on without them', (t) => {
	const { clock, fire } = handClock();
	const sent: TokenRequest[] = [];
	const results: TokenResult[] = [];
	const options: TokenClientOptions = {
		tokenizers: { m: { kind: 'engine' } },
		waitMs: 5,
		openMax: 2,
		bodyBytesMax: 100,
	};
	const client = new TokenClient(options, {
		clock,
		threads: () => 1,
		send: (_thread, request) => void sent.push(request),
		metrics: { tokenized: (result) => void results.push(result) },
	});
	const pool = testPool(['http://engine']);
	const got: (readonly number[] | undefined)[] = [];
	const ask = (model = 'm', body = Buffer.from('{}')): boolean =>
		client.ask({ ...pool, model }, 'chat', body, (list) => void got.push(list === undefined ? undefined : [...list]));
	const reply = (at: number, list: readonly number[]): void =>
		client.replied({ id: sent[at]?.id ?? -1, ids: Uint32Array.from(list), failure: undefined, tookMs: 1 });
	t.false(ask('other'));
	t.false(ask('constructor'));
	t.false(ask('m', Buffer.alloc(101)));
	const body = Buffer.from('{}');
	t.true(ask('m', body));
	t.not(sent[0]?.body.buffer, body.buffer, 'what is given away is not the body that is yet to be sent');
	t.true(ask());
	t.false(ask(), 'no more than two are open');
	reply(0, [1, 2]);
	t.deepEqual(got, [[1, 2]]);
	fire();
	t.deepEqual(got, [[1, 2], undefined]);
	// The late one is still with the thread, and its answer changes nothing.
	t.true(ask());
	t.false(ask());
	reply(1, [3]);
	t.is(got.length, 2);
	client.lost();
	t.deepEqual(got, [[1, 2], undefined, undefined]);
	t.deepEqual(results, ['too_large', 'full', 'done', 'late', 'full']);
});
