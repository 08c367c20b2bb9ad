// Owns the order of a group's writes: storage gets them in order, and they count as durable in order, whatever the order of its answers. A batch
// with nothing to write is durable once all before it are.
import type { DurableLog, LogWrite } from '../../log/ports.js';

interface Waiting {
	readonly since: number;
	readonly durable: () => void;
	finished: boolean;
}

export class WriteQueue {
	readonly #log: DurableLog;
	readonly #failed: (error: Error) => void;
	readonly #waiting: Waiting[] = [];
	#stopped = false;

	/** `failed` is called once; nothing counts as durable after it. */
	constructor(log: DurableLog, failed: (error: Error) => void) {
		this.#log = log;
		this.#failed = failed;
	}

	/** When the oldest write that is not durable was given; undefined when all are. */
	get oldestMs(): number | undefined {
		return this.#waiting[0]?.since;
	}

	write(write: LogWrite, nowMs: number, durable: () => void): void {
		const waiting: Waiting = { since: nowMs, durable, finished: false };
		this.#waiting.push(waiting);
		if (write.snapshot === undefined && write.entries.length === 0 && write.hardState === undefined) {
			this.#finish(waiting);
			return;
		}
		this.#log.append(
			[write],
			() => this.#finish(waiting),
			(error) => this.#fail(error),
		);
	}

	#finish(waiting: Waiting): void {
		waiting.finished = true;
		while (!this.#stopped && this.#waiting[0]?.finished === true) this.#waiting.shift()?.durable();
	}

	#fail(error: Error): void {
		if (this.#stopped) return;
		this.stop();
		this.#failed(error);
	}

	/** Whatever storage still answers is ignored. */
	stop(): void {
		this.#stopped = true;
		this.#waiting.length = 0;
	}
}
