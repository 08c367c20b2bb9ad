// Owns msgpack as memberlist's peers write it: the old specification, in which text and bytes are one family ("raw") and the newer str8 and bin
// types are never sent. A reader takes all of msgpack and never allocates more than the input holds.
import { type ByteWriter, Malformed } from '../../bytes/binary.js';

/** What is read: raws are bytes, whatever they were meant as. */
export type MsgpackValue =
	| null
	| boolean
	| number
	/** Beyond ±2^53. */
	| bigint
	/** A view into the input; that of an extension has its type byte first. */
	| Uint8Array
	| readonly MsgpackValue[]
	| ReadonlyMap<string, MsgpackValue>;

/** What is written. Maps keep their order. */
export type Encodable =
	| null
	| boolean
	/** A safe integer; one that is not negative is written unsigned. */
	| number
	/** Always 64 bits of floating point, also where it is whole. */
	| { readonly float: number }
	| string
	| Uint8Array
	| readonly Encodable[]
	| ReadonlyMap<string, Encodable>;

export function writeValue(writer: ByteWriter, value: Encodable): void {
	if (value === null) writer.u8(0xc0);
	else if (typeof value === 'boolean') writer.u8(value ? 0xc3 : 0xc2);
	else if (typeof value === 'number') writeInteger(writer, value);
	else if (typeof value === 'string') writeRaw(writer, new TextEncoder().encode(value));
	else if (value instanceof Uint8Array) writeRaw(writer, value);
	else if (value instanceof Map) {
		writeCount(writer, value.size, 0x80, 0xde);
		for (const [key, item] of value as ReadonlyMap<string, Encodable>) {
			writeValue(writer, key);
			writeValue(writer, item);
		}
	} else if ('float' in value) {
		const bytes = Buffer.alloc(8);
		bytes.writeDoubleBE(value.float);
		writer.u8(0xcb).raw(bytes);
	} else {
		const items = value as readonly Encodable[];
		writeCount(writer, items.length, 0x90, 0xdc);
		for (const item of items) writeValue(writer, item);
	}
}

function writeInteger(writer: ByteWriter, value: number): void {
	if (!Number.isSafeInteger(value)) throw new RangeError(`${value} is no integer`);
	if (value < 0) {
		const bytes = Buffer.alloc(8);
		bytes.writeBigInt64BE(BigInt(value));
		writer.u8(0xd3).raw(bytes);
	} else if (value < 0x80) writer.u8(value);
	else if (value < 0x100) writer.u8(0xcc).u8(value);
	else if (value < 0x1_0000) writer.u8(0xcd).raw(big(value, 2));
	else if (value < 0x1_0000_0000) writer.u8(0xce).u32(value);
	else writer.u8(0xcf).raw(big(value, 8));
}

function writeRaw(writer: ByteWriter, bytes: Uint8Array): void {
	if (bytes.length < 32) writer.u8(0xa0 | bytes.length);
	else if (bytes.length < 0x1_0000) writer.u8(0xda).raw(big(bytes.length, 2));
	else writer.u8(0xdb).u32(bytes.length);
	writer.raw(bytes);
}

function writeCount(writer: ByteWriter, count: number, short: number, long: number): void {
	if (count < 16) writer.u8(short | count);
	else if (count < 0x1_0000) writer.u8(long).raw(big(count, 2));
	else writer.u8(long + 1).u32(count);
}

function big(value: number, length: number): Uint8Array {
	const bytes = new Uint8Array(length);
	for (let at = length - 1, rest = value; at >= 0; at--, rest = Math.floor(rest / 256)) bytes[at] = rest % 256;
	return bytes;
}

type Kind = 'fixed' | 'nil' | 'bool' | 'float' | 'unsigned' | 'signed' | 'raw' | 'array' | 'map';

interface Head {
	readonly kind: Kind;
	/** Where what follows the head begins. */
	readonly at: number;
	/** Bytes that follow, items of an array or pairs of a map; the value itself for `fixed` and `bool`. */
	readonly size: number;
}

/** 0xc0 to 0xdf: the kind, the bytes of its count, and what is added to the count (the whole size where there is none). 0xc1 is no type. */
const heads: readonly (readonly [Kind, number, number] | undefined)[] = [
	['nil', 0, 0],
	undefined,
	['bool', 0, 0],
	['bool', 0, 1],
	...[1, 2, 4].map((bytes) => ['raw', bytes, 0] as const),
	...[1, 2, 4].map((bytes) => ['raw', bytes, 1] as const),
	...[4, 8].map((bytes) => ['float', 0, bytes] as const),
	...[1, 2, 4, 8].map((bytes) => ['unsigned', 0, bytes] as const),
	...[1, 2, 4, 8].map((bytes) => ['signed', 0, bytes] as const),
	...[1, 2, 4, 8, 16].map((bytes) => ['raw', 0, bytes + 1] as const),
	...[1, 2, 4].map((bytes) => ['raw', bytes, 0] as const),
	...[2, 4].map((bytes) => ['array', bytes, 0] as const),
	...[2, 4].map((bytes) => ['map', bytes, 0] as const),
];

/** Undefined when even the head is cut short. Throws Malformed for the one byte that begins nothing. */
function headAt(bytes: Uint8Array, at: number): Head | undefined {
	const first = bytes[at];
	if (first === undefined) return undefined;
	if (first < 0x80) return { kind: 'fixed', at: at + 1, size: first };
	if (first < 0x90) return { kind: 'map', at: at + 1, size: first & 0x0f };
	if (first < 0xa0) return { kind: 'array', at: at + 1, size: first & 0x0f };
	if (first < 0xc0) return { kind: 'raw', at: at + 1, size: first & 0x1f };
	if (first >= 0xe0) return { kind: 'fixed', at: at + 1, size: first - 0x100 };
	const head = heads[first - 0xc0];
	if (head === undefined) throw new Malformed('0xc1 begins no value');
	const [kind, countBytes, added] = head;
	if (at + 1 + countBytes > bytes.length) return undefined;
	let size = 0;
	for (let i = 1; i <= countBytes; i++) size = size * 256 + (bytes[at + i] as number);
	return { kind, at: at + 1 + countBytes, size: size + added };
}

/** Bytes that follow the head as part of this value alone. */
function ownBytes(head: Head): number {
	return head.kind === 'raw' || head.kind === 'float' || head.kind === 'unsigned' || head.kind === 'signed'
		? head.size
		: 0;
}

function itemsOf(head: Head): number {
	if (head.kind === 'array') return head.size;
	return head.kind === 'map' ? head.size * 2 : 0;
}

/**
 * Where the value at `at` ends. When the bytes are cut short this lies beyond them: at least so many are needed. Throws Malformed for what is no
 * value, or one of more than `itemsMax` parts.
 */
export function endOfValue(bytes: Uint8Array, at: number, itemsMax: number): number {
	let end = at;
	let items = 0;
	for (let pending = 1; pending > 0; pending--) {
		const head = headAt(bytes, end);
		if (head === undefined) return Math.max(end, bytes.length) + 1;
		end = head.at + ownBytes(head);
		pending += itemsOf(head);
		items++;
		if (items + pending - 1 > itemsMax) throw new Malformed('too many parts');
		if (end > bytes.length) return end;
	}
	return end;
}

export interface ValueLimits {
	/** Values in all, nested ones included. */
	readonly itemsMax: number;
	readonly depthMax: number;
}

/** Enough for every body of the protocol, with room for keys that are not known. */
export const bodyLimits: ValueLimits = Object.freeze({ itemsMax: 256, depthMax: 6 });

/** Reads values one after the other. Throws Malformed. */
export class ValueReader {
	readonly #bytes: Uint8Array;
	readonly #limits: ValueLimits;
	#at: number;
	#items = 0;

	constructor(bytes: Uint8Array, limits: ValueLimits = bodyLimits, at = 0) {
		this.#bytes = bytes;
		this.#limits = limits;
		this.#at = at;
	}

	/** Where the next value begins. */
	get at(): number {
		return this.#at;
	}

	/** The limits hold for each value read. */
	read(): MsgpackValue {
		this.#items = 0;
		return this.#value(this.#limits.depthMax);
	}

	readMap(): ReadonlyMap<string, MsgpackValue> {
		const value = this.read();
		if (!(value instanceof Map)) throw new Malformed('not a map');
		return value;
	}

	#value(depthLeft: number): MsgpackValue {
		const head = headAt(this.#bytes, this.#at);
		if (head === undefined || head.at + ownBytes(head) > this.#bytes.length) throw new Malformed('cut short');
		if (++this.#items > this.#limits.itemsMax) throw new Malformed('too many parts');
		// Each part takes a byte at least, so that a count alone allocates nothing.
		if (itemsOf(head) > this.#bytes.length - head.at) throw new Malformed('cut short');
		if (itemsOf(head) > 0 && depthLeft === 0) throw new Malformed('nested too deeply');
		this.#at = head.at + ownBytes(head);
		switch (head.kind) {
			case 'nil':
				return null;
			case 'bool':
				return head.size === 1;
			case 'fixed':
				return head.size;
			case 'raw':
				return this.#bytes.subarray(head.at, this.#at);
			case 'array':
				return Array.from({ length: head.size }, () => this.#value(depthLeft - 1));
			case 'map':
				return this.#map(head.size, depthLeft);
			case 'float':
			case 'unsigned':
			case 'signed':
				return numberAt(this.#bytes, head);
		}
	}

	#map(pairs: number, depthLeft: number): ReadonlyMap<string, MsgpackValue> {
		const map = new Map<string, MsgpackValue>();
		for (let i = 0; i < pairs; i++) {
			const key = this.#value(0);
			if (!(key instanceof Uint8Array)) throw new Malformed('a key that is no text');
			map.set(new TextDecoder().decode(key), this.#value(depthLeft - 1));
		}
		return map;
	}
}

function numberAt(bytes: Uint8Array, head: Head): number | bigint {
	const view = new DataView(bytes.buffer, bytes.byteOffset + head.at, head.size);
	if (head.kind === 'float') return head.size === 4 ? view.getFloat32(0) : view.getFloat64(0);
	const signed = head.kind === 'signed';
	switch (head.size) {
		case 1:
			return signed ? view.getInt8(0) : view.getUint8(0);
		case 2:
			return signed ? view.getInt16(0) : view.getUint16(0);
		case 4:
			return signed ? view.getInt32(0) : view.getUint32(0);
		default: {
			const wide = signed ? view.getBigInt64(0) : view.getBigUint64(0);
			const number = Number(wide);
			return Number.isSafeInteger(number) ? number : wide;
		}
	}
}
