// Owns DER (X.690): tag, definite length, content; nothing else of ASN.1. Reading is strict. What is cut short, longer than its parent, of indefinite
// or non-minimal length is refused. Depth and size are bounded by the callers, who know the structure they expect.

/** One element. Offsets are in `bytes`. */
export interface DerElement {
	readonly tag: number;
	/** Where the element begins, its header included. */
	readonly start: number;
	readonly contentStart: number;
	readonly end: number;
}

/** Thrown inside the readers of this room and turned into a named error at their edge. */
export class DerError extends Error {
	constructor(message: string) {
		super(message);
		this.name = 'DerError';
	}
}

export const derTag = Object.freeze({
	boolean: 0x01,
	integer: 0x02,
	bitString: 0x03,
	octetString: 0x04,
	oid: 0x06,
	utcTime: 0x17,
	generalizedTime: 0x18,
	sequence: 0x30,
	set: 0x31,
});

/** Elements that one constructed element may hold. */
const CHILDREN_MAX = 256;

/** One element around `contents`, which are elements or bytes already. */
export function writeElement(tag: number, ...contents: readonly Uint8Array[]): Uint8Array {
	const length = contents.reduce((sum, { length: one }) => sum + one, 0);
	const long = length < 0x80 ? [length] : length < 0x100 ? [0x81, length] : [0x82, length >> 8, length & 0xff];
	if (length > 0xffff) throw new DerError(`an element of ${length} bytes`);
	return Buffer.concat([Uint8Array.of(tag, ...long), ...contents]);
}

/** Reads the element at `offset`, which must end at or before `limit`. Throws DerError. */
export function readElement(bytes: Uint8Array, offset: number, limit: number): DerElement {
	const tag = byteAt(bytes, offset, limit);
	if ((tag & 0x1f) === 0x1f) throw new DerError('a tag number above 30');
	const first = byteAt(bytes, offset + 1, limit);
	let length = first;
	let contentStart = offset + 2;
	if (first >= 0x80) {
		const count = first & 0x7f;
		if (count === 0 || count > 3) throw new DerError('an indefinite or oversized length');
		length = 0;
		for (let i = 0; i < count; i++) length = length * 256 + byteAt(bytes, contentStart + i, limit);
		contentStart += count;
		if (length < 0x80 || (count > 1 && length < 256 ** (count - 1))) throw new DerError('a length that is not minimal');
	}
	const end = contentStart + length;
	if (end > limit) throw new DerError('an element longer than what holds it');
	return { tag, start: offset, contentStart, end };
}

/** Reads the one element that `bytes` consists of. Throws DerError. */
export function readWhole(bytes: Uint8Array, tag: number): DerElement {
	const element = readElement(bytes, 0, bytes.length);
	if (element.end !== bytes.length) throw new DerError('bytes after the element');
	return expectTag(element, tag);
}

/** Elements directly inside `parent`, in order. Throws DerError. */
export function childrenOf(bytes: Uint8Array, parent: DerElement): readonly DerElement[] {
	const children: DerElement[] = [];
	let offset = parent.contentStart;
	while (offset < parent.end) {
		if (children.length === CHILDREN_MAX) throw new DerError('too many elements');
		const child = readElement(bytes, offset, parent.end);
		children.push(child);
		offset = child.end;
	}
	return children;
}

export function expectTag(element: DerElement | undefined, tag: number): DerElement {
	if (element === undefined) throw new DerError('an element is missing');
	if (element.tag !== tag) throw new DerError(`tag ${element.tag} where ${tag} is expected`);
	return element;
}

export function contentOf(bytes: Uint8Array, element: DerElement): Uint8Array {
	return bytes.subarray(element.contentStart, element.end);
}

/** Dotted form of an object identifier; arcs up to 2^31. Throws DerError. */
export function readOid(bytes: Uint8Array, element: DerElement | undefined): string {
	const content = contentOf(bytes, expectTag(element, derTag.oid));
	const arcs: number[] = [];
	let arc = 0;
	for (const [index, byte] of content.entries()) {
		arc = arc * 128 + (byte & 0x7f);
		if (arc > 0x7fff_ffff) throw new DerError('an arc too large');
		if ((byte & 0x80) !== 0) {
			if (index === content.length - 1) throw new DerError('an identifier cut short');
			continue;
		}
		if (arcs.length === 0) arcs.push(arc < 80 ? Math.floor(arc / 40) : 2, arc < 80 ? arc % 40 : arc - 80);
		else arcs.push(arc);
		arc = 0;
	}
	if (arcs.length === 0) throw new DerError('an empty identifier');
	return arcs.join('.');
}

/** DER booleans are 0x00 or 0xff. Throws DerError. */
export function readBoolean(bytes: Uint8Array, element: DerElement | undefined): boolean {
	const content = contentOf(bytes, expectTag(element, derTag.boolean));
	if (content.length !== 1 || (content[0] !== 0 && content[0] !== 0xff)) throw new DerError('not a boolean');
	return content[0] === 0xff;
}

/** A non-negative integer below 2^31. Throws DerError. */
export function readSmallInteger(bytes: Uint8Array, element: DerElement | undefined): number {
	const content = contentOf(bytes, expectTag(element, derTag.integer));
	if (content.length === 0 || content.length > 4 || ((content[0] ?? 0) & 0x80) !== 0)
		throw new DerError('not a small number');
	return content.reduce((value, byte) => value * 256 + byte, 0);
}

/** A UTCTime or GeneralizedTime as RFC 5280 4.1.2.5 allows them (seconds, `Z`), as milliseconds since the epoch. Throws DerError. */
export function readTime(bytes: Uint8Array, element: DerElement | undefined): number {
	if (element === undefined) throw new DerError('a time is missing');
	const text = Buffer.from(contentOf(bytes, element)).toString('latin1');
	const form = element.tag === derTag.utcTime ? /^\d{12}Z$/ : /^\d{14}Z$/;
	if ((element.tag !== derTag.utcTime && element.tag !== derTag.generalizedTime) || !form.test(text))
		throw new DerError('not a time');
	// RFC 5280 4.1.2.5.1: two-digit years from 50 are of the last century.
	const full = element.tag === derTag.utcTime ? `${Number(text.slice(0, 2)) >= 50 ? '19' : '20'}${text}` : text;
	const iso = `${full.slice(0, 4)}-${full.slice(4, 6)}-${full.slice(6, 8)}T${full.slice(8, 10)}:${full.slice(10, 12)}:${full.slice(12, 14)}Z`;
	const ms = Date.parse(iso);
	if (Number.isNaN(ms)) throw new DerError('not a date');
	return ms;
}

function byteAt(bytes: Uint8Array, offset: number, limit: number): number {
	const byte = offset < limit ? bytes[offset] : undefined;
	if (byte === undefined) throw new DerError('cut short');
	return byte;
}
