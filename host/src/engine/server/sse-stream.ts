// Owns writing server-sent events with a bound: events of one turn go out in one write, and a reader that lets more
// than the bound pile up is cut off.
import type { ServerResponse } from 'node:http';

/** Streams with something to write; flushed together after each turn of the engine. */
export class FlushQueue {
	#streams: SseStream[] = [];

	add(stream: SseStream): void {
		this.#streams.push(stream);
	}

	flush(): void {
		const streams = this.#streams;
		this.#streams = [];
		for (const stream of streams) stream.flush();
	}
}

export interface SseStreamOptions {
	readonly response: ServerResponse;
	readonly queue: FlushQueue;
	readonly bufferBytesMax: number;
	/** Called once, when the reader is too slow; the stream is dead then. */
	readonly onOverflow: () => void;
}

export class SseStream {
	readonly #response: ServerResponse;
	readonly #queue: FlushQueue;
	readonly #bufferBytesMax: number;
	readonly #onOverflow: () => void;
	#pending = '';
	#ended = false;

	constructor(options: SseStreamOptions) {
		this.#response = options.response;
		this.#queue = options.queue;
		this.#bufferBytesMax = options.bufferBytesMax;
		this.#onOverflow = options.onOverflow;
	}

	/** Adds one event with this data (JSON, so no line break), with a name or without; it is written at the next flush. */
	event(data: string, name?: string): void {
		if (this.#ended) return;
		if (this.#pending === '') this.#queue.add(this);
		this.#pending += `${name === undefined ? '' : `event: ${name}\n`}data: ${data}\n\n`;
	}

	/** Writes what is pending, `[DONE]` after it if `done`, and ends the response. */
	end(done = true): void {
		if (this.#ended) return;
		this.#ended = true;
		if (!this.#response.destroyed) this.#response.end(done ? `${this.#pending}data: [DONE]\n\n` : this.#pending);
		this.#pending = '';
	}

	/**
	 * Writes what is pending and destroys the connection once it is handed to the kernel: a death in the middle of a
	 * stream.
	 */
	cut(): void {
		if (this.#ended) return;
		this.#ended = true;
		const response = this.#response;
		if (this.#pending === '') response.destroy();
		else response.write(this.#pending, () => response.destroy());
		this.#pending = '';
	}

	flush(): void {
		if (this.#ended || this.#pending === '') return;
		const text = this.#pending;
		this.#pending = '';
		if (this.#response.destroyed) return;
		this.#response.write(text);
		if (this.#response.writableLength <= this.#bufferBytesMax) return;
		this.#ended = true;
		this.#onOverflow();
	}
}
