// Owns the sections of the configuration about what is known of targets: the fleet table, looks at them, health, ejection, advice on their number.
import { flag, integer, number, section } from '../fields.js';
import { BYTES, MS } from './units.js';

export const fleetSchema = section('The shared fleet table and what is known of targets.', {
	targets_max: integer(1024, 'Rows of the fleet table.', { min: 16, max: 16_384 }),
	models_max: integer(256, 'Distinct models.', { min: 1, max: 4096 }),
	tenants_max: integer(256, 'Distinct tenants, in interned names and metrics.', { min: 1, max: 65_536 }),
	stale_after_ms: integer(5000, 'A report older than this is stale; strategies see its age.', MS),
	publish_ms: integer(20, 'Signals reach the table at most this often.', MS),
	smoothing_ms: integer(5000, 'Time constant of smoothed signals (TTFT, TPOT, error ratio).', MS),
	slow_start_ms: integer(10_000, 'A recovered target gets its traffic back over this time.', { ...MS, min: 0 }),
});

export const scrapeSchema = section('Reading `/metrics` of targets.', {
	period_ms: integer(500, 'Time between two scrapes of one target.', { ...MS, min: 50 }),
	timeout_ms: integer(2000, 'One scrape.', MS),
	body_max_bytes: integer(8 * 1024 * 1024, 'Largest metrics body.', { ...BYTES, max: 256 * 1024 * 1024 }),
	concurrency_max: integer(64, 'Scrapes in flight at once.', { min: 1, max: 4096 }),
});

export const healthSchema = section('Active health checks.', {
	period_ms: integer(2000, 'Time between two checks of one target.', { ...MS, min: 50 }),
	timeout_ms: integer(
		1000,
		'One check. Time in which the thread that looks at targets stood still is not counted, up to five times as long in all.',
		MS,
	),
	healthy_after: integer(2, 'Good checks in a row that bring a target back.', { min: 1, max: 100 }),
	unhealthy_after: integer(3, 'Bad checks in a row that take a target out.', { min: 1, max: 100 }),
	fail_open: flag(true, 'Try one target all the same when checks or ejection keep all targets of a model out.'),
});

export const outlierSchema = section('Ejection of targets that fail live requests.', {
	consecutive_failures: integer(5, 'Failures in a row that eject a target.', { min: 1, max: 10_000 }),
	error_ratio: number(0.5, 'Failed share of a window that ejects a target.', { max: 1 }),
	requests_min: integer(20, 'Requests a window needs before its ratio counts.', { min: 1 }),
	window_ms: integer(10_000, 'The window.', MS),
	ejection_ms: integer(
		10_000,
		'First ejection; each next one is longer by the same, and shorter by it for as long as the target has been back.',
		MS,
	),
	ejection_max_ms: integer(300_000, 'Longest ejection.', MS),
	unreachable_ms: integer(
		1000,
		'Out at once after a connection that could not be made, for this long; doubled while that goes on, up to `ejection_max_ms`; a good check ends it. 0 = such a failure counts as any other.',
		{ ...MS, min: 0 },
	),
	trial_requests: integer(3, 'Requests at once that try a target after an ejection.', { min: 1, max: 10_000 }),
	trial_successes: integer(2, 'Of these must succeed before all traffic comes back; one failure ejects again.', {
		min: 1,
		max: 10_000,
	}),
	ejected_max_ratio: number(0.5, 'Most of a pool that may be ejected at once.', { max: 1 }),
});

export const capacitySchema = section('How many replicas a model should have: advice, which nothing here follows.', {
	window_ms: integer(30_000, 'Traffic is judged in windows of this length.', { ...MS, min: 1000 }),
	ttft_ms: number(5000, 'Objective of the first token where no SLO policy names one.', { unit: 'ms', min: 1 }),
	tpot_ms: number(100, 'Objective of each further token where no SLO policy names one.', { unit: 'ms', min: 1 }),
	good_ratio: number(0.95, 'Share of requests that must meet their objectives.', { max: 1 }),
	requests_min: integer(20, 'A window with fewer requests teaches nothing.', { min: 1 }),
	headroom_ratio: number(0.85, 'Share of the lowest rate seen failing that is planned with.', { min: 0.1, max: 1 }),
	growth_ratio: number(
		1.3,
		'The limit of a replica is looked for this far beyond the highest rate seen sustained; 1 = only what was seen, and a fleet never shrinks at the same demand.',
		{ min: 1, max: 10 },
	),
	half_life_ms: integer(21_600_000, 'What was learned counts half after this.', MS),
	out_after_ms: integer(30_000, 'A need for more replicas must have lasted so long.', { ...MS, min: 0 }),
	in_after_ms: integer(300_000, 'A need for fewer must have lasted so long, again before each step.', {
		...MS,
		min: 0,
	}),
	in_step: integer(1, 'Replicas fewer at a time.', { min: 1, max: 1000 }),
	replicas_min: integer(1, 'Fewest advised.', { max: 16_384 }),
	replicas_max: integer(64, 'Most advised.', { min: 1, max: 16_384 }),
});
