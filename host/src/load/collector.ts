// Owns the running statistics of a load run and their summary. Leaves thresholds to metrics.ts and rendering to report/.
// Invariant: memory does not grow with the number of requests; every table of labels is bounded.
import { Histogram } from './histogram.js';
import { type Failure, type Outcome, tpotMs } from './outcome.js';
import type { Distribution, GroupResult, LoadResult } from './result.js';
import { meetsSlo, type RequestLatencies, type Slo } from './slo.js';
import { OTHER_LABEL, Timeline } from './timeline.js';

export interface CollectorOptions {
	/** Clock time of the start; all inputs are clock times. */
	readonly startMs: number;
	readonly slo: Slo | undefined;
	readonly stream: boolean;
	/** Targets and strategies with statistics of their own; the rest share `(other)`. Default 64. */
	readonly groupsMax?: number;
	/** Distinct failures told apart. Default 64. */
	readonly failuresMax?: number;
}

/** What a collector knows at one moment; the progress line is made of it. */
export interface ProgressSnapshot {
	readonly elapsedMs: number;
	readonly sent: number;
	readonly completed: number;
	readonly failed: number;
	readonly dropped: number;
	readonly inFlight: number;
	/** Since the start; null before the first. */
	readonly ttftP50Ms: number | null;
	readonly ttftP99Ms: number | null;
	/** Since the last snapshot. */
	readonly requestsPerSecond: number;
	readonly outputTokensPerSecond: number;
	/** The strategy that answers now, as `name@version`. */
	readonly strategy: string | null;
}

export type Measured = Pick<
	LoadResult,
	| 'elapsedMs'
	| 'requests'
	| 'failures'
	| 'failRate'
	| 'inputTokens'
	| 'outputTokens'
	| 'requestsPerSecond'
	| 'outputTokensPerSecond'
	| 'latency'
	| 'sendLagMs'
	| 'targets'
	| 'strategies'
	| 'switches'
	| 'timeline'
	| 'cdf'
> & { readonly goodRequests: number };

/** Answers in a row that must come from another strategy before it counts as a switch: a canary's share does not. */
const SWITCH_STREAK = 16;
const SWITCHES_MAX = 256;

interface Group {
	requests: number;
	failed: number;
	outputTokens: number;
	readonly ttft: Histogram;
	readonly e2e: Histogram;
}

export class Collector {
	readonly #startMs: number;
	readonly #slo: Slo | undefined;
	readonly #stream: boolean;
	readonly #groupsMax: number;
	readonly #failuresMax: number;
	readonly #timeline = new Timeline();
	readonly #ttft = new Histogram();
	readonly #tpot = new Histogram();
	readonly #itl = new Histogram();
	readonly #e2e = new Histogram();
	readonly #lag = new Histogram();
	readonly #targets = new Map<string, Group>();
	readonly #strategies = new Map<string, Group>();
	readonly #failures = new Map<string, Failure & { count: number }>();
	readonly #switches: { atMs: number; from: string; to: string }[] = [];
	#current: string | undefined;
	#streak = { strategy: '', count: 0, atMs: 0 };
	#sent = 0;
	#completed = 0;
	#failed = 0;
	#connectFailed = 0;
	#dropped = 0;
	#aborted = 0;
	#good = 0;
	#inputTokens = 0;
	#outputTokens = 0;
	#streamedTokens = 0;
	#lastEndMs: number;
	#last = { atMs: 0, completed: 0, tokens: 0 };

	constructor(options: CollectorOptions) {
		this.#startMs = options.startMs;
		this.#lastEndMs = options.startMs;
		this.#slo = options.slo;
		this.#stream = options.stream;
		this.#groupsMax = options.groupsMax ?? 64;
		this.#failuresMax = options.failuresMax ?? 64;
	}

	get inFlight(): number {
		return this.#sent - this.#completed - this.#failed - this.#aborted;
	}

	/** Failed connections when there has been nothing but failed connections, else 0. */
	get onlyConnectFailures(): number {
		return this.#completed === 0 && this.#failed === this.#connectFailed ? this.#connectFailed : 0;
	}

	sent(intendedMs: number, sentMs: number): void {
		this.#sent++;
		this.#lag.record(sentMs - intendedMs);
		this.#timeline.add(sentMs - this.#startMs, 'sent');
		this.#timeline.inFlight(sentMs - this.#startMs, this.inFlight);
	}

	dropped(nowMs: number): void {
		this.#dropped++;
		this.#timeline.add(nowMs - this.#startMs, 'dropped');
	}

	headers(nowMs: number, target: string | undefined, strategy: string | undefined): void {
		const atMs = nowMs - this.#startMs;
		this.#timeline.answered(atMs, target, strategy);
		if (strategy !== undefined) this.#followStrategy(atMs, strategy);
	}

	token(nowMs: number, gapMs: number | undefined): void {
		if (gapMs !== undefined) this.#itl.record(gapMs);
		this.#streamedTokens++;
		this.#timeline.add(nowMs - this.#startMs, 'outputTokens');
	}

	ended(outcome: Outcome): void {
		const atMs = outcome.endMs - this.#startMs;
		this.#lastEndMs = Math.max(this.#lastEndMs, outcome.endMs);
		if (outcome.end === 'ok') this.#completedWith(outcome, atMs);
		else if (outcome.failure !== undefined) this.#failedWith(outcome.failure, outcome, atMs);
		else this.#aborted++;
		this.#timeline.inFlight(atMs, this.inFlight);
	}

	snapshot(nowMs: number): ProgressSnapshot {
		const elapsedMs = nowMs - this.#startMs;
		const tokens = this.#stream ? this.#streamedTokens : this.#outputTokens;
		const seconds = Math.max(0.001, (elapsedMs - this.#last.atMs) / 1000);
		const snapshot: ProgressSnapshot = {
			elapsedMs,
			sent: this.#sent,
			completed: this.#completed,
			failed: this.#failed,
			dropped: this.#dropped,
			inFlight: this.inFlight,
			ttftP50Ms: this.#ttft.count === 0 ? null : this.#ttft.quantile(0.5),
			ttftP99Ms: this.#ttft.count === 0 ? null : this.#ttft.quantile(0.99),
			requestsPerSecond: (this.#completed - this.#last.completed) / seconds,
			outputTokensPerSecond: (tokens - this.#last.tokens) / seconds,
			strategy: this.#current ?? null,
		};
		this.#last = { atMs: elapsedMs, completed: this.#completed, tokens };
		return snapshot;
	}

	summary(): Measured {
		const elapsedMs = this.#lastEndMs - this.#startMs;
		const seconds = Math.max(0.001, elapsedMs / 1000);
		const offered = this.#completed + this.#failed + this.#dropped;
		return {
			elapsedMs,
			requests: {
				offered,
				sent: this.#sent,
				completed: this.#completed,
				failed: this.#failed,
				dropped: this.#dropped,
				aborted: this.#aborted,
			},
			failures: [...this.#failures.values()].sort((left, right) => right.count - left.count),
			failRate: offered === 0 ? 0 : (this.#failed + this.#dropped) / offered,
			inputTokens: this.#inputTokens,
			outputTokens: this.#outputTokens,
			requestsPerSecond: this.#completed / seconds,
			outputTokensPerSecond: this.#outputTokens / seconds,
			latency: {
				ttftMs: distribution(this.#ttft),
				tpotMs: distribution(this.#tpot),
				itlMs: distribution(this.#itl),
				e2eMs: distribution(this.#e2e),
			},
			sendLagMs: distribution(this.#lag),
			targets: groupResults(this.#targets),
			strategies: groupResults(this.#strategies),
			switches: [...this.#switches],
			timeline: this.#timeline.result(elapsedMs),
			cdf: { ttftMs: cdf(this.#ttft), tpotMs: cdf(this.#tpot), itlMs: cdf(this.#itl), e2eMs: cdf(this.#e2e) },
			goodRequests: this.#good,
		};
	}

	#completedWith(outcome: Outcome, atMs: number): void {
		const latencies = latenciesOf(outcome);
		this.#completed++;
		this.#inputTokens += outcome.inputTokens;
		this.#outputTokens += outcome.outputTokens;
		this.#timeline.add(atMs, 'completed');
		if (!this.#stream) this.#timeline.add(atMs, 'outputTokens', outcome.outputTokens);
		this.#e2e.record(latencies.e2e);
		if (latencies.tpot !== undefined) this.#tpot.record(latencies.tpot);
		if (latencies.ttft !== undefined) {
			this.#ttft.record(latencies.ttft);
			this.#timeline.ttft(outcome.intendedMs - this.#startMs, latencies.ttft);
		}
		if (this.#slo !== undefined && meetsSlo(this.#slo, latencies)) this.#good++;
		for (const group of this.#groupsOf(outcome)) {
			group.requests++;
			group.outputTokens += outcome.outputTokens;
			group.e2e.record(latencies.e2e);
			if (latencies.ttft !== undefined) group.ttft.record(latencies.ttft);
		}
	}

	#failedWith(failure: Failure, outcome: Outcome, atMs: number): void {
		this.#failed++;
		if (failure.kind === 'connect') this.#connectFailed++;
		this.#timeline.add(atMs, 'failed');
		const key = `${failure.kind} ${failure.detail}`;
		const known = this.#failures.get(key);
		if (known !== undefined) known.count++;
		else if (this.#failures.size < this.#failuresMax) this.#failures.set(key, { ...failure, count: 1 });
		else this.#countOtherFailure(failure);
		for (const group of this.#groupsOf(outcome)) {
			group.requests++;
			group.failed++;
		}
	}

	/** Beyond the bound, failures are still told apart by kind. */
	#countOtherFailure(failure: Failure): void {
		const key = `${failure.kind} ${OTHER_LABEL}`;
		const other = this.#failures.get(key) ?? { kind: failure.kind, detail: OTHER_LABEL, count: 0 };
		other.count++;
		this.#failures.set(key, other);
	}

	#groupsOf(outcome: Outcome): Group[] {
		const groups: Group[] = [];
		if (outcome.target !== undefined) groups.push(this.#group(this.#targets, outcome.target));
		if (outcome.strategy !== undefined) groups.push(this.#group(this.#strategies, outcome.strategy));
		return groups;
	}

	#group(groups: Map<string, Group>, name: string): Group {
		const label = groups.has(name) || groups.size < this.#groupsMax ? name : OTHER_LABEL;
		let group = groups.get(label);
		if (group === undefined) {
			group = { requests: 0, failed: 0, outputTokens: 0, ttft: new Histogram(), e2e: new Histogram() };
			groups.set(label, group);
		}
		return group;
	}

	#followStrategy(atMs: number, strategy: string): void {
		this.#current ??= strategy;
		if (strategy === this.#current) {
			this.#streak = { strategy, count: 0, atMs };
			return;
		}
		if (strategy !== this.#streak.strategy) this.#streak = { strategy, count: 0, atMs };
		if (++this.#streak.count < SWITCH_STREAK) return;
		if (this.#switches.length < SWITCHES_MAX)
			this.#switches.push({ atMs: this.#streak.atMs, from: this.#current, to: strategy });
		this.#current = strategy;
		this.#streak.count = 0;
	}
}

function latenciesOf(outcome: Outcome): RequestLatencies {
	const tpot = tpotMs(outcome);
	return {
		e2e: outcome.endMs - outcome.intendedMs,
		...(outcome.firstTokenMs === undefined ? {} : { ttft: outcome.firstTokenMs - outcome.intendedMs }),
		...(tpot === undefined ? {} : { tpot }),
	};
}

function distribution(histogram: Histogram): Distribution | null {
	if (histogram.count === 0) return null;
	return {
		count: histogram.count,
		mean: histogram.mean,
		min: histogram.min,
		p50: histogram.quantile(0.5),
		p90: histogram.quantile(0.9),
		p95: histogram.quantile(0.95),
		p99: histogram.quantile(0.99),
		'p99.9': histogram.quantile(0.999),
		max: histogram.max,
	};
}

function cdf(histogram: Histogram): [number, number][] {
	return histogram.cdf().map((point): [number, number] => [point.value, point.fraction]);
}

function groupResults(groups: ReadonlyMap<string, Group>): GroupResult[] {
	return [...groups]
		.map(([name, group]) => ({
			name,
			requests: group.requests,
			failed: group.failed,
			outputTokens: group.outputTokens,
			ttftMs: distribution(group.ttft),
			e2eMs: distribution(group.e2e),
		}))
		.sort((left, right) => right.requests - left.requests);
}
