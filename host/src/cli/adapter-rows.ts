// Owns how a delta is shown to an operator: a row for each value, with its unit, the labels that tell it apart, and where it goes in the mesh.
import type { ReportKind } from '@infermesh/adapters';

export interface SignalRow {
	/** Field of the delta; of lists, the list and the field. */
	readonly signal: string;
	readonly value: number | boolean | string;
	/** '' = a count, a ratio or no number. */
	readonly unit: string;
	readonly labels: Readonly<Record<string, string | number>>;
	/** Column of the fleet table or metric of the mesh that it feeds; '' = it is shown by the API only. */
	readonly goesTo: string;
}

/** Units stand last in names. */
const units: readonly (readonly [ending: RegExp, unit: string])[] = [
	[/[bB]ytesPerSec$/, 'bytes/s'],
	[/BitsPerSec$/, 'bits/s'],
	[/TokensPerSec$/, 'tokens/s'],
	[/TicksPerSec$/, 'ticks/s'],
	[/PerSec$/, '1/s'],
	[/[bB]ytes$/, 'bytes'],
	[/Us(?:Mean|Max)?$/, 'µs'],
	[/Ms(?:Mean|Max|P95)?$/, 'ms'],
	[/Mib$/, 'MiB'],
	[/Mhz$/, 'MHz'],
	[/(?:Temperature|temperature)C$/, '°C'],
	[/W$/, 'W'],
	[/JTotal$/, 'J'],
	[/[a-z]S$/, 's'],
];

const columns: Readonly<Record<string, string>> = {
	queueDepth: 'queue_depth',
	running: 'running',
	maxSequences: 'max_sequences',
	kvUsage: 'kv_usage',
	kvBlocksTotal: 'kv_total_blocks',
	kvBlocksFree: 'kv_free_blocks',
	kvBlockTokens: 'kv_block_tokens',
	prefillTokensPerSec: 'prefill_rate',
	decodeTokensPerSec: 'decode_rate',
	prefixHitRatio: 'prefix_hit_ratio',
	preemptionsPerSec: 'preemptions_per_s',
	vramUsedMib: 'vram_used_mib',
	vramTotalMib: 'vram_total_mib',
	computeRatio: 'sm_utilization',
	memoryRatio: 'memory_utilization',
	temperatureC: 'temperature_c',
	throttle: 'throttle',
	eccUncorrectedTotal: 'ecc_uncorrected',
	shareRatio: 'mig_fraction',
};

const metrics: Readonly<Record<string, string>> = {
	'collectives.busBytesPerSec': 'infermesh_comm_bus_bytes_per_second',
	'collectives.durationUsMean': 'infermesh_comm_operation_seconds',
	'ranks.trouble': 'infermesh_comm_ranks_troubled',
	'links.up': 'infermesh_link_up',
	'links.sentBytesPerSec': 'infermesh_link_sent_bytes_per_second',
	'links.receivedBytesPerSec': 'infermesh_link_received_bytes_per_second',
	'links.utilisation': 'infermesh_link_utilisation_ratio',
	'links.errorsPerSec': 'infermesh_link_errors_per_second',
	'links.dropsPerSec': 'infermesh_link_drops_per_second',
	'links.congestionSentPerSec': 'infermesh_link_congestion_per_second',
	'links.congestionHandledPerSec': 'infermesh_link_congestion_per_second',
	'links.waitTicksPerSec': 'infermesh_link_wait_ticks_per_second',
	'checkpoint.durationMs': 'infermesh_checkpoint_duration_seconds',
	'checkpoint.bytes': 'infermesh_checkpoint_bytes',
	'checkpoint.stallMs': 'infermesh_checkpoint_stall_seconds',
	'checkpoint.ageS': 'infermesh_checkpoint_age_seconds',
	'dataset.readBytesPerSec': 'infermesh_dataset_read_bytes_per_second',
	'dataset.readDurationMs': 'infermesh_dataset_read_duration_seconds',
	'dataset.waitDurationMs': 'infermesh_dataset_wait_duration_seconds',
	'dataset.queueDepth': 'infermesh_dataset_queue_depth',
	failures: 'infermesh_store_failures_ratio',
};

/** Fields that say what a record is about. */
const labelNames = new Set([
	'target',
	'node',
	'jobId',
	'gpuUuid',
	'parentUuid',
	'migProfile',
	'store',
	'communicator',
	'collective',
	'bucketId',
	'algorithm',
	'protocol',
	'rank',
	'gpu',
	'device',
	'port',
	'layer',
	'kind',
	'channel',
	'xid',
]);
/** Of the report rather than of what it is about. */
const passedOver = new Set(['observedAtMs', 'unread', 'source', 'warnings']);

/** A row for each value of a delta. */
export function signalRows(kind: ReportKind, target: string, delta: object): readonly SignalRow[] {
	const rows: SignalRow[] = [];
	const labels: Record<string, string | number> = target === '' ? {} : { target };
	addRows(delta as Readonly<Record<string, unknown>>, '', labels, kind, rows);
	return rows;
}

function addRows(
	record: Readonly<Record<string, unknown>>,
	place: string,
	above: Readonly<Record<string, string | number>>,
	kind: ReportKind,
	rows: SignalRow[],
): void {
	const labels = { ...above };
	for (const [name, value] of Object.entries(record))
		if (labelNames.has(name) && (typeof value === 'string' || typeof value === 'number')) labels[name] = value;
	for (const [name, value] of Object.entries(record)) {
		const signal = place + name;
		if (passedOver.has(name) || name in labels) continue;
		if (typeof value === 'number' || typeof value === 'boolean' || typeof value === 'string')
			rows.push({
				signal,
				value,
				unit: typeof value === 'number' ? unitOf(name) : '',
				labels,
				goesTo: goesTo(kind, signal),
			});
		else if (Array.isArray(value)) {
			const items = value as readonly unknown[];
			const texts = items.filter((item) => typeof item !== 'object');
			if (texts.length > 0) rows.push({ signal, value: texts.join(', '), unit: '', labels, goesTo: '' });
			for (const item of items)
				if (typeof item === 'object' && item !== null) addRows(item as never, `${signal}.`, labels, kind, rows);
		} else if (typeof value === 'object' && value !== null) addRows(value as never, `${signal}.`, labels, kind, rows);
	}
}

function unitOf(name: string): string {
	return units.find(([ending]) => ending.test(name))?.[1] ?? '';
}

function goesTo(kind: ReportKind, signal: string): string {
	const table = kind === 'model' || kind === 'gpu' ? columns : metrics;
	return Object.hasOwn(table, signal) ? (table[signal] ?? '') : '';
}
