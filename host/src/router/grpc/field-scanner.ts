// Owns stepping through a protobuf message as its bytes come: what a tree of wanted fields names is told to a reader, every other field is stepped over without
// looking into it. Nothing is kept but a text that is wanted and not whole; bytes are told as views of what came, wherever it was cut. As
// protobuf has it, an embedded message may be given in parts and a field more than once: each is told, and the last one counts.
// Messages that no protobuf reader would take are told as malformed.

const VARINT = 0;
const FIXED64 = 1;
const LENGTH = 2;
const GROUP_START = 3;
const GROUP_END = 4;
const FIXED32 = 5;
/** A varint of ten bytes holds 64 bits; tags and lengths have 32 at most. */
const VARINT_BYTES_MAX = 10;
const SIZE_BYTES_MAX = 5;
const LENGTH_MAX = 0x7fff_ffff;
const GROUPS_MAX = 64;
const NUMBER_BITS = 64;

/** A field that is wanted, and what is wanted in it. `M`: what fields mean to whoever reads them. */
export interface WantedField<M extends string> {
	/** Its number. */
	readonly field: number;
	/** `number`: a varint. `bytes`: told in pieces. */
	readonly kind: 'message' | 'text' | 'number' | 'bytes';
	readonly means: M;
	/** Of a message. */
	readonly fields?: readonly WantedField<M>[];
	/** The message is malformed when this text is longer than the bound; others are stepped over then. */
	readonly strict?: boolean;
}

/** Hears of the wanted fields, in the order of the message. */
export interface FieldReader<M extends string> {
	/** A message or a field of bytes begins, and has ended. */
	began(means: M): void;
	ended(means: M): void;
	text(means: M, text: string): void;
	/** As a signed number of 64 bits. */
	number(means: M, value: bigint): void;
	/** The next bytes of the field that began last: a view that holds the whole piece it was cut from. */
	bytes(means: M, bytes: Buffer): void;
}

/** What the next byte belongs to. */
type Expect = 'tag' | 'value' | 'length' | 'skip' | 'text' | 'bytes' | 'malformed';

export class FieldScanner<M extends string> {
	readonly #reader: FieldReader<M>;
	readonly #textBytesMax: number;
	#expect: Expect = 'tag';
	/** What is wanted in the message the next byte lies in. */
	#fields: readonly WantedField<M>[];
	/** The messages of the tree it lies in, what was wanted around each, and the bytes left of each; a field of one may not reach beyond it. */
	readonly #messages: WantedField<M>[] = [];
	readonly #around: (readonly WantedField<M>[])[] = [];
	readonly #left: number[] = [];
	/** Groups the next byte lies in: nothing in them is looked at. */
	#groups = 0;
	#varint = 0;
	#varintBytes = 0;
	#number = 0n;
	/** The field the next byte belongs to, where it is wanted. */
	#wanted: WantedField<M> | undefined;
	/** Bytes left to step over, or of the field. */
	#pending = 0;
	#text: Buffer[] = [];

	/** `textBytesMax`: longer texts are stepped over. */
	constructor(fields: readonly WantedField<M>[], textBytesMax: number, reader: FieldReader<M>) {
		this.#fields = fields;
		this.#textBytesMax = textBytesMax;
		this.#reader = reader;
	}

	get malformed(): boolean {
		return this.#expect === 'malformed';
	}

	/** Takes the next bytes of the message. */
	push(bytes: Buffer): void {
		let at = 0;
		while (at < bytes.length && this.#expect !== 'malformed') {
			if (this.#pending > 0) at += this.#take(bytes, at);
			else this.#byte(bytes[at++] as number);
		}
	}

	/** The message is over. False when it is malformed, or ends inside a field. */
	end(): boolean {
		const between = this.#expect === 'tag' && this.#varintBytes === 0;
		if (between && this.#messages.length === 0 && this.#groups === 0) return true;
		this.#expect = 'malformed';
		return false;
	}

	/** Bytes of a field that is stepped over or told; returns how many there were. */
	#take(bytes: Buffer, at: number): number {
		const taken = Math.min(this.#pending, bytes.length - at);
		const wanted = this.#wanted;
		if (this.#expect === 'text') this.#text.push(bytes.subarray(at, at + taken));
		else if (this.#expect === 'bytes' && wanted !== undefined)
			this.#reader.bytes(wanted.means, bytes.subarray(at, at + taken));
		this.#pending -= taken;
		if (this.#pending === 0) this.#whole(wanted);
		return taken;
	}

	/** The field's bytes are all there. */
	#whole(wanted: WantedField<M> | undefined): void {
		if (wanted !== undefined && this.#expect === 'text') {
			const [first] = this.#text;
			const text = this.#text.length === 1 ? (first as Buffer) : Buffer.concat(this.#text);
			this.#text = [];
			this.#reader.text(wanted.means, text.toString('utf8'));
		} else if (wanted !== undefined && this.#expect === 'bytes') this.#reader.ended(wanted.means);
		this.#fieldEnds();
	}

	#byte(byte: number): void {
		if (!this.#consume(1)) return;
		this.#varintBytes++;
		const shift = 7 * (this.#varintBytes - 1);
		if (this.#expect !== 'value') this.#varint += (byte & 0x7f) * 2 ** shift;
		else if (this.#wanted !== undefined) this.#number |= BigInt(byte & 0x7f) << BigInt(shift);
		if (byte >= 0x80) {
			if (this.#varintBytes >= (this.#expect === 'value' ? VARINT_BYTES_MAX : SIZE_BYTES_MAX))
				this.#expect = 'malformed';
			return;
		}
		const value = this.#varint;
		this.#varint = 0;
		this.#varintBytes = 0;
		if (this.#expect === 'tag') this.#tag(value);
		else if (this.#expect === 'length') this.#length(value);
		else this.#value(this.#wanted);
	}

	#value(wanted: WantedField<M> | undefined): void {
		if (wanted !== undefined) {
			this.#reader.number(wanted.means, BigInt.asIntN(NUMBER_BITS, this.#number));
			this.#number = 0n;
		}
		this.#fieldEnds();
	}

	#tag(tag: number): void {
		const field = Math.floor(tag / 8);
		const wire = tag % 8;
		if (field === 0 || tag > 0xffff_ffff) this.#expect = 'malformed';
		else if (wire === VARINT) {
			this.#wanted = this.#find(field, true);
			this.#expect = 'value';
		} else if (wire === LENGTH) {
			this.#wanted = this.#find(field, false);
			this.#expect = 'length';
		} else if (wire === FIXED64) this.#skip(8);
		else if (wire === FIXED32) this.#skip(4);
		else if (wire === GROUP_START && this.#groups < GROUPS_MAX) {
			this.#groups++;
			this.#fieldEnds();
		} else if (wire === GROUP_END && this.#groups > 0) {
			this.#groups--;
			this.#fieldEnds();
		} else this.#expect = 'malformed';
	}

	/** The wanted field of this number, if it has the wire type it should have. */
	#find(field: number, isNumber: boolean): WantedField<M> | undefined {
		if (this.#groups > 0) return undefined;
		for (const wanted of this.#fields)
			if (wanted.field === field && (wanted.kind === 'number') === isNumber) return wanted;
		return undefined;
	}

	#length(length: number): void {
		const wanted = this.#wanted;
		if (length > LENGTH_MAX) this.#expect = 'malformed';
		else if (wanted === undefined) this.#skip(length);
		else if (wanted.kind === 'message') this.#enter(wanted, length);
		else if (wanted.kind === 'bytes') this.#begin(wanted, length);
		else if (length <= this.#textBytesMax) this.#beginText(wanted, length);
		else if (wanted.strict === true) this.#expect = 'malformed';
		else this.#skip(length);
	}

	#enter(message: WantedField<M>, length: number): void {
		if (!this.#consume(length)) return;
		this.#messages.push(message);
		this.#around.push(this.#fields);
		this.#left.push(length);
		this.#fields = message.fields ?? [];
		this.#reader.began(message.means);
		this.#fieldEnds();
	}

	#begin(field: WantedField<M>, length: number): void {
		if (!this.#consume(length)) return;
		this.#reader.began(field.means);
		this.#pending = length;
		this.#expect = 'bytes';
		if (length === 0) this.#whole(field);
	}

	#beginText(field: WantedField<M>, length: number): void {
		if (!this.#consume(length)) return;
		this.#pending = length;
		this.#expect = 'text';
		if (length === 0) this.#whole(field);
	}

	#skip(length: number): void {
		if (!this.#consume(length)) return;
		this.#pending = length;
		this.#expect = 'skip';
		if (length === 0) this.#fieldEnds();
	}

	/** Counts bytes against the embedded message they lie in. */
	#consume(bytes: number): boolean {
		const last = this.#left.length - 1;
		if (last < 0) return true;
		const left = (this.#left[last] as number) - bytes;
		if (left < 0) this.#expect = 'malformed';
		else this.#left[last] = left;
		return left >= 0;
	}

	/** A field is over, and with it perhaps the messages it lies in. */
	#fieldEnds(): void {
		this.#expect = 'tag';
		this.#wanted = undefined;
		while (this.#left[this.#left.length - 1] === 0) {
			if (this.#groups > 0) {
				this.#expect = 'malformed';
				return;
			}
			this.#left.pop();
			this.#fields = this.#around.pop() ?? [];
			const message = this.#messages.pop();
			if (message !== undefined) this.#reader.ended(message.means);
		}
	}
}
