// Probes of stores: an S3 server that checks signatures, one of GCS's API, and a real folder.
import { readdirSync, utimesSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { adapterFiles } from '../effects/files.js';
import { httpCaller } from '../effects/http.js';
import { testBytes, testClock, testFolder } from '../effects/testing.js';
import { FileStore } from './file-store.js';
import { GcsStore } from './gcs-store.js';
import { StoreProbe } from './probe.js';
import { type S3Options, S3Store } from './s3-store.js';
import { signV4 } from './sigv4.js';
import { GCS_TOKEN, openGcs, openS3, S3_KEY, S3_SECRET, type StandInStore } from './testing.js';

const http = httpCaller(testClock);
const PROBE = { objectBytes: 50_000, roundsPerLook: 2 };

test('the signatures of the examples AWS publishes', (t) => {
	const credentials = {
		accessKeyId: 'AKIAIOSFODNN7EXAMPLE',
		secretAccessKey: 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY',
	};
	const scope = { region: 'us-east-1', service: 's3' };
	const atMs = Date.UTC(2013, 4, 24);
	const host = 'https://examplebucket.s3.amazonaws.com';
	const signature = (method: string, url: string, headers: Record<string, string> = {}, body = '') =>
		signV4({ method, url: new URL(host + url), headers, body: Buffer.from(body) }, credentials, scope, atMs)[
			'authorization'
		]?.slice(-64);
	t.is(
		signature('GET', '/test.txt', { range: 'bytes=0-9' }),
		'f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41',
	);
	t.is(
		signature(
			'PUT',
			'/test%24file.text',
			{ date: 'Fri, 24 May 2013 00:00:00 GMT', 'x-amz-storage-class': 'REDUCED_REDUNDANCY' },
			'Welcome to Amazon S3.',
		),
		'98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd',
	);
	t.is(signature('GET', '/?max-keys=2&prefix=J'), '34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7');
});

const s3 = ({ endpoint }: StandInStore, options: Partial<S3Options> = {}): S3Store =>
	new S3Store(
		{
			endpoint,
			bucket: 'models',
			prefix: 'run (1)/',
			region: 'eu-central-1',
			credentials: { accessKeyId: S3_KEY, secretAccessKey: S3_SECRET },
			timeoutMs: 10_000,
			pagesMax: 4,
			...options,
		},
		http,
		testClock,
	);

const probeOf = (store: ConstructorParameters<typeof StoreProbe>[0]) =>
	new StoreProbe(store, testClock, testBytes, { ...PROBE, node: 'n1' });

test('an S3 store is measured by signed requests, and nothing stays behind', async (t) => {
	const server = await openS3(t);
	server.objects.set('models/run (1)/step & 7', { body: Buffer.from('x'), modifiedMs: Date.now() - 3_600_000 });
	const probe = probeOf(s3(server));
	const first = await probe.look();
	t.deepEqual([first.failures, first.errors, first.unread], [0, [], []]);
	t.like(first, { source: 's3', store: 's3://models/run (1)/', probed: true, node: 'n1', requests: 7 });
	t.is(first.checkpoint?.bytes, 50_000);
	t.is(first.dataset?.readBytes, 100_000);
	const { durationMs = 0, stallMs = 0, bytesPerSec = 0, ageS = 0 } = first.checkpoint ?? {};
	t.true(durationMs > 0 && stallMs >= 0 && stallMs <= durationMs);
	t.true(Math.abs(bytesPerSec - (50_000 * 1000) / durationMs) < 1);
	t.true(ageS >= 3600 && ageS < 7200, String(ageS));
	const { readDurationMs = 0, waitDurationMs = 0 } = first.dataset ?? {};
	t.true(waitDurationMs > 0 && waitDurationMs <= readDurationMs);
	t.deepEqual([...server.objects.keys()], ['models/run (1)/step & 7']);
	t.true(((await probe.look()).intervalMs ?? 0) > 0);
});

test('a wrong secret is told by the store’s own code', async (t) => {
	const server = await openS3(t);
	const credentials = { accessKeyId: S3_KEY, secretAccessKey: 'wrong' };
	const delta = await probeOf(s3(server, { credentials })).look();
	t.deepEqual([delta.requests, delta.failures, delta.errors], [3, 3, ['SignatureDoesNotMatch']]);
	t.deepEqual([delta.checkpoint, delta.dataset], [{}, {}]);
});

test('the newest checkpoint is looked for over pages, and it is said when there are too many', async (t) => {
	const server = await openS3(t);
	for (let at = 0; at < 10; at++)
		server.objects.set(`models/run (1)/${at}`, { body: Buffer.from(''), modifiedMs: Date.now() - (10 - at) * 100_000 });
	server.pageSize = 4;
	const all = await probeOf(s3(server)).look();
	t.true((all.checkpoint?.ageS ?? 0) < 200);
	const cut = await probeOf(s3(server, { pagesMax: 2 })).look();
	t.deepEqual(cut.unread, ['age: more objects than are listed; there may be a newer one']);
	t.true((cut.checkpoint?.ageS ?? 0) > 200);
});

test('failures now and then are counted, and what went well is measured', async (t) => {
	const server = await openS3(t);
	server.failures.push({ status: 503, body: '<Error><Code>SlowDown</Code></Error>' });
	const slow = await probeOf(s3(server)).look();
	t.deepEqual([slow.failures, slow.errors, slow.dataset?.readBytes], [1, ['SlowDown'], 50_000]);
	server.corrupt = true;
	const corrupt = await probeOf(s3(server)).look();
	t.deepEqual([corrupt.failures, corrupt.errors], [2, ['corrupt']]);
	t.is(server.objects.size, 0);
});

test('a store that is not there', async (t) => {
	const delta = await probeOf(s3({ endpoint: 'http://127.0.0.1:1' } as StandInStore)).look();
	t.deepEqual([delta.failures, delta.errors], [3, ['ECONNREFUSED']]);
});

test('an answer that is too long or never ends is given up', async (t) => {
	const server = await openS3(t);
	const ask = { method: 'GET', url: `${server.endpoint}/x`, timeoutMs: 10_000, bodyMaxBytes: 10 } as const;
	await t.throwsAsync(http(ask), { message: /exceeds 10 bytes/ });
	await t.throwsAsync(http({ ...ask, url: 'file:///etc/passwd' }), { message: 'file: is not HTTP' });
});

function gcs(server: StandInStore, token = GCS_TOKEN): GcsStore {
	const options = { endpoint: server.endpoint, bucket: 'b', prefix: 'p/', timeoutMs: 10_000, pagesMax: 4 };
	return new GcsStore({ ...options, token: () => Promise.resolve(token) }, http);
}

test('a store with GCS’s JSON API', async (t) => {
	const server = await openGcs(t);
	server.pageSize = 1;
	for (const [name, ageMs] of [
		['a', 9000_000],
		['b', 5000_000],
	] as const)
		server.objects.set(`b/p/${name}`, { body: Buffer.from('x'), modifiedMs: Date.now() - ageMs });
	const delta = await probeOf(gcs(server)).look();
	t.like(delta, { source: 'gcs', store: 'gs://b/p/', failures: 0, unread: [] });
	t.is(delta.dataset?.readBytes, 100_000);
	t.true((delta.checkpoint?.ageS ?? 0) >= 5000 && (delta.checkpoint?.ageS ?? 0) < 8000);
	t.is(server.objects.size, 2);
	t.deepEqual((await probeOf(gcs(server, 'old')).look()).errors, ['HTTP 401']);
});

const folderProbe = (folder: string) => probeOf(new FileStore(folder, adapterFiles(testClock), testClock));

test('a folder, with fsync', async (t) => {
	const folder = testFolder(t);
	const old = path.join(folder, 'step-7.pt');
	writeFileSync(old, 'x');
	const at = new Date(Date.now() - 7_200_000);
	utimesSync(old, at, at);
	const delta = await folderProbe(folder).look();
	t.like(delta, { source: 'file', store: folder, failures: 0 });
	const { durationMs = 0, stallMs = 0, ageS = 0 } = delta.checkpoint ?? {};
	t.true(stallMs > 0 && stallMs <= durationMs);
	t.true(ageS >= 7200 && ageS < 10_000);
	t.deepEqual(readdirSync(folder), ['step-7.pt']);
});

test('a folder that is not there', async (t: ExecutionContext) => {
	const delta = await folderProbe(path.join(testFolder(t), 'none')).look();
	t.deepEqual([delta.failures, delta.errors], [3, ['ENOENT']]);
});
