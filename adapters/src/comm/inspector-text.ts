// Owns reading NCCL Inspector's other form: Prometheus text for a textfile collector, gauges of the last dump.
import { type CollectiveStat, type CommStatsDelta, commBounds } from '@infermesh/proto';
import { given, printable, wholeOf } from '../json-values.js';
import { parseMetrics } from '../prometheus/parser.js';
import { labelOf, type Sample } from '../prometheus/samples.js';
import { CommDraft, type CommPlace } from './draft.js';

const bandwidths = ['nccl_bus_bandwidth_gbs', 'nccl_p2p_bus_bandwidth_gbs'] as const;
const durations = ['nccl_collective_exec_time_microseconds', 'nccl_p2p_exec_time_microseconds'] as const;

/** NCCL’s gigabytes are decimal. */
const BYTES_PER_GB = 1e9;

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

/** Reads one body. Node and job of its labels stand in for those not given. Never throws. */
export function readInspectorText(body: string, atMs: number, place: CommPlace = {}): CommStatsDelta {
	const found = parseMetrics(body, [...bandwidths, ...durations]);
	const first = [...found.byName.values()][0]?.[0];
	const draft = new CommDraft('nccl_inspector', atMs, { ...placeOf(first), ...place });
	const stats = new Map<string, Mutable<CollectiveStat>>();
	const each = (names: readonly string[], set: (stat: Mutable<CollectiveStat>, value: number) => void): void => {
		for (const name of names)
			for (const sample of found.byName.get(name) ?? []) {
				if (Number.isFinite(sample.value) && sample.value >= 0) set(statOf(stats, sample), sample.value);
				else draft.unread(`${name}: ${sample.value} is not a measure`);
			}
	};
	each(bandwidths, (stat, value) => (stat.busBytesPerSec = value * BYTES_PER_GB));
	each(durations, (stat, value) => (stat.durationUsMean = value));
	for (const stat of stats.values()) draft.collective(stat);
	if (stats.size === 0) draft.unread(`no nccl_ metric of NCCL Inspector in ${found.lines} lines`);
	for (const { kind, line, name } of found.problems)
		draft.unread(`${name === '' ? 'body' : name}: ${kind} at line ${line}`);
	return draft.finish();
}

function statOf(stats: Map<string, Mutable<CollectiveStat>>, sample: Sample): Mutable<CollectiveStat> {
	const label = (name: string): string => printable(labelOf(sample, name) ?? '', commBounds.nameCharsMax);
	const [algorithm = '', protocol = ''] = label('algo_proto').split('_');
	const stat: Mutable<CollectiveStat> = {
		communicator: label('comm_name'),
		collective: label('collective') || label('p2p_operation') || 'unknown',
		bucketId: label('message_size') || 'unknown',
		...(algorithm === '' ? {} : { algorithm: algorithm.toUpperCase() }),
		...(protocol === '' ? {} : { protocol: protocol.toUpperCase() }),
		...(label('gpu') === '' ? {} : { gpu: label('gpu') }),
		...given('ranks', wholeOf(label('nranks'))),
		...given('nodes', wholeOf(label('n_nodes'))),
	};
	const key = JSON.stringify(stat);
	const known = stats.get(key);
	if (known !== undefined) return known;
	stats.set(key, stat);
	return stat;
}

function placeOf(sample: Sample | undefined): CommPlace {
	const node = sample === undefined ? '' : (labelOf(sample, 'node') ?? '');
	const job = sample === undefined ? '' : (labelOf(sample, 'slurm_job_id') ?? '');
	return {
		...(node === '' ? {} : { node: printable(node, commBounds.nameCharsMax) }),
		...(job === '' || job === 'unknown' ? {} : { jobId: printable(job, commBounds.nameCharsMax) }),
	};
}
