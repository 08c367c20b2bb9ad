// Checks the GPU adapters on what real exporters and tools wrote. INFERMESH_TEST_DATA names a folder that holds it under `captures/`; it is not
// part of this tree.
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { gpuAdapters } from '@infermesh/adapters';
import test from 'ava';

const look = { atMs: 1, node: 'here' };

function folder(): string {
	const data = process.env['INFERMESH_TEST_DATA'];
	if (data === undefined || data === '')
		throw new Error('INFERMESH_TEST_DATA is not set: it must name the folder whose captures/ holds real outputs');
	return path.join(data, 'captures');
}

const capture = (name: string): string => readFileSync(path.join(folder(), name), 'utf8');

test('DCGM exporter on two hosts with a Tesla T4 each', (t) => {
	const { devices, unread } = gpuAdapters.dcgm.read(capture('dcgm/t4_two_captures.prom'), look);
	t.deepEqual(unread, []);
	t.is(devices.length, 2);
	t.like(devices[0], {
		product: 'Tesla T4',
		node: '424773df46e0',
		driverVersion: '460.106.00',
		temperatureC: 25,
		powerW: 8.969,
		energyJTotal: 128_996.013,
		vramTotalMib: 15_109,
		vramUsedMib: 0,
		xidLast: 0,
		computeRatio: 0,
	});
	t.like(devices[1], { node: '551bdf382151', slowdownTemperatureC: 93, powerLimitW: 70 });
	for (const device of devices) t.deepEqual(device.unread, []);
});

test('AMD exporter, the older label set and the newer', (t) => {
	const { devices, unread } = gpuAdapters.amd_exporter.read(capture('rocm-exporter/metrics_mini.txt'), look);
	t.deepEqual(unread, []);
	t.like(devices[0], { gpuUuid: '6699c0a8-4200-4242-037f-f97e6cae0f09', computeRatio: 0, powerW: 41 });
	t.is(Math.round(devices[0]?.vramTotalMib ?? 0), 65_519);
	const newer = gpuAdapters.amd_exporter.read(capture('rocm-exporter/docs_samples.prom'), look);
	t.deepEqual(
		newer.devices.map(({ index }) => index),
		[3, 0, 5],
	);
	t.is(newer.devices[1]?.coreClockMhz, 132);
});

test('rocm-smi of five releases and devices', (t) => {
	const files = readdirSync(path.join(folder(), 'rocm-smi-json'));
	t.true(files.length >= 5);
	for (const file of files) {
		const { devices, unread } = gpuAdapters.rocm_smi.read(capture(`rocm-smi-json/${file}`), look);
		t.deepEqual(unread, [], file);
		t.true(devices.length > 0, file);
		for (const device of devices) {
			t.deepEqual(device.unread, [], file);
			t.true((device.vramTotalMib ?? 0) > 10_000, file);
			t.true((device.temperatureC ?? 0) > 20 && (device.temperatureC ?? 0) < 100, file);
			t.true((device.computeRatio ?? -1) >= 0, file);
		}
	}
	t.is(gpuAdapters.rocm_smi.read(capture('rocm-smi-json/mi100_rocm602.json'), look).devices.length, 4);
});

test('nvidia-smi XML of schemas 12 and 13, with MIG slices', (t) => {
	for (const file of readdirSync(path.join(folder(), 'nvidia-smi-xml'))) {
		const { devices, unread } = gpuAdapters.nvidia_smi_xml.read(capture(`nvidia-smi-xml/${file}`), look);
		t.deepEqual(unread, [], file);
		for (const device of devices) t.deepEqual(device.unread, [], file);
		t.true((devices[0]?.temperatureC ?? 0) > 0, file);
		t.true((devices[0]?.powerLimitW ?? 0) > 0, file);
		t.true((devices[0]?.slowdownTemperatureC ?? 0) > 80, file);
	}
	const { devices } = gpuAdapters.nvidia_smi_xml.read(capture('nvidia-smi-xml/a100-sxm4-v12.xml'), look);
	t.deepEqual(
		devices.map(({ migInstance }) => migInstance),
		[undefined, 3, 4, 5, 6],
	);
	t.is(devices[1]?.vramTotalMib, 19_968);
	t.deepEqual([devices[1]?.migProfile, devices[1]?.shareRatio], ['1g.20gb', 1 / 7]);
});

test('nvidia-smi query tables of five machines, idle and under load', (t) => {
	const files = readdirSync(path.join(folder(), 'nvidia-smi'));
	t.true(files.length >= 5);
	for (const file of files) {
		const lines = capture(`nvidia-smi/${file}`).split('\n');
		const tables = lines.flatMap((line, i) =>
			line.startsWith('timestamp, driver_version') ? [`${line}\n${lines[i + 1]}`] : [],
		);
		t.is(tables.length, 2, file);
		const [idle, load] = tables.map((table) => gpuAdapters.nvidia_smi.read(table, look));
		for (const reading of [idle, load]) {
			t.deepEqual(reading?.unread, [], file);
			t.deepEqual(reading?.devices[0]?.unread, [], file);
		}
		t.true((load?.devices[0]?.powerW ?? 0) > (idle?.devices[0]?.powerW ?? 0), file);
		t.true((load?.devices[0]?.vramUsedMib ?? 0) > (idle?.devices[0]?.vramUsedMib ?? 0), file);
	}
});
