// Owns the threads that tokenise as the rest of the node sees them: started when a model has a tokeniser, each with a port to every
// worker. When one dies all are started anew, and workers get new ports; until then requests are decided without ids.
import { MessageChannel, Worker } from 'node:worker_threads';
import type { UpstreamTls } from '../router/tls.js';
import type { Log } from '../telemetry/logger.js';
import type { TokenizerThreadStart, ToTokenizerThread } from './tokenizer-thread.js';
import type { Introduce } from './worker-group.js';

type Send = Parameters<Introduce>[0];

/** Deaths after which tokenising is given up: what kills it will do so again. */
const DEATHS_MAX = 8;

export class Tokenizers {
	#start: TokenizerThreadStart;
	readonly #log: Log;
	readonly #count: number;
	#threads: Worker[] = [];
	/** How each worker is told; one that has been replaced is told in vain. */
	readonly #workers = new Set<Send>();
	#deaths = 0;
	#closing = false;

	constructor(count: number, start: TokenizerThreadStart, log: Log) {
		this.#start = start;
		this.#log = log;
		this.#count = Object.keys(start.options.tokenizers).length === 0 ? 0 : count;
		this.#launch();
	}

	/** Gives a worker its ports. */
	introduce(send: Send): void {
		this.#workers.add(send);
		if (this.#threads.length === 0) return;
		const ports = this.#threads.map((thread) => {
			const { port1, port2 } = new MessageChannel();
			thread.postMessage({ kind: 'client', port: port1 } satisfies ToTokenizerThread, [port1]);
			return port2;
		});
		send({ kind: 'tokenizers', ports }, ports);
	}

	/** Uses other certificates from now on. */
	setTls(tls: UpstreamTls): void {
		this.#start = { ...this.#start, tls };
		for (const thread of this.#threads) thread.postMessage({ kind: 'tls', tls } satisfies ToTokenizerThread);
	}

	async close(): Promise<void> {
		this.#closing = true;
		await Promise.all(this.#threads.map((thread) => thread.terminate()));
	}

	#launch(): void {
		this.#threads = Array.from({ length: this.#count }, (_, at) => {
			const thread = new Worker(new URL('./tokenizer-thread.js', import.meta.url), {
				workerData: this.#start,
				name: `tokenizer-${at}`,
			});
			let reason = 'it ended';
			thread.once('error', (error) => void (reason = error instanceof Error ? error.message : String(error)));
			thread.once('exit', () => this.#ended(thread, reason));
			return thread;
		});
	}

	#ended(thread: Worker, reason: string): void {
		if (this.#closing || !this.#threads.includes(thread)) return;
		const others = this.#threads.filter((other) => other !== thread);
		this.#threads = [];
		for (const other of others) void other.terminate();
		this.#log.error({ error: reason }, 'a tokenising thread ended; all are started anew');
		if (++this.#deaths <= DEATHS_MAX) this.#launch();
		for (const send of this.#workers) this.introduce(send);
	}
}
