// Owns nginx as the router benches run it: one worker, keep-alive to the upstream, no buffering, everything in a folder of its own.
import { existsSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import path from 'node:path';
import { type Running, spawnCommand } from './processes.js';

const BINARIES = ['/usr/sbin/nginx', '/usr/local/sbin/nginx', '/usr/local/bin/nginx'];

/** Undefined when nginx is not installed (Debian: `apt-get install nginx-light`). */
export async function startNginx(
	folder: string,
	upstreamPort: number,
): Promise<(Running & { readonly port: number }) | undefined> {
	const binary = BINARIES.find((each) => existsSync(each));
	if (binary === undefined) return undefined;
	const port = await freePort();
	const file = path.join(folder, 'nginx.conf');
	writeFileSync(file, configuration(folder, port, upstreamPort));
	const running = await spawnCommand(binary, ['-c', file, '-p', folder], (printed) =>
		printed.includes('start worker process') ? true : undefined,
	);
	return { ...running, port };
}

function configuration(folder: string, port: number, upstreamPort: number): string {
	const temp = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
		(each) => `${each}_temp_path ${folder}/${each};`,
	);
	return `daemon off;
worker_processes 1;
pid ${folder}/nginx.pid;
error_log stderr notice;
events { worker_connections 16384; }
http {
	access_log off;
	${temp.join('\n\t')}
	client_body_buffer_size 1m;
	client_max_body_size 16m;
	keepalive_timeout 120s;
	keepalive_requests 10000000;
	upstream fixed {
		server 127.0.0.1:${upstreamPort};
		keepalive 8192;
		keepalive_requests 10000000;
	}
	server {
		listen 127.0.0.1:${port} backlog=4096;
		location / {
			proxy_pass http://fixed;
			proxy_http_version 1.1;
			proxy_set_header Connection "";
			proxy_buffering off;
			proxy_read_timeout 600s;
		}
	}
}
`;
}

/** A port nobody listens on at this moment. */
export function freePort(): Promise<number> {
	return new Promise((resolve, reject) => {
		const server = createServer();
		server.once('error', reject);
		server.listen(0, '127.0.0.1', () => {
			const address = server.address();
			server.close(() => resolve(typeof address === 'object' && address !== null ? address.port : 0));
		});
	});
}
