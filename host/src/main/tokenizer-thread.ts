// The composition root of a tokenising thread: files, sockets and the clock, wired to workers over ports that the agent hands it. Apart from
// the data plane: what it does may take long.
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type MessagePort, parentPort, workerData } from 'node:worker_threads';
import type { TokenizerFiles } from '../prefix/tokens/file-tokenizer.js';
import type { TokenReply, TokenRequest } from '../prefix/tokens/protocol.js';
import { TokenService, type TokenServiceOptions } from '../prefix/tokens/token-service.js';
import type { UpstreamTls } from '../router/tls.js';
import { createLog, type LogLevel } from '../telemetry/logger.js';
import { systemClock } from './clock.js';
import { createFetcher } from './fetcher.js';

export interface TokenizerThreadStart {
	readonly options: TokenServiceOptions;
	readonly logLevel: LogLevel;
	/** Authorities and certificate for engines behind TLS. */
	readonly tls: UpstreamTls;
}

export type ToTokenizerThread =
	| { readonly kind: 'client'; readonly port: MessagePort }
	| { readonly kind: 'tls'; readonly tls: UpstreamTls }
	| { readonly kind: 'close' };

const start = workerData as TokenizerThreadStart;
const agent = parentPort;
if (agent === null) throw new Error('tokenizer-thread.ts runs in a worker thread only');

type Json = Readonly<Record<string, unknown>>;

async function json(path: string): Promise<Json> {
	return JSON.parse(await readFile(path, 'utf8')) as Json;
}

/** Absent files but the first are no failure: not every tokeniser has them. */
async function readFiles(path: string): Promise<TokenizerFiles> {
	const folder = path.endsWith('.json') ? join(path, '..') : path;
	return {
		tokenizer: await json(path.endsWith('.json') ? path : join(path, 'tokenizer.json')),
		config: await json(join(folder, 'tokenizer_config.json')).catch(() => ({})),
		template: await readFile(join(folder, 'chat_template.jinja'), 'utf8').catch(() => undefined),
	};
}

const clock = systemClock;
const log = createLog({ level: start.logLevel, base: { thread: 'tokenizer' }, wallMs: () => clock.wallMs() });
const fetcher = createFetcher(clock, start.tls);
const service = new TokenService(start.options, {
	clock,
	read: readFiles,
	post: async (url, json, limits) => {
		const { status, body } = await fetcher.fetch(url, { ...limits, json });
		return { status, body: Buffer.from(body).toString('utf8') };
	},
	failed: (model, error) =>
		log.error({ model, error: String(error) }, 'the tokeniser of a model cannot be opened; prefixes are guessed'),
});

const ports: MessagePort[] = [];

agent.on('message', (message: ToTokenizerThread) => {
	if (message.kind === 'close') {
		fetcher.close();
		for (const port of ports) port.close();
		return agent.close();
	}
	if (message.kind === 'tls') return fetcher.setTls(message.tls);
	const { port } = message;
	ports.push(port);
	port.on('message', (request: TokenRequest) =>
		service.ask(request, (reply: TokenReply) =>
			port.postMessage(reply, reply.ids === undefined ? [] : [reply.ids.buffer as ArrayBuffer]),
		),
	);
});
