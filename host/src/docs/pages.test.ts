import { globSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import test from 'ava';
import { errorSections } from '../errors.js';
import { referencePages } from './pages.js';

const root = new URL('../../../../', import.meta.url);

for (const [name, text] of await referencePages())
	test(`${name} is what \`npm run generate\` writes`, (t) => {
		t.true(readFileSync(new URL(name, root), 'utf8') === text, 'run `npm run generate` and commit the pages');
	});

test('no two rooms use one error code', (t) => {
	const codes = errorSections.flatMap(({ errors }) => Object.keys(errors));
	t.is(new Set(codes).size, codes.length);
});

test('every error code that appears in the sources is in the catalogue', (t) => {
	const known = new Set(errorSections.flatMap(({ errors }) => Object.keys(errors)));
	// Codes of plain-JavaScript starters, which run before anything is built.
	known.add('IM_BOOTSTRAP_FAILED');
	const unknown = new Set<string>();
	const files = globSync('{proto,sdk,adapters,templates,host}/src/**/*.ts', {
		cwd: fileURLToPath(root),
		exclude: (name) => name.endsWith('.test.ts') || name.endsWith('testing.ts'),
	});
	t.true(files.length > 100);
	for (const file of files)
		for (const [, code = ''] of readFileSync(new URL(file, root), 'utf8').matchAll(/'(IM_[A-Z0-9]+(?:_[A-Z0-9]+)+)'/g))
			if (!known.has(code)) unknown.add(`${code} in ${file}`);
	t.deepEqual([...unknown], []);
});
