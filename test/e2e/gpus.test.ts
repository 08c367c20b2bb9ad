// What becomes of a target when something is wrong with the GPU it runs on: pages of an exporter and a tool that are the tests' own stand for the real
// ones; all the rest is the product.
import { execFileSync } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import test, { type ExecutionContext } from 'ava';
import { eventually, MODEL, startTestMesh } from '../support/mesh.js';
import { ask } from '../support/traffic.js';

/** A page of a DCGM exporter whose values the test changes. */
async function exporter(t: ExecutionContext, values: Record<string, Record<string, number>>): Promise<string> {
	const server = createServer((_req, res) => {
		const lines = Object.entries(values).flatMap(([uuid, fields]) =>
			Object.entries(fields).map(([field, value]) => `DCGM_FI_${field}{gpu="0",UUID="${uuid}",Hostname="n1"} ${value}`),
		);
		res.end(`${lines.join('\n')}\n`);
	});
	await new Promise<void>((resolve) => {
		server.listen(0, '127.0.0.1', resolve);
	});
	t.teardown(() => {
		server.closeAllConnections();
		server.close();
	});
	return `http://127.0.0.1:${(server.address() as AddressInfo).port}/metrics`;
}

interface Gpu {
	readonly id: string;
	readonly standing: string;
	readonly rules: readonly { readonly rule: string }[];
	readonly targets: readonly string[];
	readonly product: string;
}

test.serial('a target whose GPU shows a fatal XID gets no traffic, and is back when the GPU is released', async (t) => {
	const values = {
		'GPU-a': { DEV_XID_ERRORS: 0, DEV_FB_USED: 1000, DEV_FB_FREE: 3000 },
		'GPU-b': { DEV_XID_ERRORS: 43 },
	};
	const url = await exporter(t, values);
	const mesh = await startTestMesh(t, {
		engines: [{ target: { gpus: ['GPU-a'] } }, { target: { gpus: ['GPU-b'] } }],
		config: { gpu: { sources: [{ kind: 'dcgm', url }], period_ms: 100 } },
	});
	await mesh.ready();
	const gpus = async (): Promise<readonly Gpu[]> =>
		(await mesh.admin.call<{ items: Gpu[] }>('GET', '/api/v1/gpus')).items;
	const gpu = async (id: string): Promise<Gpu | undefined> => (await gpus()).find((one) => one.id === id);
	const served = async (): Promise<readonly (string | undefined)[]> => {
		const answers = await Promise.all(
			Array.from({ length: 16 }, (_, seed) => ask({ url: mesh.dataUrl, seed, tokens: 2 })),
		);
		return [...new Set(answers.map(({ target }) => target))].sort();
	};
	const events = await fetch(`${mesh.admin.url}/api/v1/events`);
	await eventually('both devices are heard of', async () => (await gpus()).length === 2);
	t.deepEqual((await gpu('GPU-a'))?.targets, ['engine-1']);
	t.is((await gpu('GPU-b'))?.standing, 'sound', 'XID 43 is a program’s');
	t.deepEqual(await served(), ['engine-1', 'engine-2']);

	values['GPU-a'].DEV_XID_ERRORS = 79;
	await eventually('the target is out', async () => (await mesh.admin.target('engine-1')).state === 'quarantined');
	t.like(await gpu('GPU-a'), { standing: 'quarantined', rules: [{ rule: 'xid_fatal' }] });
	t.deepEqual(await served(), ['engine-2']);
	t.like(await mesh.admin.target('engine-1'), { health: 0, heldBy: ['xid_fatal'] });
	const labels = { gpu_uuid: 'GPU-a', node: 'n1' };
	t.is(await mesh.admin.metric('infermesh_gpu_rule_in_force', { ...labels, rule: 'xid_fatal' }), 1);
	t.is(await mesh.admin.metric('infermesh_gpu_xid_last', labels), 79);
	t.is(await mesh.admin.metric('infermesh_gpu_memory_total_bytes', labels), 4000 * 2 ** 20);
	t.true(mesh.log.some((line) => line['message'] === 'a GPU is quarantined' && line['gpu'] === 'GPU-a'));

	await mesh.admin.call('POST', '/api/v1/gpus/GPU-a/release');
	await eventually('the target is back', async () => (await mesh.admin.target('engine-1')).state === 'ready');
	await eventually('and is used', async () => (await served()).includes('engine-1'));

	const told: string[] = [];
	for await (const piece of events.body ?? []) {
		told.push(Buffer.from(piece).toString());
		if (told.join('').match(/event: gpu/g)?.length === 2) break;
	}
	t.regex(told.join(''), /"standing":"quarantined"/);
	t.regex(told.join(''), /"held":\[\]/);
	await t.throwsAsync(mesh.admin.call('POST', '/api/v1/gpus/GPU-x/release'), { message: /404 IM_GPU_UNKNOWN/ });
});

test.serial(
	'the tool of an older driver is asked without what it does not know; one that hangs is left behind',
	async (t) => {
		const folder = mkdtempSync(path.join(tmpdir(), 'infermesh-smi-'));
		t.teardown(() => rmSync(folder, { recursive: true, force: true }));
		const tool = (name: string, script: string): string => {
			const file = path.join(folder, name);
			writeFileSync(file, `#!/bin/sh\n${script}\n`);
			chmodSync(file, 0o755);
			return file;
		};
		writeFileSync(path.join(folder, 'failure'), 'No');
		const smi = tool(
			'smi',
			`case "$1" in *gpu_recovery_action*) echo 'Field "gpu_recovery_action" is not a valid field to query.'; exit 2;; esac
echo 'uuid, name, temperature.gpu, remapped_rows.failure'
echo "GPU-c, NVIDIA T4, 45, $(cat ${path.join(folder, 'failure')})"`,
		);
		const missing = path.join(folder, 'not-there');
		const hangs = tool('hangs', 'exec sleep 1000');
		const mesh = await startTestMesh(t, {
			engines: [{ target: { gpus: ['GPU-c'] } }, {}],
			config: {
				gpu: {
					sources: [
						{ kind: 'nvidia_smi_xml', command: hangs },
						{ kind: 'nvidia_smi', command: smi },
						{ kind: 'rocm_smi', command: missing },
					],
					period_ms: 200,
					timeout_ms: 1500,
				},
			},
		});
		writeFileSync(path.join(folder, 'failure'), 'Yes');
		await eventually('the device is out', async () => (await mesh.admin.target('engine-1')).state === 'quarantined');
		t.is((await ask({ url: mesh.dataUrl, seed: 1, model: MODEL, tokens: 2 })).target, 'engine-2');
		const refused = (source: string): number =>
			mesh.log.filter((line) => line['code'] === 'IM_GPU_SOURCE' && line['source'] === source).length;
		await eventually('the other two are told of', () => refused(hangs) > 0 && refused(missing) > 0);
		t.is(refused(missing), 1, 'once, not with every look');
		t.true((await mesh.admin.metric('infermesh_gpu_source_looks_total', { source: hangs, result: 'timeout' })) >= 1);
		t.true((await mesh.admin.metric('infermesh_gpu_source_looks_total', { source: smi, result: 'ok' })) >= 1);
	},
);

test.serial(
	'rules take out half of a model at most; what they would take beyond stays in use, and is told',
	async (t) => {
		const values = {
			'GPU-a': { DEV_XID_ERRORS: 0 },
			'GPU-b': { DEV_XID_ERRORS: 0 },
			'GPU-c': { DEV_XID_ERRORS: 0 },
		};
		const url = await exporter(t, values);
		const mesh = await startTestMesh(t, {
			engines: Object.keys(values).map((uuid) => ({ target: { gpus: [uuid] } })),
			config: { gpu: { sources: [{ kind: 'dcgm', url }], period_ms: 100 } },
		});
		await mesh.ready();
		const state = async (id: string): Promise<string> => (await mesh.admin.target(id)).state;
		const held = async (): Promise<readonly string[]> => {
			const { items } = await mesh.admin.call<{ items: { heldBack: string[] }[] }>('GET', '/api/v1/gpus');
			return items.flatMap(({ heldBack }) => heldBack);
		};
		values['GPU-b'].DEV_XID_ERRORS = 79;
		await eventually('the first is out', async () => (await state('engine-2')) === 'quarantined');
		t.deepEqual(await held(), []);
		values['GPU-a'].DEV_XID_ERRORS = 79;
		values['GPU-c'].DEV_XID_ERRORS = 79;
		await eventually('the others are held back', async () => (await held()).length === 2);
		t.deepEqual(
			[await state('engine-1'), await state('engine-2'), await state('engine-3')],
			['degraded', 'quarantined', 'degraded'],
		);
		t.is(await mesh.admin.metric('infermesh_gpu_quarantine_held_back_total', { target: 'engine-1' }), 1);
		t.true(mesh.log.some(({ message, target }) => target === 'engine-3' && String(message).includes('stays in use')));
		const answers = await Promise.all(
			Array.from({ length: 12 }, (_, seed) => ask({ url: mesh.dataUrl, seed, tokens: 2 })),
		);
		t.true(answers.every(({ error, target }) => error === undefined && target !== 'engine-2'));
		await mesh.admin.call('POST', '/api/v1/gpus/GPU-a/quarantine');
		await eventually('by hand it goes', async () => (await state('engine-1')) === 'quarantined');
		t.is(await state('engine-3'), 'degraded');
		values['GPU-b'].DEV_XID_ERRORS = 0;
		await mesh.admin.call('POST', '/api/v1/gpus/GPU-b/release');
		await eventually('the second is back', async () => (await state('engine-2')) === 'ready');
		t.is(await state('engine-3'), 'degraded', 'one is out by hand: no room for a rule');
	},
);

test.serial('NVML is called in its own thread, and a mesh with it ends as any other', async (t) => {
	const folder = mkdtempSync(path.join(tmpdir(), 'infermesh-nvml-'));
	t.teardown(() => rmSync(folder, { recursive: true, force: true }));
	const library = path.join(folder, 'libnvidia-ml.so.1');
	const source = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../../../adapters/native/standin.c');
	const settings = path.join(folder, 'settings');
	process.env['NVML_STANDIN'] = settings;
	execFileSync('gcc', ['-shared', '-fPIC', '-O1', source, '-o', library]);
	const mesh = await startTestMesh(t, {
		engines: [{ target: { gpus: ['MIG-s'] } }],
		config: {
			node: { id: 'n1' },
			gpu: {
				sources: [{ kind: 'nvml', command: library }],
				period_ms: 200,
				timeout_ms: 20_000,
				default_rules: false,
				rules: [{ name: 'hot', fact: 'temperature_c', above: 80, then: 'degraded' }],
			},
		},
	});
	const gpus = async () => (await mesh.admin.call<{ items: (Gpu & { share: number })[] }>('GET', '/api/v1/gpus')).items;
	const deadlineMs = performance.now() + 100_000;
	// The first look may have to wait for the compiler.
	while ((await gpus()).length < 3 && performance.now() < deadlineMs)
		await new Promise((resolve) => setTimeout(resolve, 100));
	const found = new Map((await gpus()).map((one) => [one.id, one]));
	t.like(found.get('MIG-s'), { targets: ['engine-1'], share: 1 / 7, standing: 'sound' });
	t.like(found.get('GPU-y'), { standing: 'sound' });
	writeFileSync(settings, 'temperature=90\n');
	await eventually(
		'the slice has the faults of the whole',
		async () => (await mesh.admin.target('engine-1')).state === 'degraded',
	);
	await mesh.close();
	t.pass();
});
