// Owns finding one text field of a protobuf message as its bytes come: it steps over every other field without looking into it, keeps nothing but the field's own
// bytes, and costs the same wherever the bytes are cut. As protobuf has it, the last occurrence of the field counts, also over embedded messages
// given in parts. Messages that no protobuf reader would take are told as malformed.

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

/** What the next byte belongs to. */
type Expect = 'tag' | 'value' | 'length' | 'skip' | 'text' | 'over' | 'malformed';

export class FieldScanner {
	readonly #path: readonly number[];
	readonly #textBytesMax: number;
	#expect: Expect = 'tag';
	/** How many embedded messages of the path the next byte lies in. */
	#depth = 0;
	/** Bytes left of each of them; a field of one may not reach beyond it. */
	readonly #left: number[] = [];
	/** Groups the next byte lies in: nothing in them is looked at. */
	#groups = 0;
	#varint = 0;
	#varintBytes = 0;
	#field = 0;
	/** Bytes left to step over, or of the text. */
	#pending = 0;
	#text: Buffer[] = [];
	#found: string | undefined;

	/** `path`: field numbers from the message down to the text. A longer text counts as malformed. */
	constructor(path: readonly number[], textBytesMax: number) {
		this.#path = path;
		this.#textBytesMax = textBytesMax;
	}

	/** The field's text so far; undefined when there was none. */
	get text(): string | undefined {
		return this.#found;
	}

	get malformed(): boolean {
		return this.#expect === 'malformed';
	}

	/** Takes the next bytes of the message. */
	push(bytes: Buffer): void {
		let at = 0;
		while (at < bytes.length && this.#expect !== 'malformed') {
			if (this.#expect === 'skip' || this.#expect === 'text') at += this.#take(bytes, at);
			else this.#byte(bytes[at++] as number);
		}
	}

	/** The message is over. False when it is malformed, or ends inside a field. */
	end(): boolean {
		if (this.#expect === 'tag' && this.#varintBytes === 0 && this.#depth === 0 && this.#groups === 0) return true;
		this.#expect = 'malformed';
		return false;
	}

	/** Bytes of a field that is stepped over or kept; returns how many there were. */
	#take(bytes: Buffer, at: number): number {
		const taken = Math.min(this.#pending, bytes.length - at);
		if (this.#expect === 'text') this.#text.push(bytes.subarray(at, at + taken));
		this.#pending -= taken;
		if (this.#pending === 0) {
			if (this.#expect === 'text') this.#keepText();
			this.#fieldEnds();
		}
		return taken;
	}

	#keepText(): void {
		this.#found = Buffer.concat(this.#text).toString('utf8');
		this.#text = [];
	}

	#byte(byte: number): void {
		if (!this.#consume(1)) return;
		this.#varintBytes++;
		const shift = 7 * (this.#varintBytes - 1);
		if (this.#expect !== 'value') this.#varint += (byte & 0x7f) * 2 ** shift;
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
		else this.#fieldEnds();
	}

	#tag(tag: number): void {
		this.#field = Math.floor(tag / 8);
		const wire = tag % 8;
		if (this.#field === 0 || tag > 0xffff_ffff) this.#expect = 'malformed';
		else if (wire === VARINT) this.#expect = 'value';
		else if (wire === LENGTH) this.#expect = 'length';
		else if (wire === FIXED64) this.#skip(8);
		else if (wire === FIXED32) this.#skip(4);
		else if (wire === GROUP_START && this.#groups < GROUPS_MAX) {
			this.#groups++;
			this.#fieldEnds();
		} else if (wire === GROUP_END && this.#groups > 0) {
			this.#groups--;
			this.#fieldEnds();
		} else this.#expect = 'malformed';
	}

	#length(length: number): void {
		if (length > LENGTH_MAX) {
			this.#expect = 'malformed';
			return;
		}
		const onPath = this.#groups === 0 && this.#field === this.#path[this.#depth];
		if (!onPath) return this.#skip(length);
		if (this.#depth < this.#path.length - 1) return this.#enter(length);
		if (length > this.#textBytesMax) this.#expect = 'malformed';
		else if (length === 0) {
			this.#found = '';
			this.#fieldEnds();
		} else if (this.#consume(length)) {
			this.#pending = length;
			this.#expect = 'text';
		}
	}

	#enter(length: number): void {
		if (!this.#consume(length)) return;
		this.#left.push(length);
		this.#depth++;
		this.#fieldEnds();
	}

	#skip(length: number): void {
		if (!this.#consume(length)) return;
		this.#pending = length;
		if (length === 0) this.#fieldEnds();
		else this.#expect = 'skip';
	}

	/** Counts bytes against the embedded message they lie in. */
	#consume(bytes: number): boolean {
		if (this.#depth === 0) return true;
		const left = (this.#left[this.#depth - 1] as number) - bytes;
		if (left < 0) this.#expect = 'malformed';
		else this.#left[this.#depth - 1] = left;
		return left >= 0;
	}

	/** A field is over, and with it perhaps the messages it lies in. */
	#fieldEnds(): void {
		this.#expect = 'tag';
		while (this.#depth > 0 && this.#left[this.#depth - 1] === 0) {
			if (this.#groups > 0) {
				this.#expect = 'malformed';
				return;
			}
			this.#left.pop();
			this.#depth--;
		}
	}
}
