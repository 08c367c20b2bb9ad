// The admin API under TLS, as the command line and others meet it: whom each trusts, certificates asked of callers, and a rotation without a restart.
import { existsSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { connect as connectClear } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { connect, type TLSSocket } from 'node:tls';
import test, { type ExecutionContext } from 'ava';
import { loadConfig } from '../config/load.js';
import { startMesh } from '../main/meshd.js';
import { testCertificate } from '../router/testing/certificate.js';
import { until } from '../router/testing/kit.js';
import { createLog } from '../telemetry/logger.js';
import { type Ran, type RunOptions, run as runWithFiles } from './testing.js';

const TOKEN = 'a-token-for-tests';

/** The files that are really there. */
const disk = new Proxy<Readonly<Record<string, string>>>(
	{},
	{ get: (_, file) => (existsSync(String(file)) ? readFileSync(String(file), 'utf8') : undefined) },
);

const run = (argv: readonly string[], options: RunOptions = {}): Promise<Ran> =>
	runWithFiles(argv, { ...options, files: disk });

/** A folder whose files are replaced as operators do it: by renaming another over them. */
function folder(t: ExecutionContext): (name: string, text: string) => string {
	const at = mkdtempSync(path.join(tmpdir(), 'admin-tls-'));
	t.teardown(() => rmSync(at, { recursive: true }));
	return (name, text) => {
		const file = path.join(at, name);
		writeFileSync(`${file}.new`, text);
		renameSync(`${file}.new`, file);
		return file;
	};
}

interface Started {
	/** By the name that certificates of these tests are for. */
	readonly admin: string;
	readonly port: number;
	readonly warnings: readonly string[];
}

async function started(t: ExecutionContext, tls: Readonly<Record<string, string>>): Promise<Started> {
	const settings = {
		node: { id: 'n1' },
		roles: ['coordinator'],
		admin: { port: 0, token: TOKEN, tls, tls_reload_ms: 50 },
		fabric: { agent_port: 0 },
		strategy: { admission_timeout_ms: 60_000 },
	};
	const warnings: string[] = [];
	const mesh = await startMesh(loadConfig({ file: 'test.yaml', env: {}, readText: () => JSON.stringify(settings) }), {
		log: createLog({
			level: 'warn',
			wallMs: () => 0,
			destination: { write: (line: string) => void warnings.push(line) },
		}),
		development: false,
	});
	t.teardown(() => mesh.close());
	t.regex(mesh.adminUrl, /^https:\/\//);
	const port = Number(new URL(mesh.adminUrl).port);
	return { admin: `https://localhost:${port}`, port, warnings };
}

const status = (admin: string, ...more: readonly string[]): Promise<Ran> =>
	run(['status', '--json', '--admin', admin, '--token', TOKEN, ...more]);

test.serial(
	'the command line trusts the authority it is told of, by option or environment, and no other',
	async (t) => {
		const write = folder(t);
		const [own, other] = await Promise.all([testCertificate('localhost'), testCertificate('localhost')]);
		const { admin, port } = await started(t, { cert_file: write('cert', own.cert), key_file: write('key', own.key) });
		const ca = write('ca', own.ca);
		const told = await status(admin, '--admin-ca', ca);
		t.is(told.code, 0, told.err);
		t.is((JSON.parse(told.out) as { adminUrl: string }).adminUrl, `https://127.0.0.1:${port}`);
		const env = { INFERMESH_ADMIN: admin, INFERMESH_ADMIN_CA: ca, INFERMESH_TOKEN: TOKEN };
		t.is((await run(['status', '--json'], { env })).code, 0);
		for (const more of [[], ['--admin-ca', write('other', other.ca)]]) {
			const refused = await status(admin, ...more);
			t.is(refused.code, 4);
			t.regex(refused.err, /IM_CLI_TLS/);
		}
		const byAddress = await status(`https://127.0.0.1:${port}`, '--admin-ca', ca);
		t.regex(byAddress.err, /IM_CLI_TLS/, 'the certificate is for another name');
		const clear = await status(`http://127.0.0.1:${port}`);
		t.regex(clear.err, /IM_CLI_UNREACHABLE/);
		t.regex((await status(admin, '--admin-ca', 'no/such/file')).err, /IM_CLI_USAGE/);
		t.regex((await status(admin, '--admin-ca', ca, '--admin-cert', ca)).err, /IM_CLI_USAGE/);
		const stranger = await run(['status', '--json', '--admin', admin, '--token', 'wrong', '--admin-ca', ca]);
		t.deepEqual([stranger.code, /IM_ADMIN_UNAUTHENTICATED/.test(stranger.err)], [5, true]);
	},
);

test.serial('who speaks in the clear, or nothing at all, is told nothing', async (t) => {
	const write = folder(t);
	const own = await testCertificate('localhost');
	const { port } = await started(t, { cert_file: write('cert', own.cert), key_file: write('key', own.key) });
	const answer = await new Promise<string>((resolve) => {
		const socket = connectClear(port, '127.0.0.1', () => socket.write('GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n'));
		let got = '';
		socket.on('data', (bytes) => (got += bytes.toString('latin1')));
		socket.on('error', () => undefined);
		socket.on('close', () => resolve(got));
	});
	t.notRegex(answer, /HTTP\/1.1 200|"status"/);
});

test.serial(
	'where certificates are asked of callers, one of the authority is let in, with its token, and nobody else',
	async (t) => {
		const write = folder(t);
		const [own, caller, stranger] = await Promise.all([
			testCertificate('localhost'),
			testCertificate('caller'),
			testCertificate('stranger'),
		]);
		const { admin } = await started(t, {
			cert_file: write('cert', own.cert),
			key_file: write('key', own.key),
			client_ca_file: write('client-ca', caller.ca),
		});
		const ca = ['--admin-ca', write('ca', own.ca)];
		const shown = ({ cert, key }: { readonly cert: string; readonly key: string }, name: string): readonly string[] => [
			...ca,
			'--admin-cert',
			write(`${name}.pem`, cert),
			'--admin-key',
			write(`${name}.key`, key),
		];
		const letIn = await status(admin, ...shown(caller, 'caller'));
		t.is(letIn.code, 0, letIn.err);
		for (const more of [ca, shown(stranger, 'stranger')]) {
			const refused = await status(admin, ...more);
			t.is(refused.code, 4);
			t.regex(refused.err, /IM_CLI_(TLS|UNREACHABLE)/);
		}
		const env = { INFERMESH_ADMIN_CERT: write('e.pem', caller.cert), INFERMESH_ADMIN_KEY: write('e.key', caller.key) };
		const without = await run(['status', '--json', '--admin', admin, ...ca, '--token', 'wrong'], { env });
		t.is(without.code, 5, 'a certificate is no token');
	},
);

/** A connection that stays open, and an answer on it. */
async function opened(t: ExecutionContext, port: number, ca: string): Promise<TLSSocket> {
	const socket = connect({ host: '127.0.0.1', port, ca, servername: 'localhost' });
	t.teardown(() => void socket.destroy());
	await new Promise<void>((resolve, reject) => {
		socket.once('secureConnect', resolve);
		socket.once('error', reject);
	});
	return socket;
}

function asked(socket: TLSSocket): Promise<string> {
	socket.write('GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n');
	return new Promise((resolve, reject) => {
		socket.once('data', (bytes: Buffer) => resolve(bytes.toString('latin1').slice(0, 15)));
		socket.once('error', reject);
		socket.once('close', () => reject(new Error('closed')));
	});
}

test.serial(
	'a rotation needs no restart and drops no connection; half of one changes nothing, and is counted',
	async (t) => {
		const write = folder(t);
		const [one, two] = await Promise.all([testCertificate('localhost'), testCertificate('localhost')]);
		const { admin, port, warnings } = await started(t, {
			cert_file: write('cert', one.cert),
			key_file: write('key', one.key),
		});
		const before = await opened(t, port, one.ca);
		t.regex(await asked(before), / 200/);
		write('cert', two.cert);
		await until('half of it is refused', () =>
			warnings.some((line) => line.includes('of the admin API cannot be used')),
		);
		t.is((await status(admin, '--admin-ca', write('one', one.ca))).code, 0);
		write('key', two.key);
		const twoCa = write('two', two.ca);
		await until('the new one is shown', async () => (await status(admin, '--admin-ca', twoCa)).code === 0);
		t.regex(await asked(before), / 200/, 'the connection from before goes on');
		await t.throwsAsync(opened(t, port, one.ca));
		const after = await opened(t, port, two.ca);
		after.write(
			`GET /metrics HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer ${TOKEN}\r\nconnection: close\r\n\r\n`,
		);
		let metrics = '';
		for await (const bytes of after) metrics += String(bytes);
		t.regex(metrics, /infermesh_tls_reloads_total\{of="admin",result="ok"\} 1\n/);
		t.regex(metrics, /infermesh_tls_reloads_total\{of="admin",result="error"\} 1\n/);
	},
);

test.serial('a node does not start with files that do not belong together', async (t) => {
	const write = folder(t);
	const [one, two] = await Promise.all([testCertificate('localhost'), testCertificate('localhost')]);
	await t.throwsAsync(started(t, { cert_file: write('cert', one.cert), key_file: write('key', two.key) }), {
		message: /key values mismatch/i,
	});
});
