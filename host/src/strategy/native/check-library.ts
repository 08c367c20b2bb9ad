// Owns the rules a native library must keep before any of it is loaded: its machine, its one export, its protections, what it needs.
import { MeshError } from '@infermesh/proto';
import { NATIVE_SYMBOL } from '@infermesh/sdk';
import { type ElfFacts, ElfFault, readElf } from './elf.js';
import { nativeErrors } from './errors.js';

/** Libraries that the sandbox has loaded before it shuts itself in. */
const allowedLibraries: ReadonlySet<string> = new Set([
	'libc.so.6',
	'libm.so.6',
	'libgcc_s.so.1',
	'libstdc++.so.6',
	'libpthread.so.0',
	'libdl.so.2',
	'ld-linux-x86-64.so.2',
	'ld-linux-aarch64.so.1',
]);

/** Largest library: it is kept on every node, and in memory where it runs. */
export const LIBRARY_BYTES_MAX = 8 * 1024 * 1024;

/** What breaks a rule, all of it, most telling first; and the facts when it is a library at all. */
export function checkLibrary(
	bytes: Uint8Array,
	platform: string,
	bytesMax: number = LIBRARY_BYTES_MAX,
): { readonly problems: readonly MeshError[]; readonly facts: ElfFacts | undefined } {
	if (bytes.length > bytesMax)
		return {
			problems: [fault('IM_NATIVE_TOO_LARGE', `${bytes.length} bytes; the bound is ${bytesMax}`)],
			facts: undefined,
		};
	let facts: ElfFacts;
	try {
		facts = readElf(bytes);
	} catch (error) {
		if (!(error instanceof ElfFault)) throw error;
		return { problems: [fault('IM_NATIVE_ELF', error.message)], facts: undefined };
	}
	const problems: MeshError[] = [];
	if (facts.platform !== platform)
		problems.push(fault('IM_NATIVE_PLATFORM', `it is built for ${facts.platform}, and this machine is ${platform}`));
	if (!facts.exports.has(NATIVE_SYMBOL)) problems.push(fault('IM_NATIVE_SYMBOL'));
	if (!facts.fullRelro)
		problems.push(fault('IM_NATIVE_HARDENING', 'its tables of addresses stay writable (no full RELRO)'));
	if (facts.stackExecutable) problems.push(fault('IM_NATIVE_HARDENING', 'its stack would be executable'));
	if (facts.writableCode) problems.push(fault('IM_NATIVE_HARDENING', 'its code would be writable (text relocations)'));
	const foreign = facts.needed.filter((name) => !allowedLibraries.has(name));
	if (foreign.length > 0) problems.push(fault('IM_NATIVE_LINKAGE', `it needs ${foreign.join(', ')}`));
	if (facts.searchPaths.length > 0)
		problems.push(fault('IM_NATIVE_LINKAGE', `it wants libraries searched in ${facts.searchPaths.join(', ')}`));
	return { problems, facts };
}

function fault(code: keyof typeof nativeErrors, message?: string): MeshError {
	return new MeshError(nativeErrors, code, message, { where: 'library' });
}
