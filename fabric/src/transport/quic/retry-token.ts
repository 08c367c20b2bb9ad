// Owns the proof that a caller is at the address it sends from: a token that only who receives there can bring back. Nothing is kept for a caller
// before it does, so forged addresses fill no table.
import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import type { Clock } from '@infermesh/proto';
import type { HostPort } from '../../effects/packets.js';

const LIFE_MS = 10_000;
const MAC_BYTES = 16;
const EXPIRY_BYTES = 8;

export class RetryTokens {
	readonly #clock: Clock;
	readonly #secret = randomBytes(32);

	constructor(clock: Clock) {
		this.#clock = clock;
	}

	/** For a caller at `from` who began with `originalId` and is to go on with `newId`. */
	issue(from: HostPort, originalId: Uint8Array, newId: Uint8Array): Uint8Array {
		const content = Buffer.alloc(EXPIRY_BYTES + originalId.length);
		content.writeDoubleBE(this.#clock.nowMs() + LIFE_MS);
		content.set(originalId, EXPIRY_BYTES);
		return Buffer.concat([this.#mac(from, newId, content), content]);
	}

	/** The id that the caller began with, or undefined for a token that was not issued to it, or too long ago. */
	open(token: Uint8Array, from: HostPort, newId: Uint8Array): Uint8Array | undefined {
		if (token.length < MAC_BYTES + EXPIRY_BYTES) return undefined;
		const content = Buffer.from(token.subarray(MAC_BYTES));
		if (!timingSafeEqual(token.subarray(0, MAC_BYTES), this.#mac(from, newId, content))) return undefined;
		return this.#clock.nowMs() <= content.readDoubleBE() ? content.subarray(EXPIRY_BYTES) : undefined;
	}

	#mac(from: HostPort, newId: Uint8Array, content: Uint8Array): Buffer {
		const hmac = createHmac('sha256', this.#secret);
		// Lengths keep one field from running into the next.
		const place = `${from.host} ${from.port} ${newId.length} `;
		return hmac.update(place).update(newId).update(content).digest().subarray(0, MAC_BYTES);
	}
}
