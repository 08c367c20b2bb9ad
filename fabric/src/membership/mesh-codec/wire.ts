// Owns the small parts of the mesh's gossip encoding: node ids as 16 bytes and addresses. A reader throws Malformed, which never leaves the codec.

import { type ByteReader, type ByteWriter, Malformed } from '../../bytes/binary.js';
import type { Address } from '../../effects/packets.js';
import type { NodeId } from '../messages.js';

const uuidForm = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

/** How an address is written: its family, then host and port. */
const family = { none: 0, ipv4: 4, ipv6: 6, name: 1 } as const;
const hostMaxBytes = 255;

/** The 16 bytes of a lower-case UUID. Throws a TypeError for anything else: only UUIDs name members here. */
export function uuidBytes(id: NodeId): Uint8Array {
	if (!uuidForm.test(id)) throw new TypeError(`${id.slice(0, 64)} is not a lower-case UUID`);
	return Buffer.from(id.replaceAll('-', ''), 'hex');
}

export function uuidOf(bytes: Uint8Array): NodeId {
	const hex = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('hex');
	return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}

export function writeId(writer: ByteWriter, id: NodeId): void {
	writer.raw(uuidBytes(id));
}

export function readId(reader: ByteReader): NodeId {
	return uuidOf(reader.raw(16));
}

/** An id or none (empty). */
export function writeOptionalId(writer: ByteWriter, id: NodeId): void {
	writer.u8(id === '' ? 0 : 1);
	if (id !== '') writeId(writer, id);
}

export function readOptionalId(reader: ByteReader): NodeId {
	return reader.flag() ? readId(reader) : '';
}

/** Splits `host:port`; undefined when it is not that. Brackets of an IPv6 host are taken off. */
export function splitAddress(address: Address): { readonly host: string; readonly port: number } | undefined {
	const colon = address.lastIndexOf(':');
	const port = Number(address.slice(colon + 1));
	let host = address.slice(0, Math.max(0, colon));
	if (host.startsWith('[') && host.endsWith(']')) host = host.slice(1, -1);
	else if (host.includes(':')) return undefined;
	const numeric = /^\d{1,5}$/.test(address.slice(colon + 1));
	return host !== '' && numeric && port >= 1 && port <= 65_535 ? { host, port } : undefined;
}

export function writeAddress(writer: ByteWriter, address: Address): void {
	if (address === '') {
		writer.u8(family.none);
		return;
	}
	const parts = splitAddress(address);
	if (parts === undefined || parts.host.length > hostMaxBytes)
		throw new TypeError(`${address.slice(0, 80)} is not host:port`);
	const ipv4 = ipv4Bytes(parts.host);
	const ipv6 = parts.host.includes(':') ? ipv6Bytes(parts.host) : undefined;
	if (ipv4 !== undefined) writer.u8(family.ipv4).raw(ipv4);
	else if (ipv6 !== undefined) writer.u8(family.ipv6).raw(ipv6);
	else writer.u8(family.name).ascii(parts.host);
	writer.u8(parts.port >> 8).u8(parts.port & 255);
}

export function readAddress(reader: ByteReader): Address {
	const kind = reader.u8();
	if (kind === family.none) return '';
	let host: string;
	if (kind === family.ipv4) host = reader.raw(4).join('.');
	else if (kind === family.ipv6) host = `[${ipv6Text(reader.raw(16))}]`;
	else if (kind === family.name) host = hostName(reader.ascii(hostMaxBytes));
	else throw new Malformed('address family');
	const port = reader.u8() * 256 + reader.u8();
	if (port === 0) throw new Malformed('port 0');
	return `${host}:${port}`;
}

function hostName(text: string): string {
	if (!/^[A-Za-z0-9._-]+$/.test(text)) throw new Malformed('host name');
	return text;
}

/** Undefined when the host is no IPv4 address. */
export function ipv4Bytes(host: string): Uint8Array | undefined {
	const parts = host.split('.');
	if (parts.length !== 4 || !parts.every((part) => /^(0|[1-9]\d{0,2})$/.test(part) && Number(part) < 256))
		return undefined;
	return Uint8Array.from(parts, Number);
}

/** Undefined when the host is no IPv6 address. Scopes are not addresses for others. */
export function ipv6Bytes(host: string): Uint8Array | undefined {
	const halves = host.split('::');
	if (halves.length > 2) return undefined;
	const [head = [], tail = []] = halves.map((half) => (half === '' ? [] : half.split(':')));
	const missing = 8 - head.length - tail.length;
	if (halves.length === 2 ? missing < 1 : missing !== 0) return undefined;
	const words = [...head, ...Array.from({ length: missing }, () => '0'), ...tail];
	if (!words.every((word) => /^[0-9a-fA-F]{1,4}$/.test(word))) return undefined;
	return Uint8Array.from(words.flatMap((word) => [Number.parseInt(word, 16) >> 8, Number.parseInt(word, 16) & 255]));
}

/** RFC 5952: lower case, the longest run of two or more zero words shortened, the first of equals. */
export function ipv6Text(bytes: Uint8Array): string {
	const words = Array.from({ length: 8 }, (_, i) => (bytes[i * 2] as number) * 256 + (bytes[i * 2 + 1] as number));
	let best = { start: -1, length: 1 };
	for (let start = 0; start < 8; start++) {
		let end = start;
		while (end < 8 && words[end] === 0) end++;
		if (end - start > best.length) best = { start, length: end - start };
	}
	const text = (from: number, to: number): string =>
		words
			.slice(from, to)
			.map((word) => word.toString(16))
			.join(':');
	return best.start < 0 ? text(0, 8) : `${text(0, best.start)}::${text(best.start + best.length, 8)}`;
}
