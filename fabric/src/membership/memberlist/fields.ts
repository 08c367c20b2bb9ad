// Owns the reading and writing of single fields of memberlist's bodies: structs are maps with Go's field names, a missing or nil field is zero,
// unknown ones are passed over.

import { Malformed } from '../../bytes/binary.js';
import type { Address } from '../../effects/packets.js';
import { ipv4Bytes, ipv6Bytes, ipv6Text, splitAddress } from '../mesh-codec/wire.js';
import type { Encodable, MsgpackValue } from './msgpack.js';

/** Of a node's name; Serf allows 128. */
export const nameMaxBytes = 255;

const incarnationLimit = 2 ** 32;
/**
 * Room above every incarnation that is believed: whoever claims a higher one would leave its owner no number to refute with, as numbers are 32 bits
 * wide and must not wrap.
 */
const incarnationReserve = 2 ** 21;
export const incarnationMax = incarnationLimit - incarnationReserve;

/** A struct to write: fields in alphabetical order, as Go's peers have them. */
export function struct(fields: Readonly<Record<string, Encodable | undefined>>): Map<string, Encodable> {
	const map = new Map<string, Encodable>();
	for (const [name, value] of Object.entries(fields)) if (value !== undefined) map.set(name, value);
	return map;
}

/** The fields of a struct that was read. Throws Malformed for a field that is there and of another type. */
export class Fields {
	readonly #map: ReadonlyMap<string, MsgpackValue>;

	constructor(map: ReadonlyMap<string, MsgpackValue>) {
		this.#map = map;
	}

	unsigned(name: string, max: number): number {
		const value = this.#map.get(name) ?? 0;
		if (typeof value !== 'number' || !Number.isInteger(value) || value < 0 || value > max) throw new Malformed(name);
		return value;
	}

	u32(name: string): number {
		return this.unsigned(name, 0xffff_ffff);
	}

	incarnation(): number {
		return this.unsigned('Incarnation', incarnationMax);
	}

	flag(name: string): boolean {
		const value = this.#map.get(name) ?? false;
		if (typeof value !== 'boolean') throw new Malformed(name);
		return value;
	}

	/** A copy, which does not keep the packet alive. */
	bytes(name: string, maxBytes: number): Uint8Array {
		const value = this.#map.get(name) ?? new Uint8Array(0);
		if (!(value instanceof Uint8Array) || value.length > maxBytes) throw new Malformed(name);
		return new Uint8Array(value);
	}

	text(name: string, maxBytes: number): string {
		const bytes = this.bytes(name, maxBytes);
		try {
			return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
		} catch {
			throw new Malformed(name);
		}
	}

	/** A node's name; empty only where the field is missing. */
	name(name: string): string {
		return this.text(name, nameMaxBytes);
	}

	/** Empty when there is no host. */
	address(host: string, port: string): Address {
		const bytes = this.bytes(host, 16);
		if (bytes.length === 0) return '';
		const number = this.unsigned(port, 65_535);
		if (number === 0) throw new Malformed(port);
		return `${hostOf(bytes)}:${number}`;
	}
}

const mappedPrefix = Buffer.from('00000000000000000000ffff', 'hex');

/** An IPv4 address may come in IPv6's clothes, as Go keeps it. */
function hostOf(bytes: Uint8Array): string {
	if (bytes.length === 4) return bytes.join('.');
	if (bytes.length !== 16) throw new Malformed('address');
	if (mappedPrefix.equals(bytes.subarray(0, 12))) return bytes.subarray(12).join('.');
	return `[${ipv6Text(bytes)}]`;
}

/** The bytes of an address; undefined when it is not an IP address with a port. */
export function addressBytes(address: Address): { readonly host: Uint8Array; readonly port: number } | undefined {
	const parts = splitAddress(address);
	const host = parts === undefined ? undefined : (ipv4Bytes(parts.host) ?? ipv6Bytes(parts.host));
	return parts === undefined || host === undefined ? undefined : { host, port: parts.port };
}
