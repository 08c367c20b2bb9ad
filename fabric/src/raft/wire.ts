// Owns reading and writing of bytes for the codecs of this room: varints (LEB128, at most 2^53 − 1), strings and byte runs with their length. The
// reader checks every bound and refuses with IM_RAFT_MESSAGE_INVALID.
import { raftError } from './errors.js';

const text = new TextEncoder();
const fromText = new TextDecoder('utf-8', { fatal: true });

export class Writer {
	#bytes = new Uint8Array(256);
	#length = 0;

	#room(wanted: number): void {
		if (this.#length + wanted <= this.#bytes.length) return;
		const bigger = new Uint8Array(Math.max(this.#bytes.length * 2, this.#length + wanted));
		bigger.set(this.#bytes.subarray(0, this.#length));
		this.#bytes = bigger;
	}

	byte(value: number): this {
		this.#room(1);
		this.#bytes[this.#length++] = value;
		return this;
	}

	/** A safe integer from 0. */
	varint(value: number): this {
		if (!Number.isSafeInteger(value) || value < 0) throw new Error(`no varint: ${value}`);
		this.#room(8);
		let rest = value;
		while (rest > 0x7f) {
			this.#bytes[this.#length++] = (rest % 0x80) | 0x80;
			rest = Math.floor(rest / 0x80);
		}
		this.#bytes[this.#length++] = rest;
		return this;
	}

	bytes(value: Uint8Array): this {
		this.varint(value.length);
		this.#room(value.length);
		this.#bytes.set(value, this.#length);
		this.#length += value.length;
		return this;
	}

	string(value: string): this {
		return this.bytes(text.encode(value));
	}

	/** What was written, in memory of its own size. */
	finish(): Uint8Array {
		return this.#bytes.slice(0, this.#length);
	}
}

export class Reader {
	readonly #bytes: Uint8Array;
	#at = 0;

	constructor(bytes: Uint8Array) {
		this.#bytes = bytes;
	}

	get left(): number {
		return this.#bytes.length - this.#at;
	}

	byte(): number {
		const value = this.#bytes[this.#at];
		if (value === undefined) throw raftError('IM_RAFT_MESSAGE_INVALID', 'the bytes end too early');
		this.#at++;
		return value;
	}

	varint(): number {
		let value = 0;
		let scale = 1;
		for (let count = 0; count < 8; count++) {
			const byte = this.byte();
			value += (byte & 0x7f) * scale;
			if (byte < 0x80) {
				// One number has one form, so that equal messages have equal bytes.
				if (!Number.isSafeInteger(value) || (byte === 0 && count > 0)) break;
				return value;
			}
			scale *= 0x80;
		}
		throw raftError('IM_RAFT_MESSAGE_INVALID', 'a number is out of range or not in its shortest form');
	}

	/** A view, not a copy. */
	bytes(lengthMax: number): Uint8Array {
		const length = this.varint();
		if (length > lengthMax || length > this.left)
			throw raftError('IM_RAFT_MESSAGE_INVALID', `a field of ${length} bytes is over its bound or the message`);
		this.#at += length;
		return this.#bytes.subarray(this.#at - length, this.#at);
	}

	string(lengthMax: number): string {
		const bytes = this.bytes(lengthMax);
		try {
			return fromText.decode(bytes);
		} catch (cause) {
			throw raftError('IM_RAFT_MESSAGE_INVALID', 'a name is no UTF-8', { cause });
		}
	}

	/** How many elements follow. */
	count(max: number): number {
		const count = this.varint();
		if (count > max || count > this.left)
			throw raftError('IM_RAFT_MESSAGE_INVALID', `${count} elements are over the bound or the message`);
		return count;
	}

	flag(): boolean {
		const byte = this.byte();
		if (byte > 1) throw raftError('IM_RAFT_MESSAGE_INVALID', 'a flag is neither 0 nor 1');
		return byte === 1;
	}
}
