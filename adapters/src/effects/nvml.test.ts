// NVML through the addon, against a library with the same symbols (native/standin.c) that is built here: units, slices, events, and a driver that hangs.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import test from 'ava';
import { readNvml } from '../gpus/nvml.js';
import { buildNvmlAddon, NvmlLibrary } from './nvml.js';
import { testClock } from './testing.js';

const native = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../../../native');
const folder = mkdtempSync(path.join(tmpdir(), 'infermesh-nvml-'));
const library = path.join(folder, 'libnvidia-ml.so.1');
const settings = path.join(folder, 'settings');
const look = { atMs: 7, node: 'n1' };
let addon = '';

const set = (values: Readonly<Record<string, number>>): void =>
	writeFileSync(
		settings,
		Object.entries(values)
			.map(([name, value]) => `${name}=${value}\n`)
			.join(''),
	);

test.before(async () => {
	process.env['NVML_STANDIN'] = settings;
	set({});
	execFileSync('gcc', ['-shared', '-fPIC', '-O1', path.join(native, 'standin.c'), '-o', library]);
	addon = await buildNvmlAddon();
});
test.after.always(() => rmSync(folder, { recursive: true, force: true }));

test.serial('devices, slices and events, in the mesh’s units', async (t) => {
	set({ xids: 1 });
	const nvml = new NvmlLibrary(addon, library, testClock);
	t.teardown(() => nvml.close());
	const { devices, unread } = await nvml.look(look, 20_000);
	t.deepEqual(unread, []);
	t.deepEqual(devices[0], {
		observedAtMs: 7,
		gpuUuid: 'GPU-x',
		vendor: 'nvidia',
		node: 'n1',
		driverVersion: '570.86.15',
		index: 0,
		vramTotalMib: 81_920,
		vramUsedMib: 1024,
		computeRatio: 0.75,
		memoryRatio: 0.5,
		powerW: 250.5,
		energyJTotal: 5_000_000,
		temperatureC: 60,
		slowdownTemperatureC: 90,
		throttle: 4,
		eccCorrectedTotal: 0,
		eccUncorrectedTotal: 10,
		eccUncorrectedLifeTotal: 11,
		remappedRowsUncorrected: 2,
		pcieTxBytesPerSec: 102_400,
		pcieRxBytesPerSec: 204_800,
		linksDown: 1,
		linkErrorsTotal: 20,
		processes: 3,
		product: 'NVIDIA "Stand-in"',
		remapPending: true,
		remapFailed: false,
		xids: [{ xid: 79, count: 1 }],
		unread: [],
	});
	t.like(devices[2], {
		gpuUuid: 'MIG-s',
		parentUuid: 'GPU-y',
		migInstance: 9,
		shareRatio: 1 / 7,
		vramTotalMib: 10_240,
	});
	t.is(devices[1]?.computeRatio, undefined, 'a device that does not tell its use is not idle');
	t.is((await nvml.look(look, 20_000)).devices[0]?.xids, undefined, 'an event is told once');
});

test.serial('a device that falls off the bus is not healthy', async (t) => {
	set({ missing: 1 });
	const nvml = new NvmlLibrary(addon, library, testClock);
	t.teardown(() => nvml.close());
	const { devices, unread } = await nvml.look(look, 20_000);
	t.like(devices[0], { gpuUuid: 'node/n1/index/0', healthy: false });
	t.deepEqual(unread, ['nvml: device 0: GPU is lost']);
});

test.serial(
	'a driver that hangs costs a look its time and nothing else, and is heard of again when it comes back',
	async (t) => {
		set({ hang: 1 });
		const nvml = new NvmlLibrary(addon, library, testClock);
		t.teardown(() => nvml.close());
		await t.throwsAsync(nvml.look(look, 50), { name: 'TimeoutError', message: /did not answer in 50 ms/ });
		await t.throwsAsync(nvml.look(look, 50), { name: 'TimeoutError', message: /has not come back/ });
		set({ temperature: 77 });
		let found: number | undefined;
		for (let tries = 0; found === undefined && tries < 2000; tries++) {
			await new Promise((resolve) => setImmediate(resolve));
			found = await nvml.look(look, 20_000).then(
				({ devices }) => devices[0]?.temperatureC,
				() => new Promise((resolve) => setTimeout(resolve, 5, undefined)),
			);
		}
		t.is(found, 77);
	},
);

test.serial('what cannot be had is said: no library, no driver, no compiler', async (t) => {
	const none = new NvmlLibrary(addon, '/nowhere/libnvidia-ml.so.1', testClock);
	t.teardown(() => none.close());
	await t.throwsAsync(none.look(look, 20_000), { message: /nowhere\/libnvidia-ml/ });
	set({ init: 9 });
	const driverless = new NvmlLibrary(addon, library, testClock);
	t.teardown(() => driverless.close());
	await t.throwsAsync(driverless.look(look, 20_000), { message: 'nvmlInit_v2: Driver Not Loaded' });
	const into = path.join(folder, 'empty');
	await t.throwsAsync(buildNvmlAddon({ command: '/nowhere/g++', into }), { message: /needs a C\+\+ compiler once/ });
	await t.throwsAsync(buildNvmlAddon({ command: 'false', into }), { message: /cannot be built/ });
	t.deepEqual(readNvml('rubbish', look), { devices: [], unread: ['nvml: the answer is no JSON object'] });
});
