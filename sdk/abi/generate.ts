// Owns the list of files generated from the ABI definition, and writes them. Texts are made in sdk/abi/emit/; a drift test compares
// them with the tree.
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { emitAssemblyScript } from './emit/assemblyscript.js';
import { emitC } from './emit/c.js';
import { emitAbiPage, emitColumnsPage } from './emit/docs.js';
import { emitRust } from './emit/rust.js';
import { emitTypeScript } from './emit/typescript.js';

/** Every generated file: path from the repository root, and its whole text. */
export function generatedFiles(): ReadonlyArray<{ readonly file: string; readonly text: string }> {
	return [
		{ file: 'sdk/src/gen/abi.ts', text: emitTypeScript() },
		{ file: 'sdk/assembly/abi.ts', text: emitAssemblyScript() },
		{ file: 'sdk/rust/src/abi.rs', text: emitRust() },
		{ file: 'sdk/c/infermesh_abi.h', text: emitC() },
		{ file: 'docs/abi.md', text: emitAbiPage() },
		{ file: 'docs/columns.md', text: emitColumnsPage() },
	];
}

/** Writes the files that differ under `root`; returns the paths written. */
export function writeGenerated(root: string): string[] {
	const changed: string[] = [];
	for (const { file, text } of generatedFiles()) {
		const target = path.join(root, file);
		if (existsSync(target) && readFileSync(target, 'utf8') === text) continue;
		mkdirSync(path.dirname(target), { recursive: true });
		writeFileSync(target, text);
		changed.push(file);
	}
	return changed;
}

/** The repository root, seen from sdk/dist/abi/. */
export const repositoryRoot = fileURLToPath(new URL('../../../', import.meta.url));

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) {
	const changed = writeGenerated(repositoryRoot);
	process.stdout.write(changed.length === 0 ? 'generated files are up to date\n' : `wrote ${changed.join(', ')}\n`);
}
