// Owns real programs for the external tests: finding them, running one to its end, and nginx in a folder of its own. A test fails, and says what
// to install, when a program is missing.
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { eventually, type Teardown } from './mesh.js';

const folders = ['/usr/bin', '/usr/sbin', '/usr/local/bin', '/usr/local/sbin'];

/** The path of a program. Throws, naming the Debian package, when it is not installed. */
export function program(name: string, debianPackage: string): string {
	const found = folders.map((folder) => path.join(folder, name)).find(existsSync);
	if (found === undefined) throw new Error(`${name} is not installed: apt-get install ${debianPackage}`);
	return found;
}

/** Runs a program to its end. */
export function run(
	file: string,
	args: readonly string[],
	input = '',
): Promise<{ readonly code: number | null; readonly output: string }> {
	return new Promise((resolve, reject) => {
		const child = spawn(file, args, { stdio: 'pipe' });
		let output = '';
		child.stdout.on('data', (bytes: Buffer) => (output += bytes.toString()));
		child.stderr.on('data', (bytes: Buffer) => (output += bytes.toString()));
		child.once('error', reject);
		child.once('close', (code) => resolve({ code, output }));
		child.stdin.on('error', () => undefined);
		child.stdin.end(input);
	});
}

/** A folder that is gone after the test. */
export function temporaryFolder(t: Teardown): string {
	const folder = mkdtempSync(path.join(tmpdir(), 'infermesh-external-'));
	t.teardown(() => rmSync(folder, { recursive: true, force: true }));
	return folder;
}

/**
 * nginx in front of `upstreamUrl`; resolves to its address. `location` holds further directives; with `http2` it speaks HTTP/2 in the clear, and nothing
 * else.
 */
export async function startNginx(t: Teardown, upstreamUrl: string, location: string, http2 = false): Promise<string> {
	const binary = program('nginx', 'nginx-light');
	const folder = temporaryFolder(t);
	const port = await freePort();
	const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
		(kind) => `${kind}_temp_path ${folder}/${kind};`,
	);
	const file = path.join(folder, 'nginx.conf');
	writeFileSync(
		file,
		`daemon off;
worker_processes 1;
pid ${folder}/nginx.pid;
error_log ${folder}/error.log;
events { worker_connections 256; }
http {
	access_log off;
	${temporary.join('\n\t')}
	server {
		listen 127.0.0.1:${port}${http2 ? ' http2' : ''};
		location / {
			proxy_pass ${upstreamUrl};
			proxy_http_version 1.1;
			proxy_set_header Connection "";
			${location}
		}
	}
}
`,
	);
	const child = spawn(binary, ['-c', file, '-p', folder, '-e', path.join(folder, 'error.log')], { stdio: 'ignore' });
	t.teardown(() => ended(child));
	const url = `http://127.0.0.1:${port}`;
	await eventually('nginx listens', () => listens(port));
	return url;
}

function listens(port: number): Promise<boolean> {
	return new Promise((resolve) => {
		const socket = connect(port, '127.0.0.1');
		socket.once('connect', () => resolve(true));
		socket.once('error', () => resolve(false));
		socket.once('connect', () => socket.destroy());
	});
}

export async function ended(child: ChildProcess): Promise<void> {
	if (child.exitCode !== null || child.signalCode !== null) return;
	const exit = new Promise((resolve) => child.once('exit', resolve));
	child.kill('SIGTERM');
	await exit;
}

/** Below those that the system gives to connections (32768 and more), one of which would take the port while its owner restarts. */
const portLeast = 15_000;
const portMost = 32_767;

/** A port nobody listens on at this moment. */
export async function freePort(): Promise<number> {
	for (;;) {
		const port = portLeast + Math.floor(Math.random() * (portMost - portLeast));
		const server = createServer();
		const free = await new Promise<boolean>((resolve) => {
			server.once('error', () => resolve(false));
			server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
		});
		if (free) return port;
	}
}
