// Owns ids: UUIDv7 (RFC 9562 §5.7), ordered by time within one generator. 48 bits of milliseconds, 12 bits of counter,
// 62 random bits.
import type { Clock, Random } from '@infermesh/proto';

const HEX = Array.from({ length: 65_536 }, (_, value) => value.toString(16).padStart(4, '0'));

function hex(value: number): string {
	return HEX[value & 0xffff] as string;
}

export class IdGenerator {
	readonly #clock: Clock;
	readonly #random: Random;
	#ms = -1;
	#prefix = '';
	#counter = 0;

	constructor(clock: Clock, random: Random) {
		this.#clock = clock;
		this.#random = random;
	}

	next(): string {
		this.#advance();
		const high = this.#random.nextU32();
		const low = this.#random.nextU32();
		const variant = hex(0x8000 | ((high >>> 16) & 0x3fff));
		return `${this.#prefix}${hex(0x7000 | this.#counter)}-${variant}-${hex(high)}${hex(low >>> 16)}${hex(low)}`;
	}

	/** Moves to the present millisecond, or one step on within it. A clock that stands still or goes back borrows from the future. */
	#advance(): void {
		const now = Math.floor(this.#clock.wallMs());
		if (now > this.#ms) return this.#begin(now);
		this.#counter++;
		if (this.#counter > 0xfff) this.#begin(this.#ms + 1);
	}

	#begin(ms: number): void {
		this.#ms = ms;
		// Half of the counter's range is left for steps within the millisecond.
		this.#counter = this.#random.nextU32() & 0x7ff;
		const high = Math.floor(ms / 0x1_0000);
		this.#prefix = `${hex(high >>> 16)}${hex(high)}-${hex(ms % 0x1_0000)}-`;
	}
}
