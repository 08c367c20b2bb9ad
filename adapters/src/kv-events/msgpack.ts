// Owns reading and writing the MessagePack of KV events: 64-bit integers beyond 2^53 are bigints, binary is a view of the input, extensions
// are refused. Hostile input costs no more than its length: lengths are checked against what is left before anything is made of them.

export type MsgpackValue =
	| null
	| boolean
	| number
	| bigint
	| string
	| Uint8Array
	| readonly MsgpackValue[]
	| ReadonlyMap<string, MsgpackValue>;

export class MsgpackError extends Error {}

const DEPTH_MAX = 16;

/** Reads one value that takes up all of `bytes`. Throws MsgpackError. */
export function decodeMsgpack(bytes: Uint8Array): MsgpackValue {
	const reader = new Reader(bytes);
	const value = reader.value(0);
	if (!reader.done) throw new MsgpackError('bytes are left over');
	return value;
}

class Reader {
	readonly #bytes: Uint8Array;
	readonly #view: DataView;
	#at = 0;

	constructor(bytes: Uint8Array) {
		this.#bytes = new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
		this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
	}

	get done(): boolean {
		return this.#at === this.#bytes.length;
	}

	value(depth: number): MsgpackValue {
		const type = this.#uint(1);
		if (type < 0x80) return type;
		if (type < 0x90) return this.#map(type & 0x0f, depth);
		if (type < 0xa0) return this.#array(type & 0x0f, depth);
		if (type < 0xc0) return this.#text(type & 0x1f);
		if (type >= 0xe0) return type - 0x100;
		switch (type) {
			case 0xc0:
				return null;
			case 0xc2:
				return false;
			case 0xc3:
				return true;
			case 0xc4:
			case 0xc5:
			case 0xc6:
				return this.#take(this.#uint(1 << (type - 0xc4)));
			case 0xca:
				return this.#view.getFloat32(this.#skip(4));
			case 0xcb:
				return this.#view.getFloat64(this.#skip(8));
			case 0xcc:
			case 0xcd:
			case 0xce:
				return this.#uint(1 << (type - 0xcc));
			case 0xcf:
				return narrow(this.#view.getBigUint64(this.#skip(8)));
			case 0xd0:
				return this.#view.getInt8(this.#skip(1));
			case 0xd1:
				return this.#view.getInt16(this.#skip(2));
			case 0xd2:
				return this.#view.getInt32(this.#skip(4));
			case 0xd3:
				return narrow(this.#view.getBigInt64(this.#skip(8)));
			case 0xd9:
			case 0xda:
			case 0xdb:
				return this.#text(this.#uint(1 << (type - 0xd9)));
			case 0xdc:
			case 0xdd:
				return this.#array(this.#uint(type === 0xdc ? 2 : 4), depth);
			case 0xde:
			case 0xdf:
				return this.#map(this.#uint(type === 0xde ? 2 : 4), depth);
			default:
				throw new MsgpackError(`type 0x${type.toString(16)} is not read`);
		}
	}

	#array(count: number, depth: number): MsgpackValue[] {
		this.#enter(count, depth);
		const items: MsgpackValue[] = [];
		for (let i = 0; i < count; i++) items.push(this.value(depth + 1));
		return items;
	}

	#map(count: number, depth: number): Map<string, MsgpackValue> {
		this.#enter(count * 2, depth);
		const entries = new Map<string, MsgpackValue>();
		for (let i = 0; i < count; i++) {
			const key = this.value(depth + 1);
			if (typeof key !== 'string') throw new MsgpackError('a key is no text');
			entries.set(key, this.value(depth + 1));
		}
		return entries;
	}

	/** Every item takes a byte at least, so a count beyond what is left is a lie. */
	#enter(items: number, depth: number): void {
		if (depth >= DEPTH_MAX) throw new MsgpackError(`nested deeper than ${DEPTH_MAX}`);
		if (items > this.#bytes.length - this.#at) throw new MsgpackError('more items are named than there are bytes');
	}

	#uint(bytes: number): number {
		const at = this.#skip(bytes);
		if (bytes === 1) return this.#bytes[at] as number;
		return bytes === 2 ? this.#view.getUint16(at) : this.#view.getUint32(at);
	}

	#text(length: number): string {
		const bytes = this.#take(length);
		return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8');
	}

	#take(length: number): Uint8Array {
		const at = this.#skip(length);
		return this.#bytes.subarray(at, at + length);
	}

	#skip(length: number): number {
		const at = this.#at;
		if (length > this.#bytes.length - at) throw new MsgpackError('it is cut short');
		this.#at = at + length;
		return at;
	}
}

function narrow(value: bigint): number | bigint {
	return value >= -0x1f_ffff_ffff_ffffn && value <= 0x1f_ffff_ffff_ffffn ? Number(value) : value;
}

/** Writes one value. Integers take their shortest form, other numbers are 64-bit floats. */
export function encodeMsgpack(value: MsgpackValue): Buffer {
	const parts: Buffer[] = [];
	write(value, parts);
	return Buffer.concat(parts);
}

function write(value: MsgpackValue, parts: Buffer[]): void {
	if (value === null) parts.push(Buffer.of(0xc0));
	else if (typeof value === 'boolean') parts.push(Buffer.of(value ? 0xc3 : 0xc2));
	else if (typeof value === 'bigint') parts.push(wide(value));
	else if (typeof value === 'number') parts.push(Number.isSafeInteger(value) ? integer(value) : float(value));
	else if (typeof value === 'string') {
		const text = Buffer.from(value);
		parts.push(text.length < 32 ? Buffer.of(0xa0 | text.length) : head(text.length, 0xd9, 0xda, 0xdb), text);
	} else if (value instanceof Uint8Array) parts.push(head(value.length, 0xc4, 0xc5, 0xc6), Buffer.from(value));
	else if (value instanceof Map) {
		parts.push(value.size < 16 ? Buffer.of(0x80 | value.size) : head(value.size, undefined, 0xde, 0xdf));
		for (const [key, item] of value as ReadonlyMap<string, MsgpackValue>) {
			write(key, parts);
			write(item, parts);
		}
	} else {
		const items = value as readonly MsgpackValue[];
		parts.push(items.length < 16 ? Buffer.of(0x90 | items.length) : head(items.length, undefined, 0xdc, 0xdd));
		for (const item of items) write(item, parts);
	}
}

function head(length: number, short: number | undefined, middle: number, long: number): Buffer {
	if (short !== undefined && length < 0x100) return Buffer.of(short, length);
	if (length < 0x1_0000) return Buffer.of(middle, length >>> 8, length & 0xff);
	const bytes = Buffer.alloc(5);
	bytes[0] = long;
	bytes.writeUInt32BE(length, 1);
	return bytes;
}

function integer(value: number): Buffer {
	if (value >= 0 && value < 0x80) return Buffer.of(value);
	if (value < 0 && value >= -32) return Buffer.of(value + 0x100);
	if (value < 0 || value > 0xffff_ffff) return wide(BigInt(value));
	return head(value, 0xcc, 0xcd, 0xce);
}

function wide(value: bigint): Buffer {
	const bytes = Buffer.alloc(9);
	bytes[0] = value < 0n ? 0xd3 : 0xcf;
	if (value < 0n) bytes.writeBigInt64BE(value, 1);
	else bytes.writeBigUInt64BE(value, 1);
	return bytes;
}

function float(value: number): Buffer {
	const bytes = Buffer.alloc(9);
	bytes[0] = 0xcb;
	bytes.writeDoubleBE(value, 1);
	return bytes;
}
