// Owns the manifest inside a module: writing it as a custom section, and reading it from bytes that may be hostile. The code section is stepped over,
// never looked into.
import { MeshError } from '@infermesh/proto';
import { checkManifest, manifestDocument } from './check.js';
import { manifestErrors } from './errors.js';
import { MANIFEST_BYTES_MAX } from './load.js';
import type { StrategyManifest } from './schema.js';
import { corrupt, decodeText, encodeU32, joinBytes, type Section, sections } from './wasm-bytes.js';

/** Name of the custom section. */
export const MANIFEST_SECTION = 'infermesh.manifest';
/** The module with `manifest` in its custom section, in place of one it had. Other bytes keep their order. */
export function writeManifestSection(wasm: Uint8Array, manifest: StrategyManifest): Uint8Array<ArrayBuffer> {
	const kept: Uint8Array[] = [wasm.subarray(0, 8)];
	for (const section of sections(wasm))
		if (section.name !== MANIFEST_SECTION) kept.push(wasm.subarray(section.start, section.end));
	const name = Buffer.from(MANIFEST_SECTION);
	const body = Buffer.from(JSON.stringify(manifestDocument(manifest)));
	const head = [...encodeU32(name.length), ...name];
	kept.push(Uint8Array.from([0, ...encodeU32(head.length + body.length), ...head]), body);
	return joinBytes(kept);
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
		document = JSON.parse(decodeText(json, offset));
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
