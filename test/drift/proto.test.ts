// proto/src/gen is what buf makes of the .proto files today: neither edited by hand nor forgotten after a change.
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import process from 'node:process';
import test from 'ava';
import { run } from '../support/programs.js';

const root = path.resolve(import.meta.dirname, '../../..');

function filesUnder(folder: string): ReadonlyMap<string, string> {
	const entries = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
	return new Map(
		entries
			.map((entry) => path.join(entry.parentPath, entry.name))
			.sort()
			.map((file) => [path.relative(folder, file), readFileSync(file, 'utf8')]),
	);
}

test('generated code equals what buf generates; `npm run generate` when it does not', async (t) => {
	const out = mkdtempSync(path.join(tmpdir(), 'proto-'));
	t.teardown(() => rmSync(out, { recursive: true, force: true }));
	const script = path.join(root, 'scripts/generate-proto.mjs');
	const { code, output } = await run(process.execPath, [script, '--into', out]);
	t.is(code, 0, output);
	const [fresh, committed] = [filesUnder(path.join(out, 'src/gen')), filesUnder(path.join(root, 'proto/src/gen'))];
	t.true(fresh.size > 0);
	t.deepEqual([...committed.keys()], [...fresh.keys()]);
	for (const [name, text] of fresh) t.true(committed.get(name) === text, `${name} differs`);
});
