// What a node knows from reports: ages, bounds, degradations with hysteresis, and what /metrics says.
import test from 'ava';
import { HandClock } from '../fleet/testing.js';
import { renderMetrics } from '../telemetry/exposition.js';
import type { Degradation } from './degradations.js';
import { reportSamples } from './samples.js';
import { commDelta, ioDelta, linkOf, testReports } from './testing.js';

function made(options: Parameters<typeof testReports>[2] = {}) {
	const clock = new HandClock();
	const told: (readonly Degradation[])[] = [];
	const reports = testReports(clock, (inForce) => told.push(inForce), options);
	/** A look at one link, a second after the one before. */
	const link = (given: Parameters<typeof linkOf>[0]) => {
		clock.advance(1000);
		reports.comm(commDelta(clock.nowMs(), { links: [linkOf(given)] }));
		return reports.degradations().map(({ rule }) => rule);
	};
	return { clock, told, reports, link };
}

test('a rate is bad twice before it counts, and good for a while before it is over', (t) => {
	const { link, told, reports } = made();
	t.deepEqual(link({ errorsPerSec: 50 }), []);
	t.deepEqual(link({ errorsPerSec: 1 }), [], 'once is not twice in a row');
	t.deepEqual(link({ errorsPerSec: 50 }), []);
	t.deepEqual(link({ errorsPerSec: 60 }), ['link_errors']);
	t.like(reports.degradations()[0], {
		subject: { kind: 'link', node: 'n1', jobId: '', name: 'mlx5_0/1' },
		value: 60,
		threshold: 10,
		detail: 'errors/s',
	});
	for (let look = 0; look < 4; look++) t.deepEqual(link({ errorsPerSec: 0 }), ['link_errors']);
	t.deepEqual(link({ errorsPerSec: 6 }), ['link_errors'], 'neither good nor bad: the wait begins anew');
	for (let look = 0; look < 5; look++) t.deepEqual(link({ errorsPerSec: 0 }), ['link_errors']);
	t.deepEqual(link({ errorsPerSec: 0 }), []);
	t.deepEqual(
		told.map((inForce) => inForce.length),
		[1, 0],
		'told when it changes, and only then',
	);
});

test('a link that goes down counts at once; one that was never up does not', (t) => {
	const { link } = made();
	t.deepEqual(link({ up: false }), []);
	t.deepEqual(link({ up: true }), []);
	t.deepEqual(link({ up: false }), ['link_down']);
	for (let look = 0; look < 5; look++) link({ up: true });
	t.deepEqual(link({ up: true }), []);
	t.deepEqual(link({ up: true, downs: 1 }), ['link_down'], 'down and up again between two looks');
});

test('congestion and drops have thresholds of their own, and 0 turns a rule off', (t) => {
	const { link } = made();
	link({ congestionSentPerSec: 5000, dropsPerSec: 500 });
	t.deepEqual(link({ congestionHandledPerSec: 5000, dropsPerSec: 500 }), ['link_drops', 'link_congestion']);
	const off = made({ rules: offRules });
	off.link({ errorsPerSec: 1e9 });
	t.deepEqual(off.link({ errorsPerSec: 1e9 }), []);
});

const offRules = {
	linkErrorsPerSec: 0,
	linkDropsPerSec: 0,
	linkCongestionPerSec: 0,
	looks: 1,
	storeFailureRatio: 0,
	checkpointAgeMaxS: 3600,
};

test('ranks: dead counts at once, slow at the second look, behind only while counts stand still', (t) => {
	const { clock, reports } = made();
	const look = (...ranks: readonly { rank: number; trouble: 'dead' | 'slow' | 'behind'; operation?: string }[]) => {
		clock.advance(1000);
		const found = ranks.map((one) => Object.assign({ communicator: 'c' }, one));
		reports.comm(commDelta(clock.nowMs(), { source: 'nccl_ras', jobId: 'j', ranks: found }));
		return reports.degradations().map(({ rule, subject }) => `${rule} ${subject.name}`);
	};
	t.deepEqual(look({ rank: 1, trouble: 'dead' }), ['rank_gone c rank 1']);
	t.deepEqual(look({ rank: 2, trouble: 'slow' }, { rank: 3, trouble: 'behind', operation: '5 of 6' }), [
		'rank_gone c rank 1',
	]);
	t.deepEqual(look({ rank: 2, trouble: 'slow' }, { rank: 3, trouble: 'behind', operation: '8 of 9' }), [
		'rank_gone c rank 1',
		'rank_slow c rank 2',
	]);
	t.deepEqual(look({ rank: 3, trouble: 'behind', operation: '8 of 9' }).at(-1), 'rank_behind c rank 3 at 8 of 9');
	for (let more = 0; more < 6; more++) look();
	t.deepEqual(look(), [], 'a look that names nobody says that all are well');
});

test('a store that fails half of its requests, and a checkpoint that is too old', (t) => {
	const { clock, reports } = made({ rules: { ...offRules, storeFailureRatio: 0.5 } });
	reports.io(ioDelta(clock.nowMs(), { requests: 4, failures: 2, errors: ['SlowDown'], checkpoint: { ageS: 4000 } }));
	t.deepEqual(
		reports.degradations().map(({ rule, detail, value }) => [rule, detail, value]),
		[
			['store_failures', 'failed share: SlowDown', 0.5],
			['checkpoint_age', 's since the newest checkpoint', 4000],
		],
	);
});

test('a source that falls silent is stale, then forgotten, and its degradations are cleared', (t) => {
	const { clock, told, reports, link } = made();
	link({ up: true });
	link({ up: false });
	t.is(reports.degradations().length, 1);
	clock.advance(1500);
	t.deepEqual(
		reports.commReports().map(({ stale, ageMs }) => [stale, ageMs]),
		[[true, 1500]],
	);
	clock.advance(40_000);
	t.deepEqual([reports.commReports(), reports.degradations()], [[], []]);
	t.deepEqual(told.at(-1), []);
	reports.close();
	t.is(clock.timers, 0);
});

test('origins and degradations are bounded', (t) => {
	const { clock, reports } = made();
	for (let node = 0; node < 100; node++) {
		const links = [linkOf({ downs: 1 })];
		reports.comm(commDelta(clock.nowMs(), { node: `n${node}`, links }));
	}
	t.is(reports.commReports().length, 16);
	t.is(reports.commReports().at(-1)?.value.node, 'n99', 'the oldest went');
	t.is(reports.degradations().length, 16);
});

test('metrics: bounded labels, newest values, nothing stale', (t) => {
	const { clock, reports } = made();
	const collective = { collective: 'AllReduce', bucketId: '1MiB', communicator: 'c' };
	reports.comm(
		commDelta(clock.nowMs(), {
			source: 'nccl_inspector',
			jobId: 'j',
			collectives: [
				{ ...collective, rank: 0, count: 1, busBytesPerSec: 100, durationUsMean: 1e6 },
				{ ...collective, rank: 1, count: 3, busBytesPerSec: 200, durationUsMean: 2e6 },
			],
			ranks: [{ communicator: 'c', rank: 1, trouble: 'slow' }],
			links: [linkOf({ up: true, sentBytesPerSec: 5, congestionSentPerSec: 1, congestionHandledPerSec: 2 })],
		}),
	);
	reports.io(ioDelta(clock.nowMs(), { rank: 0, checkpoint: { durationMs: 100 }, dataset: { readBytesPerSec: 1 } }));
	reports.io(ioDelta(clock.nowMs(), { rank: 1, checkpoint: { durationMs: 300 }, dataset: { readBytesPerSec: 2 } }));
	const text = () => renderMetrics([], reportSamples(reports));
	const body = text();
	for (const line of [
		'infermesh_comm_bus_bytes_per_second{node="n1",job_id="j",collective="AllReduce",bucket_id="1MiB"} 175',
		'infermesh_comm_operation_seconds{node="n1",job_id="j",collective="AllReduce",bucket_id="1MiB"} 1.75',
		'infermesh_comm_ranks_troubled{job_id="j",trouble="slow"} 1',
		'infermesh_link_up{node="n1",device="mlx5_0",port="1"} 1',
		'infermesh_link_congestion_per_second{node="n1",device="mlx5_0",port="1"} 2',
		'infermesh_checkpoint_duration_seconds{node="",job_id="",store="s3://b/"} 0.3',
		'infermesh_dataset_read_bytes_per_second{node="",job_id="",store="s3://b/"} 3',
	])
		t.true(body.includes(`${line}\n`), line);
	clock.advance(2000);
	const later = text();
	t.false(later.includes('infermesh_link_up'));
	t.true(later.includes('infermesh_comm_report_age_seconds{source="nccl_inspector",node="n1",job_id="j"} 2'));
});
