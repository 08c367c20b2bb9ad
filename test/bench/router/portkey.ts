// Owns the Portkey gateway as the router benches run it, where it is installed: it brings 95 packages and a script of its own, so it is no dependency here.
import { existsSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { freePort } from './nginx.js';
import { type Running, spawnCommand } from './processes.js';

export const PORTKEY_PACKAGE = '@portkey-ai/gateway@1.15.2';

const root = fileURLToPath(new URL('../../../../', import.meta.url));
const server = path.join(root, 'node_modules/@portkey-ai/gateway/build/start-server.js');

/** What tells it where a request goes. */
export function portkeyHeaders(upstreamPort: number): string {
	return `x-portkey-provider: openai\r\nx-portkey-custom-host: http://127.0.0.1:${upstreamPort}/v1\r\n`;
}

/** Undefined when it is not installed. */
export async function startPortkey(upstreamPort: number): Promise<(Running & { readonly port: number }) | undefined> {
	if (!existsSync(server)) return undefined;
	const port = await freePort();
	const running = await spawnCommand(process.execPath, [server, `--port=${port}`, '--headless'], (printed) =>
		printed.includes(String(port)) || printed.includes('Ready') ? true : undefined,
	);
	await answering(port, upstreamPort);
	return { ...running, port };
}

async function answering(port: number, upstreamPort: number): Promise<void> {
	for (let tries = 0; tries < 200; tries++) {
		const answer = await fetch(`http://127.0.0.1:${port}/`).catch(() => undefined);
		await answer?.arrayBuffer();
		if (answer !== undefined) return;
		await new Promise((resolve) => setTimeout(resolve, 50));
	}
	throw new Error(`the gateway before port ${upstreamPort} did not get ready`);
}
