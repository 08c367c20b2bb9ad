// Owns the agent's side of the looking thread: starts it when there is something to look at, tells it what to follow, and hands what it saw to whoever
// asked. A thread that fails is started anew, with all it followed.
import { Worker } from 'node:worker_threads';
import type { Clock, ModelStateDelta, Timer } from '@infermesh/proto';
import type { PolledSpec, ScrapeResult } from '../../fleet/poller.js';
import type { UpstreamTls } from '../../router/tls.js';
import type { SourceLook } from '../../signals/source-poller.js';
import type { FromLooks, LooksStart, ToLooks } from './protocol.js';

export interface LookEvents<T> {
	report(record: T, delta: ModelStateDelta): void;
	checked(record: T, ok: boolean, rttMs: number | undefined): void;
	scraped(record: T, result: ScrapeResult, durationMs: number): void;
}

/** Pieces of metrics bodies are new objects, and soon forgotten. */
const YOUNG_HEAP_MB = 16;
const RESTART_MS = 1000;

export class LookingThread<T extends { readonly spec: PolledSpec }> {
	#start: LooksStart;
	readonly #clock: Clock;
	readonly #failed: (error: unknown) => void;
	readonly #records = new Map<number, T>();
	readonly #keys = new Map<T, number>();
	#events: LookEvents<T> | undefined;
	#onGpus: ((look: SourceLook) => void) | undefined;
	#worker: Worker | undefined;
	#restart: Timer | undefined;
	#nextKey = 1;
	#closed = false;

	constructor(start: LooksStart, clock: Clock, failed: (error: unknown) => void) {
		this.#start = start;
		this.#clock = clock;
		this.#failed = failed;
	}

	/** Where looks at targets go; to be set before the first is followed. */
	set events(events: LookEvents<T>) {
		this.#events = events;
	}

	follow(record: T): void {
		const key = this.#nextKey++;
		this.#records.set(key, record);
		this.#keys.set(record, key);
		this.#send({ kind: 'follow', key, spec: polled(record.spec) });
	}

	forget(record: T): void {
		const key = this.#keys.get(record);
		if (key === undefined) return;
		this.#keys.delete(record);
		this.#records.delete(key);
		this.#worker?.postMessage({ kind: 'forget', key } satisfies ToLooks);
	}

	/** Begins to look at the configured sources of GPU state, where there are any. */
	gpus(onLook: (look: SourceLook) => void): void {
		if (this.#start.gpus.sources.length === 0) return;
		this.#onGpus = onLook;
		this.#send({ kind: 'gpus' });
	}

	/** Uses other certificates from now on. */
	setTls(tls: UpstreamTls): void {
		this.#start = { ...this.#start, tls };
		this.#worker?.postMessage({ kind: 'tls', tls } satisfies ToLooks);
	}

	async close(): Promise<void> {
		this.#closed = true;
		this.#restart?.cancel();
		await this.#worker?.terminate();
	}

	#send(message: ToLooks): void {
		if (this.#closed || this.#restart !== undefined) return;
		if (this.#worker === undefined) this.#open();
		else this.#worker.postMessage(message);
	}

	/** Starts the thread with all it is to follow. */
	#open(): void {
		const worker = new Worker(new URL('./thread.js', import.meta.url), {
			workerData: this.#start,
			name: 'looks',
			resourceLimits: { maxYoungGenerationSizeMb: YOUNG_HEAP_MB },
		});
		this.#worker = worker;
		worker.unref();
		worker.on('message', (batch: FromLooks) => this.#receive(batch));
		worker.on('error', this.#failed);
		worker.on('exit', () => this.#ended());
		const tell = (message: ToLooks): void => worker.postMessage(message);
		for (const [key, { spec }] of this.#records) tell({ kind: 'follow', key, spec: polled(spec) });
		if (this.#onGpus !== undefined) tell({ kind: 'gpus' });
	}

	#ended(): void {
		this.#worker = undefined;
		if (this.#closed) return;
		const again = (): void => {
			this.#restart = undefined;
			this.#open();
		};
		this.#restart = this.#clock.after(RESTART_MS, again, { unref: true });
	}

	#receive({ reports, checks, scrapes, gpus }: FromLooks): void {
		const events = this.#events;
		for (const { key, delta } of reports) {
			const record = this.#records.get(key);
			if (record !== undefined) events?.report(record, delta);
		}
		for (const { key, ok, rttMs } of checks) {
			const record = this.#records.get(key);
			if (record !== undefined) events?.checked(record, ok, rttMs);
		}
		for (const { key, result, durationMs } of scrapes) {
			const record = this.#records.get(key);
			if (record !== undefined) events?.scraped(record, result, durationMs);
		}
		for (const look of gpus) this.#onGpus?.(look);
	}
}

/** The part of a spec that is posted. */
function polled({ id, url, runtime, models, apiKey, http, metricsPath, healthPath }: PolledSpec): PolledSpec {
	const rest = { id, url, runtime, models, apiKey, metricsPath, healthPath };
	return http === undefined ? rest : { ...rest, http };
}
