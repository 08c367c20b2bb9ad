// The adapters a node runs itself: from the configuration to the reports.

import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { MeshError } from '@infermesh/proto';
import test from 'ava';
import { loadConfig } from '../config/load.js';
import { testReports } from '../reports/testing.js';
import { systemClock } from './clock.js';
import { runOwnAdapters } from './own-adapters.js';
import { OwnAdapters } from './own-adapters-part.js';

function configOf(adapters: readonly unknown[]) {
	return loadConfig({ file: 'test.yaml', env: {}, readText: () => JSON.stringify({ adapters }) }).config;
}

test('what a configuration names is looked at, again and again, and reported with node and job', async (t) => {
	const folder = mkdtempSync(path.join(tmpdir(), 'infermesh-own-'));
	t.teardown(() => rmSync(folder, { recursive: true, force: true }));
	// The node's own timers keep no process alive.
	const alive = systemClock.every(1000, () => undefined);
	t.teardown(() => alive.cancel());
	const told = Promise.withResolvers<void>();
	let looks = 0;
	const reports = testReports(systemClock);
	const running = await runOwnAdapters(
		configOf([
			{ kind: 'file', job_id: 'j', period_ms: 1, settings: { path: folder, object_bytes: '10', rounds: '1' } },
			{ kind: 'nccl_ras', period_ms: 1, settings: { address: '127.0.0.1:1' } },
		]),
		{
			clock: systemClock,
			randomBytes: (count) => randomBytes(count),
			warn: () => undefined,
			reports: {
				comm: () => t.fail('nobody answers there'),
				io: (delta, origin) => {
					reports.io(delta, origin);
					if (++looks === 3) told.resolve();
				},
			},
		},
	);
	await told.promise;
	running.close();
	const [report] = reports.ioReports();
	t.like(report, { adapter: 'file', caller: 'local' });
	t.like(report?.value, { source: 'file', jobId: 'j', node: 'local', failures: 0 });
});

test('one that cannot be opened is a mistake in the configuration, by place', async (t) => {
	const ports = {
		clock: systemClock,
		randomBytes: (count: number) => randomBytes(count),
		warn: () => undefined,
		reports: testReports(systemClock),
	};
	const wrong = async (adapter: unknown) => {
		const error = await t.throwsAsync<MeshError>(runOwnAdapters(configOf([adapter]), ports));
		return { message: `${error?.code} ${error?.where} ${error?.message}` };
	};
	t.regex((await wrong({ kind: 'nccl_log' })).message, /^IM_CONFIG_INVALID adapters\/0 nccl_log: path must be given/);
	t.regex(
		(await wrong({ kind: 'dcgm', settings: { url: 'http://x' } })).message,
		/dcgm is not one of nccl_inspector, /,
	);
	t.regex((await wrong({ kind: 'tea' })).message, /there is no adapter "tea"/);
});

test('in a thread of its own: reports come with their age, and what cannot be opened is refused', async (t) => {
	const folder = mkdtempSync(path.join(tmpdir(), 'infermesh-own-'));
	t.teardown(() => rmSync(folder, { recursive: true, force: true }));
	const reports = testReports(systemClock);
	let looks = 0;
	const told = Promise.withResolvers<void>();
	const ports = {
		clock: systemClock,
		log: { warn: () => undefined },
		reports: {
			comm: () => undefined,
			io: (...given: Parameters<typeof reports.io>) => {
				reports.io(...given);
				// Between two looks there is nothing to do in the thread, and it must not end for that.
				if (++looks === 4) told.resolve();
			},
		},
	};
	const file = { kind: 'file', period_ms: 20, settings: { path: folder, object_bytes: '10', rounds: '1' } };
	const alive = systemClock.every(1000, () => undefined);
	t.teardown(() => alive.cancel());
	const running = await OwnAdapters.open(configOf([file]), ports);
	await told.promise;
	await running.close();
	const [report] = reports.ioReports();
	t.like(report, { adapter: 'file', caller: 'local' });
	t.true((report?.ageMs ?? -1) >= 0 && (report?.ageMs ?? 1e9) < 60_000);
	const refused = await t.throwsAsync<MeshError>(OwnAdapters.open(configOf([{ kind: 'tea' }]), ports));
	t.deepEqual([refused?.code, refused?.where], ['IM_CONFIG_INVALID', 'adapters/0']);
	await (await OwnAdapters.open(configOf([]), ports)).close();
});
