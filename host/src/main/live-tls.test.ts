// Certificates that change while a node runs: when they are taken, when they are not, and that a whole mesh shows its clients and its targets the new ones without
// a restart.
import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { connect, type TLSSocket } from 'node:tls';
import test, { type ExecutionContext } from 'ava';
import { loadConfig } from '../config/load.js';
import { HandClock } from '../fleet/testing.js';
import { TEST_NAME, type TestCertificate, testCertificate } from '../router/testing/certificate.js';
import { answerWhole, chatBody, until } from '../router/testing/kit.js';
import type { DataPlaneTls } from '../router/tls.js';
import { createLog } from '../telemetry/logger.js';
import { liveDataTls } from './live-tls.js';
import { startMesh } from './meshd.js';

/** A folder whose files are replaced as operators do it: by renaming another over them. */
function folder(t: ExecutionContext): (name: string, text: string) => string {
	const at = mkdtempSync(path.join(tmpdir(), 'live-tls-'));
	t.teardown(() => rmSync(at, { recursive: true }));
	return (name, text) => {
		const file = path.join(at, name);
		writeFileSync(`${file}.new`, text);
		renameSync(`${file}.new`, file);
		return file;
	};
}

function configOf(settings: object) {
	return loadConfig({ file: 'test.yaml', env: {}, readText: () => JSON.stringify(settings) });
}

function live(t: ExecutionContext, data: object) {
	const clock = new HandClock();
	const told: DataPlaneTls[] = [];
	const results: string[] = [];
	const warnings: unknown[] = [];
	const tls = liveDataTls(configOf({ data }).config.data, {
		clock,
		log: { info: () => undefined, warn: (fields) => void warnings.push(fields) },
		reloaded: (_of, result) => results.push(result),
	});
	tls.onChange((change) => told.push(change));
	t.teardown(() => tls.close());
	return { clock, tls, told, results, warnings };
}

test('a change is taken once it is whole; what cannot be used changes nothing and is told once', async (t) => {
	const write = folder(t);
	const [one, two] = await Promise.all([testCertificate(), testCertificate()]);
	const files = { cert_file: write('cert', one.cert), key_file: write('key', one.key) };
	const { clock, tls, told, results, warnings } = live(t, { tls: files, tls_reload_ms: 1000 });
	clock.advance(5000);
	t.deepEqual([told, results], [[], []], 'what stays as it is, is not told');
	write('cert', two.cert);
	clock.advance(3000);
	t.deepEqual([told.length, results, warnings.length], [0, ['error'], 1], 'half of a rotation');
	t.is(tls.current.port?.cert, one.cert);
	write('key', two.key);
	clock.advance(1000);
	t.deepEqual(told, [{ port: { cert: two.cert, key: two.key }, upstream: {} }]);
	t.deepEqual([tls.current, results], [told[0], ['error', 'ok']]);
	rmSync(files.cert_file);
	clock.advance(5000);
	t.deepEqual([results, tls.current.port?.cert], [['error', 'ok', 'error'], two.cert]);
	write('cert', two.cert);
	clock.advance(1000);
	t.is(told.length, 1, 'what is back as it was, is no change');
});

test('nothing is looked at where there is nothing, or where nobody wants it', async (t) => {
	const write = folder(t);
	const { cert, key, ca } = await testCertificate();
	const files = { cert_file: write('cert', cert), key_file: write('key', key) };
	t.is(live(t, {}).clock.timers, 0);
	t.is(live(t, { tls: files, tls_reload_ms: 0 }).clock.timers, 0);
	t.is(live(t, { tls: files }).clock.timers, 1);
	t.is(live(t, { upstream: { ca_file: write('ca', ca) } }).clock.timers, 1);
});

/** An engine that asks for a certificate of `trusted`; it counts what it served. */
async function engine(t: ExecutionContext, own: TestCertificate, trusted: string) {
	const served = { count: 0 };
	const server = createServer({ ...own, ca: trusted, requestCert: true, rejectUnauthorized: true }, (req, res) => {
		req.resume();
		req.on('end', () => {
			if (req.method === 'POST') served.count++;
			answerWhole(req, res, Buffer.alloc(0));
		});
	});
	await new Promise<void>((resolve) => {
		server.listen(0, '127.0.0.1', resolve);
	});
	t.teardown(() => {
		server.closeAllConnections();
		server.close();
	});
	return { served, url: `https://localhost:${(server.address() as AddressInfo).port}` };
}

/** A connection to the data port, and one answer on it. */
async function greeted(t: ExecutionContext, port: number, ca: string): Promise<TLSSocket> {
	const socket = connect({ host: '127.0.0.1', port, ca, servername: TEST_NAME });
	t.teardown(() => void socket.destroy());
	await new Promise<void>((resolve, reject) => {
		socket.once('secureConnect', resolve);
		socket.once('error', reject);
	});
	return socket;
}

function asked(socket: TLSSocket): Promise<string> {
	const body = chatBody();
	socket.write(
		`POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`,
	);
	return new Promise((resolve, reject) => {
		socket.once('data', (bytes: Buffer) => resolve(bytes.toString('latin1').slice(0, 15)));
		socket.once('error', reject);
	});
}

test('a mesh shows clients and targets new certificates without a restart, and drops no connection', async (t) => {
	const write = folder(t);
	const [one, two] = await Promise.all([testCertificate(), testCertificate()]);
	const [first, second] = await Promise.all([testCertificate('localhost'), testCertificate('localhost')]);
	// The engine trusts the authority of the second pair alone: until the router shows a certificate of it, nothing is served.
	const { url, served } = await engine(t, second, second.ca);
	const loaded = configOf({
		node: { id: 'n1' },
		data: {
			port: 0,
			workers: 1,
			tls: { cert_file: write('cert', one.cert), key_file: write('key', one.key) },
			upstream: {
				ca_file: write('ca', first.ca),
				cert_file: write('up-cert', first.cert),
				key_file: write('up-key', first.key),
			},
			tls_reload_ms: 50,
			retry: { backoff_ms: 0 },
		},
		admin: { port: 0 },
		fabric: { agent_port: 0 },
		health: { period_ms: 50, healthy_after: 1 },
		targets: [{ id: 'engine', url, models: ['m'], metrics_path: '' }],
	});
	const mesh = await startMesh(loaded, { log: createLog({ level: 'silent', wallMs: () => 0 }), development: false });
	t.teardown(() => mesh.close());
	const port = Number(new URL(mesh.dataUrl ?? '').port);
	const before = await greeted(t, port, one.ca);
	t.regex(await asked(before), /^HTTP\/1\.1 50[23]/);
	t.is(served.count, 0);
	write('ca', second.ca);
	write('up-cert', second.cert);
	write('up-key', second.key);
	await until('the target is served with the new certificate', async () => (await asked(before)).includes(' 200'));
	t.true(served.count > 0);
	await t.throwsAsync(greeted(t, port, two.ca));
	write('cert', two.cert);
	write('key', two.key);
	await until('clients are shown the new certificate', () =>
		greeted(t, port, two.ca).then(
			() => true,
			() => false,
		),
	);
	t.regex(await asked(await greeted(t, port, two.ca)), / 200/);
	t.regex(await asked(before), / 200/, 'the connection from before goes on');
	await t.throwsAsync(greeted(t, port, one.ca));
});
