import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { MeshError } from '@infermesh/proto';
import test from 'ava';
import { generatedProject, temporaryDir } from '../project/testing.js';
import { systemClock } from './clock.js';
import { openStrategySource } from './strategy-source.js';
// As in meshd, where building in the same process would take half a minute.
import './v8-flags.js';

test('a project is built in seconds, whatever the flags of this process', async (t) => {
	const began = performance.now();
	const { wasm, sourceMap, dir } = await openStrategySource(generatedProject(t, 'strategy-as-minimal'), systemClock);
	t.true(wasm.length > 500);
	t.truthy(sourceMap);
	t.is(path.basename(dir ?? ''), 'project');
	t.true(performance.now() - began < 30_000);
});

test('what the author must correct comes back as it was thrown', async (t) => {
	const dir = generatedProject(t, 'strategy-as-minimal');
	writeFileSync(path.join(dir, 'assembly/index.ts'), 'export function rank(frame: usize): i32 { return nonsense; }');
	const wrong = await t.throwsAsync<MeshError>(openStrategySource(dir, systemClock));
	t.is(wrong?.code, 'IM_BUILD_COMPILE');
	t.regex(wrong?.where ?? '', /assembly\/index\.ts:1:\d+/);
	t.regex(wrong?.message ?? '', /nonsense/);
	const empty = path.join(temporaryDir(t), 'empty');
	mkdirSync(empty);
	const none = await t.throwsAsync<MeshError>(openStrategySource(empty, systemClock));
	t.regex(none?.code ?? '', /^IM_MANIFEST_/);
	t.true((none?.hint ?? '').length > 5);
});

test('shipped strategies and modules are read without a build', async (t) => {
	const { wasm, dir } = await openStrategySource('least_queue', systemClock);
	t.true(wasm.length > 500);
	t.is(path.basename(dir ?? ''), 'least_queue');
	await t.throwsAsync(openStrategySource('no_such_strategy', systemClock), { code: 'IM_PROJECT_NOT_FOUND' });
});
