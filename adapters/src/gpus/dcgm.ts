// Owns reading NVIDIA's DCGM exporter (port 9400, `/metrics`): one series a device, or a MIG instance, for each field. Fields depend on the
// exporter's list, so a missing one is no fault. Values near the top of their type are "blank": not supported, not found, no permission.

import { parseMetrics } from '../prometheus/parser.js';
import { labelOf, type MetricSamples, type Sample } from '../prometheus/samples.js';
import { WantedNames } from '../prometheus/wanted-names.js';
import type { GpuAdapter, GpuLook, GpuReading } from './adapter.js';
import { type GpuDraft, GpuDrafts, type GpuNumber, type GpuRange } from './draft.js';
import { shareOfProfile } from './mig.js';

interface DcgmField {
	readonly signal: GpuNumber;
	/** Without `DCGM_FI_`; the first with a value counts. */
	readonly from: readonly string[];
	readonly scale?: number;
	readonly range: GpuRange;
}

const fields: readonly DcgmField[] = [
	{ signal: 'temperatureC', from: ['DEV_GPU_TEMP'], range: 'any' },
	{ signal: 'memoryTemperatureC', from: ['DEV_MEMORY_TEMP'], range: 'any' },
	{ signal: 'slowdownTemperatureC', from: ['DEV_SLOWDOWN_TEMP'], range: 'any' },
	{ signal: 'powerW', from: ['DEV_POWER_USAGE', 'DEV_POWER_USAGE_INSTANT'], range: 'count' },
	{ signal: 'powerLimitW', from: ['DEV_ENFORCED_POWER_LIMIT', 'DEV_POWER_MGMT_LIMIT'], range: 'count' },
	{ signal: 'energyJTotal', from: ['DEV_TOTAL_ENERGY_CONSUMPTION'], scale: 0.001, range: 'count' },
	{ signal: 'coreClockMhz', from: ['DEV_SM_CLOCK'], range: 'count' },
	{ signal: 'memoryClockMhz', from: ['DEV_MEM_CLOCK'], range: 'count' },
	{ signal: 'computeRatio', from: ['PROF_SM_ACTIVE', 'PROF_GR_ENGINE_ACTIVE'], range: 'ratio' },
	{ signal: 'memoryRatio', from: ['PROF_DRAM_ACTIVE'], range: 'ratio' },
	{ signal: 'tensorRatio', from: ['PROF_PIPE_TENSOR_ACTIVE'], range: 'ratio' },
	{ signal: 'vramUsedMib', from: ['DEV_FB_USED'], range: 'count' },
	{ signal: 'vramTotalMib', from: ['DEV_FB_TOTAL'], range: 'count' },
	{ signal: 'throttle', from: ['DEV_CLOCKS_EVENT_REASONS', 'DEV_CLOCK_THROTTLE_REASONS'], range: 'count' },
	{ signal: 'eccCorrectedTotal', from: ['DEV_ECC_SBE_VOL_TOTAL'], range: 'count' },
	{ signal: 'eccUncorrectedTotal', from: ['DEV_ECC_DBE_VOL_TOTAL'], range: 'count' },
	{ signal: 'eccUncorrectedLifeTotal', from: ['DEV_ECC_DBE_AGG_TOTAL'], range: 'count' },
	{ signal: 'remappedRowsUncorrected', from: ['DEV_UNCORRECTABLE_REMAPPED_ROWS'], range: 'count' },
	{ signal: 'xidLast', from: ['DEV_XID_ERRORS'], range: 'count' },
	{ signal: 'pcieReplaysTotal', from: ['DEV_PCIE_REPLAY_COUNTER'], range: 'count' },
	{ signal: 'pcieRxBytesPerSec', from: ['PROF_PCIE_RX_BYTES'], range: 'count' },
	{ signal: 'pcieTxBytesPerSec', from: ['PROF_PCIE_TX_BYTES'], range: 'count' },
	{ signal: 'pcieLinkGen', from: ['DEV_PCIE_LINK_GEN'], range: 'count' },
	{ signal: 'pcieLinkGenMax', from: ['DEV_PCIE_MAX_LINK_GEN'], range: 'count' },
	{ signal: 'pcieLinkWidth', from: ['DEV_PCIE_LINK_WIDTH'], range: 'count' },
	{ signal: 'pcieLinkWidthMax', from: ['DEV_PCIE_MAX_LINK_WIDTH'], range: 'count' },
];

/** Per cent, where the finer profiling fields are switched off. */
const percents: readonly DcgmField[] = [
	{ signal: 'computeRatio', from: ['DEV_GPU_UTIL'], scale: 0.01, range: 'ratio' },
	{ signal: 'memoryRatio', from: ['DEV_MEM_COPY_UTIL'], scale: 0.01, range: 'ratio' },
];

const linkErrors = ['CRC_FLIT', 'CRC_DATA', 'REPLAY', 'RECOVERY'].map((kind) => `DEV_NVLINK_${kind}_ERROR_COUNT_TOTAL`);
const pendings = ['DEV_ROW_REMAP_PENDING', 'DEV_RETIRED_PENDING'];
const parts = ['DEV_FB_USED', 'DEV_FB_FREE', 'DEV_FB_RESERVED'];
const ROW_REMAP_FAILURE = 'DEV_ROW_REMAP_FAILURE';
const FABRIC_STATUS = 'DEV_FABRIC_MANAGER_STATUS';
const XID_COUNTS = 'DCGM_EXP_XID_ERRORS_COUNT';
const HEALTH = 'DCGM_EXP_GPU_HEALTH_STATUS';
/** Of the fabric manager: joined; and: joining failed. */
const FABRIC_JOINED = 3;
const FABRIC_FAILED = 4;
/** Of a health watch: 0 passes, 10 warns, 20 fails. */
const HEALTH_FAILS = 20;

const prefixed = (name: string): string => `DCGM_FI_${name}`;

const wanted = new WantedNames([
	...[...fields, ...percents].flatMap(({ from }) => from.map(prefixed)),
	...[...linkErrors, ...pendings, ...parts, ROW_REMAP_FAILURE, FABRIC_STATUS].map(prefixed),
	XID_COUNTS,
	HEALTH,
]);

/** Blank values of DCGM's 64-bit integers, doubles and 32-bit integers, and the kinds of blank above each. */
function isBlank(value: number): boolean {
	return (
		value >= 9_223_372_036_854_770_000 ||
		(value >= 140_737_488_355_328 && value < 140_737_488_355_344) ||
		(value >= 2_147_483_632 && value < 2_147_483_648)
	);
}

/** The series of one device by field. */
class DeviceSeries {
	readonly byName = new Map<string, number>();
	readonly xids = new Map<number, number>();
	health: number | undefined;
	labels: Sample;

	constructor(labels: Sample) {
		this.labels = labels;
	}

	valueOf(name: string): number | undefined {
		return this.byName.get(prefixed(name));
	}

	/** The first of several names that has a value. */
	first(names: readonly string[]): number | undefined {
		for (const name of names) {
			const value = this.valueOf(name);
			if (value !== undefined) return value;
		}
		return undefined;
	}
}

function uuidOf(sample: Sample): string {
	const uuid = labelOf(sample, 'UUID') || labelOf(sample, 'uuid') || labelOf(sample, 'gpu_uuid');
	const instance = labelOf(sample, 'GPU_I_ID');
	return instance === '' || uuid === '' ? uuid : `${uuid}/gi/${instance}`;
}

function collect(samples: MetricSamples, drafts: GpuDrafts): ReadonlyMap<string, DeviceSeries> {
	const devices = new Map<string, DeviceSeries>();
	for (const [name, series] of samples.byName) {
		for (const sample of series) {
			const uuid = uuidOf(sample);
			if (uuid === '') {
				drafts.unread(`${name}: a series without a UUID`);
				continue;
			}
			if (!Number.isFinite(sample.value) || isBlank(sample.value)) continue;
			const device = devices.get(uuid) ?? new DeviceSeries(sample);
			if (devices.size < 4096) devices.set(uuid, device);
			keep(device, name, sample);
		}
	}
	return devices;
}

function keep(device: DeviceSeries, name: string, sample: Sample): void {
	if (name === XID_COUNTS) {
		const xid = Number(labelOf(sample, 'xid') || Number.NaN);
		if (xid >= 0) device.xids.set(xid, (device.xids.get(xid) ?? 0) + sample.value);
	} else if (name === HEALTH) device.health = Math.max(device.health ?? 0, sample.value);
	// NVLink errors may come by link; any other field that comes twice, as with one series a pod, says the same twice.
	else if (linkErrors.some((field) => prefixed(field) === name) && labelOf(sample, 'nvlink') !== '')
		device.byName.set(name, (device.byName.get(name) ?? 0) + sample.value);
	else device.byName.set(name, sample.value);
	if (sample.labels.length > device.labels.labels.length) device.labels = sample;
}

function describe(draft: GpuDraft, device: DeviceSeries, look: GpuLook): void {
	const label = (name: string): string => labelOf(device.labels, name);
	draft.vendor('nvidia');
	draft.text('node', label('Hostname') || label('hostname') || look.node);
	draft.text('product', label('modelName') || label('model_name'));
	draft.text('driverVersion', label('DCGM_FI_DRIVER_VERSION'));
	draft.text('pciBusId', label('pci_bus_id').toLowerCase());
	const index = label('gpu');
	if (/^\d{1,4}$/.test(index)) draft.number('index', Number(index), 'count');
	const instance = label('GPU_I_ID');
	if (instance === '') return;
	draft.text('parentUuid', label('UUID') || label('uuid'));
	draft.text('migProfile', label('GPU_I_PROFILE'));
	if (/^\d{1,4}$/.test(instance)) draft.number('migInstance', Number(instance), 'count');
	const share = shareOfProfile(label('GPU_I_PROFILE'), label('modelName'));
	if (share === undefined) draft.unread(`shareRatio: profile ${label('GPU_I_PROFILE')} tells none`);
	else draft.number('shareRatio', share, 'ratio');
}

function fill(draft: GpuDraft, device: DeviceSeries): void {
	for (const { signal, from, scale, range } of [...fields, ...percents]) {
		const value = device.first(from);
		if (value !== undefined && draft.get(signal) === undefined) draft.number(signal, value * (scale ?? 1), range);
	}
	const [used, free, reserved] = parts.map((name) => device.valueOf(name));
	if (draft.get('vramTotalMib') === undefined && used !== undefined && free !== undefined)
		draft.number('vramTotalMib', used + free + (reserved ?? 0), 'count');
	const errors = linkErrors.map((name) => device.valueOf(name)).filter((value) => value !== undefined);
	if (errors.length > 0)
		draft.number(
			'linkErrorsTotal',
			errors.reduce((sum, value) => sum + value, 0),
			'count',
		);
	const pending = pendings.map((name) => device.valueOf(name)).filter((value) => value !== undefined);
	if (pending.length > 0)
		draft.flag(
			'remapPending',
			pending.some((value) => value > 0),
		);
	const failure = device.valueOf(ROW_REMAP_FAILURE);
	if (failure !== undefined) draft.flag('remapFailed', failure > 0);
	const fabric = device.valueOf(FABRIC_STATUS);
	if (fabric === FABRIC_JOINED || fabric === FABRIC_FAILED) draft.flag('fabricHealthy', fabric === FABRIC_JOINED);
	if (device.health !== undefined) draft.flag('healthy', device.health < HEALTH_FAILS);
	draft.xids([...device.xids].filter(([, count]) => count > 0).map(([xid, count]) => ({ xid, count })));
}

export const dcgmAdapter: GpuAdapter = {
	kind: 'dcgm',
	read(text: string | Uint8Array, look: GpuLook): GpuReading {
		const drafts = new GpuDrafts(look.atMs);
		const samples = parseMetrics(text, wanted);
		for (const { kind, line, name } of samples.problems)
			drafts.unread(`${name === '' ? 'body' : name}: ${kind} at line ${line}`);
		for (const [uuid, device] of collect(samples, drafts)) {
			const draft = drafts.of(uuid);
			if (draft === undefined) continue;
			describe(draft, device, look);
			fill(draft, device);
		}
		if (samples.byName.size === 0) drafts.unread(`body: no metric of DCGM in ${samples.lines} lines`);
		return drafts.finish();
	},
};
