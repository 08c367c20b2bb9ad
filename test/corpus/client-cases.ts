// The corpus of what clients send to be understood in two ways. Each case is the bytes of one connection; `expect` says what a strict reader makes of
// it: the answers in order, and the markers of the requests an engine may see. Forms after RFC 9112 sections 2 to 7 and published research on
// desynchronisation (CL.TE, TE.CL, TE.TE, CL.0, folding, bare line ends, chunk extensions, pipelining).

export interface ClientCase {
	readonly name: string;
	readonly bytes: string;
	/** Status of each answer, in order; the connection is closed after the last when one of them is 400 or more. */
	readonly statuses: readonly number[];
	/** Markers of the requests that reach an engine. */
	readonly engine: readonly string[];
}

export const MODEL = 'corpus';
const body = (marker: string, stuffing = ''): string => JSON.stringify({ model: MODEL, marker, stuffing });
const PATH = '/v1/chat/completions';
const LINE = `POST ${PATH} HTTP/1.1`;

export function head(fields: readonly string[], line = LINE): string {
	return `${[line, 'host: a', ...fields].join('\r\n')}\r\n\r\n`;
}

/** A whole request with a length. */
export function whole(marker: string, fields: readonly string[] = []): string {
	const text = body(marker);
	return head([...fields, `content-length: ${text.length}`]) + text;
}

function chunked(marker: string, fields: readonly string[] = [], trailer = ''): string {
	const text = body(marker);
	return `${head(['transfer-encoding: chunked', ...fields])}${text.length.toString(16)}\r\n${text}\r\n0\r\n${trailer}\r\n`;
}

const smuggled = whole('smuggled');
const good = body('good');
const goodChunk = `${good.length.toString(16)}\r\n${good}\r\n`;
const refused = { statuses: [400], engine: [] } as const;
const fine = { statuses: [200], engine: ['good'] } as const;

const lengths: readonly ClientCase[] = [
	{
		name: 'CL.TE',
		bytes: head(['content-length: 6', 'transfer-encoding: chunked']) + `0\r\n\r\n${smuggled}`,
		...refused,
	},
	{
		name: 'TE.CL',
		bytes: head(['transfer-encoding: chunked', 'content-length: 4']) + `${goodChunk}0\r\n\r\n${smuggled}`,
		...refused,
	},
	{
		name: 'two equal lengths',
		bytes: head([`content-length: ${good.length}`, `content-length: ${good.length}`]) + good,
		...refused,
	},
	{
		name: 'two lengths, the second longer',
		bytes: head(['content-length: 2', 'content-length: 400']) + `{}${smuggled}`,
		...refused,
	},
	{
		name: 'a list of lengths',
		bytes: `${head([`content-length: ${good.length}, ${good.length}`])}${good}`,
		...refused,
	},
	...['+2', '-2', '0x2', '2.0', '2e0', '2 2', '2_0', '', '٢', '18446744073709551618'].map((length) => ({
		name: `length ${JSON.stringify(length)}`,
		bytes: `${head([`content-length: ${length}`])}{}${smuggled}`,
		statuses: [400],
		engine: [],
	})),
	{
		name: 'a length in another case, after one',
		bytes: `${head(['content-length: 2', 'CONTENT-LENGTH: 400'])}{}${smuggled}`,
		...refused,
	},
	{ name: 'a length beside a tab', bytes: head([`content-length:\t${good.length}\t`]) + good, ...fine },
	{ name: 'a length with zeros before it', bytes: head([`content-length: 000${good.length}`]) + good, ...fine },
];

const encodings: readonly ClientCase[] = [
	...[
		'xchunked',
		'chunked, chunked',
		'chunked, identity',
		'identity, xchunked',
		'chunked;q=1',
		'"chunked"',
		'chunked\u000b',
		'\u000bchunked',
		'x chunked',
		'cow, chunked2',
		'chunk',
	].map((encoding) => ({
		name: `encoding ${JSON.stringify(encoding)}`,
		bytes: `${head([`transfer-encoding: ${encoding}`])}${goodChunk}0\r\n\r\n${smuggled}`,
		statuses: [400],
		engine: [],
	})),
	{
		name: 'an encoding twice, the second unknown',
		bytes: `${head(['transfer-encoding: chunked', 'transfer-encoding: cow'])}0\r\n\r\n${smuggled}`,
		...refused,
	},
	{
		name: 'an encoding with a space before the colon',
		bytes: `${head(['transfer-encoding : chunked', 'content-length: 4'])}0\r\n\r\n${smuggled}`,
		...refused,
	},
	{
		name: 'an encoding of HTTP/1.0 with a length',
		bytes: `${head(['transfer-encoding: chunked', 'content-length: 4'], `POST ${PATH} HTTP/1.0`)}0\r\n\r\n${smuggled}`,
		...refused,
	},
	{ name: 'chunked in capitals', bytes: chunked('good').replace('chunked', 'CHUNKED'), ...fine },
	{ name: 'chunked as it should be', bytes: chunked('good'), ...fine },
	{
		name: 'chunked with a trailer that names a length',
		bytes: chunked('good', ['trailer: x-a'], 'x-a: b\r\n'),
		...fine,
	},
];

const chunks: readonly ClientCase[] = [
	...['zz', '-1', '+5', '0x5', '5 5', ' 5', 'fffffffffffffffff', '5;', '\u0000'].map((size) => ({
		name: `chunk size ${JSON.stringify(size)}`,
		bytes: `${head(['transfer-encoding: chunked'])}${size}\r\nhello\r\n0\r\n\r\n${smuggled}`,
		statuses: size === '5;' ? [400] : [400],
		engine: [],
	})),
	{
		name: 'a chunk longer than its size',
		bytes: `${head(['transfer-encoding: chunked'])}2\r\n{}{}\r\n0\r\n\r\n${smuggled}`,
		...refused,
	},
	{
		name: 'a chunk that ends in a bare line feed',
		bytes: `${head(['transfer-encoding: chunked'])}2\r\n{}\n0\r\n\r\n${smuggled}`,
		...refused,
	},
	{
		name: 'a chunk size that ends in a bare line feed',
		bytes: `${head(['transfer-encoding: chunked'])}2\n{}\r\n0\r\n\r\n${smuggled}`,
		...refused,
	},
	{
		name: 'a chunk extension with a bare carriage return',
		bytes: `${head(['transfer-encoding: chunked'])}2;a=\rb\r\n{}\r\n0\r\n\r\n${smuggled}`,
		...refused,
	},
];

const fields: readonly ClientCase[] = [
	{ name: 'a folded encoding', bytes: `${head(['transfer-encoding:', ' chunked'])}0\r\n\r\n${smuggled}`, ...refused },
	{ name: 'a folded length', bytes: `${head(['content-length:', '\t2'])}{}${smuggled}`, ...refused },
	{
		name: 'a folded field of no meaning',
		bytes: head(['x-a: b', ' c', `content-length: ${good.length}`]) + good,
		...refused,
	},
	{ name: 'a first field that is folded', bytes: `${LINE}\r\n host: a\r\ncontent-length: 2\r\n\r\n{}`, ...refused },
	{ name: 'bare line feeds', bytes: `${LINE}\nhost: a\ncontent-length: 2\n\n{}`, ...refused },
	{ name: 'one bare line feed', bytes: `${LINE}\r\nhost: a\nx-a: b\r\ncontent-length: 2\r\n\r\n{}`, ...refused },
	{
		name: 'bare carriage returns',
		bytes: `${LINE}\r\nhost: a\r\nx-a: b\rtransfer-encoding: chunked\r\ncontent-length: 2\r\n\r\n{}`,
		...refused,
	},
	{ name: 'a NUL in a value', bytes: `${head(['x-a: b\0c', 'content-length: 2'])}{}`, ...refused },
	{ name: 'a NUL in a name', bytes: `${head(['x\0a: b', 'content-length: 2'])}{}`, ...refused },
	{ name: 'a field without a colon', bytes: `${head(['nonsense', 'content-length: 2'])}{}`, ...refused },
	{ name: 'a field without a name', bytes: `${head([': b', 'content-length: 2'])}{}`, ...refused },
	{ name: 'no host', bytes: `${LINE}\r\ncontent-length: 2\r\n\r\n{}`, ...refused },
	{ name: 'two hosts', bytes: `${head(['host: b', `content-length: ${good.length}`])}${good}`, ...refused },
	{
		name: 'a connection field that names the length',
		bytes: whole('good', ['connection: close, content-length']),
		...fine,
	},
	{
		name: 'a connection field that names the host',
		bytes: whole('good', ['connection: close, host, x-a', 'x-a: 1']),
		...fine,
	},
	{
		name: 'fields of proxies',
		bytes: whole('good', ['x-forwarded-for: 1.2.3.4', 'forwarded: for=1', 'via: 1.1 x', 'te: trailers']),
		...fine,
	},
];

const lines: readonly ClientCase[] = [
	...['HTTP/1.2', 'HTTP/2.0', 'HTTP/1', 'http/1.1', 'HTTP/1.10', 'HTTP/ 1.1', 'ICY/1.1'].map((version) => ({
		name: `version ${version}`,
		bytes: `${head(['content-length: 2'], `POST ${PATH} ${version}`)}{}${smuggled}`,
		statuses: [400],
		engine: [],
	})),
	{ name: 'a space in the path', bytes: `${head(['content-length: 2'], `POST ${PATH} x HTTP/1.1`)}{}`, ...refused },
	{
		name: 'a method of control characters',
		bytes: `${head(['content-length: 2'], `PO\u0001ST ${PATH} HTTP/1.1`)}{}`,
		...refused,
	},
	{ name: 'no HTTP at all', bytes: 'nonsense\r\n\r\n', ...refused },
	{ name: 'a TLS greeting', bytes: '\u0016\u0003\u0001\u0002\u0000\u0001\u0000\u0001\u00fc\u0003\u0003', ...refused },
];

const pipelines: readonly ClientCase[] = [
	{ name: 'two at once', bytes: whole('good') + whole('second'), statuses: [200, 200], engine: ['good', 'second'] },
	{
		name: 'three at once, the last chunked',
		bytes: whole('good') + whole('second') + chunked('third'),
		statuses: [200, 200, 200],
		engine: ['good', 'second', 'third'],
	},
	{
		name: 'one that waits for its answer, then nonsense, which must not be taken for that',
		bytes: `${whole('good')}nonsense\r\n\r\n`,
		statuses: [200, 400],
		engine: ['good'],
	},
	{
		name: 'one that waits for its answer, then one with both lengths',
		bytes: `${whole('good')}${head(['content-length: 6', 'transfer-encoding: chunked'])}0\r\n\r\n${smuggled}`,
		statuses: [200, 400],
		engine: ['good'],
	},
	{
		name: 'bytes after a last request',
		bytes: `${whole('good', ['connection: close'])}${smuggled}`,
		...fine,
	},
	{ name: 'an empty line before a request', bytes: `\r\n${whole('good')}`, ...fine },
	{
		name: 'a body that looks like a request',
		bytes: ((text) => `${head([`content-length: ${text.length}`])}${text}`)(
			body('good', smuggled.replaceAll('"', "'")),
		),
		...fine,
	},
	{
		name: 'a GET with a body that is a request',
		bytes: `GET /v1/models HTTP/1.1\r\nhost: a\r\ncontent-length: ${smuggled.length}\r\n\r\n${smuggled}`,
		statuses: [200],
		engine: [],
	},
];

export const clientCases: readonly ClientCase[] = [
	...lengths,
	...encodings,
	...chunks,
	...fields,
	...lines,
	...pipelines,
];
