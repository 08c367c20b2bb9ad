// What the mesh learns of GPUs from exporters and tools, on samples written for the tests (gpus.fixture.ts says which).
import { throttleBits } from '@infermesh/proto';
import test from 'ava';
import * as fc from 'fast-check';
import { gpuBounds } from './adapter.js';
import { amdSmiSample, dcgmPage } from './gpus.fixture.js';
import { nvidiaSmiArguments, nvidiaSmiFields, unknownSmiField } from './nvidia-smi.js';
import { gpuAdapters } from './sources.js';
import { parseXml, textAt } from './xml.js';

const seed = Number(process.env['INFERMESH_TEST_SEED'] ?? Date.now() % 0x7fff_ffff);
const look = { atMs: 5, node: 'n1' };
const { dcgm, amd_exporter, nvidia_smi, nvidia_smi_xml, rocm_smi, amd_smi } = gpuAdapters;

test('DCGM: a device with profiling fields, errors and links', (t) => {
	const page = dcgmPage([
		{
			uuid: 'GPU-a',
			index: 3,
			values: {
				DEV_GPU_TEMP: 71,
				DEV_MEMORY_TEMP: 80,
				DEV_POWER_USAGE: 650.5,
				DEV_TOTAL_ENERGY_CONSUMPTION: 5000,
				DEV_GPU_UTIL: 99,
				PROF_GR_ENGINE_ACTIVE: 0.75,
				PROF_DRAM_ACTIVE: 0.5,
				PROF_PIPE_TENSOR_ACTIVE: 0.25,
				DEV_FB_USED: 40_000,
				DEV_FB_FREE: 40_000,
				DEV_FB_RESERVED: 1559,
				DEV_XID_ERRORS: 79,
				DEV_ECC_DBE_VOL_TOTAL: 2,
				DEV_ROW_REMAP_FAILURE: 1,
				DEV_ROW_REMAP_PENDING: 0,
				DEV_CLOCKS_EVENT_REASONS: throttleBits.hardwareThermal,
				DEV_NVLINK_REPLAY_ERROR_COUNT_TOTAL: 4,
				DEV_NVLINK_CRC_FLIT_ERROR_COUNT_TOTAL: 5,
			},
			xids: { 31: 2, 79: 1 },
		},
	]);
	t.deepEqual(dcgm.read(page, look), {
		devices: [
			{
				observedAtMs: 5,
				gpuUuid: 'GPU-a',
				vendor: 'nvidia',
				node: 'gpu-node-1',
				product: 'NVIDIA H100 80GB HBM3',
				driverVersion: '570.86.15',
				pciBusId: '00000000:03:00.0',
				index: 3,
				temperatureC: 71,
				memoryTemperatureC: 80,
				powerW: 650.5,
				energyJTotal: 5,
				computeRatio: 0.75,
				memoryRatio: 0.5,
				tensorRatio: 0.25,
				vramUsedMib: 40_000,
				vramTotalMib: 81_559,
				xidLast: 79,
				xids: [
					{ xid: 31, count: 2 },
					{ xid: 79, count: 1 },
				],
				eccUncorrectedTotal: 2,
				remapFailed: true,
				remapPending: false,
				throttle: throttleBits.hardwareThermal,
				linkErrorsTotal: 9,
				unread: [],
			},
		],
		unread: [],
	});
});

test('DCGM: MIG slices are devices of their own, with their share', (t) => {
	const page = dcgmPage([
		{ uuid: 'GPU-a', index: 0, slice: ['3g.40gb', 2], values: { DEV_FB_USED: 1, PROF_GR_ENGINE_ACTIVE: 0.5 } },
		{ uuid: 'GPU-a', index: 0, slice: ['1g.10gb', 9], values: { DEV_FB_USED: 2 } },
	]);
	const { devices } = dcgm.read(page, look);
	t.deepEqual(
		devices.map(({ gpuUuid, parentUuid, migProfile, migInstance, shareRatio }) => [
			gpuUuid,
			parentUuid,
			migProfile,
			migInstance,
			shareRatio,
		]),
		[
			['GPU-a/gi/2', 'GPU-a', '3g.40gb', 2, 3 / 7],
			['GPU-a/gi/9', 'GPU-a', '1g.10gb', 9, 1 / 7],
		],
	);
	t.is(devices[0]?.computeRatio, 0.5);
});

test('DCGM: blank values of every type are missing, and values out of range are unread', (t) => {
	const page = dcgmPage([
		{
			uuid: 'GPU-a',
			index: 0,
			values: {
				DEV_GPU_TEMP: 2 ** 63,
				DEV_FB_USED: 2_147_483_634,
				PROF_DRAM_ACTIVE: 140_737_488_355_330,
				DEV_GPU_UTIL: 5000,
				DEV_POWER_USAGE: -1,
			},
		},
	]).replace(' 9223372036854776000', ' 9223372036854775794');
	const [device] = dcgm.read(page, look).devices;
	t.is(device?.temperatureC, undefined);
	t.is(device?.vramUsedMib, undefined);
	t.is(device?.memoryRatio, undefined);
	t.deepEqual(device?.unread, ['powerW: -1 is not a value', 'computeRatio: 50 is not between 0 and 1']);
});

test('DCGM: pages of something else, and series without a UUID, are reported', (t) => {
	t.deepEqual(dcgm.read('up 1\n', look), { devices: [], unread: ['body: no metric of DCGM in 1 lines'] });
	t.deepEqual(dcgm.read('DCGM_FI_DEV_GPU_TEMP{gpu="0"} 3\n', look).unread, [
		'DCGM_FI_DEV_GPU_TEMP: a series without a UUID',
	]);
});

test('DCGM: one series a pod says the same once, one a link adds up', (t) => {
	const page = `DCGM_FI_DEV_XID_ERRORS{UUID="GPU-a",pod="x"} 13
DCGM_FI_DEV_XID_ERRORS{UUID="GPU-a",pod="y"} 13
DCGM_FI_DEV_NVLINK_REPLAY_ERROR_COUNT_TOTAL{UUID="GPU-a",nvlink="0"} 2
DCGM_FI_DEV_NVLINK_REPLAY_ERROR_COUNT_TOTAL{UUID="GPU-a",nvlink="1"} 3
`;
	const [device] = dcgm.read(page, look).devices;
	t.is(device?.xidLast, 13);
	t.is(device?.linkErrorsTotal, 5);
});

test('AMD exporter: partitions, labels in capitals, and power that only the first partition knows', (t) => {
	const page = `gpu_gfx_activity{GPU_UUID="u",GPU_ID="0",HOSTNAME="h",GPU_PARTITION_ID="0",GPU_COMPUTE_PARTITION_TYPE="dpx"} 50
gpu_gfx_activity{GPU_UUID="u",GPU_ID="0",HOSTNAME="h",GPU_PARTITION_ID="1",GPU_COMPUTE_PARTITION_TYPE="dpx"} 10
gpu_package_power{gpu_uuid="u",gpu_id="0",hostname="h",gpu_partition_id="0",gpu_compute_partition_type="dpx"} 300
gpu_package_power{gpu_uuid="u",gpu_id="0",hostname="h",gpu_partition_id="1",gpu_compute_partition_type="dpx"} 0
gpu_health{gpu_uuid="u",gpu_id="0",hostname="h",gpu_partition_id="0",gpu_compute_partition_type="dpx"} 0
`;
	const { devices } = amd_exporter.read(page, look);
	t.deepEqual(
		devices.map(({ gpuUuid, shareRatio, computeRatio, powerW, healthy }) => [
			gpuUuid,
			shareRatio,
			computeRatio,
			powerW,
			healthy,
		]),
		[
			['u/part/0', 0.5, 0.5, 300, false],
			['u/part/1', 0.5, 0.1, undefined, undefined],
		],
	);
});

test('nvidia-smi: units, missing values and a lost device', (t) => {
	const table = `Warning: something
uuid, name, index, memory.total [MiB], utilization.gpu [%], power.draw.instant [W], power.draw [W], retired_pages.pending
GPU-a, "NVIDIA, with a comma", 0, 81559 MiB, 37 %, [N/A], 71.15 W, Yes
GPU-b, NVIDIA X, 1, [Not Supported], [Unknown Error], [GPU is lost], [GPU is lost], [N/A]
Unable to determine the device handle for GPU0000:02:00.0: Unknown Error
`;
	const { devices, unread } = nvidia_smi.read(table, look);
	t.like(devices[0], {
		product: 'NVIDIA, with a comma',
		vramTotalMib: 81_559,
		computeRatio: 0.37,
		powerW: 71.15,
		remapPending: true,
	});
	t.is(devices[1]?.healthy, false);
	t.is(devices[1]?.vramTotalMib, undefined);
	t.true(devices[1]?.unread.some((entry) => entry.startsWith('computeRatio: utilization.gpu is [Unknown Error]')));
	t.deepEqual(unread, ['row: Unable to determine the device handle for GPU0000:02:00.0: Unknown Error']);
});

test('nvidia-smi: a field an older release does not know is left out of the next question', (t) => {
	t.is(unknownSmiField('Field "gpu_recovery_action" is not a valid field to query.\n'), 'gpu_recovery_action');
	t.is(unknownSmiField('NVIDIA-SMI has failed'), undefined);
	const [query] = nvidiaSmiArguments(new Set(['gpu_recovery_action']));
	t.false(query?.includes('gpu_recovery_action'));
	t.is(query?.split(',').length, nvidiaSmiFields.length - 1);
});

test('nvidia-smi XML: reasons, recovery and a margin in place of a threshold', (t) => {
	const xml = `<?xml version="1.0" ?><!DOCTYPE nvidia_smi_log SYSTEM "x.dtd"><nvidia_smi_log><driver_version>1</driver_version><gpu id="00000000:01:00.0">
<uuid>GPU-a</uuid><gpu_recovery_action>Drain and Reset</gpu_recovery_action>
<clocks_event_reasons><clocks_event_reason_hw_thermal_slowdown>Active</clocks_event_reason_hw_thermal_slowdown>
<clocks_event_reason_hw_power_brake_slowdown>Active</clocks_event_reason_hw_power_brake_slowdown></clocks_event_reasons>
<temperature><gpu_temp>80 C</gpu_temp><gpu_temp_tlimit>7 C</gpu_temp_tlimit></temperature>
<remapped_rows><remapped_row_failure>Yes</remapped_row_failure></remapped_rows>
<ecc_errors><volatile><sram_uncorrectable_parity>1</sram_uncorrectable_parity><dram_uncorrectable>2</dram_uncorrectable></volatile></ecc_errors>
</gpu></nvidia_smi_log>`;
	const [device] = nvidia_smi_xml.read(xml, look).devices;
	t.like(device, {
		recoveryAction: 'drain and reset',
		throttle: throttleBits.hardwareThermal | throttleBits.hardwarePowerBrake,
		slowdownTemperatureC: 87,
		remapFailed: true,
		eccUncorrectedTotal: 3,
	});
});

test('amd-smi: values with units, texts and what is not there', (t) => {
	const { devices, unread } = amd_smi.read(`WARNING: older driver\n${amdSmiSample}`, look);
	t.deepEqual(unread, []);
	t.deepEqual(devices[0], {
		observedAtMs: 5,
		gpuUuid: 'node/n1/index/0',
		vendor: 'amd',
		node: 'n1',
		index: 0,
		computeRatio: 0.87,
		memoryRatio: 0.12,
		powerW: 612,
		temperatureC: 71,
		memoryTemperatureC: 60,
		coreClockMhz: 2100,
		memoryClockMhz: 1300,
		vramTotalMib: 196_592,
		vramUsedMib: 1000,
		eccCorrectedTotal: 5,
		eccUncorrectedTotal: 1,
		pcieReplaysTotal: 3,
		pcieLinkWidth: 16,
		unread: [],
	});
	t.deepEqual(devices[1]?.unread, ['powerW: power/socket_power is much']);
});

test('rocm-smi: output that is something else is reported', (t) => {
	for (const text of ['', 'ERROR: no GPU', '[]', '{"system":{}}'])
		t.deepEqual(rocm_smi.read(text, look).unread, ['output: not the JSON of rocm-smi, or no card in it']);
});

test('XML: what is not well formed is none', (t) => {
	t.is(textAt(parseXml('<a><b x="1">1 &lt; 2</b><c/></a>') ?? never(), 'b'), '1 < 2');
	for (const text of ['', '<a>', '<a></b>', '<a/><b/>', '<a><', 'text', `${'<a>'.repeat(100)}${'</a>'.repeat(100)}`])
		t.is(parseXml(text), undefined, text.slice(0, 20));
});

function never(): never {
	throw new Error('not well formed');
}

test('no adapter throws on garbage, and none exceeds its bounds', (t) => {
	t.log(`seed ${seed}`);
	const parts = [
		'<gpu>',
		'</gpu>',
		'<nvidia_smi_log>',
		'</nvidia_smi_log>',
		'uuid,index\n',
		'GPU-a,1\n',
		'{"card0":',
		'{}',
		'}',
		'[',
		']',
	];
	const page = dcgmPage([{ uuid: 'GPU-a', index: 0, values: { DEV_GPU_TEMP: 3 } }]);
	const text = fc.oneof(
		fc.string(),
		fc.json(),
		fc.array(fc.constantFrom(...parts, page, amdSmiSample), { maxLength: 12 }).map((list) => list.join('')),
	);
	fc.assert(
		fc.property(text, (body) => {
			for (const adapter of Object.values(gpuAdapters)) {
				const { devices, unread } = adapter.read(body, look);
				if (devices.length > gpuBounds.devicesMax || unread.length > 32) return false;
				if (new Set(devices.map(({ gpuUuid }) => gpuUuid)).size !== devices.length) return false;
			}
			return true;
		}),
		{ seed, numRuns: 1000 },
	);
	const many = Array.from({ length: 600 }, (_, i) => `DCGM_FI_DEV_GPU_TEMP{UUID="GPU-${i}"} 1`).join('\n');
	t.is(dcgm.read(many, look).devices.length, gpuBounds.devicesMax);
	t.deepEqual(dcgm.read(many, look).unread, ['devices: more than 512']);
});
