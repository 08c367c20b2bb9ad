// What the library says of its strategies: that every one has its page in the form the commands read, and that a folder of anybody's is read so.
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { MeshError } from '@infermesh/proto';
import test from 'ava';
import { shippedLibrary, shippedPage } from './library.js';

for (const { name } of shippedLibrary()) {
	test(`${name}: its README says where it is from, its formula, and what ties do`, (t) => {
		const page = shippedPage(name);
		const readme = readFileSync(page.readme ?? '', 'utf8');
		t.true(readme.startsWith(`# ${name}\n\nSource: `), 'begins with its name and `Source: ….`');
		t.not(page.origin, '');
		t.not(page.formula, '', 'the formula is an indented block');
		t.regex(readme, /seed|ticket/, 'says how equal targets are told apart');
		for (const { name: setting } of page.config) t.true(readme.includes(setting), `names its setting ${setting}`);
		t.true(page.description.length > 20);
		t.true(page.config.every((entry) => entry.description !== ''));
	});
}

function folder(t: { teardown(done: () => void): void }, files: Readonly<Record<string, string>>): string {
	const dir = mkdtempSync(path.join(tmpdir(), 'infermesh-library-'));
	t.teardown(() => rmSync(dir, { recursive: true }));
	for (const [file, text] of Object.entries(files)) {
		mkdirSync(path.dirname(path.join(dir, file)), { recursive: true });
		writeFileSync(path.join(dir, file), text);
	}
	return dir;
}

const manifest = `name: mine
version: 2.1.0
abi: "1.0"
description: Something of mine.
columns: [kv_usage, inflight, weight]
hits: true
factors: [load]
`;

test('a page holds what the manifest and the README say', (t) => {
	const readme = '# mine\n\nSource: A paper, 2020.\n\nText.\n\n    a = b\n\n    c = d\n\nMore.\n\n    e = f\n';
	const dir = folder(t, { 'mine/strategy.yaml': manifest, 'mine/README.md': readme, 'empty/README.md': '' });
	const page = shippedPage('mine', dir);
	t.is(page.origin, 'A paper, 2020');
	t.is(page.formula, 'a = b\n\nc = d\n\ne = f');
	t.deepEqual(page.needs, ['prefixes', 'engine reports', 'own traffic']);
	t.deepEqual(
		page.columns.map((column) => column.name),
		['kv_usage', 'inflight', 'weight'],
	);
	t.deepEqual(
		shippedLibrary(dir).map((item) => `${item.name}@${item.version}`),
		['mine@2.1.0'],
	);
});

test('a strategy without a README has a page without a formula; an unknown one has none, and the nearest name is told', (t) => {
	const dir = folder(t, { 'mine/strategy.yaml': manifest });
	const page = shippedPage('mine', dir);
	t.deepEqual([page.origin, page.formula, page.readme], ['', '', undefined]);
	const error = t.throws(() => shippedPage('mien', dir), { instanceOf: MeshError });
	t.is(error.code, 'IM_PROJECT_NOT_FOUND');
	t.regex(error.message, /did you mean `mine`/);
});
