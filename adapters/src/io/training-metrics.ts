// Owns reading what a training job says itself of its checkpoints and data sets: `infermesh_checkpoint_…` and `infermesh_dataset_…` (the Prometheus form of
// `infermesh.checkpoint.*` and `infermesh.dataset.*`) with the labels job_id, rank and store, and Ray Train's blocked time. There is no standard for these.
import { type IoStateDelta, ioBounds } from '@infermesh/proto';
import { given, printable, wholeOf } from '../json-values.js';
import { labelOf, type Sample } from '../prometheus/samples.js';
import { type Compared, TwoLooks } from './two-looks.js';

/** Metric names, as an exporter of a job writes them. */
export const trainingMetricNames = Object.freeze({
	checkpointSeconds: 'infermesh_checkpoint_duration_seconds',
	checkpointBytes: 'infermesh_checkpoint_bytes_total',
	stallSeconds: 'infermesh_checkpoint_stall_seconds_total',
	ageSeconds: 'infermesh_checkpoint_age_seconds',
	readBytes: 'infermesh_dataset_read_bytes_total',
	readSeconds: 'infermesh_dataset_read_duration_seconds',
	waitSeconds: 'infermesh_dataset_wait_duration_seconds',
	queueDepth: 'infermesh_dataset_queue_depth',
});
const RAY_BLOCKED = 'ray_train_report_total_blocked_time_s';

const n = trainingMetricNames;
const wanted = [
	...[n.checkpointSeconds, n.readSeconds, n.waitSeconds].flatMap((name) => [`${name}_sum`, `${name}_count`]),
	n.checkpointBytes,
	n.stallSeconds,
	n.ageSeconds,
	n.readBytes,
	n.queueDepth,
	RAY_BLOCKED,
] as const;

/** Workers of a job told apart in one body. */
const WORKERS_MAX = 128;

interface Worker {
	readonly labels: Readonly<Record<string, string>>;
}

const workerLabels = ['job_id', 'rank', 'store', 'ray_train_run_name', 'ray_train_worker_world_rank'] as const;

/** Follows the exporter of one job. */
export class TrainingMetricsReader {
	readonly #node: string | undefined;
	readonly #looks = new TwoLooks(wanted);

	constructor(node?: string) {
		this.#node = node;
	}

	/** A delta for each job, rank and store in the body. Never throws. */
	look(body: string, atMs: number): readonly IoStateDelta[] {
		const found = this.#looks.take(body, atMs);
		const workers = new Map<string, Worker>();
		let over = 0;
		for (const samples of found.samples.byName.values())
			for (const sample of samples) {
				const labels = ownLabels(sample);
				const key = JSON.stringify(labels);
				if (workers.has(key)) continue;
				if (workers.size < WORKERS_MAX) workers.set(key, { labels });
				else over++;
			}
		const unread = found.samples.problems.map(({ kind, line, name }) => `${name || 'body'}: ${kind} at line ${line}`);
		if (over > 0) unread.push(`${over} series of workers beyond the first ${WORKERS_MAX}`);
		if (workers.size === 0) unread.push(`no metric of checkpoints or data sets in ${found.samples.lines} lines`);
		const deltas = [...workers.values()].map((worker) => this.#delta(worker, found, atMs));
		const [first, ...rest] = deltas.length > 0 ? deltas : [this.#delta({ labels: {} }, found, atMs)];
		return first === undefined ? [] : [{ ...first, unread: unread.slice(0, ioBounds.unreadMax) }, ...rest];
	}

	#delta({ labels }: Worker, found: Compared, atMs: number): IoStateDelta {
		const by = (name: string): number | undefined => found.increase({ name, where: labels });
		const gauge = (name: string): number | undefined =>
			found.gauges(name).find((sample) => matches(sample, labels))?.value;
		const meanMs = (name: string): number | undefined => {
			const [sum, count] = [by(`${name}_sum`), by(`${name}_count`)];
			return sum === undefined || count === undefined || !(count > 0) ? undefined : (sum * 1000) / count;
		};
		const checkpoints = by(`${n.checkpointSeconds}_count`);
		const written = by(n.checkpointBytes);
		const stallS = by(n.stallSeconds) ?? by(RAY_BLOCKED);
		const read = by(n.readBytes);
		const perSec = (bytes: number | undefined): number | undefined =>
			bytes === undefined || found.intervalMs === undefined ? undefined : (bytes * 1000) / found.intervalMs;
		const store = labels['store'];
		const job = labels['job_id'] ?? labels['ray_train_run_name'];
		return {
			observedAtMs: atMs,
			source: 'training',
			store: store === undefined ? '' : printable(store, ioBounds.nameCharsMax),
			...given('node', this.#node),
			...given('jobId', job === undefined ? undefined : printable(job, ioBounds.nameCharsMax)),
			...given('rank', wholeOf(labels['rank'] ?? labels['ray_train_worker_world_rank'])),
			...given('intervalMs', found.intervalMs),
			...(found.restarted() ? { restarted: true } : {}),
			probed: false,
			checkpoint: {
				...given('durationMs', meanMs(n.checkpointSeconds)),
				...given(
					'bytes',
					written === undefined || checkpoints === undefined || !(checkpoints > 0) ? undefined : written / checkpoints,
				),
				...given('bytesPerSec', perSec(written)),
				...given('stallMs', stallS === undefined ? undefined : stallS * 1000),
				...given('ageS', notNegative(gauge(n.ageSeconds))),
			},
			dataset: {
				...given('readBytes', read),
				...given('readBytesPerSec', perSec(read)),
				...given('readDurationMs', meanMs(n.readSeconds)),
				...given('waitDurationMs', meanMs(n.waitSeconds)),
				...given('queueDepth', notNegative(gauge(n.queueDepth))),
			},
			...given('requests', checkpoints),
			errors: [],
			unread: [],
		};
	}
}

function ownLabels(sample: Sample): Record<string, string> {
	const labels: Record<string, string> = {};
	for (const name of workerLabels) {
		const value = labelOf(sample, name);
		if (value !== '') labels[name] = value;
	}
	return labels;
}

function matches(sample: Sample, labels: Readonly<Record<string, string>>): boolean {
	return workerLabels.every((name) => labelOf(sample, name) === (labels[name] ?? ''));
}

const notNegative = (value: number | undefined): number | undefined =>
	value !== undefined && value >= 0 ? value : undefined;
