// What a node remembers of itself over its lives.
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import test from 'ava';
import { NodeFolder } from './node-folder.js';

test('incarnations are durable before they are used, never used in two lives, and mostly cost no write', (t) => {
	const root = mkdtempSync(path.join(tmpdir(), 'infermesh-node-folder-'));
	t.teardown(() => rmSync(root, { recursive: true, force: true }));
	const first = new NodeFolder(root);
	t.is(first.incarnation(), undefined);
	first.useIncarnation(1);
	const written = statSync(path.join(root, 'incarnation')).ino;
	for (let used = 2; used <= 50; used++) first.useIncarnation(used);
	t.is(statSync(path.join(root, 'incarnation')).ino, written, 'a disk that is full now does not keep it from refuting');
	first.useIncarnation(500);

	const second = new NodeFolder(root);
	const from = (second.incarnation() ?? 0) + 1;
	t.true(from > 500);
	second.useIncarnation(from);
	t.true((new NodeFolder(root).incarnation() ?? 0) >= from);
});
