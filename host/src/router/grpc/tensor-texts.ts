// Owns the texts of a message's tensors while it is read: which tensors there are, the elements of those that may be the prompt as views of the bytes that came, and
// in the end which of them are it: those that go by a prompt's name, or all there are. Everything is bounded; what is beyond a bound
// is counted and not kept, so that what is kept is always the beginning of the prompt.
import { byName, isPromptName } from '@infermesh/adapters';

/** One element of a tensor, in the pieces it came in. */
export type TextPieces = readonly Buffer[];

interface Tensor {
	name: string;
	datatype: string;
	elements: Buffer[][];
	/** Bytes of its elements, those that are not kept too. */
	bytes: number;
}

const TENSORS_MAX = 64;
/** Elements, and pieces of them: one that is cut finer is known by its beginning. */
const PIECES_MAX = 4096;
/** An element of a raw tensor of type BYTES begins with its length, little-endian. */
const LENGTH_BYTES = 4;

export interface TextsOptions {
	/** Of a prompt, so many bytes are kept. */
	readonly bytesMax: number;
	/** The pieces are not held anyway: what is kept is copied out of them. */
	readonly copies: boolean;
}

export class TensorTexts {
	readonly #options: TextsOptions;
	readonly #tensors: Tensor[] = [];
	#count = 0;
	#current: Tensor | undefined;
	/** There are texts of a prompt's name: others are not. */
	#named = false;
	#kept = 0;
	#pieces = 0;
	/** Where the next bytes of an element go. */
	#element: Buffer[] | undefined;
	/** Raw tensors so far, the one that comes, and how far its present element is. */
	#raws = 0;
	#raw: Tensor | undefined;
	#lengthBytes = 0;
	#elementLeft = 0;

	constructor(options: TextsOptions) {
		this.#options = options;
	}

	/** Bytes copied out of their pieces. */
	get copiedBytes(): number {
		return this.#options.copies ? this.#kept : 0;
	}

	tensor(): void {
		this.#current = undefined;
		if (this.#count++ >= TENSORS_MAX) return;
		this.#current = { name: '', datatype: '', elements: [], bytes: 0 };
		this.#tensors.push(this.#current);
	}

	name(name: string): void {
		const tensor = this.#current;
		if (tensor === undefined) return;
		tensor.name = name;
		this.#heedName(tensor);
	}

	datatype(datatype: string): void {
		const tensor = this.#current;
		if (tensor === undefined) return;
		tensor.datatype = datatype;
		this.#heedName(tensor);
	}

	element(): void {
		this.#begin(this.#current);
	}

	elementBytes(bytes: Buffer): void {
		const tensor = this.#current;
		if (tensor !== undefined) this.#keep(tensor, bytes);
	}

	/** The tensor of the same place in the order of tensors comes as raw bytes. */
	raw(): void {
		const tensor = this.#tensors[this.#raws++];
		const isText = tensor?.datatype === 'BYTES' && tensor.elements.length === 0 && this.#mayBePrompt(tensor);
		this.#raw = isText ? tensor : undefined;
		this.#lengthBytes = 0;
		this.#elementLeft = 0;
	}

	rawBytes(bytes: Buffer): void {
		const tensor = this.#raw;
		if (tensor === undefined) return;
		for (let at = 0; at < bytes.length; ) {
			if (this.#lengthBytes < LENGTH_BYTES) {
				this.#elementLeft += (bytes[at++] as number) * 256 ** this.#lengthBytes++;
				if (this.#lengthBytes < LENGTH_BYTES) continue;
				this.#begin(tensor);
			} else {
				const taken = Math.min(this.#elementLeft, bytes.length - at);
				this.#keep(tensor, bytes.subarray(at, at + taken));
				this.#elementLeft -= taken;
				at += taken;
			}
			if (this.#elementLeft === 0) this.#lengthBytes = 0;
		}
	}

	/** Bytes that are no row of elements are none. */
	rawEnded(): void {
		if (this.#raw !== undefined && (this.#elementLeft > 0 || this.#lengthBytes > 0)) this.#forget(this.#raw);
		this.#raw = undefined;
	}

	/** The message is over. The prompt's elements, by the names of their tensors (the order in a map says nothing), and how many bytes they have, kept or not. */
	prompt(): { readonly texts: readonly TextPieces[]; readonly bytes: number } {
		// With tensors elsewhere (shared memory) raw bytes are not in the order of tensors: whose they are is not known.
		if (this.#raws > 0 && this.#raws !== this.#count) return { texts: [], bytes: 0 };
		const parts = this.#tensors.filter((tensor) => this.#mayBePrompt(tensor));
		parts.sort(byName);
		return {
			texts: parts.flatMap(({ elements }) => elements),
			bytes: parts.reduce((sum, { bytes }) => sum + bytes, 0),
		};
	}

	#mayBePrompt({ name }: Tensor): boolean {
		return !this.#named || isPromptName(name);
	}

	#heedName(tensor: Tensor): void {
		const { name, datatype, elements } = tensor;
		if (this.#named || !isPromptName(name) || (datatype !== 'BYTES' && elements.length === 0)) return;
		this.#named = true;
		for (const other of this.#tensors) if (other !== tensor) this.#forget(other);
	}

	#begin(tensor: Tensor | undefined): void {
		this.#element = undefined;
		if (tensor === undefined || !this.#mayBePrompt(tensor) || this.#pieces >= PIECES_MAX) return;
		this.#pieces++;
		this.#element = [];
		tensor.elements.push(this.#element);
		this.#heedName(tensor);
	}

	#keep(tensor: Tensor, bytes: Buffer): void {
		tensor.bytes += bytes.length;
		const { bytesMax, copies } = this.#options;
		if (this.#element === undefined || this.#pieces >= PIECES_MAX || this.#kept >= bytesMax) return;
		const kept = bytes.subarray(0, bytesMax - this.#kept);
		this.#pieces++;
		this.#kept += kept.length;
		this.#element.push(copies ? Buffer.from(kept) : kept);
	}

	#forget(tensor: Tensor): void {
		for (const pieces of tensor.elements) {
			this.#pieces -= 1 + pieces.length;
			for (const { length } of pieces) this.#kept -= length;
		}
		tensor.elements = [];
		tensor.bytes = 0;
	}
}
