// The agent's side of recording: a ring for each worker, the thread that empties them, and who is told to begin and to end. Failure of the thread or its
// disk ends the recording and is shown; the data plane goes on.
import { randomBytes } from 'node:crypto';
import { Worker } from 'node:worker_threads';
import { type Clock, MeshError } from '@infermesh/proto';
import { columns } from '@infermesh/sdk';
import type { RecorderView } from '../admin/recorder-routes.js';
import type { HashMode, StrategyEntry } from '../recorder/entries.js';
import { recorderErrors } from '../recorder/errors.js';
import { FORMAT_VERSION } from '../recorder/layout.js';
import { createRing } from '../recorder/ring.js';
import type { WriterOptions, WriterStatus } from '../recorder/writer.js';
import type { StrategyModule } from '../strategy/runtime/instance.js';
import type { CollectedSample } from '../telemetry/exposition.js';
import type { Log } from '../telemetry/logger.js';
import type { FromRecorder, RecorderThreadStart, ToRecorder } from './recorder-thread.js';
import { BLOCK_STEP } from './recording-blocks.js';
import type { ToWorker } from './worker-protocol.js';

const STOP_TIMEOUT_MS = 5000;
const START_TIMEOUT_MS = 5000;

export interface RecorderOptions {
	readonly dir: string;
	readonly sample: number;
	readonly hashes: HashMode;
	/** Keep modules in the files, so that they replay anywhere. */
	readonly modules: boolean;
	readonly ringBytes: number;
	readonly drainMs: number;
	readonly writer: WriterOptions;
}

export interface RecorderPorts {
	readonly clock: Clock;
	readonly log: Log;
	readonly node: string;
	readonly version: string;
	readonly meshSeed: readonly [low: number, high: number];
	readonly blockTokens: number;
	readonly workerCount: number;
	readonly fuel: StrategyEntry['fuel'];
	/** Strategies loaded now. */
	readonly strategies: () => readonly StrategyModule[];
	/** Bytes of a module as it was loaded; undefined when they are not to be had. */
	readonly moduleOf: (label: string) => Promise<Uint8Array | undefined>;
	readonly tell: (worker: number, message: ToWorker) => void;
}

export interface RecordingRequest {
	readonly sample?: number | undefined;
	readonly hashes?: HashMode | undefined;
}

interface Running {
	readonly thread: Worker;
	readonly rings: readonly SharedArrayBuffer[];
	readonly name: string;
	readonly sample: number;
	readonly hashes: HashMode;
	readonly sinceMs: number;
	readonly ended: Promise<void>;
}

const nothing: WriterStatus = {
	decisions: 0,
	outcomes: 0,
	dropped: 0,
	outcomesLost: 0,
	bytes: 0,
	files: 0,
	file: '',
	chain: '',
};

export class RecorderPart {
	readonly #options: RecorderOptions;
	readonly #ports: RecorderPorts;
	#running: Running | undefined;
	/** Of the present recording, or of the last. */
	#status: WriterStatus = nothing;
	#last: Pick<Running, 'name' | 'sample' | 'hashes' | 'sinceMs'> | undefined;
	#error = '';
	/** Over all recordings since the start, but for the present one. */
	readonly #before = { decisions: 0, dropped: 0, outcomesLost: 0, bytes: 0 };

	constructor(options: RecorderOptions, ports: RecorderPorts) {
		this.#options = options;
		this.#ports = ports;
	}

	view(): RecorderView {
		const { clock } = this.#ports;
		const of = this.#running ?? this.#last;
		return {
			recording: this.#running !== undefined,
			name: of?.name ?? null,
			dir: this.#options.dir,
			since: of === undefined ? null : new Date(of.sinceMs).toISOString(),
			seconds: this.#running === undefined ? 0 : (clock.wallMs() - this.#running.sinceMs) / 1000,
			sample: of?.sample ?? this.#options.sample,
			hashes: of?.hashes ?? this.#options.hashes,
			...this.#status,
			error: this.#error === '' ? null : this.#error,
		};
	}

	samples(): readonly CollectedSample[] {
		const { decisions, dropped, outcomesLost, bytes } = this.#before;
		return [
			{ metric: 'recorderActive', labels: [], value: this.#running === undefined ? 0 : 1 },
			{ metric: 'recorderDecisions', labels: [], value: decisions + this.#status.decisions },
			{ metric: 'recorderDropped', labels: [], value: dropped + this.#status.dropped },
			{ metric: 'recorderOutcomesLost', labels: [], value: outcomesLost + this.#status.outcomesLost },
			{ metric: 'recorderBytes', labels: [], value: bytes + this.#status.bytes },
		];
	}

	/** Begins a recording. IM_RECORDER_BUSY while one runs, IM_RECORDER_DISK when the folder cannot be written. */
	async start(request: RecordingRequest = {}): Promise<RecorderView> {
		const { clock, log, workerCount } = this.#ports;
		if (this.#running !== undefined)
			throw new MeshError(recorderErrors, 'IM_RECORDER_BUSY', `${this.#running.name} is being recorded`);
		const sample = request.sample ?? this.#options.sample;
		const hashes = request.hashes ?? this.#options.hashes;
		const sinceMs = clock.wallMs();
		const name = `${new Date(sinceMs).toISOString().replaceAll(/[-:]|\.\d+/g, '')}-${randomBytes(3).toString('hex')}`;
		const rings = Array.from({ length: workerCount }, () => createRing(this.#options.ringBytes));
		this.#remember();
		const opened = Promise.withResolvers<void>();
		const thread = this.#launch(name, sample, hashes, rings);
		const ended = new Promise<void>((resolve) => thread.once('exit', () => resolve()));
		const running: Running = { thread, rings, name, sample, hashes, sinceMs, ended };
		this.#running = running;
		thread.on('message', (message: FromRecorder) => {
			if (message.kind === 'status') {
				this.#status = message.status;
				opened.resolve();
			} else {
				this.#failed(running, message.message);
				opened.reject(new MeshError(recorderErrors, 'IM_RECORDER_DISK', message.message, { where: this.#options.dir }));
			}
		});
		thread.once('error', (error) => {
			const message = error instanceof Error ? error.message : String(error);
			this.#failed(running, message);
			opened.reject(new MeshError(recorderErrors, 'IM_RECORDER_DISK', message, { where: this.#options.dir }));
		});
		const late = clock.after(START_TIMEOUT_MS, () => {
			this.#failed(running, 'its thread did not answer');
			opened.reject(new MeshError(recorderErrors, 'IM_RECORDER_DISK', 'its thread did not answer'));
		});
		await opened.promise.finally(() => late.cancel());
		for (const strategy of this.#ports.strategies()) await this.strategy(strategy);
		rings.forEach((ring, worker) => this.#ports.tell(worker, { kind: 'record', ring, sample }));
		log.info({ recording: name, dir: this.#options.dir, sample, hashes }, 'recording decisions');
		return this.view();
	}

	/** Ends the recording; nothing happens when there is none. */
	async stop(): Promise<RecorderView> {
		const running = this.#running;
		if (running === undefined) return this.view();
		running.rings.forEach((_, worker) => this.#ports.tell(worker, { kind: 'recordEnd' }));
		const overdue = this.#ports.clock.after(STOP_TIMEOUT_MS, () => void running.thread.terminate());
		// One round of the workers' loops, so that what they had begun is in their rings.
		await new Promise<void>((resolve) => this.#ports.clock.after(this.#options.drainMs, resolve));
		running.thread.postMessage({ kind: 'stop' } satisfies ToRecorder);
		await running.ended;
		overdue.cancel();
		this.#ended(running);
		this.#ports.log.info({ recording: running.name, ...this.#status }, 'recording ended');
		return this.view();
	}

	/** A version has been loaded: told before any worker can decide with it. */
	async strategy({ versionId, label, digest, config, manifest }: StrategyModule): Promise<void> {
		const running = this.#running;
		if (running === undefined) return;
		const entry: StrategyEntry = {
			versionId,
			label,
			digest,
			factors: [...manifest.factors],
			config: [...config],
			fuel: this.#ports.fuel,
		};
		running.thread.postMessage({ kind: 'strategy', entry, module: undefined } satisfies ToRecorder);
		if (!this.#options.modules) return;
		const module = await this.#ports.moduleOf(label).catch(() => undefined);
		if (module !== undefined && this.#running === running)
			running.thread.postMessage({ kind: 'strategy', entry, module } satisfies ToRecorder);
	}

	/** What a worker that starts must know. */
	introduce(worker: number, send: (message: ToWorker) => void): void {
		const ring = this.#running?.rings[worker];
		if (ring !== undefined) send({ kind: 'record', ring, sample: this.#running?.sample ?? 1 });
	}

	async close(): Promise<void> {
		await this.stop();
	}

	#launch(name: string, sample: number, hashes: HashMode, rings: readonly SharedArrayBuffer[]): Worker {
		const { node, version, meshSeed, blockTokens, workerCount } = this.#ports;
		const start: RecorderThreadStart = {
			dir: this.#options.dir,
			options: this.#options.writer,
			meta: {
				format: FORMAT_VERSION,
				recording: name,
				node,
				version,
				sample,
				hashes,
				columns: columns.map(({ id, name: column, type }) => ({ id, name: column, type })),
				meshSeed,
				workers: workerCount,
				blockTokens: blockTokens * BLOCK_STEP,
			},
			salt: randomBytes(32),
			rings,
			drainMs: this.#options.drainMs,
		};
		return new Worker(new URL('./recorder-thread.js', import.meta.url), { workerData: start, name: 'recorder' });
	}

	#failed(running: Running, message: string): void {
		if (this.#running !== running) return;
		this.#error = message;
		this.#ports.log.error({ recording: running.name, error: message }, 'the recording has failed and is ended');
		running.rings.forEach((_, worker) => this.#ports.tell(worker, { kind: 'recordEnd' }));
		void running.thread.terminate();
		this.#ended(running);
	}

	#ended({ name, sample, hashes, sinceMs }: Running): void {
		this.#running = undefined;
		this.#last = { name, sample, hashes, sinceMs };
	}

	#remember(): void {
		this.#before.decisions += this.#status.decisions;
		this.#before.dropped += this.#status.dropped;
		this.#before.outcomesLost += this.#status.outcomesLost;
		this.#before.bytes += this.#status.bytes;
		this.#status = nothing;
		this.#error = '';
	}
}
