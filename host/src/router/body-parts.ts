// Owns what has come of a body that is not whole: its parts, kept so that they weigh about what their bytes do, and the bound on how finely it may come.
import type { Refusal } from './errors.js';

/** So many parts are kept apart; a body of very many tiny ones would weigh a hundred times its bytes. */
const PARTS_APART = 512;

/** What has come of a body, or of a line of it. */
export class BodyParts {
	/** Parts that have come. */
	added = 0;
	#parts: Buffer[] = [];
	/** Of `#parts`, how many hold `PARTS_APART` that came. */
	#joined = 0;

	add(part: Buffer): void {
		this.added++;
		this.#parts.push(part);
		if (this.#parts.length - this.#joined < PARTS_APART) return;
		this.#parts.push(Buffer.concat(this.#parts.splice(this.#joined)));
		this.#joined++;
	}

	drop(): void {
		this.#parts = [];
		this.#joined = 0;
	}

	whole(bytes: number): Buffer {
		return this.#parts.length === 1 ? (this.#parts[0] as Buffer) : Buffer.concat(this.#parts, bytes);
	}
}

const FINE_PARTS_MAX = 1024;
const PART_BYTES_MIN = 16;
const WIRE_BYTES_FREE = 64 * 1024;
const WIRE_RATIO_MAX = 4;

/** A body in tiny chunks, or in chunks that are mostly extension, costs far more to read than its bytes: no client has a reason for it. */
export function tooFine(bytes: number, parts: number, wireBytes: number): Refusal | undefined {
	const fine = parts > FINE_PARTS_MAX + bytes / PART_BYTES_MIN;
	if (!fine && wireBytes <= WIRE_BYTES_FREE + bytes * WIRE_RATIO_MAX) return undefined;
	return { code: 'IM_REQUEST_BODY_SIZE', message: 'The request body comes in chunks of too few bytes.' };
}
