// Owns reading AMD's device-metrics-exporter (port 5000, `/metrics`). Label names were in capitals once and are in small letters now. Of a device
// cut into partitions, what is physical is told for partition 0 alone, and power reads 0 on the others.
import { parseMetrics } from '../prometheus/parser.js';
import type { Sample } from '../prometheus/samples.js';
import { WantedNames } from '../prometheus/wanted-names.js';
import type { GpuAdapter, GpuLook, GpuReading } from './adapter.js';
import { type GpuDraft, GpuDrafts, type GpuNumber, type GpuRange } from './draft.js';

interface Field {
	readonly signal: GpuNumber;
	readonly from: readonly string[];
	readonly scale?: number;
	readonly range: GpuRange;
	/** Of the device, not of a partition: 0 on another partition than the first means nothing. */
	readonly physical?: boolean;
	readonly where?: readonly [label: string, value: string];
}

/** `gpu_total_memory` counts in 10⁶ bytes; the `vram` names count in MiB whatever they say. */
const MB_TO_MIB = 1e6 / 2 ** 20;

const fields: readonly Field[] = [
	{ signal: 'computeRatio', from: ['gpu_gfx_activity', 'gpu_usage'], scale: 0.01, range: 'ratio' },
	{ signal: 'memoryRatio', from: ['gpu_umc_activity'], scale: 0.01, range: 'ratio' },
	{ signal: 'tensorRatio', from: ['gpu_prof_tensor_active_percent'], scale: 0.01, range: 'ratio' },
	{
		signal: 'powerW',
		from: ['gpu_package_power', 'gpu_average_package_power', 'gpu_power_usage'],
		range: 'count',
		physical: true,
	},
	{ signal: 'temperatureC', from: ['gpu_junction_temperature', 'gpu_edge_temperature'], range: 'any', physical: true },
	{ signal: 'memoryTemperatureC', from: ['gpu_memory_temperature'], range: 'any', physical: true },
	{ signal: 'vramTotalMib', from: ['gpu_total_vram'], range: 'count' },
	{ signal: 'vramUsedMib', from: ['gpu_used_vram'], range: 'count' },
	{ signal: 'vramTotalMib', from: ['gpu_total_memory'], scale: MB_TO_MIB, range: 'count' },
	{ signal: 'coreClockMhz', from: ['gpu_clock'], range: 'count', where: ['clock_type', 'system'] },
	{ signal: 'memoryClockMhz', from: ['gpu_clock'], range: 'count', where: ['clock_type', 'memory'] },
	{ signal: 'energyJTotal', from: ['gpu_energy_consumed'], scale: 1e-6, range: 'count', physical: true },
	{ signal: 'eccCorrectedTotal', from: ['gpu_ecc_correct_total'], range: 'count' },
	{ signal: 'eccUncorrectedTotal', from: ['gpu_ecc_uncorrect_total'], range: 'count' },
	{ signal: 'pcieReplaysTotal', from: ['pcie_replay_count'], range: 'count' },
];

const HEALTH = 'gpu_health';
const wanted = new WantedNames([...fields.flatMap(({ from }) => from), HEALTH]);

/** Partitions of a device in each mode. */
const partitions: Readonly<Record<string, number>> = Object.freeze({ spx: 1, dpx: 2, tpx: 3, qpx: 4, cpx: 8 });

interface Identity {
	readonly uuid: string;
	readonly parent: string;
	readonly mode: string;
	readonly partition: number;
	readonly label: (name: string) => string;
}

function identify(sample: Sample, look: GpuLook): Identity {
	const labels = new Map<string, string>();
	for (let i = 0; i + 1 < sample.labels.length; i += 2)
		labels.set((sample.labels[i] ?? '').toLowerCase(), sample.labels[i + 1] ?? '');
	const label = (name: string): string => labels.get(name) ?? '';
	const node = label('hostname') || look.node;
	const index = label('gpu_id');
	const parent = label('gpu_uuid') || (index === '' ? label('serial_number') : `node/${node}/index/${index}`);
	const mode = label('gpu_compute_partition_type').toLowerCase();
	const partition = Number(label('gpu_partition_id') || '0');
	const cut = (partitions[mode] ?? 1) > 1 || partition > 0;
	return { uuid: parent !== '' && cut ? `${parent}/part/${partition}` : parent, parent, mode, partition, label };
}

function describe(draft: GpuDraft, { uuid, parent, mode, partition, label }: Identity, look: GpuLook): void {
	draft.vendor('amd');
	draft.text('node', label('hostname') || look.node);
	draft.text('product', label('card_series') || label('card_model'));
	draft.text('driverVersion', label('driver_version'));
	if (/^\d{1,4}$/.test(label('gpu_id'))) draft.number('index', Number(label('gpu_id')), 'count');
	if (uuid === parent) return;
	draft.text('parentUuid', parent);
	draft.text('migProfile', mode.toUpperCase());
	draft.number('migInstance', partition, 'count');
	draft.number('shareRatio', 1 / (partitions[mode] ?? 1), 'ratio');
}

export const amdExporterAdapter: GpuAdapter = {
	kind: 'amd_exporter',
	read(text: string | Uint8Array, look: GpuLook): GpuReading {
		const drafts = new GpuDrafts(look.atMs);
		const samples = parseMetrics(text, wanted);
		for (const { kind, line, name } of samples.problems)
			drafts.unread(`${name === '' ? 'body' : name}: ${kind} at line ${line}`);
		for (const field of fields)
			for (const name of field.from)
				for (const sample of samples.byName.get(name) ?? []) take(drafts, field, name, sample, look);
		for (const sample of samples.byName.get(HEALTH) ?? []) {
			const identity = identify(sample, look);
			const draft = drafts.of(identity.uuid);
			if (draft === undefined) continue;
			describe(draft, identity, look);
			draft.flag('healthy', sample.value > 0);
		}
		if (samples.byName.size === 0) drafts.unread(`body: no metric of AMD's exporter in ${samples.lines} lines`);
		return drafts.finish();
	},
};

function take(drafts: GpuDrafts, field: Field, name: string, sample: Sample, look: GpuLook): void {
	const identity = identify(sample, look);
	const draft = drafts.of(identity.uuid);
	if (draft === undefined) {
		drafts.unread(`${name}: a series that names no device`);
		return;
	}
	describe(draft, identity, look);
	const { where, signal, scale, range, physical } = field;
	if (where !== undefined && identity.label(where[0]) !== where[1]) return;
	if (physical === true && identity.partition > 0 && sample.value === 0) return;
	const value = sample.value * (scale ?? 1);
	const before = draft.get(signal);
	// Of the clocks of several engines the fastest counts; of alternative names the first.
	if (before === undefined || (where !== undefined && value > before)) draft.number(signal, value, range);
}
