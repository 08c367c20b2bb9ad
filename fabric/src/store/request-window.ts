// Owns the answers of the last requests, by request id, so that a command which is proposed again after a change of leader takes effect once.
// Part of the state: every member forgets the same ones at the same command.
import { requestWindowBytesMax, requestWindowMax } from './limits.js';

export class RequestWindow {
	readonly #answers = new Map<string, Uint8Array>();
	#bytes = 0;

	answer(id: Uint8Array): Uint8Array | undefined {
		return this.#answers.get(nameOf(id));
	}

	/** `id` must not be there yet. */
	add(id: Uint8Array, answer: Uint8Array): void {
		this.#answers.set(nameOf(id), answer);
		this.#bytes += answer.length;
		for (const [oldest, bytes] of this.#answers) {
			if (this.#answers.size <= requestWindowMax && this.#bytes <= requestWindowBytesMax) break;
			this.#answers.delete(oldest);
			this.#bytes -= bytes.length;
		}
	}

	/** From old to new. */
	all(): readonly (readonly [id: Uint8Array, answer: Uint8Array])[] {
		return [...this.#answers].map(([name, answer]) => [Buffer.from(name, 'latin1'), answer] as const);
	}
}

function nameOf(id: Uint8Array): string {
	return Buffer.from(id.buffer, id.byteOffset, id.length).toString('latin1');
}
