// Metrics of storage servers and of training jobs, on bodies written here after the names they are described by.
import test from 'ava';
import * as fc from 'fast-check';
import { StoreMetricsReader } from './store-metrics.js';
import { TrainingMetricsReader } from './training-metrics.js';

const ais = (gets: number, seconds: number): string =>
	[
		`ais_target_get_count{node_id="t1",bucket="a"} ${gets}`,
		`ais_target_get_count{node_id="t1",bucket="b"} ${gets}`,
		`ais_target_get_bytes{node_id="t1",bucket="a"} ${gets * 1000}`,
		`ais_target_get_ns_total{node_id="t1",bucket="a"} ${seconds * 1e9}`,
		'ais_target_put_count{node_id="t1"} 7',
		'ais_target_err_get_count{node_id="t1"} 3',
		'ais_target_disk_util{node_id="t1",disk="sda"} 25',
		'ais_target_disk_util{node_id="t1",disk="sdb"} 80',
	].join('\n');

test('AIStore: a first look has gauges, a second one rates', (t) => {
	const reader = new StoreMetricsReader({ store: 'ais://t1', node: 'n' });
	const first = reader.look(ais(10, 1), 0);
	t.like(first, { source: 'aistore', store: 'ais://t1', diskUtilisation: 0.8, probed: false });
	t.deepEqual([first.dataset, first.requests], [{}, undefined]);
	const second = reader.look(ais(20, 3), 2000);
	t.deepEqual(second.dataset, { readBytes: 10_000, readBytesPerSec: 5000, readDurationMs: 100 });
	t.deepEqual([second.requests, second.failures, second.checkpoint], [20, 0, {}]);
	const restarted = reader.look(ais(5, 1), 4000);
	t.true(restarted.restarted);
	t.is(restarted.dataset?.readBytes, 5000);
});

const minio = (slow: number): string =>
	[
		`minio_s3_requests_total{api="GetObject"} ${100 + slow}`,
		'minio_s3_requests_errors_total{api="GetObject"} 0',
		'minio_s3_requests_inflight_total 3',
		'minio_s3_requests_waiting_total 4',
		`minio_s3_traffic_sent_bytes ${slow * 1000}`,
		'minio_s3_traffic_received_bytes 0',
		'minio_s3_requests_ttfb_seconds_distribution{api="PutObject",le="0.1"} 50',
		'minio_s3_requests_ttfb_seconds_distribution{api="GetObject",le="0.1"} 100',
		`minio_s3_requests_ttfb_seconds_distribution{api="GetObject",le="0.3"} ${100 + slow}`,
		`minio_s3_requests_ttfb_seconds_distribution{api="GetObject",le="+Inf"} ${100 + slow}`,
	].join('\n');

test('MinIO: queue, traffic, and the median time to first byte of reads', (t) => {
	const reader = new StoreMetricsReader({ store: 'http://minio:9000' });
	t.is(reader.look(minio(0), 0).dataset?.queueDepth, 7);
	const second = reader.look(minio(10), 1000);
	t.deepEqual([second.source, second.requests, second.failures], ['minio', 10, 0]);
	t.is(second.dataset?.readBytesPerSec, 10_000);
	t.true(Math.abs((second.dataset?.waitDurationMs ?? 0) - 200) < 1e-6);
	t.deepEqual(new StoreMetricsReader({ store: 's' }).look('up 1', 0).unread, [
		'no metric of AIStore or MinIO in 1 lines',
	]);
});

const training = (checkpoints: number): string =>
	[0, 1]
		.map((rank) => {
			const labels = `{job_id="j1",rank="${rank}",store="s3://b"}`;
			return [
				`infermesh_checkpoint_duration_seconds_sum${labels} ${checkpoints * 20}`,
				`infermesh_checkpoint_duration_seconds_count${labels} ${checkpoints}`,
				`infermesh_checkpoint_bytes_total${labels} ${checkpoints * 1e9}`,
				`infermesh_checkpoint_stall_seconds_total${labels} ${checkpoints * 2}`,
				`infermesh_checkpoint_age_seconds${labels} 30`,
				`infermesh_dataset_queue_depth${labels} ${rank}`,
			].join('\n');
		})
		.join('\n');

test('a training job tells of each of its ranks', (t) => {
	const reader = new TrainingMetricsReader('n1');
	reader.look(training(1), 0);
	const deltas = reader.look(training(3), 10_000);
	t.is(deltas.length, 2);
	t.like(deltas[1], { source: 'training', jobId: 'j1', rank: 1, store: 's3://b', node: 'n1', requests: 2 });
	t.deepEqual(deltas[1]?.checkpoint, {
		durationMs: 20_000,
		bytes: 1e9,
		bytesPerSec: 2e8,
		stallMs: 4000,
		ageS: 30,
	});
	t.is(deltas[1]?.dataset?.queueDepth, 1);
});

test('Ray Train’s blocked time is a stall', (t) => {
	const reader = new TrainingMetricsReader();
	const body = (s: number) =>
		`ray_train_report_total_blocked_time_s{ray_train_run_name="r",ray_train_worker_world_rank="3"} ${s}`;
	reader.look(body(1), 0);
	t.like(reader.look(body(1.5), 1000)[0], { jobId: 'r', rank: 3, checkpoint: { stallMs: 500 } });
	t.deepEqual(new TrainingMetricsReader().look('', 0)[0]?.unread, ['no metric of checkpoints or data sets in 0 lines']);
});

test('bodies of any kind give deltas with finite numbers that are not negative', (t) => {
	const name = fc.constantFrom(
		...`${ais(1, 1)}\n${minio(1)}\n${training(1)}`.split('\n').map((line) => line.slice(0, line.lastIndexOf(' '))),
	);
	const value = fc.constantFrom('0', '5', '-1', 'NaN', '+Inf', '1e300', 'x', '');
	const body = fc
		.array(
			fc.tuple(name, value).map((pair) => pair.join(' ')),
			{ maxLength: 40 },
		)
		.map((all) => all.join('\n'));
	const walk = (one: unknown): void => {
		if (typeof one === 'number' && (!Number.isFinite(one) || one < 0)) throw new Error(String(one));
		if (typeof one === 'object' && one !== null) for (const inner of Object.values(one)) walk(inner);
	};
	fc.assert(
		fc.property(body, body, (before, after) => {
			const store = new StoreMetricsReader({ store: 's' });
			const job = new TrainingMetricsReader();
			for (const [text, atMs] of [
				[before, 0],
				[after, 1000],
			] as const)
				walk([store.look(text, atMs), job.look(text, atMs)]);
		}),
		{ numRuns: 300 },
	);
	t.pass();
});
