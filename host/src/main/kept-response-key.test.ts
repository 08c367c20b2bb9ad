// The key of stored responses on disk: made once, read by nobody else, and never replaced unasked.
import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { MeshError } from '@infermesh/proto';
import test, { type ExecutionContext } from 'ava';
import { keptResponseKey } from './kept-response-key.js';

const one = 'a'.repeat(43);
const other = 'b'.repeat(43);

function folder(t: ExecutionContext): string {
	const made = mkdtempSync(path.join(tmpdir(), 'response-key-'));
	t.teardown(() => rmSync(made, { recursive: true, force: true }));
	return path.join(made, 'state', 'node');
}

function refused(t: ExecutionContext, at: string): string {
	const error = t.throws(() => keptResponseKey(at, other, 'x'), { instanceOf: MeshError });
	t.is(error.code, 'IM_ROUTE_RESPONSE_KEY_FILE');
	t.is(error.where, path.join(at, 'response-key'));
	return error.message;
}

test('a key is made once, for its owner alone, and is the same from then on', (t) => {
	const at = folder(t);
	t.deepEqual(keptResponseKey(at, one, '1'), { key: one });
	t.is(statSync(path.join(at, 'response-key')).mode & 0o777, 0o600);
	t.is(statSync(at).mode & 0o777, 0o700);
	t.deepEqual(keptResponseKey(at, other, '2'), { key: one });
	t.deepEqual(readdirSync(at), ['response-key'], 'nothing else is left');
});

test('a key that others may read, or that is none, is refused by name and left as it is', (t) => {
	const at = folder(t);
	keptResponseKey(at, one, '1');
	const file = path.join(at, 'response-key');
	chmodSync(file, 0o640);
	t.regex(refused(t, at), /mode is 640/);
	chmodSync(file, 0o600);
	for (const text of ['', 'short', `${one}${one}`, `${'a'.repeat(42)} `]) {
		writeFileSync(file, text);
		t.regex(refused(t, at), /holds no key/);
		t.is(readFileSync(file, 'utf8'), text);
	}
	rmSync(file);
	t.is(keptResponseKey(at, other, '1').key, other, 'without it there is a new one');
});

test('where nothing can be written a key serves for this life, and says why', (t) => {
	const at = folder(t);
	keptResponseKey(at, one, '1');
	const { key, unkept } = keptResponseKey(path.join(at, 'response-key'), other, '2');
	t.is(key, other);
	t.is(unkept?.code, 'IM_ROUTE_RESPONSE_KEY_FILE');
});
