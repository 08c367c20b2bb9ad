// Owns the token ids of a message's tensors while it is read: those of integer tensors that go by a name of ids, as fields or raw, as views of the bytes that came. Numbers of other
// tensors, which may be pictures, are stepped over. What is kept is bounded and always the beginning; ids beyond it are counted.
import { byName, isIdsName } from '@infermesh/adapters';
import { countVarints, type IdBytes, type IdForm, idForm, idWidth } from '../id-bytes.js';
import type { TextsOptions } from './tensor-texts.js';

interface Tensor {
	name: string;
	datatype: string;
	/** Of its dimensions, the product of all but the last, and that. */
	rows: number;
	last: number;
	form: IdForm | undefined;
	pieces: Buffer[];
	/** Of all ids, and their bytes. */
	count: number;
	bytes: number;
}

const TENSORS_MAX = 64;
/** Ids that come cut finer are known by their beginning. */
const PIECES_MAX = 4096;
/** An id in a prompt takes four bytes, and of a message eight at most. */
const WIDEST = 2;

export class TensorIds {
	readonly #options: TextsOptions;
	readonly #tensors: Tensor[] = [];
	#count = 0;
	#current: Tensor | undefined;
	#raws = 0;
	/** Whose ids come now. */
	#open: Tensor | undefined;
	#kept = 0;
	#pieces = 0;
	/** Of a dimension that has not come whole. */
	#dimension = 0;
	#factor = 1;

	constructor(options: TextsOptions) {
		this.#options = options;
	}

	/** Bytes copied out of their pieces. */
	get copiedBytes(): number {
		return this.#options.copies ? this.#kept : 0;
	}

	tensor(): void {
		this.#current = undefined;
		this.#open = undefined;
		if (this.#count++ >= TENSORS_MAX) return;
		this.#current = { name: '', datatype: '', rows: 1, last: 1, form: undefined, pieces: [], count: 0, bytes: 0 };
		this.#tensors.push(this.#current);
	}

	name(name: string): void {
		if (this.#current !== undefined) this.#current.name = name;
	}

	datatype(datatype: string): void {
		if (this.#current !== undefined) this.#current.datatype = datatype;
	}

	/** Dimensions as packed numbers. */
	dimensionBytes(bytes: Buffer): void {
		const tensor = this.#current;
		if (tensor === undefined) return;
		for (let at = 0; at < bytes.length; at++) {
			const byte = bytes[at] as number;
			this.#dimension += (byte & 0x7f) * this.#factor;
			this.#factor *= 0x80;
			if (byte >= 0x80) continue;
			tensor.rows *= tensor.last;
			tensor.last = this.#dimension;
			this.#dimension = 0;
			this.#factor = 1;
		}
	}

	/** Packed numbers of the tensor begin: its name and type stand before them. */
	packed(): void {
		const tensor = this.#current;
		this.#open = tensor;
		if (tensor === undefined || tensor.form === 'varints') return;
		if (isIdsName(tensor.name) && idForm(tensor.datatype) !== undefined) tensor.form = 'varints';
		else this.#open = undefined;
	}

	packedBytes(bytes: Buffer): void {
		const tensor = this.#open;
		if (tensor === undefined) return;
		tensor.count += countVarints(bytes);
		this.#keep(tensor, bytes);
	}

	/** The tensor of the same place in the order of tensors comes as raw bytes. */
	raw(): void {
		const tensor = this.#tensors[this.#raws++];
		const form = tensor !== undefined && isIdsName(tensor.name) ? idForm(tensor.datatype) : undefined;
		this.#open = form !== undefined && tensor?.form === undefined ? tensor : undefined;
		if (this.#open !== undefined) this.#open.form = form;
	}

	rawBytes(bytes: Buffer): void {
		const tensor = this.#open;
		if (tensor === undefined) return;
		tensor.bytes += bytes.length;
		this.#keep(tensor, bytes);
	}

	/** Bytes that are no row of ids are none. */
	rawEnded(): void {
		const tensor = this.#open;
		this.#open = undefined;
		if (tensor?.form === undefined) return;
		tensor.count = tensor.bytes / idWidth(tensor.form);
		if (!Number.isInteger(tensor.count)) tensor.count = 0;
	}

	/** The message is over: the ids of its tensors, by name. */
	prompt(): readonly IdBytes[] {
		// With tensors elsewhere (shared memory) raw bytes are not in the order of tensors: whose they are is not known.
		if (this.#raws > 0 && this.#raws !== this.#count) return NONE;
		const found: (IdBytes & { readonly name: string })[] = [];
		for (const { name, form, pieces, count, rows } of this.#tensors)
			if (form !== undefined && count > 0) found.push({ name, form, pieces, count, rows });
		return found.length > 1 ? found.sort(byName) : found;
	}

	#keep(tensor: Tensor, bytes: Buffer): void {
		const { bytesMax, copies } = this.#options;
		const room = bytesMax * WIDEST - this.#kept;
		if (this.#pieces >= PIECES_MAX || room <= 0) return;
		const kept = bytes.subarray(0, room);
		this.#pieces++;
		this.#kept += kept.length;
		tensor.pieces.push(copies ? Buffer.from(kept) : kept);
	}
}

const NONE: readonly IdBytes[] = [];
