import { readFileSync } from 'node:fs';
import path from 'node:path';
import test from 'ava';
import { columns } from './columns.js';
import { structs } from './definition.js';
import { generatedFiles, repositoryRoot } from './generate.js';
import { NATIVE_STRUCT_BYTES, nativeFields } from './native.js';

for (const { file, text } of generatedFiles()) {
	test(`${file} is what the definition says (npm run generate)`, (t) => {
		t.true(readFileSync(path.join(repositoryRoot, file), 'utf8') === text, `${file} has drifted`);
	});
}

test('column ids are their positions and names are unique', (t) => {
	t.deepEqual(
		columns.map((column) => column.id),
		columns.map((_, index) => index),
	);
	t.is(new Set(columns.map((column) => column.name)).size, columns.length);
});

test('published fields have not moved', (t) => {
	const byte = (struct: string, field: string) =>
		structs.find((entry) => entry.name === struct)?.fields.find((entry) => entry.name === field)?.offsetBytes;
	t.is(byte('Request', 'tokens_in'), 48);
	t.is(byte('Request', 'held_count'), 124);
	t.is(byte('Output', 'rows'), 52);
	t.is(byte('FrameHeader', 'mesh_seed'), 120);
	t.is(byte('Outcome', 'flags'), 44);
});

test('the struct of a native library has not moved', (t) => {
	const at = Object.fromEntries(nativeFields.map(({ name, offsetBytes }) => [name, offsetBytes]));
	t.like(at, { magic: 0, abi_major: 4, struct_bytes: 8, capabilities: 16, manifest: 24, init: 40, rank: 48, tick: 80 });
	t.is(NATIVE_STRUCT_BYTES, 88);
});
