// Owns the threads that run cells: as many as asked for, each with the compiled strategies, one job at a time. A thread that dies fails its job and is
// replaced; an interrupt stops all at once. Invariant: every job given is settled exactly once.
import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import { MeshError } from '@infermesh/proto';
import type { StrategyModule } from '../../strategy/runtime/instance.js';
import { gridErrors } from './errors.js';
import type { CellOutcome } from './outcome.js';
import { CELLS_MAX } from './plan.js';
import type { CellJob } from './run.js';

/** What a thread starts with. */
export interface ThreadStart {
	readonly modules: readonly StrategyModule[];
	/** Word 0 is not 0 once the run is stopped: a simulation under way then ends with what it has. */
	readonly stop: Int32Array;
}

export type ThreadAnswer =
	| { readonly outcome: CellOutcome }
	/** Of the job under way; its end is still to come. */
	| { readonly ended: number; readonly requests: number }
	| { readonly code: string; readonly message: string; readonly where?: string };

interface Waiting {
	readonly job: CellJob;
	readonly resolve: (outcome: CellOutcome) => void;
	readonly reject: (error: MeshError) => void;
	/** Part of it that is done, 0..1. */
	part: number;
}

/** Threads that fit this machine. */
export function threadsDefault(): number {
	return availableParallelism();
}

export class ThreadPool {
	readonly #modules: readonly StrategyModule[];
	readonly #threadsMax: number;
	readonly #queue: Waiting[] = [];
	readonly #idle: Worker[] = [];
	readonly #running = new Map<Worker, Waiting>();
	readonly #stop = new Int32Array(new SharedArrayBuffer(4));
	#stopped = false;

	/** Threads start as jobs come. `signal` interrupts: jobs that wait are refused with IM_SIMULATE_INTERRUPTED, those under way end soon, in part. */
	constructor(modules: readonly StrategyModule[], threadsMax: number, signal: AbortSignal) {
		this.#modules = modules;
		this.#threadsMax = threadsMax;
		if (signal.aborted) this.#stopped = true;
		else signal.addEventListener('abort', () => this.#interrupt(), { once: true });
	}

	/** Runs one job when a thread is free. Rejects with a MeshError: the job's own, IM_SIMULATE_CELL when its thread died, or _INTERRUPTED. */
	run(job: CellJob): Promise<CellOutcome> {
		return new Promise((resolve, reject) => {
			if (this.#stopped) return reject(interrupted());
			if (this.#queue.length >= CELLS_MAX)
				return reject(new MeshError(gridErrors, 'IM_SIMULATE_TOO_LARGE', `more than ${CELLS_MAX} cells wait`));
			this.#queue.push({ job, resolve, reject, part: 0 });
			this.#next();
		});
	}

	/** Stops every thread. */
	async close(): Promise<void> {
		this.#stopped = true;
		const threads = [...this.#idle, ...this.#running.keys()];
		for (const { reject } of [...this.#queue, ...this.#running.values()]) reject(interrupted());
		this.#queue.length = 0;
		this.#idle.length = 0;
		this.#running.clear();
		await Promise.all(threads.map((thread) => thread.terminate()));
	}

	#interrupt(): void {
		this.#stopped = true;
		Atomics.store(this.#stop, 0, 1);
		for (const { reject } of this.#queue) reject(interrupted());
		this.#queue.length = 0;
	}

	#next(): void {
		const waiting = this.#queue[0];
		if (waiting === undefined) return;
		const thread = this.#idle.pop() ?? (this.#running.size < this.#threadsMax ? this.#start() : undefined);
		if (thread === undefined) return;
		this.#queue.shift();
		this.#running.set(thread, waiting);
		thread.postMessage(waiting.job);
	}

	#start(): Worker {
		const start: ThreadStart = { modules: this.#modules, stop: this.#stop };
		const thread = new Worker(new URL('./thread.js', import.meta.url), { workerData: start, name: 'simulation' });
		thread.on('message', (answer: ThreadAnswer) => this.#answered(thread, answer));
		thread.on('error', (error: NodeJS.ErrnoException) => this.#died(thread, error.message));
		thread.on('exit', () => this.#died(thread, 'the thread ended without an answer'));
		return thread;
	}

	/** Sum over the jobs under way of the part of each that is done. */
	get underWay(): number {
		return [...this.#running.values()].reduce((sum, { part }) => sum + part, 0);
	}

	#answered(thread: Worker, answer: ThreadAnswer): void {
		const waiting = this.#running.get(thread);
		if ('ended' in answer) {
			if (waiting !== undefined) waiting.part = answer.ended / Math.max(1, answer.requests);
			return;
		}
		this.#running.delete(thread);
		if (waiting === undefined) return;
		this.#idle.push(thread);
		if ('outcome' in answer) waiting.resolve(answer.outcome);
		else waiting.reject(cellError(answer.message, answer.code, answer.where));
		this.#next();
	}

	#died(thread: Worker, message: string): void {
		const waiting = this.#running.get(thread);
		this.#running.delete(thread);
		const idle = this.#idle.indexOf(thread);
		if (idle >= 0) this.#idle.splice(idle, 1);
		waiting?.reject(cellError(message));
		if (!this.#stopped) this.#next();
	}
}

/** Errors cross threads as text; the code of another catalogue goes in front. */
function cellError(message: string, code = 'IM_SIMULATE_CELL', where?: string): MeshError {
	const named = code === 'IM_SIMULATE_CELL' ? message : `${code}: ${message}`;
	return new MeshError(gridErrors, 'IM_SIMULATE_CELL', named, where === undefined ? {} : { where });
}

function interrupted(): MeshError {
	return new MeshError(gridErrors, 'IM_SIMULATE_INTERRUPTED');
}
