// Owns reading `nvidia-smi -q -x`, schemas v11 to v13: devices, and the MIG slices in them as devices of their own.
import { throttleBits } from '@infermesh/proto';
import type { GpuAdapter, GpuLook, GpuReading } from './adapter.js';
import { type GpuDraft, GpuDrafts } from './draft.js';
import { type FlagField, fillFlags, fillNumbers, isMissing, leadingNumber, type NumberField } from './fields.js';
import { profileOfSlice } from './mig.js';
import { margin, recovery } from './nvidia-smi.js';
import { elementAt, parseXml, textAt, type XmlElement } from './xml.js';

/** Paths below `gpu`. */
const numbers: readonly NumberField[] = [
	{ signal: 'vramTotalMib', from: ['fb_memory_usage/total'], range: 'count' },
	{ signal: 'vramUsedMib', from: ['fb_memory_usage/used'], range: 'count' },
	{ signal: 'computeRatio', from: ['utilization/gpu_util'], scale: 0.01, range: 'ratio' },
	{ signal: 'memoryRatio', from: ['utilization/memory_util'], scale: 0.01, range: 'ratio' },
	{ signal: 'temperatureC', from: ['temperature/gpu_temp'], range: 'any' },
	{ signal: 'memoryTemperatureC', from: ['temperature/memory_temp'], range: 'any' },
	{ signal: 'slowdownTemperatureC', from: ['temperature/gpu_temp_slow_threshold'], range: 'any' },
	{
		signal: 'powerW',
		from: [
			'gpu_power_readings/instant_power_draw',
			'gpu_power_readings/power_draw',
			'gpu_power_readings/average_power_draw',
			'power_readings/power_draw',
		],
		range: 'count',
	},
	{
		signal: 'powerLimitW',
		from: [
			'gpu_power_readings/current_power_limit',
			'power_readings/enforced_power_limit',
			'power_readings/power_limit',
		],
		range: 'count',
	},
	{ signal: 'coreClockMhz', from: ['clocks/sm_clock'], range: 'count' },
	{ signal: 'memoryClockMhz', from: ['clocks/mem_clock'], range: 'count' },
	{ signal: 'remappedRowsUncorrected', from: ['remapped_rows/remapped_row_unc'], range: 'count' },
	{ signal: 'pcieReplaysTotal', from: ['pci/replay_counter'], range: 'count' },
	{ signal: 'pcieRxBytesPerSec', from: ['pci/rx_util'], scale: 1000, range: 'count' },
	{ signal: 'pcieTxBytesPerSec', from: ['pci/tx_util'], scale: 1000, range: 'count' },
	{ signal: 'pcieLinkGen', from: ['pci/pci_gpu_link_info/pcie_gen/current_link_gen'], range: 'count' },
	{ signal: 'pcieLinkGenMax', from: ['pci/pci_gpu_link_info/pcie_gen/max_link_gen'], range: 'count' },
	{ signal: 'pcieLinkWidth', from: ['pci/pci_gpu_link_info/link_widths/current_link_width'], range: 'count' },
	{ signal: 'pcieLinkWidthMax', from: ['pci/pci_gpu_link_info/link_widths/max_link_width'], range: 'count' },
];

const flags: readonly FlagField[] = [
	{
		signal: 'remapPending',
		from: ['remapped_rows/remapped_row_pending', 'retired_pages/pending_retirement', 'retired_pages/pending_blacklist'],
		yes: ['yes'],
		no: ['no'],
	},
	{ signal: 'remapFailed', from: ['remapped_rows/remapped_row_failure'], yes: ['yes'], no: ['no'] },
	{ signal: 'fabricHealthy', from: ['fabric/health/summary'], yes: ['healthy'], no: ['unhealthy', 'limited capacity'] },
];

/** Clock event reasons, called throttle reasons until v12. */
const reasons: Readonly<Record<string, number>> = Object.freeze({
	gpu_idle: throttleBits.gpuIdle,
	applications_clocks_setting: throttleBits.applicationClocks,
	sw_power_cap: throttleBits.softwarePowerCap,
	hw_slowdown: throttleBits.hardwareSlowdown,
	sync_boost: throttleBits.syncBoost,
	sw_thermal_slowdown: throttleBits.softwareThermal,
	hw_thermal_slowdown: throttleBits.hardwareThermal,
	hw_power_brake_slowdown: throttleBits.hardwarePowerBrake,
	display_clocks_setting: throttleBits.displayClocks,
});

export const nvidiaSmiXmlAdapter: GpuAdapter = {
	kind: 'nvidia_smi_xml',
	read(text: string | Uint8Array, look: GpuLook): GpuReading {
		const drafts = new GpuDrafts(look.atMs);
		const body = typeof text === 'string' ? text : Buffer.from(text).toString('utf8');
		const log = parseXml(body);
		if (log === undefined || log.name !== 'nvidia_smi_log') {
			drafts.unread(`output: not the XML of nvidia-smi: ${body.slice(0, 80).trim()}`);
			return drafts.finish();
		}
		const driver = textAt(log, 'driver_version') ?? '';
		log.children.filter(({ name }) => name === 'gpu').forEach((gpu, index) => device(drafts, gpu, index, driver, look));
		return drafts.finish();
	},
};

function device(drafts: GpuDrafts, gpu: XmlElement, index: number, driver: string, look: GpuLook): void {
	const told = textAt(gpu, 'uuid');
	const uuid = told === undefined || isMissing(told) ? `node/${look.node}/index/${index}` : told;
	const draft = drafts.of(uuid);
	if (draft === undefined) return;
	const valueOf = (path: string): string | undefined => textAt(gpu, path);
	draft.vendor('nvidia');
	draft.text('node', look.node);
	draft.number('index', index, 'count');
	draft.text('product', valueOf('product_name') ?? '');
	draft.text('driverVersion', driver);
	draft.text('pciBusId', (gpu.attributes.get('id') ?? valueOf('pci/pci_bus_id') ?? '').toLowerCase());
	fillNumbers(draft, numbers, valueOf);
	fillFlags(draft, flags, valueOf);
	throttle(draft, gpu);
	ecc(draft, gpu);
	if (draft.get('slowdownTemperatureC') === undefined) margin(draft, valueOf('temperature/gpu_temp_tlimit'));
	recovery(draft, valueOf('gpu_recovery_action'));
	const processes = elementAt(gpu, 'processes')?.children.filter(({ name }) => name === 'process_info').length;
	if (processes !== undefined) draft.number('processes', processes, 'count');
	const slices = (elementAt(gpu, 'mig_devices')?.children ?? []).filter(({ name }) => name === 'mig_device');
	for (const slice of slices) migDevice(drafts, slice, slices, draft, uuid);
}

function throttle(draft: GpuDraft, gpu: XmlElement): void {
	const list = elementAt(gpu, 'clocks_event_reasons') ?? elementAt(gpu, 'clocks_throttle_reasons');
	if (list === undefined) return;
	let bits = 0;
	let told = false;
	for (const { name, text } of list.children) {
		const bit = reasons[name.replace(/^clocks_(event|throttle)_reason_/, '')];
		if (bit === undefined || isMissing(text)) continue;
		told = true;
		if (text.trim() === 'Active') bits |= bit;
	}
	if (told) draft.number('throttle', bits, 'count');
}

/** Counts by kind of memory; older schemas have a total, newer ones tell SRAM by how it was noticed. */
function ecc(draft: GpuDraft, gpu: XmlElement): void {
	const count = (scope: string, kind: RegExp): number | undefined => {
		const entries = elementAt(gpu, `ecc_errors/${scope}`)?.children.filter(({ name }) => kind.test(name)) ?? [];
		const values = entries.map(({ text }) => (isMissing(text) ? undefined : leadingNumber(text)));
		const known = values.filter((value) => value !== undefined);
		return known.length === 0 ? undefined : known.reduce((sum, value) => sum + value, 0);
	};
	const uncorrectable = /^(sram|dram|device_memory|register_file|l1_cache|l2_cache)_uncorrectable(_parity|_secded)?$/;
	for (const [signal, scope, kind] of [
		['eccCorrectedTotal', 'volatile', /^(sram|dram)_correctable$/],
		['eccUncorrectedTotal', 'volatile', uncorrectable],
		['eccUncorrectedLifeTotal', 'aggregate', uncorrectable],
	] as const) {
		const value = count(scope, kind);
		if (value !== undefined) draft.number(signal, value, 'count');
	}
}

/** The XML names no profile of a slice, and older schemas no UUID: its sizes tell the former. */
function migDevice(
	drafts: GpuDrafts,
	slice: XmlElement,
	slices: readonly XmlElement[],
	parent: GpuDraft,
	parentUuid: string,
): void {
	const instance = leadingNumber(textAt(slice, 'gpu_instance_id') ?? '');
	if (instance === undefined) {
		parent.unread('migInstance: a MIG device without gpu_instance_id');
		return;
	}
	const told = textAt(slice, 'uuid');
	const draft = drafts.of(told === undefined || isMissing(told) ? `${parentUuid}/gi/${instance}` : told);
	if (draft === undefined) return;
	const { index, node, product, driverVersion, pciBusId, vramTotalMib } = parent.finish();
	draft.vendor('nvidia');
	draft.text('parentUuid', parentUuid);
	draft.number('migInstance', instance, 'count');
	if (index !== undefined) draft.number('index', index, 'count');
	draft.text('node', node ?? '');
	draft.text('product', product ?? '');
	draft.text('driverVersion', driverVersion ?? '');
	draft.text('pciBusId', pciBusId ?? '');
	fillNumbers(draft, numbers.slice(0, 2), (path) => textAt(slice, path));
	fillNumbers(
		draft,
		[{ signal: 'eccUncorrectedTotal', from: ['ecc_error_count/volatile_count/sram_uncorrectable'], range: 'count' }],
		(path) => textAt(slice, path),
	);
	share(draft, slice, slices, product ?? '', vramTotalMib);
}

/** Compute instances of one GPU instance are told apart in the XML; they share its memory, and together have its multiprocessors. */
function share(
	draft: GpuDraft,
	slice: XmlElement,
	slices: readonly XmlElement[],
	product: string,
	deviceVramMib: number | undefined,
): void {
	const instance = textAt(slice, 'gpu_instance_id');
	const counts = slices
		.filter((one) => textAt(one, 'gpu_instance_id') === instance)
		.map((one) => leadingNumber(textAt(one, 'device_attributes/shared/multiprocessor_count') ?? ''));
	const multiprocessors = counts.reduce(
		(sum, count) => (sum === undefined || count === undefined ? undefined : sum + count),
		0,
	);
	const vramMib = draft.get('vramTotalMib');
	const profile = profileOfSlice({ product, multiprocessors, vramMib, deviceVramMib });
	if (profile !== undefined) {
		draft.number('shareRatio', profile.shareRatio, 'ratio');
		if (profile.name !== undefined) draft.text('migProfile', profile.name);
	} else if (vramMib !== undefined && deviceVramMib !== undefined && deviceVramMib > 0) {
		draft.number('shareRatio', Math.min(1, vramMib / deviceVramMib), 'ratio');
		draft.unread(`shareRatio: of the memory, since ${multiprocessors ?? 'no'} multiprocessors tell no profile`);
	}
}
