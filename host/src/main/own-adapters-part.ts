// Owns the thread of a node's own adapters, as the agent sees it: started where the configuration names any, started again when it dies.
import { Worker } from 'node:worker_threads';
import { type Clock, MeshError, type Timer } from '@infermesh/proto';
import { configErrors } from '../config/errors.js';
import type { Reports } from '../reports/reports.js';
import type { Log } from '../telemetry/logger.js';
import type { FromOwnAdapters, OwnAdaptersStart } from './own-adapters-protocol.js';

export interface OwnAdaptersPorts {
	readonly clock: Clock;
	readonly reports: Pick<Reports, 'comm' | 'io'>;
	readonly log: Pick<Log, 'warn'>;
}

const RESTART_MS = 5000;
/** A status of RAS may have 32 MiB of text, and its objects several times that. */
const OLD_HEAP_MB = 512;

export class OwnAdapters {
	readonly #start: OwnAdaptersStart;
	readonly #ports: OwnAdaptersPorts;
	#worker: Worker | undefined;
	#restart: Timer | undefined;
	#closed = false;

	/** Resolves once all are open. Rejects with IM_CONFIG_INVALID for one that cannot be. */
	static async open(start: OwnAdaptersStart, ports: OwnAdaptersPorts): Promise<OwnAdapters> {
		const made = new OwnAdapters({ adapters: start.adapters, node: start.node }, ports);
		if (start.adapters.length === 0) return made;
		const opened = Promise.withResolvers<void>();
		made.#run(opened);
		await opened.promise;
		return made;
	}

	private constructor(start: OwnAdaptersStart, ports: OwnAdaptersPorts) {
		this.#start = start;
		this.#ports = ports;
	}

	async close(): Promise<void> {
		this.#closed = true;
		this.#restart?.cancel();
		await this.#worker?.terminate();
	}

	#run(opened?: PromiseWithResolvers<void>): void {
		const worker = new Worker(new URL('./own-adapters-thread.js', import.meta.url), {
			workerData: this.#start,
			resourceLimits: { maxOldGenerationSizeMb: OLD_HEAP_MB },
		});
		this.#worker = worker;
		worker.on('message', (message: FromOwnAdapters) => {
			if (message.kind === 'running') {
				// From here on it keeps no process alive.
				worker.unref();
				opened?.resolve();
			} else if (message.kind === 'refused') this.#refused(message, opened);
			else this.#take(message);
		});
		worker.on('error', (error) => {
			this.#ports.log.warn({ error: String(error) }, 'the thread of adapters has failed');
			opened?.reject(error);
		});
		worker.on('exit', () => this.#ended());
	}

	#refused(
		{ message, where }: Extract<FromOwnAdapters, { kind: 'refused' }>,
		opened?: PromiseWithResolvers<void>,
	): void {
		this.#closed = true;
		void this.#worker?.terminate();
		opened?.reject(new MeshError(configErrors, 'IM_CONFIG_INVALID', message, where === undefined ? {} : { where }));
	}

	#take(message: Exclude<FromOwnAdapters, { kind: 'running' | 'refused' }>): void {
		const { clock, reports, log } = this.#ports;
		if (message.kind === 'warn') return log.warn(message.fields, message.message);
		const observedAtMs = clock.nowMs() - message.ageMs;
		const origin = { caller: 'local', adapter: message.adapter };
		if (message.kind === 'comm') reports.comm({ ...message.delta, observedAtMs }, origin);
		else reports.io({ ...message.delta, observedAtMs }, origin);
	}

	#ended(): void {
		this.#worker = undefined;
		if (this.#closed) return;
		this.#restart = this.#ports.clock.after(RESTART_MS, () => this.#run(), { unref: true });
	}
}
