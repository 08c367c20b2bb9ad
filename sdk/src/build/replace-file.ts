// Owns putting a built file in its place.
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import path from 'node:path';

/** Writes in one step, so that whoever watches the file never reads half of it. Does nothing when the file is the same. */
export function replaceFile(file: string, contents: string | Uint8Array): void {
	const bytes = Buffer.from(contents);
	if (existsSync(file) && readFileSync(file).equals(bytes)) return;
	mkdirSync(path.dirname(file), { recursive: true });
	const temporary = `${file}.${process.pid}.tmp`;
	writeFileSync(temporary, bytes);
	renameSync(temporary, file);
}
