// Owns the manifest inside a module: writing it as a custom section, and reading it from bytes that may be hostile. Every count is
// checked against what is left before it is used; the code section is stepped over, never looked into.
import { MeshError } from '@infermesh/proto';
import { checkManifest, manifestDocument } from './check.js';
import { manifestErrors } from './errors.js';
import { MANIFEST_BYTES_MAX } from './load.js';
import type { StrategyManifest } from './schema.js';

/** Name of the custom section. */
export const MANIFEST_SECTION = 'infermesh.manifest';
/** Most sections of a module; a real one has about fifteen. */
const SECTIONS_MAX = 256;

interface Section {
	readonly id: number;
	/** Offset of the section's first byte (its id) and of the byte after its last. */
	readonly start: number;
	readonly end: number;
	/** Custom sections only. */
	readonly name: string | undefined;
	/** First byte of the contents, behind the name of a custom section. */
	readonly body: number;
}

function corrupt(message: string, offset: number): MeshError {
	return new MeshError(manifestErrors, 'IM_MANIFEST_CORRUPT', message, { where: `byte ${offset}` });
}

const text = new TextDecoder('utf-8', { fatal: true });

function decode(bytes: Uint8Array, offset: number): string {
	try {
		return text.decode(bytes);
	} catch (cause) {
		throw new MeshError(manifestErrors, 'IM_MANIFEST_CORRUPT', 'text is not UTF-8', { where: `byte ${offset}`, cause });
	}
}

/** Reads an unsigned LEB128 of at most five bytes. */
function readU32(bytes: Uint8Array, start: number, end: number): { value: number; next: number } {
	let value = 0;
	for (let index = 0; index < 5; index++) {
		const byte = start + index < end ? bytes[start + index] : undefined;
		if (byte === undefined) throw corrupt('the module ends in the middle of a number', start + index);
		value += (byte & 0x7f) * 2 ** (7 * index);
		if ((byte & 0x80) !== 0) continue;
		if (value > 0xffffffff) break;
		return { value, next: start + index + 1 };
	}
	throw corrupt('a number has more than 32 bits', start);
}

function* sections(wasm: Uint8Array): Generator<Section> {
	const magic = [0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00];
	if (wasm.length < magic.length || magic.some((byte, index) => wasm[index] !== byte))
		throw new MeshError(manifestErrors, 'IM_MANIFEST_NOT_WASM');
	let at = magic.length;
	for (let count = 0; at < wasm.length; count++) {
		if (count >= SECTIONS_MAX) throw corrupt(`more than ${SECTIONS_MAX} sections`, at);
		const id = wasm[at] ?? 0;
		const size = readU32(wasm, at + 1, wasm.length);
		const end = size.next + size.value;
		if (end > wasm.length) throw corrupt('a section reaches beyond the module', at);
		if (id === 0) {
			const length = readU32(wasm, size.next, end);
			if (length.next + length.value > end) throw corrupt('a section name reaches beyond its section', at);
			const body = length.next + length.value;
			yield { id, start: at, end, name: decode(wasm.subarray(length.next, body), length.next), body };
		} else yield { id, start: at, end, name: undefined, body: size.next };
		at = end;
	}
}

function encodeU32(value: number): number[] {
	const bytes: number[] = [];
	let rest = value;
	do {
		const low = rest % 128;
		rest = Math.floor(rest / 128);
		bytes.push(rest > 0 ? low | 0x80 : low);
	} while (rest > 0);
	return bytes;
}

/** The module with `manifest` in its custom section, in place of one it had. Other bytes keep their order. */
export function writeManifestSection(wasm: Uint8Array, manifest: StrategyManifest): Uint8Array<ArrayBuffer> {
	const kept: Uint8Array[] = [wasm.subarray(0, 8)];
	for (const section of sections(wasm))
		if (section.name !== MANIFEST_SECTION) kept.push(wasm.subarray(section.start, section.end));
	const name = Buffer.from(MANIFEST_SECTION);
	const body = Buffer.from(JSON.stringify(manifestDocument(manifest)));
	const head = [...encodeU32(name.length), ...name];
	kept.push(Uint8Array.from([0, ...encodeU32(head.length + body.length), ...head]), body);
	const joined = new Uint8Array(kept.reduce((sum, part) => sum + part.length, 0));
	let at = 0;
	for (const part of kept) {
		joined.set(part, at);
		at += part.length;
	}
	return joined;
}

function findSection(wasm: Uint8Array): Section {
	let found: Section | undefined;
	for (const section of sections(wasm)) {
		if (section.name !== MANIFEST_SECTION) continue;
		if (found !== undefined) throw corrupt('the module carries two manifests', section.start);
		found = section;
	}
	if (found === undefined) throw new MeshError(manifestErrors, 'IM_MANIFEST_MISSING');
	return found;
}

/**
 * Reads the manifest of a module.
 * @throws MeshError IM_MANIFEST_NOT_WASM, IM_MANIFEST_MISSING, IM_MANIFEST_CORRUPT, IM_MANIFEST_INVALID or IM_MANIFEST_ABI; nothing else, whatever the bytes.
 */
export function readManifest(wasm: Uint8Array): StrategyManifest {
	const section = findSection(wasm);
	return parseManifestJson(wasm.subarray(section.body, section.end), MANIFEST_SECTION, section.body);
}

/** Reads a manifest as it stands in a module or library: JSON in UTF-8. `where` names it, `offset` is where it begins. Throws as readManifest does. */
export function parseManifestJson(json: Uint8Array, where: string, offset = 0): StrategyManifest {
	if (json.length > MANIFEST_BYTES_MAX)
		throw corrupt(`the manifest is larger than ${MANIFEST_BYTES_MAX} bytes`, offset);
	let document: unknown;
	try {
		document = JSON.parse(decode(json, offset));
	} catch (cause) {
		if (cause instanceof MeshError) throw cause;
		throw corrupt('the manifest is not JSON', offset);
	}
	const result = checkManifest(document);
	if (result.ok) return result.manifest;
	const code = result.problems.every((problem) => problem.kind === 'abi') ? 'IM_MANIFEST_ABI' : 'IM_MANIFEST_INVALID';
	const message = result.problems.map((problem) => `${problem.path.join('.')}: ${problem.message}`).join('\n  ');
	throw new MeshError(manifestErrors, code, message, { where });
}
