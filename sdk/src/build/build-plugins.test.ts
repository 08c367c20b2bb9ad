import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { MeshError } from '@infermesh/proto';
import test from 'ava';
import { loadManifest } from '../manifest/load.js';
import { buildPlugins, pluginDirs } from './build-plugins.js';
import { manifestSource } from './manifest-source.js';

const root = fileURLToPath(new URL('../../../../', import.meta.url));

for (const dir of pluginDirs(root)) {
	test(`${path.basename(dir)}: the committed accessors are what strategy.yaml says`, (t) => {
		const text = readFileSync(path.join(dir, 'assembly/manifest.ts'), 'utf8');
		t.true(text === manifestSource(loadManifest(dir)), 'run npm run build');
	});
}

test('plugins are rebuilt when their sources change, and only then', async (t) => {
	const copy = mkdtempSync(path.join(tmpdir(), 'infermesh-plugins-'));
	t.teardown(() => rmSync(copy, { recursive: true }));
	const dir = path.join(copy, 'plugins/least_queue');
	mkdirSync(path.dirname(dir));
	cpSync(path.join(root, 'plugins/least_queue'), dir, { recursive: true });
	rmSync(path.join(dir, 'build'), { recursive: true, force: true });
	const built = async () => (await buildPlugins(copy)).map((build) => [build.name, build.built]);
	t.deepEqual(await built(), [['least_queue', true]]);
	t.true(existsSync(path.join(dir, 'build/least_queue.wasm')));
	t.deepEqual(await built(), [['least_queue', false]]);
	const source = path.join(dir, 'assembly/index.ts');
	writeFileSync(source, `${readFileSync(source, 'utf8')}// changed\n`);
	t.deepEqual(await built(), [['least_queue', true]]);
	rmSync(path.join(dir, 'build/least_queue.wasm'));
	t.deepEqual(await built(), [['least_queue', true]]);
	writeFileSync(source, 'export function rank(): void {');
	const error = await t.throwsAsync(buildPlugins(copy), { instanceOf: MeshError });
	t.is(error.code, 'IM_BUILD_COMPILE');
});
