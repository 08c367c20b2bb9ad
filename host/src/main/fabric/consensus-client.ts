// Owns the agent's side of the consensus thread: starts it, passes identity, peers and revocations on, calls it, and knows its last state.
import { Worker } from 'node:worker_threads';
import { consensusErrors, fabricErrorSections } from '@infermesh/fabric';
import { type ErrorCode, MeshError } from '@infermesh/proto';
import type { ConsensusStart, FromConsensus, GroupCall, GroupState, ToConsensus } from './consensus-protocol.js';
import { threadBegun } from './thread-begun.js';

export interface ConsensusEvents {
	state(state: GroupState): void;
	/** The member has stopped for good. */
	failed(error: MeshError): void;
	fault(message: string): void;
}

/** A call that the thread does not answer: it has ended. */
const CALL_TIMEOUT_MS = 30_000;

export class ConsensusThread {
	readonly address: string;
	readonly #worker: Worker;
	readonly #waiting = new Map<number, { resolve: (value: unknown) => void; reject: (error: Error) => void }>();
	#number = 0;
	#ended = false;
	#state: GroupState | undefined;

	/** Resolves when it listens. Rejects with IM_LOG_LOCKED, IM_LOG_CORRUPT, or what the port refuses. */
	static open(start: ConsensusStart, events: ConsensusEvents): Promise<ConsensusThread> {
		const worker = new Worker(new URL('./consensus-thread.js', import.meta.url), {
			workerData: start,
			name: 'consensus',
		});
		return threadBegun(worker, (message: FromConsensus) => {
			if (message.kind === 'refused') throw meshErrorOf(message);
			return message.kind === 'listening' ? new ConsensusThread(worker, message.address, events) : undefined;
		});
	}

	private constructor(worker: Worker, address: string, events: ConsensusEvents) {
		this.#worker = worker;
		this.address = address;
		worker.on('message', (message: FromConsensus) => this.#receive(message, events));
		worker.on('error', (error) => this.#end(error instanceof Error ? error : new Error(String(error)), events));
		worker.on('exit', () => this.#end(new Error('the consensus thread has ended'), undefined));
	}

	get state(): GroupState | undefined {
		return this.#state;
	}

	send(message: ToConsensus): void {
		if (!this.#ended) this.#worker.postMessage(message);
	}

	call<T>(call: GroupCall): Promise<T> {
		if (this.#ended) return Promise.reject(new MeshError(consensusErrors, 'IM_CONSENSUS_CLOSED'));
		const number = ++this.#number;
		return new Promise<T>((resolve, reject) => {
			const timer = setTimeout(() => {
				this.#waiting.delete(number);
				reject(new MeshError(consensusErrors, 'IM_CONSENSUS_TIMEOUT', `no answer to ${call.call}`));
			}, CALL_TIMEOUT_MS);
			this.#waiting.set(number, {
				resolve: (value) => {
					clearTimeout(timer);
					resolve(value as T);
				},
				reject: (error) => {
					clearTimeout(timer);
					reject(error);
				},
			});
			this.#worker.postMessage({ kind: 'call', number, call } satisfies ToConsensus);
		});
	}

	async close(): Promise<void> {
		if (this.#ended) return;
		const ended = new Promise<void>((resolve) => this.#worker.once('exit', () => resolve()));
		const overdue = setTimeout(() => void this.#worker.terminate(), 5000);
		this.#worker.postMessage({ kind: 'close' } satisfies ToConsensus);
		await ended;
		clearTimeout(overdue);
	}

	#receive(message: FromConsensus, events: ConsensusEvents): void {
		switch (message.kind) {
			case 'state':
				this.#state = message.state;
				events.state(message.state);
				break;
			case 'answer': {
				const waiting = this.#waiting.get(message.number);
				this.#waiting.delete(message.number);
				if (message.code === undefined) waiting?.resolve(message.value);
				else waiting?.reject(meshErrorOf({ code: message.code, message: message.message ?? '' }));
				break;
			}
			case 'failed':
				events.failed(meshErrorOf(message));
				break;
			case 'fault':
				events.fault(message.message);
				break;
			case 'listening':
			case 'refused':
			case 'closed':
				break;
		}
	}

	#end(error: Error, events: ConsensusEvents | undefined): void {
		this.#ended = true;
		for (const { reject } of this.#waiting.values()) reject(error);
		this.#waiting.clear();
		events?.failed(new MeshError(consensusErrors, 'IM_CONSENSUS_INTERNAL', error.message, { cause: error }));
	}
}

const catalogue = Object.assign({}, ...fabricErrorSections.map(({ errors }) => errors)) as typeof consensusErrors;

/** An error of the thread as it would have been thrown here. */
function meshErrorOf({ code, message }: { readonly code: string; readonly message: string }): MeshError {
	const known = Object.hasOwn(catalogue, code) ? (code as ErrorCode) : 'IM_CONSENSUS_INTERNAL';
	return new MeshError(catalogue, known, known === code ? message : `${code}: ${message}`);
}
