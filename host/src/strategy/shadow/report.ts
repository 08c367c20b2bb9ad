// Owns what is said of a shadow: the counts of all workers as one, the verdict on herding, and in words what a shadow can claim and what it cannot.
import { Histogram, type HistogramCounts } from '../../load/histogram.js';
import type { TrialCounts } from './trial.js';
import type { QueueCounts } from './virtual-queues.js';

export interface QueueReport {
	/** What requests found waiting before them. */
	readonly waitMeanMs: number;
	readonly waitP99Ms: number;
	/** Work of the target that got most, over the mean, in windows of arrivals; 0 = the pool was never busy. */
	readonly imbalance: number;
	readonly imbalanceMax: number;
	/** Largest share of requests that one target got, 0..1. */
	readonly largestShare: number;
}

export interface ShadowReport {
	/** `name@version`. */
	readonly strategy: string;
	readonly model: string;
	readonly seconds: number;
	readonly workers: number;
	readonly live: number;
	readonly ran: number;
	readonly skipped: { readonly cap: number; readonly busy: number };
	/** Share of its runs without a fault in which first choice and verdict were the live ones, 0..1. */
	readonly agreement: number;
	readonly verdictsDiffered: number;
	/** Share of the live ranked targets that it ranked too, 0..1. */
	readonly overlap: number;
	readonly faults: Readonly<Record<string, number>>;
	readonly latencyUs: { readonly p50: number; readonly p99: number; readonly p999: number; readonly max: number };
	readonly fuel: { readonly mean: number; readonly max: number };
	readonly reruns: { readonly total: number; readonly differed: number };
	/** Share of one core used, of the worker that used most. */
	readonly cpuShare: number;
	/** CPU of the data plane for each live decision, preparing included. */
	readonly cpuUsPerDecision: number;
	/** Mean milliseconds a request by the common predictor, on the live fleet. */
	readonly predicted: { readonly requests: number; readonly liveMs: number; readonly shadowMs: number };
	readonly queues: {
		readonly requests: number;
		readonly live: QueueReport;
		readonly shadow: QueueReport;
		/** The same requests, each sent to a target drawn evenly. */
		readonly even: QueueReport;
		/** `unknown`: too few requests, or too little load, to say. */
		readonly herding: 'no' | 'yes' | 'unknown';
		readonly why: string;
	};
	readonly claims: readonly string[];
}

/** Runs before anything is said of herding. */
const RUNS_MIN = 200;
const WAIT_FACTOR = 2;
const WAIT_SLACK_MS = 20;
const IMBALANCE_MAX = 3;
const IMBALANCE_FACTOR = 1.5;

const claims: readonly string[] = [
	'It had no influence: live decisions were answered before it ran, within the share of the core given.',
	'Agreement, faults, fuel, decision time and determinism are measured on live requests.',
	'The predicted difference is a model’s, one step ahead on the fleet that the live strategy made.',
	'The herding check follows its choices in virtual queues made of learned rates: it finds collapse, and measures no latency.',
	'It cannot tell whether requests would be faster: that takes a simulation, a canary for safety, and a switchback.',
];

/** Reports of all shadows, one for each strategy and model; `counts` come from any number of workers. */
export function shadowReports(counts: readonly TrialCounts[]): ShadowReport[] {
	const groups = Map.groupBy(counts, ({ label, model }) => `${label}\n${model}`);
	return [...groups.values()]
		.map(reportOf)
		.sort((a, b) => a.strategy.localeCompare(b.strategy) || a.model.localeCompare(b.model));
}

function reportOf(parts: readonly TrialCounts[]): ShadowReport {
	const sum = (read: (part: TrialCounts) => number): number => parts.reduce((total, part) => total + read(part), 0);
	const ratio = (part: number, whole: number): number => (whole === 0 ? 0 : part / whole);
	const faults = faultsOf(parts);
	const sound = sum(({ ran }) => ran) - Object.values(faults).reduce((total, count) => total + count, 0);
	const latency = merged(parts.map(({ latencyUs }) => latencyUs));
	const live = sum((part) => part.live);
	const ran = sum((part) => part.ran);
	const predicted = sum((part) => part.predicted);
	const rows = Math.max(0, ...parts.map((part) => part.rows));
	const liveQueues = queueReport(parts.map((part) => part.liveQueues));
	const shadowQueues = queueReport(parts.map((part) => part.shadowQueues));
	const evenQueues = queueReport(parts.map((part) => part.evenQueues));
	const requests = sum(({ shadowQueues: { arrivals } }) => arrivals);
	return {
		strategy: parts[0]?.label ?? '',
		model: parts[0]?.model ?? '',
		seconds: Math.max(0, ...parts.map(({ elapsedMs }) => elapsedMs)) / 1000,
		workers: parts.length,
		live,
		ran,
		skipped: { cap: sum(({ skippedCap }) => skippedCap), busy: sum(({ skippedBusy }) => skippedBusy) },
		agreement: ratio(
			sum(({ agreed }) => agreed),
			sound,
		),
		verdictsDiffered: sum(({ verdicts }) => verdicts),
		overlap: ratio(
			sum(({ overlapSum }) => overlapSum),
			sound,
		),
		faults,
		latencyUs: {
			p50: latency.quantile(0.5),
			p99: latency.quantile(0.99),
			p999: latency.quantile(0.999),
			max: latency.max,
		},
		fuel: {
			mean: ratio(
				sum(({ fuelSum }) => fuelSum),
				ran,
			),
			max: Math.max(0, ...parts.map(({ fuelMax }) => fuelMax)),
		},
		reruns: { total: sum(({ reruns }) => reruns), differed: sum(({ rerunsDiffered }) => rerunsDiffered) },
		cpuShare: Math.max(0, ...parts.map(({ cpuMs, elapsedMs }) => ratio(cpuMs, elapsedMs))),
		cpuUsPerDecision: ratio(1000 * sum(({ cpuMs }) => cpuMs), live),
		predicted: {
			requests: predicted,
			liveMs: ratio(
				sum(({ predictedLiveMs }) => predictedLiveMs),
				predicted,
			),
			shadowMs: ratio(
				sum(({ predictedShadowMs }) => predictedShadowMs),
				predicted,
			),
		},
		queues: {
			requests,
			live: liveQueues,
			shadow: shadowQueues,
			even: evenQueues,
			...herdingOf(requests, rows, liveQueues, shadowQueues, evenQueues),
		},
		claims,
	};
}

function faultsOf(parts: readonly TrialCounts[]): Record<string, number> {
	const faults: Record<string, number> = {};
	for (const part of parts)
		for (const [cause, count] of Object.entries(part.faults)) faults[cause] = (faults[cause] ?? 0) + count;
	return faults;
}

/** Requests pile up: they wait much longer, or stand much closer together, than the live ones and than ones sent anywhere at random. */
function herdingOf(
	requests: number,
	rows: number,
	live: QueueReport,
	shadow: QueueReport,
	even: QueueReport,
): Pick<ShadowReport['queues'], 'herding' | 'why'> {
	if (requests < RUNS_MIN) return { herding: 'unknown', why: `${requests} of ${RUNS_MIN} runs so far` };
	const waitMs = Math.max(live.waitMeanMs, even.waitMeanMs);
	if (shadow.waitMeanMs > WAIT_FACTOR * waitMs + WAIT_SLACK_MS)
		return {
			herding: 'yes',
			why: `requests would find ${ms(shadow.waitMeanMs)} waiting before them, now ${ms(live.waitMeanMs)}, sent at random ${ms(even.waitMeanMs)}`,
		};
	// A small fleet's largest share cannot be three times the mean.
	const most = Math.min(IMBALANCE_MAX, 0.9 * rows);
	const imbalance = Math.max(live.imbalance, even.imbalance);
	if (rows > 1 && shadow.imbalance > most && shadow.imbalance > IMBALANCE_FACTOR * imbalance)
		return {
			herding: 'yes',
			why: `the fullest target would have ${shadow.imbalance.toFixed(1)} times the mean of the work, now ${live.imbalance.toFixed(1)}, sent at random ${even.imbalance.toFixed(1)}`,
		};
	if (shadow.imbalance === 0 && live.imbalance === 0)
		return { herding: 'unknown', why: 'the fleet was never busy enough to tell' };
	return { herding: 'no', why: '' };
}

const ms = (value: number): string => `${value.toFixed(value < 10 ? 1 : 0)} ms`;

function queueReport(parts: readonly QueueCounts[]): QueueReport {
	const waits = merged(parts.map(({ waitMs }) => waitMs));
	const busy = parts.reduce((sum, { imbalanceCount }) => sum + imbalanceCount, 0);
	const shares = new Float64Array(Math.max(0, ...parts.map((part) => part.shares.length)));
	for (const part of parts) part.shares.forEach((share, row) => (shares[row] = (shares[row] ?? 0) + share));
	const total = shares.reduce((sum, share) => sum + share, 0);
	return {
		waitMeanMs: waits.mean,
		waitP99Ms: waits.quantile(0.99),
		imbalance: busy === 0 ? 0 : parts.reduce((sum, { imbalanceSum }) => sum + imbalanceSum, 0) / busy,
		imbalanceMax: Math.max(0, ...parts.map(({ imbalanceMax }) => imbalanceMax)),
		largestShare: total === 0 ? 0 : Math.max(...shares) / total,
	};
}

function merged(parts: readonly HistogramCounts[]): Histogram {
	const all = new Histogram({ bits: parts[0]?.bits ?? 5 });
	for (const part of parts) all.add(part);
	return all;
}
