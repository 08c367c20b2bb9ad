// Owns writing the generated reference pages and saying which changed. Run by `npm run generate`.
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { referencePages } from './pages.js';

const root = new URL('../../../../', import.meta.url);

for (const [name, text] of await referencePages()) {
	const file = fileURLToPath(new URL(name, root));
	if (existsSync(file) && readFileSync(file, 'utf8') === text) continue;
	writeFileSync(file, text);
	process.stdout.write(`${name}: written\n`);
}
