// Owns token ids as the bytes of a tensor: how they lie there, whole or in the pieces they came in, and reading them where a prompt is laid out, so that ids become no JavaScript
// array on their way to being hashed. An id is 0 to 2^32 − 1; what else a tensor holds is told, and known by its low 32 bits.

/** `words`: 32 bits each, little-endian. `longs`: 64. `varints`: as protobuf packs numbers. */
export type IdForm = 'words' | 'signed_words' | 'longs' | 'varints';

export interface IdBytes {
	readonly form: IdForm;
	readonly pieces: readonly Buffer[];
	/** Of all ids, those too whose bytes are not kept. */
	readonly count: number;
	/** Prompts they are of. */
	readonly rows: number;
}

const forms: ReadonlyMap<unknown, IdForm> = new Map([
	['INT32', 'signed_words'],
	['UINT32', 'words'],
	['INT64', 'longs'],
	['UINT64', 'longs'],
]);

/** How ids lie in a raw tensor of this type; undefined where they are no ids. */
export function idForm(datatype: unknown): IdForm | undefined {
	return forms.get(datatype);
}

export function idWidth(form: IdForm): number {
	return form === 'longs' ? LONG_BYTES : WORD_BYTES;
}

/** Ids of a whole raw tensor; undefined for bytes that are no row of them. */
export function rawIds(form: IdForm, raw: Buffer, rows: number): IdBytes | undefined {
	const count = raw.length / idWidth(form);
	return count > 0 && Number.isInteger(count) ? { form, pieces: [raw], count, rows } : undefined;
}

const WORD_BYTES = 4;
const LONG_BYTES = 8;
const SIGN = 0x80;
const MORE = 0x80;
const ID_MAX = 0xffff_ffff;
/** A varint of 32 bits has at most five bytes. */
const FACTORS = [1, 2 ** 7, 2 ** 14, 2 ** 21, 2 ** 28] as const;
/** Written for what is no id, where that does not fit into a word. */
const NO_ID = ID_MAX + 1;

export interface IdsLaid {
	readonly count: number;
	/** All of them are ids. */
	readonly sound: boolean;
}

/** Writes at most `most` of the ids to `into` from `at` on, as little-endian words. */
export function layIds({ form, pieces }: IdBytes, into: Buffer, at: number, most: number): IdsLaid {
	return form === 'varints' ? layVarints(pieces, into, at, most) : layFixed(form, pieces, into, at, most);
}

export function countIds(tensors: readonly IdBytes[]): number {
	let sum = 0;
	for (const { count } of tensors) sum += count;
	return sum;
}

/** Of packed numbers, how many end in these bytes. */
export function countVarints(bytes: Buffer): number {
	let count = 0;
	for (let at = 0; at < bytes.length; at++) if ((bytes[at] as number) < MORE) count++;
	return count;
}

function layVarints(pieces: readonly Buffer[], into: Buffer, at: number, most: number): IdsLaid {
	let to = at;
	const end = at + most * WORD_BYTES;
	let sound = true;
	let id = 0;
	let place = 0;
	for (const piece of pieces)
		for (let from = 0; from < piece.length && to < end; from++) {
			const byte = piece[from] as number;
			const factor = FACTORS[place++];
			id = factor === undefined ? NO_ID : id + (byte & (MORE - 1)) * factor;
			if (byte >= MORE) continue;
			if (id > ID_MAX) sound = false;
			writeWord(into, to, id >>> 0);
			to += WORD_BYTES;
			id = 0;
			place = 0;
		}
	return { count: (to - at) / WORD_BYTES, sound };
}

/** Elements of one width each: those that a cut between two pieces goes through are put together apart. */
function layFixed(form: IdForm, pieces: readonly Buffer[], into: Buffer, at: number, most: number): IdsLaid {
	const width = idWidth(form);
	const parted = Buffer.alloc(width);
	let partedBytes = 0;
	let to = at;
	const end = at + most * WORD_BYTES;
	let sound = true;
	for (const piece of pieces) {
		let from = 0;
		if (partedBytes > 0) {
			from = piece.copy(parted, partedBytes, 0, width - partedBytes);
			partedBytes += from;
			if (partedBytes < width) continue;
			partedBytes = 0;
			if (to >= end) break;
			sound = layElements(form, parted, 0, 1, into, to) && sound;
			to += WORD_BYTES;
		}
		const count = Math.min(Math.floor((piece.length - from) / width), (end - to) / WORD_BYTES);
		sound = layElements(form, piece, from, count, into, to) && sound;
		to += count * WORD_BYTES;
		from += count * width;
		if (to >= end) break;
		partedBytes = piece.copy(parted, 0, from);
	}
	return { count: (to - at) / WORD_BYTES, sound };
}

/** Whole elements; false when one of them is no id. */
function layElements(form: IdForm, from: Buffer, at: number, count: number, into: Buffer, to: number): boolean {
	if (form !== 'longs') {
		const end = at + count * WORD_BYTES;
		from.copy(into, to, at, end);
		let signs = 0;
		if (form === 'signed_words')
			for (let top = at + WORD_BYTES - 1; top < end; top += WORD_BYTES) signs |= from[top] as number;
		return (signs & SIGN) === 0;
	}
	let high = 0;
	for (let n = 0, source = at, target = to; n < count; n++, source += LONG_BYTES, target += WORD_BYTES) {
		into[target] = from[source] as number;
		into[target + 1] = from[source + 1] as number;
		into[target + 2] = from[source + 2] as number;
		into[target + 3] = from[source + 3] as number;
		high |=
			(from[source + 4] as number) |
			(from[source + 5] as number) |
			(from[source + 6] as number) |
			(from[source + 7] as number);
	}
	return high === 0;
}

function writeWord(into: Buffer, at: number, word: number): void {
	into[at] = word;
	into[at + 1] = word >>> 8;
	into[at + 2] = word >>> 16;
	into[at + 3] = word >>> 24;
}
