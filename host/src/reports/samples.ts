// Owns what /metrics says of reports: the newest values that are not stale, added up over what is no label, so that the number of series is bounded by
// nodes, jobs, kinds of collectives and ports, not by ranks and communicators.
import type { CommStatsDelta, IoStateDelta } from '@infermesh/proto';
import type { MetricKey } from '../telemetry/definitions.js';
import type { CollectedSample } from '../telemetry/exposition.js';
import type { Aged } from './latest-book.js';
import type { Reports } from './reports.js';

/** Values of one metric by label set, folded where several meet. */
class Series {
	readonly #sets = new Map<string, { readonly labels: readonly string[]; sum: number; weight: number; max: number }>();

	add(labels: readonly string[], value: number | undefined, weight = 1): void {
		if (value === undefined || !(weight > 0)) return;
		const key = labels.join('\u0000');
		const known = this.#sets.get(key) ?? { labels, sum: 0, weight: 0, max: 0 };
		known.sum += value * weight;
		known.weight += weight;
		known.max = Math.max(known.max, value);
		this.#sets.set(key, known);
	}

	*samples(metric: MetricKey, fold: 'mean' | 'sum' | 'max'): Generator<CollectedSample> {
		for (const { labels, sum, weight, max } of this.#sets.values())
			yield { metric, labels, value: fold === 'sum' ? sum : fold === 'max' ? max : sum / weight };
	}
}

export function reportSamples(reports: Reports): CollectedSample[] {
	const comm = reports.commReports();
	return [
		...comm.map(({ value, ageMs }) => ({
			metric: 'commReportAge' as const,
			labels: [value.source, value.node ?? '', value.jobId ?? ''],
			value: ageMs / 1000,
		})),
		...commSamples(comm.filter(({ stale }) => !stale)),
		...ioSamples(reports.ioReports().filter(({ stale }) => !stale)),
		...reports.degradations().map(({ rule, subject: { kind, node, jobId, name } }) => ({
			metric: 'degradations' as const,
			labels: [rule, kind, node, jobId, name],
			value: 1,
		})),
	];
}

function* commSamples(reports: readonly Aged<CommStatsDelta>[]): Generator<CollectedSample> {
	const bus = new Series();
	const operation = new Series();
	const troubled = new Series();
	for (const { value } of reports) {
		const { node = '', jobId = '' } = value;
		for (const { collective, bucketId, count = 1, busBytesPerSec, durationUsMean } of value.collectives) {
			const labels = [node, jobId, collective, bucketId];
			bus.add(labels, busBytesPerSec, count);
			operation.add(labels, durationUsMean === undefined ? undefined : durationUsMean / 1e6, count);
		}
		for (const { trouble } of value.ranks) troubled.add([jobId, trouble], 1);
		yield* linkSamples(node, value);
	}
	yield* bus.samples('commBusBandwidth', 'mean');
	yield* operation.samples('commOperation', 'mean');
	yield* troubled.samples('commRanksTroubled', 'sum');
}

function* linkSamples(node: string, { links }: CommStatsDelta): Generator<CollectedSample> {
	for (const link of links) {
		const labels = [node, link.device, String(link.port)];
		const marks = [link.congestionSentPerSec, link.congestionHandledPerSec].filter((value) => value !== undefined);
		const values: readonly (readonly [MetricKey, number | undefined])[] = [
			['linkUp', link.up === undefined ? undefined : Number(link.up)],
			['linkSent', link.sentBytesPerSec],
			['linkReceived', link.receivedBytesPerSec],
			['linkUtilisation', link.utilisation],
			['linkErrors', link.errorsPerSec],
			['linkDrops', link.dropsPerSec],
			['linkCongestion', marks.length === 0 ? undefined : Math.max(...marks)],
			['linkWait', link.waitTicksPerSec],
		];
		for (const [metric, value] of values) if (value !== undefined) yield { metric, labels, value };
	}
}

const seconds = (ms: number | undefined): number | undefined => (ms === undefined ? undefined : ms / 1000);

const ioMetrics: readonly {
	readonly metric: MetricKey;
	readonly fold: 'sum' | 'max';
	readonly of: (delta: IoStateDelta) => number | undefined;
}[] = [
	{ metric: 'checkpointDuration', fold: 'max', of: ({ checkpoint }) => seconds(checkpoint?.durationMs) },
	{ metric: 'checkpointBytes', fold: 'max', of: ({ checkpoint }) => checkpoint?.bytes },
	{ metric: 'checkpointStall', fold: 'max', of: ({ checkpoint }) => seconds(checkpoint?.stallMs) },
	{ metric: 'checkpointAge', fold: 'max', of: ({ checkpoint }) => checkpoint?.ageS },
	{ metric: 'datasetRead', fold: 'sum', of: ({ dataset }) => dataset?.readBytesPerSec },
	{ metric: 'datasetReadDuration', fold: 'max', of: ({ dataset }) => seconds(dataset?.readDurationMs) },
	{ metric: 'datasetWait', fold: 'max', of: ({ dataset }) => seconds(dataset?.waitDurationMs) },
	{ metric: 'datasetQueue', fold: 'sum', of: ({ dataset }) => dataset?.queueDepth },
	{
		metric: 'storeFailures',
		fold: 'max',
		of: ({ requests = 0, failures }) => (requests > 0 && failures !== undefined ? failures / requests : undefined),
	},
];

function* ioSamples(reports: readonly Aged<IoStateDelta>[]): Generator<CollectedSample> {
	for (const { metric, fold, of } of ioMetrics) {
		const series = new Series();
		for (const { value } of reports) series.add([value.node ?? '', value.jobId ?? '', value.store], of(value));
		yield* series.samples(metric, fold);
	}
}
