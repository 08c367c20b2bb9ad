// What an answer is made of: text pieces, stop strings, schema values, prompts and tokens.
import { SeededRandom } from '@infermesh/proto';
import test from 'ava';
import * as fc from 'fast-check';
import { renderChat } from './chat-template.js';
import { promptFromIds, promptFromText, sequenceHashes, tokenIds } from './prompt.js';
import { schemaValue } from './schema-value.js';
import { StopMatcher } from './stop-matcher.js';
import { generateText, piecesOf } from './text-generator.js';

test('generated text has four ASCII bytes a token, and a longer one begins with the shorter', (t) => {
	const long = generateText(500, new SeededRandom(3));
	t.is(long.length, 500);
	for (const piece of long) t.regex(piece, /^[a-z. ]{4}$/);
	t.deepEqual(generateText(77, new SeededRandom(3)), long.slice(0, 77));
	t.notDeepEqual(generateText(77, new SeededRandom(4)), long.slice(0, 77));
});

test('given text is cut into pieces of at most four bytes that give it back', (t) => {
	fc.assert(
		fc.property(fc.string({ unit: 'grapheme' }), (text) => {
			const pieces = piecesOf(text);
			return pieces.join('') === text && pieces.every((piece) => piece !== '' && Buffer.byteLength(piece) <= 4);
		}),
	);
	t.pass();
});

test('stop strings are found wherever pieces are cut, and nothing of them is let out early', (t) => {
	const letters = fc.string({ unit: fc.constantFrom('a', 'b', 'c'), maxLength: 30 });
	const stops = fc.array(fc.string({ unit: fc.constantFrom('a', 'b', 'c'), minLength: 1, maxLength: 4 }), {
		maxLength: 3,
	});
	fc.assert(
		fc.property(letters, stops, fc.integer({ min: 1, max: 5 }), fc.boolean(), (text, list, size, include) => {
			const matcher = new StopMatcher(list, include);
			let out = '';
			let stop: string | undefined;
			let read = 0;
			while (read < text.length && stop === undefined) {
				const result = matcher.push(text.slice(read, read + size));
				read += size;
				out += result.text;
				stop = result.stop;
			}
			if (stop === undefined) out += matcher.flush();
			const seen = text.slice(0, read);
			const starts = list.map((entry) => seen.indexOf(entry)).filter((at) => at >= 0);
			if (starts.length === 0) return stop === undefined && out === text;
			const first = Math.min(...starts);
			return stop !== undefined && out === seen.slice(0, first + (include ? stop.length : 0));
		}),
		{ numRuns: 500 },
	);
	t.pass();
});

test('schema values follow types, enums, bounds, references and required fields', (t) => {
	const schema = {
		type: 'object',
		properties: {
			kind: { enum: ['a', 'b'] },
			count: { type: 'integer', minimum: 5, maximum: 6 },
			ratio: { type: 'number', exclusiveMinimum: 0 },
			list: { type: 'array', items: { $ref: '#/$defs/point' }, minItems: 2 },
			either: { anyOf: [{ type: 'boolean' }, { type: 'null' }] },
			code: { type: 'string', minLength: 8, maxLength: 8 },
			optional: { type: 'string' },
		},
		required: ['kind', 'count', 'ratio', 'list', 'either', 'code'],
		$defs: { point: { type: 'object', properties: { x: { const: 1 } } } },
	};
	for (let seed = 0; seed < 20; seed++) {
		const value = schemaValue(schema, new SeededRandom(seed)) as Record<string, unknown>;
		t.true(['a', 'b'].includes(value['kind'] as string));
		t.true([5, 6].includes(value['count'] as number));
		t.true((value['ratio'] as number) > 0);
		t.deepEqual(value['list'], [{ x: 1 }, { x: 1 }]);
		t.is(typeof value['either'], 'boolean');
		t.is((value['code'] as string).length, 8);
		t.false('optional' in value);
	}
});

test('schemas that refer to themselves end', (t) => {
	const tree = { type: 'object', properties: { child: { $ref: '#' } }, required: ['child'] };
	t.notThrows(() => JSON.stringify(schemaValue(tree, new SeededRandom(1))));
	const wide = { type: 'array', minItems: 60, items: { $ref: '#' } };
	const started = performance.now();
	schemaValue(wide, new SeededRandom(1));
	t.true(performance.now() - started < 1000, 'neither deep nor wide schemas may stall the engine');
});

test('text and its token ids are the same prompt', (t) => {
	const prompt = promptFromText('héllo wörld, how are you?');
	const again = promptFromIds(tokenIds(prompt));
	t.is(again.tokens, prompt.tokens);
	t.deepEqual(tokenIds(again), tokenIds(prompt));
	t.deepEqual(sequenceHashes(again, '', 2, 0).slice(0, 6), sequenceHashes(prompt, '', 2, 0).slice(0, 6));
	t.is(promptFromText('').tokens, 1);
});

test('a rendered conversation begins with the rendering of its past and the answer to it', (t) => {
	const past = [{ role: 'user', content: [{ type: 'text', text: 'Hi' }] }];
	const later = [...past, { role: 'assistant', content: 'Hello.' }, { role: 'user', content: 'Bye' }];
	t.true(renderChat(later, []).startsWith(`${renderChat(past, [])}Hello.`));
	const image = (url: string) =>
		renderChat([{ role: 'user', content: [{ type: 'image_url', image_url: { url } }] }], []);
	t.not(image('data:a'), image('data:b'));
});
