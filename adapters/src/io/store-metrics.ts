// Owns reading the metrics of storage servers themselves: AIStore (`ais_target_…`) and MinIO (`minio_s3_…` of v2, `minio_api_…` of v3). What they count is
// all clients' doing, unlike a probe's.
import { type CheckpointStat, type DatasetStat, type IoSource, type IoStateDelta, ioBounds } from '@infermesh/proto';
import { given, printable } from '../json-values.js';
import { labelOf } from '../prometheus/samples.js';
import { quantileOf } from '../runtimes/increase.js';
import { type Compared, TwoLooks } from './two-looks.js';

export interface StorePlace {
	/** As an operator knows the store; its URL unless said. */
	readonly store: string;
	readonly node?: string;
	readonly jobId?: string;
}

const NS_PER_MS = 1e6;
const aisPrefixes = ['ais_target_', 'ais_proxy_', 'ais_'] as const;
const aisNames = [
	'get_count',
	'get_bytes',
	'get_ns_total',
	'put_count',
	'put_bytes',
	'put_ns_total',
	'err_get_count',
	'err_put_count',
	'err_io_get_count',
	'disk_util',
] as const;
const minioPrefixes = ['minio_s3_', 'minio_api_'] as const;
const minioNames = [
	'requests_total',
	'requests_inflight_total',
	'requests_waiting_total',
	'requests_errors_total',
	'requests_ttfb_seconds_distribution',
	'ttfb_seconds_distribution',
	'traffic_sent_bytes',
	'traffic_received_bytes',
] as const;

const every = (prefixes: readonly string[], names: readonly string[]): readonly string[] =>
	prefixes.flatMap((prefix) => names.map((name) => prefix + name));

/** Follows one server. */
export class StoreMetricsReader {
	readonly #place: StorePlace;
	readonly #looks = new TwoLooks([...every(aisPrefixes, aisNames), ...every(minioPrefixes, minioNames)]);

	constructor(place: StorePlace) {
		this.#place = place;
	}

	/** Reads one body. Never throws; a body of neither gives a delta with nothing but `unread`. */
	look(body: string, atMs: number): IoStateDelta {
		const found = this.#looks.take(body, atMs);
		const names = [...found.samples.byName.keys()];
		const ais = aisPrefixes.find((prefix) => names.some((name) => name.startsWith(prefix)));
		const minio = minioPrefixes.find((prefix) => names.some((name) => name.startsWith(prefix)));
		const unread = found.samples.problems.map(({ kind, line, name }) => `${name || 'body'}: ${kind} at line ${line}`);
		let source: IoSource = 'aistore';
		let figures: Partial<IoStateDelta> = {};
		if (ais !== undefined) figures = readAis(found, ais);
		else if (minio !== undefined) {
			source = 'minio';
			figures = readMinio(found, minio);
		} else unread.push(`no metric of AIStore or MinIO in ${found.samples.lines} lines`);
		const { store, ...place } = this.#place;
		return {
			observedAtMs: atMs,
			source,
			store: printable(store, ioBounds.nameCharsMax),
			...place,
			...given('intervalMs', found.intervalMs),
			...(found.restarted() ? { restarted: true } : {}),
			probed: false,
			...figures,
			errors: [],
			unread: unread.slice(0, ioBounds.unreadMax),
		};
	}
}

function readAis(found: Compared, prefix: string): Partial<IoStateDelta> {
	const by = (name: string): number | undefined => found.increase({ name: prefix + name });
	const [gets, getBytes, getNs] = [by('get_count'), by('get_bytes'), by('get_ns_total')];
	const [puts, putBytes, putNs] = [by('put_count'), by('put_bytes'), by('put_ns_total')];
	const failures = total([by('err_get_count'), by('err_put_count'), by('err_io_get_count')]);
	const disks = found.gauges(`${prefix}disk_util`).map(({ value }) => value);
	return {
		checkpoint: {
			...given('durationMs', ratio(putNs, puts, NS_PER_MS)),
			...given('bytes', ratio(putBytes, puts, 1)),
			...given('bytesPerSec', perSec(putBytes, found.intervalMs)),
		} satisfies CheckpointStat,
		dataset: {
			...given('readBytes', getBytes),
			...given('readBytesPerSec', perSec(getBytes, found.intervalMs)),
			...given('readDurationMs', ratio(getNs, gets, NS_PER_MS)),
		} satisfies DatasetStat,
		...given('requests', total([gets, puts])),
		...given('failures', failures),
		// In per cent.
		...(disks.length > 0 ? { diskUtilisation: clampRatio(Math.max(...disks) / 100) } : {}),
	};
}

function readMinio(found: Compared, prefix: string): Partial<IoStateDelta> {
	const by = (name: string): number | undefined => found.increase({ name: prefix + name });
	const sent = by('traffic_sent_bytes');
	const received = by('traffic_received_bytes');
	const waiting = sum(found, `${prefix}requests_waiting_total`);
	const inflight = sum(found, `${prefix}requests_inflight_total`);
	return {
		checkpoint: { ...given('bytesPerSec', perSec(received, found.intervalMs)) } satisfies CheckpointStat,
		dataset: {
			...given('readBytes', sent),
			...given('readBytesPerSec', perSec(sent, found.intervalMs)),
			...given('waitDurationMs', firstByteMs(found, prefix)),
			...given('queueDepth', total([waiting, inflight])),
		} satisfies DatasetStat,
		...given('requests', by('requests_total')),
		...given('failures', by('requests_errors_total')),
	};
}

/** The median time to first byte of reads in the interval: MinIO gives counts by bound and no sum, so there is no mean. */
function firstByteMs(found: Compared, prefix: string): number | undefined {
	for (const name of [`${prefix}requests_ttfb_seconds_distribution`, `${prefix}ttfb_seconds_distribution`]) {
		const bounds = new Map<number, string>();
		for (const sample of found.gauges(name)) {
			const le = labelOf(sample, 'le');
			bounds.set(le === '+Inf' ? Number.POSITIVE_INFINITY : Number(le), le);
		}
		const sorted = [...bounds].filter(([bound]) => !Number.isNaN(bound)).sort(([a], [b]) => a - b);
		const api = found.gauges(name).some((sample) => labelOf(sample, 'api') === 'GetObject') ? { api: 'GetObject' } : {};
		const cumulative = sorted.map(([, le]) => found.increase({ name, where: { ...api, le } }) ?? 0);
		const median = quantileOf({ count: 0, sum: 0, bounds: sorted.map(([bound]) => bound), cumulative }, 0.5);
		if (median !== undefined) return median * 1000;
	}
	return undefined;
}

function sum(found: Compared, name: string): number | undefined {
	const series = found.gauges(name);
	return series.length === 0 ? undefined : series.reduce((all, { value }) => all + value, 0);
}

function total(values: readonly (number | undefined)[]): number | undefined {
	const known = values.filter((value) => value !== undefined);
	return known.length === 0 ? undefined : known.reduce((a, b) => a + b, 0);
}

function ratio(part: number | undefined, whole: number | undefined, unit: number): number | undefined {
	return part === undefined || whole === undefined || !(whole > 0) ? undefined : part / whole / unit;
}

function perSec(bytes: number | undefined, intervalMs: number | undefined): number | undefined {
	return bytes === undefined || intervalMs === undefined ? undefined : (bytes * 1000) / intervalMs;
}

const clampRatio = (value: number): number => Math.min(1, Math.max(0, value));
