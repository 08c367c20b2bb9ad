// Owns how our keys lie in an etcd cluster that others use too: under a prefix of their own. etcd selects by half-open ranges of bytes.
import type { Selection } from '../engine.js';

export interface Range {
	readonly key: Uint8Array;
	/** Empty for a single key. */
	readonly rangeEnd: Uint8Array;
}

export class EtcdKeys {
	readonly #prefix: string;

	/** `prefix` is printable ASCII. */
	constructor(prefix: string) {
		this.#prefix = prefix;
	}

	toEtcd(key: string): Uint8Array {
		return latin1(this.#prefix + key);
	}

	fromEtcd(key: Uint8Array): string {
		return Buffer.from(key.buffer, key.byteOffset, key.length).toString('latin1', this.#prefix.length);
	}

	/** Undefined when nothing can be selected after `after`. */
	range(selection: Selection, after?: string): Range | undefined {
		if ('key' in selection) {
			if (after !== undefined && after >= selection.key) return undefined;
			return { key: this.toEtcd(selection.key), rangeEnd: new Uint8Array(0) };
		}
		const first = this.#prefix + selection.prefix;
		const end = latin1(first);
		// Characters of keys and prefixes end at 0x7e, so the last byte can always be raised.
		end[end.length - 1] = (end[end.length - 1] as number) + 1;
		const start = after === undefined ? first : `${this.#prefix}${after}\0`;
		const key = latin1(start > first ? start : first);
		return Buffer.compare(key, end) < 0 ? { key, rangeEnd: end } : undefined;
	}
}

function latin1(text: string): Uint8Array {
	return new Uint8Array(Buffer.from(text, 'latin1'));
}
