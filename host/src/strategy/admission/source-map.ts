// Owns decoding a source map (version 3) of a WebAssembly module, where the column of a mapping is a byte offset of the module.
// Decodes into plain columns; a map that is not well-formed is ignored, since it only serves messages.
import { lastAtOrBelow } from './offset-map.js';

export interface DecodedSourceMap {
	/** Byte offsets of the original module, ascending. */
	readonly offsets: Uint32Array<ArrayBuffer>;
	/** Index into `sources`. */
	readonly sourceIndex: Uint32Array<ArrayBuffer>;
	/** 1-based. */
	readonly lines: Uint32Array<ArrayBuffer>;
	/** 1-based. */
	readonly columns: Uint32Array<ArrayBuffer>;
	readonly sources: readonly string[];
}

export interface SourcePosition {
	readonly source: string;
	readonly line: number;
	readonly column: number;
}

/** Longest source map read, in characters: the bound of a decoded map. */
const SOURCE_MAP_CHARS_MAX = 16 * 1024 * 1024;

/** Decodes the JSON text of a source map; undefined when it is not one. */
export function decodeSourceMap(text: string): DecodedSourceMap | undefined {
	if (text.length > SOURCE_MAP_CHARS_MAX) return undefined;
	let json: unknown;
	try {
		json = JSON.parse(text);
	} catch {
		return undefined;
	}
	if (typeof json !== 'object' || json === null) return undefined;
	const { mappings, sources } = json as { readonly mappings?: unknown; readonly sources?: unknown };
	if (typeof mappings !== 'string' || !Array.isArray(sources)) return undefined;
	return decodeMappings(mappings, sources.map(String));
}

function decodeMappings(mappings: string, sources: readonly string[]): DecodedSourceMap | undefined {
	const rows: Array<readonly [offset: number, source: number, line: number, column: number]> = [];
	let offset = 0;
	let source = 0;
	let line = 0;
	let column = 0;
	// A module is one generated line; a second line would start its columns anew, and has no meaning here.
	for (const segment of (mappings.split(';')[0] ?? '').split(',')) {
		const fields = decodeVlq(segment);
		if (fields === undefined) return undefined;
		offset += fields[0] ?? 0;
		if (fields.length < 4) continue;
		source += fields[1] ?? 0;
		line += fields[2] ?? 0;
		column += fields[3] ?? 0;
		if (source < 0 || source >= sources.length || line < 0 || column < 0 || offset < 0) return undefined;
		rows.push([offset, source, line, column]);
	}
	rows.sort((a, b) => a[0] - b[0]);
	return {
		offsets: Uint32Array.from(rows, (row) => row[0]),
		sourceIndex: Uint32Array.from(rows, (row) => row[1]),
		lines: Uint32Array.from(rows, (row) => row[2] + 1),
		columns: Uint32Array.from(rows, (row) => row[3] + 1),
		sources,
	};
}

const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/';
const digits: ReadonlyMap<string, number> = new Map(Array.from(alphabet, (char, i) => [char, i]));

/** Base64 VLQ numbers of one segment; undefined when it holds anything else. */
function decodeVlq(segment: string): number[] | undefined {
	const values: number[] = [];
	let value = 0;
	let scale = 1;
	for (const char of segment) {
		const digit = digits.get(char);
		if (digit === undefined || scale > 2 ** 35) return undefined;
		value += (digit & 31) * scale;
		scale *= 32;
		if ((digit & 32) !== 0) continue;
		const magnitude = Math.floor(value / 2);
		values.push(value % 2 === 1 ? -magnitude : magnitude);
		value = 0;
		scale = 1;
	}
	return scale === 1 ? values : undefined;
}

/** Source position of an offset of the original module: the nearest mapping at or before it. */
export function sourcePosition(map: DecodedSourceMap, offset: number): SourcePosition | undefined {
	const row = lastAtOrBelow(map.offsets, offset);
	if (row < 0) return undefined;
	const source = map.sources[map.sourceIndex[row] ?? -1];
	if (source === undefined) return undefined;
	return { source, line: map.lines[row] as number, column: map.columns[row] as number };
}
