// Owns the run's hold on its relay: starts the thread, sets rules for ways between nodes, breaks connections, reads counts.
import { Worker } from 'node:worker_threads';
import type { LinkCount, LinkRules } from './link.js';
import type { AllCounts, FromRelay, RelayCall, RelayStart, Way } from './protocol.js';

export class Relay {
	readonly #worker: Worker;
	readonly #waiting = new Map<number, (counts: AllCounts | undefined) => void>();
	readonly #nodes: number;
	#number = 0;

	/** Rejects when an address cannot be listened on. */
	static open(start: RelayStart): Promise<Relay> {
		const worker = new Worker(new URL('./relay-thread.js', import.meta.url), { workerData: start });
		return new Promise((resolve, reject) => {
			worker.once('error', reject);
			worker.once('message', (first: FromRelay) => {
				if (first.kind === 'ready') resolve(new Relay(worker, start.nodes.length));
				else reject(new Error(`the relay cannot start: ${first.kind === 'refused' ? first.message : first.kind}`));
			});
		});
	}

	private constructor(worker: Worker, nodes: number) {
		this.#worker = worker;
		this.#nodes = nodes;
		worker.on('message', (message: FromRelay) => {
			if (message.kind !== 'answer') return;
			this.#waiting.get(message.number)?.(message.counts);
			this.#waiting.delete(message.number);
		});
	}

	/** All ways between different nodes. */
	get ways(): readonly Way[] {
		const all = Array.from({ length: this.#nodes }, (_, at) => at);
		return all.flatMap((from) => all.filter((to) => to !== from).map((to) => ({ from, to })));
	}

	/** What is not given is calm. */
	async rules(ways: readonly Way[], rules: Partial<LinkRules>): Promise<void> {
		await this.#call({ call: 'rules', ways, rules });
	}

	async heal(): Promise<void> {
		await this.rules(this.ways, {});
	}

	async reset(ways: readonly Way[]): Promise<void> {
		await this.#call({ call: 'reset', ways });
	}

	async halfOpen(ways: readonly Way[]): Promise<void> {
		await this.#call({ call: 'halfOpen', ways });
	}

	async processes(pids: readonly number[]): Promise<void> {
		await this.#call({ call: 'pids', pids });
	}

	/** Of one kind, for each of the ways. */
	async counts(ways: readonly Way[], count: LinkCount): Promise<readonly number[]> {
		const all = await this.#call({ call: 'counts' });
		return ways.map(({ from, to }) => all?.[from]?.[to]?.[count] ?? 0);
	}

	async close(): Promise<void> {
		const ended = new Promise<void>((resolve) => this.#worker.once('exit', () => resolve()));
		this.#worker.postMessage({ number: 0, call: { call: 'close' } satisfies RelayCall });
		await ended;
	}

	#call(call: RelayCall): Promise<AllCounts | undefined> {
		const number = ++this.#number;
		return new Promise((resolve) => {
			this.#waiting.set(number, resolve);
			this.#worker.postMessage({ number, call });
		});
	}
}
