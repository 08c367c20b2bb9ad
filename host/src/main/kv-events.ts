// Owns the thread that follows KV events as the rest of the node sees it: started with the first target that publishes some, told of
// targets as they come and go, replaced when it dies.
import { Worker } from 'node:worker_threads';
import type { Clock, Timer } from '@infermesh/proto';
import type { TargetRecord } from '../fleet/registry.js';
import type { KvTarget } from '../prefix/precise/kv-reader.js';
import type { ModelPool } from '../router/ports.js';
import { clearGauges } from '../telemetry/block.js';
import type { Log } from '../telemetry/logger.js';
import type { KvThreadStart, ToKvThread } from './kv-thread.js';

const RESTART_MS = 1000;

export class KvEvents {
	readonly #start: KvThreadStart;
	readonly #clock: Clock;
	readonly #log: Log;
	#thread: Worker | undefined;
	#restart: Timer | undefined;
	#targets: readonly KvTarget[] = [];
	#closing = false;

	constructor(start: KvThreadStart, clock: Clock, log: Log) {
		this.#start = start;
		this.#clock = clock;
		this.#log = log;
	}

	/** The targets and pools as they stand. */
	directory(records: readonly TargetRecord[], pools: readonly ModelPool[]): void {
		const modelIds = new Map<string, number[]>();
		for (const { targets, modelId, elsewhere } of pools)
			for (const target of elsewhere === true ? [] : targets)
				if (target !== undefined) modelIds.set(target.id, [...(modelIds.get(target.id) ?? []), modelId]);
		this.#targets = records.flatMap(({ spec, row, generation }) =>
			spec.kvEvents === undefined || spec.kvEvents.length === 0
				? []
				: [{ id: spec.id, row, generation, modelIds: modelIds.get(spec.id) ?? [], publishers: spec.kvEvents }],
		);
		if (this.#thread === undefined && this.#targets.length > 0) this.#launch();
		this.#tell({ kind: 'targets', targets: this.#targets });
	}

	async close(): Promise<void> {
		this.#closing = true;
		this.#restart?.cancel();
		const thread = this.#thread;
		if (thread === undefined) return;
		const ended = new Promise<void>((resolve) => thread.once('exit', () => resolve()));
		this.#tell({ kind: 'close' });
		await ended;
	}

	#tell(message: ToKvThread): void {
		this.#thread?.postMessage(message);
	}

	#launch(): void {
		const thread = new Worker(new URL('./kv-thread.js', import.meta.url), {
			workerData: this.#start,
			name: 'kv-events',
		});
		this.#thread = thread;
		let reason = 'it ended';
		thread.once('error', (error) => void (reason = error instanceof Error ? error.message : String(error)));
		thread.once('exit', () => {
			this.#thread = undefined;
			if (this.#closing) return;
			clearGauges(this.#start.metrics);
			this.#log.error({ error: reason }, 'the thread that follows KV events ended and is being replaced');
			this.#restart = this.#clock.after(RESTART_MS, () => {
				if (this.#closing || this.#targets.length === 0) return;
				this.#launch();
				this.#tell({ kind: 'targets', targets: this.#targets });
			});
		});
	}
}
