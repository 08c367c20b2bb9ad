import { request } from 'node:http';
import { Duplex } from 'node:stream';
import test from 'ava';
import * as fc from 'fast-check';
import { UpstreamFault } from './faults.js';
import { type ResponseHeaders, ResponseParser } from './response-parser.js';

const HEAD_BYTES_MAX = 1024;

interface Read {
	outcome: 'done' | 'open' | 'cut' | 'unanswered' | 'refused';
	status: number;
	headers: ResponseHeaders;
	body: string;
	/** Bytes behind the response. */
	left: number;
	keepAlive: boolean;
}

/** Reads `bytes` in pieces of the given lengths (the last one takes the rest), then ends the connection if `end`. `reused`: what was pushed is written over. */
function read(bytes: Buffer, cuts: readonly number[] = [], end = false, method = 'GET', reused = false): Read {
	const parser = new ResponseParser(HEAD_BYTES_MAX, reused);
	const parts: Buffer[] = [];
	const seen: Read = { outcome: 'open', status: 0, headers: {}, body: '', left: 0, keepAlive: false };
	parser.begin(
		{
			onHead: (status, headers) => Object.assign(seen, { status, headers: { ...headers } }),
			onBody: (part) => void parts.push(part),
		},
		method,
	);
	let at = 0;
	try {
		for (const length of [...cuts, bytes.length]) {
			const piece = reused ? Buffer.from(bytes.subarray(at, at + length)) : bytes.subarray(at, at + length);
			at += piece.length;
			const used = parser.push(piece);
			if (reused) piece.fill('!');
			if (parser.done) {
				seen.left = bytes.length - at + piece.length - used;
				break;
			}
		}
		if (parser.done) seen.outcome = 'done';
		else if (end) {
			const outcome = parser.finish();
			seen.outcome = outcome === 'whole' ? 'done' : outcome;
		}
		seen.keepAlive = parser.keepAlive;
	} catch (error) {
		if (!(error instanceof UpstreamFault) || error.kind !== 'protocol') throw error;
		seen.outcome = 'refused';
	}
	seen.body = Buffer.concat(parts).toString('latin1');
	return seen;
}

const text = (value: string): Buffer => Buffer.from(value, 'latin1');

test('status, headers and a body of known length', (t) => {
	const seen = read(text('HTTP/1.1 201 Created\r\nContent-Length: 3\r\nX-A: \t 1 \t\r\nx-a: 2\r\nX-B:\r\n\r\nabcNEXT'));
	t.like(seen, { outcome: 'done', status: 201, body: 'abc', left: 4, keepAlive: true });
	t.deepEqual(seen.headers, { 'content-length': '3', 'x-a': ['1', '2'], 'x-b': '' });
});

test('a chunked body, with extensions and trailers, which are thrown away', (t) => {
	const seen = read(
		text(
			'HTTP/1.1 200\r\ntransfer-encoding: Chunked\r\n\r\n3;a=b\r\nabc\r\n0A\r\n0123456789\r\n0\r\nt: 1\r\nu: 2\r\n\r\nX',
		),
	);
	t.like(seen, { outcome: 'done', body: 'abc0123456789', left: 1 });
});

test('answers without a body, whatever their headers say', (t) => {
	t.like(read(text('HTTP/1.1 204 No\r\n\r\nX')), { outcome: 'done', left: 1 });
	t.like(read(text('HTTP/1.1 304 No\r\ncontent-length: 9\r\n\r\n')), { outcome: 'done', body: '' });
	t.like(read(text('HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n'), [], false, 'HEAD'), { outcome: 'done', body: '' });
	t.like(read(text('HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n')), { outcome: 'done', body: '' });
});

test('interim answers are passed over', (t) => {
	const seen = read(
		text(
			'HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\nlink: x\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\na',
		),
	);
	t.like(seen, { outcome: 'done', status: 200, body: 'a' });
	t.is(seen.headers['link'], undefined);
});

test('whether the connection stays open', (t) => {
	const keeps = (head: string): boolean => read(text(`${head}\r\ncontent-length: 0\r\n\r\n`)).keepAlive;
	t.true(keeps('HTTP/1.1 200 OK'));
	t.false(keeps('HTTP/1.1 200 OK\r\nconnection: x, Close'));
	t.false(keeps('HTTP/1.0 200 OK'));
	t.true(keeps('HTTP/1.0 200 OK\r\nconnection: Keep-Alive'));
	t.false(read(text('HTTP/1.1 200 OK\r\n\r\nbody'), [], true).keepAlive);
});

test('what could be read in two ways, or is out of bounds, is refused', (t) => {
	const refused = [
		'HTTP/1.1 200 OK\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n',
		'HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n',
		'HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n',
		'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n',
		'HTTP/1.1 200 OK\r\ncontent-length: 3\r\ncontent-length: 4\r\n\r\n',
		'HTTP/1.1 200 OK\r\ncontent-length: +3\r\n\r\n',
		'HTTP/1.1 200 OK\r\ncontent-length: 0x3\r\n\r\n',
		'HTTP/1.1 200 OK\r\ncontent-length: 9999999999999999\r\n\r\n',
		'HTTP/1.1 200 OK\r\ncontent-length : 3\r\n\r\n',
		'HTTP/1.1 200 OK\r\na: b\r\n folded\r\n\r\n',
		'HTTP/1.1 200 OK\r\nno colon\r\n\r\n',
		'HTTP/1.1 200 OK\r\na: b\nc: d\r\n\r\n',
		'HTTP/1.1 200 OK\r\na: b\rc: d\r\n\r\n',
		'HTTP/1.1 200 OK\r\na: \0\r\n\r\n',
		'HTTP/1.1 101 Switching\r\nupgrade: x\r\n\r\n',
		'HTTP/1.1 20 OK\r\n\r\n',
		'HTTP/1.1 2000 OK\r\n\r\n',
		'HTTP/1.1 099 OK\r\n\r\n',
		'HTTP/2.0 200 OK\r\n\r\n',
		'HTTP/1.2 200 OK\r\n\r\n',
		'http/1.1 200 OK\r\n\r\n',
		'ICY 200 OK\r\n\r\n',
		`HTTP/1.1 200 OK\r\nx: ${'y'.repeat(HEAD_BYTES_MAX)}\r\n\r\n`,
		`HTTP/1.1 200 OK\r\nx: ${'y'.repeat(HEAD_BYTES_MAX)}`,
	];
	for (const bytes of refused) t.is(read(text(bytes)).outcome, 'refused', JSON.stringify(bytes.slice(0, 80)));
	const chunked = [
		'\r\n',
		'g\r\n',
		'3\nabc',
		'3\rXabc',
		'3;a\nabc',
		'3\r\nabcd\r\n',
		'3\r\nabc\n',
		'-1\r\n',
		'1000000000000\r\n',
		'0\r\na: b\n\r\n',
		'0\r\na: b\rX',
		`1;${'e'.repeat(HEAD_BYTES_MAX + 1)}`,
		`0\r\n${'t'.repeat(HEAD_BYTES_MAX + 1)}`,
	];
	for (const bytes of chunked)
		t.is(
			read(text(`HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n${bytes}`)).outcome,
			'refused',
			JSON.stringify(bytes.slice(0, 80)),
		);
});

test('the end of the connection: whole, cut, or before anything', (t) => {
	t.is(read(text(''), [], true).outcome, 'unanswered');
	t.is(read(text('HT'), [], true).outcome, 'cut');
	t.is(read(text('HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nab'), [], true).outcome, 'cut');
	t.is(read(text('HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n'), [], true).outcome, 'cut');
	t.like(read(text('HTTP/1.0 200 OK\r\n\r\nab'), [], true), { outcome: 'done', body: 'ab' });
});

/** Reads with Node's own client, over a connection that is not one. */
function readWithNode(bytes: Buffer): Promise<{ readonly status: number; readonly body: string } | undefined> {
	return new Promise((resolve) => {
		const socket = new Duplex({ read: () => undefined, write: (_bytes, _encoding, done) => done() });
		const client = request({ createConnection: () => socket, insecureHTTPParser: false });
		client.on('error', () => resolve(undefined));
		client.on('upgrade', () => resolve(undefined));
		client.on('response', (res) => {
			let body = '';
			res.setEncoding('latin1');
			res.on('data', (part: string) => {
				body += part;
			});
			res.on('error', () => resolve(undefined));
			res.on('close', () => resolve(res.complete ? { status: res.statusCode ?? 0, body } : undefined));
		});
		client.on('close', () => setImmediate(() => resolve(undefined)));
		client.end();
		setImmediate(() => {
			socket.push(bytes);
			socket.push(null);
		});
	});
}

const runs = Number(process.env['FUZZ_RUNS'] ?? 400);

const pieces = fc.constantFrom(
	'HTTP/1.1 200 OK\r\n',
	'HTTP/1.0 200 OK\r\n',
	'HTTP/1.1 404 Not Found\r\n',
	'HTTP/1.1 204\r\n',
	'HTTP/1.1 100 Continue\r\n\r\n',
	'content-length: 3\r\n',
	'content-length: 3\r\n\r\nabc',
	'Transfer-Encoding: chunked\r\n',
	'transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n',
	'connection: close\r\n',
	'x: y\r\n',
	'\r\n',
	'\n',
	'\r',
	' ',
	'\t',
	':',
	';e=1',
	'0',
	'3\r\n',
	'abc',
	'\r\n0\r\n\r\n',
	'a\r\n0123456789\r\n',
	'trailer: 1\r\n',
	'\0',
	'\xff',
);

const responses = fc.oneof(
	{ weight: 3, arbitrary: fc.array(pieces, { minLength: 1, maxLength: 10 }).map((parts) => text(parts.join(''))) },
	{
		weight: 2,
		arbitrary: fc
			.tuple(
				fc.constantFrom(
					'HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n0123456789',
					'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nwiki\r\n6;x=y\r\npedia \r\n0\r\nt: 1\r\n\r\n',
				),
				fc.nat(),
				fc.nat(255),
			)
			.map(([base, at, byte]) => {
				const bytes = text(base);
				bytes[at % bytes.length] = byte;
				return bytes;
			}),
	},
	{ weight: 1, arbitrary: fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes)) },
);

test('however the bytes come, they read the same', (t) => {
	fc.assert(
		fc.property(responses, fc.array(fc.nat(9), { maxLength: 60 }), (bytes, cuts) => {
			t.deepEqual(read(bytes, cuts, true), read(bytes, [], true));
		}),
		{ numRuns: runs * 5 },
	);
});

test('what is pushed may be written over afterwards', (t) => {
	fc.assert(
		fc.property(responses, fc.array(fc.nat(9), { maxLength: 60 }), (bytes, cuts) => {
			t.deepEqual(read(bytes, cuts, true, 'GET', true), read(bytes, [], true));
		}),
		{ numRuns: runs * 5 },
	);
});

test('a response that is taken as whole is the one that Node’s parser reads', async (t) => {
	let whole = 0;
	await fc.assert(
		fc.asyncProperty(responses, async (bytes) => {
			const ours = read(bytes, [], true);
			if (ours.outcome !== 'done') return;
			whole++;
			// Node is given no bytes behind the response: what it thinks of those is not the question.
			const node = await readWithNode(bytes.subarray(0, bytes.length - ours.left));
			t.deepEqual(node, { status: ours.status, body: ours.body }, JSON.stringify(bytes.toString('latin1')));
		}),
		{ numRuns: runs },
	);
	t.true(whole > runs / 20, `${whole} of ${runs} were whole`);
});
