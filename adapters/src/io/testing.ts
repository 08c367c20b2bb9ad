// Owns stand-ins for stores: an S3 server that checks every signature by its own reading of the raw request, and one of GCS's JSON API. Test support only.
import { createHash, createHmac } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { ExecutionContext } from 'ava';

export const S3_KEY = 'AKIDTEST';
export const S3_SECRET = 'secret/of+the=test';

interface StoredObject {
	readonly body: Buffer;
	readonly modifiedMs: number;
}

export interface StandInStore {
	readonly endpoint: string;
	readonly objects: Map<string, StoredObject>;
	readonly requests: string[];
	/** Given to the next requests in turn, in place of an answer of its own. */
	readonly failures: { readonly status: number; readonly body: string }[];
	/** Objects are told in pages of this many. */
	pageSize: number;
	/** Cuts what is read by one byte. */
	corrupt: boolean;
}

type Answer = (request: IncomingMessage, body: Buffer, response: ServerResponse, store: StandInStore) => void;

async function openStore(t: ExecutionContext, answer: Answer): Promise<StandInStore> {
	const server: Server = createServer((request, response) => {
		const pieces: Buffer[] = [];
		request.on('data', (piece: Buffer) => pieces.push(piece));
		request.on('end', () => {
			store.requests.push(`${request.method} ${request.url}`);
			const failure = store.failures.shift();
			if (failure !== undefined) response.writeHead(failure.status).end(failure.body);
			else answer(request, Buffer.concat(pieces), response, store);
		});
	});
	await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', () => resolve()));
	t.teardown(() => {
		server.closeAllConnections();
		server.close();
	});
	const { port } = server.address() as { port: number };
	const store: StandInStore = {
		endpoint: `http://127.0.0.1:${port}`,
		objects: new Map(),
		requests: [],
		failures: [],
		pageSize: 1000,
		corrupt: false,
	};
	return store;
}

const hmac = (key: Buffer | string, text: string): Buffer => createHmac('sha256', key).update(text, 'utf8').digest();
const sha = (data: Buffer | string): string => createHash('sha256').update(data).digest('hex');

/** The signature a request must have, from its raw bytes; undefined = it has no authorization of this form. */
function expectedSignature(request: IncomingMessage, body: Buffer): { expected: string; shown: string } | undefined {
	const shown =
		/^AWS4-HMAC-SHA256 Credential=([^/]+)\/(\d{8})\/([^/]+)\/s3\/aws4_request, ?SignedHeaders=([^,]+), ?Signature=([0-9a-f]{64})$/.exec(
			request.headers.authorization ?? '',
		);
	if (shown === null || shown[1] !== S3_KEY) return undefined;
	const [, , day = '', region = '', names = '', signature = ''] = shown;
	if (!['host', 'x-amz-content-sha256', 'x-amz-date'].every((name) => names.split(';').includes(name)))
		return undefined;
	if (request.headers['x-amz-content-sha256'] !== sha(body)) return undefined;
	const [path = '', query = ''] = (request.url ?? '').split('?');
	const sortedQuery = query
		.split('&')
		.filter((pair) => pair !== '')
		.map((pair) => (pair.includes('=') ? pair : `${pair}=`))
		.sort()
		.join('&');
	const headers = names
		.split(';')
		.map((name) => `${name}:${String(request.headers[name] ?? '').trim()}\n`)
		.join('');
	const canonical = `${request.method}\n${path}\n${sortedQuery}\n${headers}\n${names}\n${sha(body)}`;
	const date = String(request.headers['x-amz-date']);
	const toSign = `AWS4-HMAC-SHA256\n${date}\n${day}/${region}/s3/aws4_request\n${sha(canonical)}`;
	const key = hmac(hmac(hmac(hmac(`AWS4${S3_SECRET}`, day), region), 's3'), 'aws4_request');
	return { expected: hmac(key, toSign).toString('hex'), shown: signature };
}

const xmlError = (code: string): string =>
	`<?xml version="1.0"?><Error><Code>${code}</Code><Message>no</Message></Error>`;

/** Buckets are made by being named. */
export function openS3(t: ExecutionContext): Promise<StandInStore> {
	return openStore(t, (request, body, response, store) => {
		const signature = expectedSignature(request, body);
		if (signature === undefined || signature.expected !== signature.shown) {
			response.writeHead(403).end(xmlError('SignatureDoesNotMatch'));
			return;
		}
		const url = new URL(request.url ?? '', 'http://x');
		const key = decodeURIComponent(url.pathname.slice(1));
		const found = store.objects.get(key);
		if (url.searchParams.get('list-type') === '2') response.end(listing(url, key, store));
		else if (request.method === 'PUT') {
			store.objects.set(key, { body, modifiedMs: Date.now() });
			response.end();
		} else if (found === undefined) response.writeHead(404).end(xmlError('NoSuchKey'));
		else if (request.method === 'DELETE') {
			store.objects.delete(key);
			response.writeHead(204).end();
		} else response.end(store.corrupt ? found.body.subarray(1) : found.body);
	});
}

function listing(url: URL, bucket: string, store: StandInStore): string {
	const prefix = `${bucket}/${url.searchParams.get('prefix') ?? ''}`;
	const keys = [...store.objects.keys()].filter((key) => key.startsWith(prefix)).sort();
	const from = Number(url.searchParams.get('continuation-token') ?? 0);
	const page = keys.slice(from, from + store.pageSize);
	const more = from + page.length < keys.length;
	const contents = page.map((key) => {
		const modified = new Date(store.objects.get(key)?.modifiedMs ?? 0).toISOString();
		const name = key.slice(bucket.length + 1).replaceAll('&', '&amp;');
		return `<Contents><Key>${name}</Key><LastModified>${modified}</LastModified></Contents>`;
	});
	const token = more ? `<NextContinuationToken>${from + page.length}</NextContinuationToken>` : '';
	return `<ListBucketResult><IsTruncated>${more}</IsTruncated>${token}${contents.join('')}</ListBucketResult>`;
}

export const GCS_TOKEN = 'token-of-the-test';

export function openGcs(t: ExecutionContext): Promise<StandInStore> {
	return openStore(t, (request, body, response, store) => {
		if (request.headers.authorization !== `Bearer ${GCS_TOKEN}`) {
			response.writeHead(401).end('{}');
			return;
		}
		const url = new URL(request.url ?? '', 'http://x');
		const [, bucket = '', name] = /^(?:\/upload)?\/storage\/v1\/b\/([^/]+)\/o(?:\/(.+))?$/.exec(url.pathname) ?? [];
		const key = `${bucket}/${decodeURIComponent(name ?? url.searchParams.get('name') ?? '')}`;
		const found = store.objects.get(key);
		if (request.method === 'POST' && url.pathname.startsWith('/upload/')) {
			store.objects.set(key, { body, modifiedMs: Date.now() });
			response.end('{}');
		} else if (name === undefined) {
			const prefix = `${bucket}/${url.searchParams.get('prefix') ?? ''}`;
			const keys = [...store.objects.keys()].filter((one) => one.startsWith(prefix)).sort();
			const from = Number(url.searchParams.get('pageToken') ?? 0);
			const items = keys.slice(from, from + store.pageSize).map((one) => ({
				name: one.slice(bucket.length + 1),
				updated: new Date(store.objects.get(one)?.modifiedMs ?? 0).toISOString(),
			}));
			const next = from + items.length < keys.length ? { nextPageToken: String(from + items.length) } : {};
			response.end(JSON.stringify({ items, ...next }));
		} else if (found === undefined) response.writeHead(404).end('{}');
		else if (request.method === 'DELETE') {
			store.objects.delete(key);
			response.writeHead(204).end();
		} else response.end(found.body);
	});
}
