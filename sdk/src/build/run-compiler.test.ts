import { MeshError } from '@infermesh/proto';
import test from 'ava';
import { run } from './run-compiler.js';

test('a compiler that does not end is ended and named; one that is not there, or fails, is something else', async (t) => {
	const late = await t.throwsAsync(run('/bin/sleep', ['600'], '/', 50), { instanceOf: MeshError });
	t.is(late.code, 'IM_BUILD_TIMEOUT');
	t.regex(late.message, /`\/bin\/sleep` did not end within 0\.05 s/);
	t.is(await run('/nowhere/cc', [], '/'), undefined);
	t.deepEqual(await run('/bin/sh', ['-c', 'echo out; echo err >&2; exit 3'], '/'), {
		code: 1,
		stdout: 'out\n',
		stderr: 'err\n',
	});
});
