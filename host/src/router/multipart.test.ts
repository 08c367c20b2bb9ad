import test from 'ava';
import * as fc from 'fast-check';
import { formModel } from './multipart.js';

const seed = 20_261_126;
const TYPE = 'multipart/form-data; boundary=XX';

function form(...parts: readonly string[]): Buffer {
	return Buffer.from(`${parts.map((part) => `--XX\r\n${part}\r\n`).join('')}--XX--\r\n`);
}

function field(name: string, value: string): string {
	return `Content-Disposition: form-data; name="${name}"\r\n\r\n${value}`;
}

const file =
	'Content-Disposition: form-data; name="file"; filename="model"\r\nContent-Type: audio/wav\r\n\r\nRIFF\r\n--X';

test('the model is found wherever it stands, and its place in the bytes', (t) => {
	for (const body of [
		form(field('model', 'whisper'), file),
		form(file, field('language', 'de'), field('model', 'whisper')),
		form('content-disposition:form-data;NAME=model\r\nx: y\r\n\r\nwhisper'),
	]) {
		const found = formModel(body, TYPE, 512);
		if (typeof found === 'string') return t.fail(found);
		t.is(found.model, 'whisper');
		t.is(body.toString('utf8', found.span.start, found.span.end), 'whisper');
	}
	const real = formModel(form(field('model', 'w')), 'multipart/form-data; charset=utf-8; boundary="XX"', 512);
	t.like(real, { model: 'w' });
});

test('a form that two readers could understand differently is refused', (t) => {
	const good = form(field('model', 'a'));
	const cases: readonly (readonly [name: string, body: Buffer, type: string | undefined])[] = [
		['no type', good, undefined],
		['another type', good, 'application/json'],
		['no boundary', good, 'multipart/form-data'],
		['two boundaries', good, `${TYPE}; boundary=YY`],
		['a boundary too long', good, `multipart/form-data; boundary=${'X'.repeat(71)}`],
		['something before the first boundary', Buffer.concat([Buffer.from('x\r\n'), good]), TYPE],
		['no end', good.subarray(0, good.length - 6), TYPE],
		['two models', form(field('model', 'a'), field('model', 'b')), TYPE],
		['no model', form(file), TYPE],
		['an empty model', form(field('model', '')), TYPE],
		['a model too long', form(field('model', 'm'.repeat(600))), TYPE],
		['a boundary that goes on', form(`${field('model', 'a')}\r\n--XXY\r\n${field('x', 'y')}`), TYPE],
		['too large a head', form(`x: ${'y'.repeat(5000)}\r\n${field('model', 'a')}`), TYPE],
		['too many parts', form(...Array.from({ length: 300 }, () => field('x', 'y')), field('model', 'a')), TYPE],
		['nothing', Buffer.alloc(0), TYPE],
	];
	for (const [name, body, type] of cases) t.is(typeof formModel(body, type, 512), 'string', name);
});

test('any bytes are either a form with a model inside them or a refusal', (t) => {
	t.log(`seed ${seed}`);
	const piece = fc.constantFrom(
		'--XX',
		'\r\n',
		'--',
		'name="model"',
		'Content-Disposition: form-data; ',
		'\r\n\r\n',
		'a',
	);
	fc.assert(
		fc.property(fc.array(piece, { maxLength: 40 }), (pieces) => {
			const body = Buffer.from(pieces.join(''));
			const found = formModel(body, TYPE, 512);
			return typeof found === 'string' || body.toString('utf8', found.span.start, found.span.end) === found.model;
		}),
		{ seed, numRuns: 2000 },
	);
	t.pass();
});
