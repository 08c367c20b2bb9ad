// Owns the Rust toolchain of the external tests: Debian's, before one of rustup that may stand in the PATH.
import path from 'node:path';
import { program } from './programs.js';

/** Has builds of this process and its children use it. Throws, naming the Debian package, when there is none. */
export function useRust(): { readonly cargo: string } {
	program('rustc', 'rustc');
	program('wasm-ld', 'lld');
	const cargo = program('cargo', 'cargo');
	const { PATH = '' } = process.env;
	const folder = path.dirname(cargo);
	if (!PATH.startsWith(`${folder}:`)) process.env['PATH'] = `${folder}:${PATH}`;
	return { cargo };
}
