// A machine that can build nothing for native strategies: the mesh starts, runs WebAssembly, refuses a library by the name of what is missing, and says so in
// words that tell what to do. The build's own step goes on, too.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import test, { type ExecutionContext } from 'ava';
import { AdminError } from '../support/admin.js';
import { startTestMesh } from '../support/mesh.js';
import { nativeLibrary } from '../support/native.js';
import { shipped } from '../support/strategies.js';
import { ask } from '../support/traffic.js';

function emptyFolder(t: ExecutionContext): string {
	const folder = mkdtempSync(path.join(tmpdir(), 'infermesh-no-compiler-'));
	t.teardown(() => rmSync(folder, { recursive: true }));
	return folder;
}

interface Refused {
	readonly report: { readonly refusals: readonly { readonly code: string; readonly hint: string }[] };
}

test('a mesh without a compiler runs WebAssembly, and refuses a library by name', async (t) => {
	const library = await nativeLibrary({ name: 'in_c' });
	const { admin, dataUrl } = await startTestMesh(t, {
		engines: 2,
		config: { strategy: { native: { compiler: '/nowhere/g++', build_dir: emptyFolder(t) } } },
	});
	await admin.load(shipped('least_queue'), { activate: true });
	const error = await t.throwsAsync(admin.load(library, { activate: true }), { instanceOf: AdminError });
	const [refusal] = (error as unknown as { details: Refused }).details.report.refusals;
	t.is(refusal?.code, 'IM_NATIVE_COMPILER', error?.message);
	t.regex(refusal?.hint ?? '', /install g\+\+/);
	const answer = await ask({ url: dataUrl, seed: 1 });
	t.is(answer.status, 200);
	t.regex(answer.strategy, /^least_queue@1/);
});

const prebuild = fileURLToPath(new URL('../../../host/dist/src/strategy/native/prebuild.js', import.meta.url));

test('the build goes on without a compiler, and tells what cannot run', (t) => {
	const { status, stderr } = spawnSync(process.execPath, [prebuild, emptyFolder(t)], {
		encoding: 'utf8',
		env: { PATH: emptyFolder(t) },
	});
	t.is(status, 0, stderr);
	t.regex(stderr, /native strategies cannot run here yet; all others can\. IM_NATIVE_COMPILER/);
	t.regex(stderr, /install g\+\+/);
});

test('the build makes addon and sandbox once: a second one needs no compiler', (t) => {
	const { status, stderr } = spawnSync(process.execPath, [prebuild], {
		encoding: 'utf8',
		env: { PATH: emptyFolder(t) },
	});
	t.is(status, 0);
	t.is(stderr, '', 'the build that these tests run after has made them');
});
