// Owns KServe's binary tensor extension as far as a router looks into it: where in a body the JSON ends and where each raw tensor lies behind it, and the texts of one of type
// BYTES. Nothing is copied, and nothing of such a body is changed.
type Json = Readonly<Record<string, unknown>>;

/** Says how many bytes of a body are JSON; raw tensors follow, in the order of those in the JSON that say a size. */
export const BINARY_TENSORS = 'inference-header-content-length';

/** Raw tensors by the tensor of the JSON they belong to. */
export type RawTensors = ReadonlyMap<unknown, Buffer>;

const LENGTH = /^\d{1,9}$/;
const TEXTS_MAX = 4096;
const LENGTH_BYTES = 4;

/** Bytes of JSON that a body of `bytes` begins with; undefined where the header makes no sense. */
export function jsonBytesOf(header: string | readonly string[], bytes: number): number | undefined {
	const length = typeof header === 'string' && LENGTH.test(header) ? Number(header) : -1;
	return length > 0 && length <= bytes ? length : undefined;
}

/** Where the raw tensors of `inputs` lie; none where their sizes are not those of what is there. */
export function rawTensors(inputs: unknown, raw: Buffer): RawTensors {
	const found = new Map<unknown, Buffer>();
	if (!Array.isArray(inputs)) return found;
	let from = 0;
	for (const tensor of inputs) {
		const size = sizeOf(tensor);
		if (size === undefined) continue;
		found.set(tensor, raw.subarray(from, from + size));
		from += size;
		if (!(from <= raw.length)) break;
	}
	return from === raw.length ? found : new Map();
}

/** The texts of a raw tensor of type BYTES, each with its length before it; the first of them where there are very many. Empty for bytes that are no row of texts. */
export function rawTexts(raw: Buffer): readonly Buffer[] {
	const texts: Buffer[] = [];
	for (let at = 0; at < raw.length && texts.length < TEXTS_MAX; ) {
		if (at + LENGTH_BYTES > raw.length) return [];
		const end = at + LENGTH_BYTES + raw.readUInt32LE(at);
		if (end > raw.length) return [];
		texts.push(raw.subarray(at + LENGTH_BYTES, end));
		at = end;
	}
	return texts;
}

function sizeOf(tensor: unknown): number | undefined {
	const parameters = typeof tensor === 'object' && tensor !== null ? (tensor as Json)['parameters'] : undefined;
	const size =
		typeof parameters === 'object' && parameters !== null ? (parameters as Json)['binary_data_size'] : undefined;
	if (size === undefined) return undefined;
	// What is no size fits nowhere.
	return typeof size === 'number' && Number.isInteger(size) && size >= 0 ? size : Number.POSITIVE_INFINITY;
}
