// Owns the watching of the hard guardrails: samples go in, a trip comes out, and stays. Pure; bounded by the longest window. What a rule is, and its guard, is in
// guardrail-rules.ts. Invariants: only what happens under the candidate trips; a fleet rule that the baseline breaks too is muted for the rest of the experiment.
import type { ArmName } from '../cohorts/cohort.js';
import {
	COURSE_POINTS_MAX,
	type GuardrailOptions,
	type GuardrailRule,
	type Trip,
	type TripCourse,
} from './guardrail-rules.js';
import type { GuardrailSample, TargetLoad } from './guardrail-sample.js';
import { FILLING_MS, type GuardrailWindows, samplesOf, windowsOf } from './guardrail-windows.js';

/** One closed block. */
export interface BlockAttainment {
	readonly atMs: number;
	readonly arm: ArmName;
	readonly requests: number;
	/** 0..1. */
	readonly attainment: number;
}

/** Samples kept at most: a burst of samples must not grow without bound. */
const SAMPLES_MAX = 1024;

export class Guardrails {
	readonly #options: GuardrailOptions;
	#samples: GuardrailSample[] = [];
	#imbalancedSinceMs: number | undefined;
	/** Until then, after a restart, a fleet too empty to judge neither ends an imbalance nor adds to it. */
	#fillingUntilMs = 0;
	#baselines: number[] = [];
	/** Candidate blocks in a row that fell short. */
	#blocksShort = 0;
	readonly #muted: Set<GuardrailRule>;
	#lastSampleMs: number | undefined;
	#trip: Trip | undefined;

	/** `startedAtMs`: telemetry is missed from here on. `muted`: rules that the baseline broke before, where another node watched. */
	constructor(options: GuardrailOptions, startedAtMs: number, muted: readonly GuardrailRule[] = []) {
		this.#options = options;
		this.#muted = new Set(muted);
		this.#lastSampleMs = startedAtMs;
	}

	/** What is building up, to be told to whoever takes over; undefined while nothing is. */
	windows(): GuardrailWindows | undefined {
		return windowsOf(this.#samples, this.#imbalancedSinceMs);
	}

	/** Goes on with what another node saw building up, before the first sample. What it saw under the other arm is forgotten at that sample. */
	resume(windows: GuardrailWindows, nowMs: number): void {
		this.#samples = [...samplesOf(windows, nowMs)];
		const { imbalancedSinceMs, atMs, restarted = false } = windows;
		if (restarted) this.#fillingUntilMs = nowMs + FILLING_MS;
		this.#imbalancedSinceMs =
			this.#samples.length === 0 || imbalancedSinceMs === undefined ? undefined : imbalancedSinceMs + nowMs - atMs;
	}

	/** The first rule that was broken; it stays. */
	get trip(): Trip | undefined {
		return this.#trip;
	}

	/** Rules that say nothing of the candidate any more, because the baseline broke them as well. */
	get muted(): readonly GuardrailRule[] {
		return [...this.#muted];
	}

	/** A sample; samples come in order of time. */
	observe(sample: GuardrailSample): Trip | undefined {
		const before = this.#samples.at(-1);
		// What was built up under one arm is not the other's.
		if (before !== undefined && before.arm !== sample.arm) {
			this.#samples = [];
			this.#imbalancedSinceMs = undefined;
		}
		const passedMs = before === undefined ? 0 : sample.atMs - before.atMs;
		this.#lastSampleMs = sample.atMs;
		this.#samples.push(sample);
		this.#forget(sample.atMs);
		if (sample.arm === 'candidate') this.#judgeDecisions(sample);
		this.#judgeImbalance(sample, passedMs);
		this.#judgeStarvation(sample);
		return this.#trip;
	}

	/** A closed block of either arm; blocks come in order of time. */
	observeBlock(block: BlockAttainment): Trip | undefined {
		const { attainmentBaselines, attainmentRequestsMin } = this.#options;
		if (block.requests < attainmentRequestsMin) return this.#trip;
		if (block.arm === 'candidate') this.#judgeAttainment(block);
		else {
			this.#baselines.push(block.attainment);
			if (this.#baselines.length > attainmentBaselines) this.#baselines.shift();
		}
		return this.#trip;
	}

	/** Time goes on, sample or not. */
	tick(nowMs: number): Trip | undefined {
		const missingMs = nowMs - (this.#lastSampleMs ?? nowMs);
		if (missingMs > this.#options.telemetryMissingMs)
			this.#break('telemetry', nowMs, `no telemetry for ${(missingMs / 1000).toFixed(0)} s`);
		return this.#trip;
	}

	#judgeDecisions(sample: GuardrailSample): void {
		if (sample.traps > 0)
			this.#break('traps', sample.atMs, `${sample.traps} traps`, () =>
				this.#course('traps of the candidate, by look', 0, ({ traps }) => traps),
			);
		const { timeoutShareMax, timeoutWindowMs, timeoutsMin } = this.#options;
		let decisions = 0;
		let timeouts = 0;
		for (const one of this.#samples) {
			if (one.atMs <= sample.atMs - timeoutWindowMs) continue;
			decisions += one.decisions;
			timeouts += one.decisionTimeouts;
		}
		if (timeouts >= timeoutsMin && timeouts > timeoutShareMax * decisions)
			this.#break(
				'decision_timeouts',
				sample.atMs,
				`${timeouts} of ${decisions} decisions in ${timeoutWindowMs / 1000} s ran out of budget`,
				() =>
					this.#course('share of decisions out of budget, by look', timeoutShareMax, (one) =>
						one.decisions === 0 ? 0 : one.decisionTimeouts / one.decisions,
					),
			);
	}

	#judgeAttainment({ attainment, atMs }: BlockAttainment): void {
		if (this.#baselines.length === 0) return;
		const { attainmentDrop, attainmentBlocks, attainmentCollapse } = this.#options;
		const least = Math.min(...this.#baselines);
		this.#blocksShort = attainment < least - attainmentDrop ? this.#blocksShort + 1 : 0;
		if (this.#blocksShort < attainmentBlocks && attainment >= least - attainmentCollapse) return;
		this.#break(
			'attainment',
			atMs,
			`${percent(attainment)} of a block’s requests met their objectives, the baseline’s lowest of ${this.#baselines.length} was ${percent(least)}; ${this.#blocksShort} blocks in a row fell short`,
			() => ({
				title: 'share of a block’s requests within their objectives, both arms',
				limit: least - (this.#blocksShort < attainmentBlocks ? attainmentCollapse : attainmentDrop),
				points: [],
			}),
		);
	}

	#judgeImbalance({ atMs, arm, targets }: GuardrailSample, passedMs: number): void {
		const { imbalanceMax, imbalanceMs, imbalanceInFlightMin } = this.#options;
		const most = targets.reduce((max, one) => Math.max(max, one.inFlight), 0);
		if (most >= imbalanceInFlightMin) this.#fillingUntilMs = 0;
		if (atMs < this.#fillingUntilMs && this.#imbalancedSinceMs !== undefined) {
			this.#imbalancedSinceMs += passedMs;
			return;
		}
		const mean = targets.reduce((sum, one) => sum + one.inFlight, 0) / targets.length;
		if (targets.length < 2 || most < imbalanceInFlightMin || most <= imbalanceMax * mean) {
			this.#imbalancedSinceMs = undefined;
			return;
		}
		this.#imbalancedSinceMs ??= atMs;
		if (atMs - this.#imbalancedSinceMs < imbalanceMs) return;
		this.#breakOf(
			arm,
			'imbalance',
			atMs,
			`the busiest target had ${most} requests in flight, ${(most / mean).toFixed(1)} times the mean, for ${imbalanceMs / 1000} s`,
			() =>
				this.#course('busiest target’s requests in flight, over the mean', imbalanceMax, (one) =>
					imbalanceOf(one.targets),
				),
		);
	}

	/** Over the window: some queue's least-squares slope is above 0, while some other target had nothing in flight and nothing waiting in any sample. */
	#judgeStarvation({ atMs, arm, targets }: GuardrailSample): void {
		const { starvationMs, starvationGrowthMin } = this.#options;
		const first = this.#samples[0] as GuardrailSample;
		if (atMs - first.atMs < starvationMs) return;
		const from = this.#samples.findLastIndex((one) => one.atMs <= atMs - starvationMs);
		const window = this.#samples.slice(from);
		for (const { id, waiting } of targets) {
			const queue = window.map((one) => loadOf(one, id)?.waiting);
			if (waiting === undefined || queue.includes(undefined)) continue;
			const growth = waiting - (queue[0] as number);
			if (growth < starvationGrowthMin || slope(window, queue as number[]) <= 0) continue;
			const idle = targets.find((one) => one.id !== id && window.every((past) => isIdle(loadOf(past, one.id))));
			if (idle === undefined) continue;
			this.#breakOf(
				arm,
				'starvation',
				atMs,
				`the queue of ${id} grew by ${growth} in ${starvationMs / 1000} s while ${idle.id} idled`,
				() =>
					this.#course(
						`requests waiting at ${id}, while ${idle.id} idled`,
						(queue[0] as number) + starvationGrowthMin,
						(one) => loadOf(one, id)?.waiting ?? 0,
					),
			);
			return;
		}
	}

	/** A rule about the fleet: under the baseline it mutes, under the candidate it trips. */
	#breakOf(arm: ArmName, rule: GuardrailRule, atMs: number, reason: string, course: () => TripCourse): void {
		if (arm === 'baseline') this.#muted.add(rule);
		else if (!this.#muted.has(rule)) this.#break(rule, atMs, reason, course);
	}

	#break(rule: GuardrailRule, atMs: number, reason: string, course?: () => TripCourse): void {
		this.#trip ??= { rule, atMs, reason, ...(course === undefined ? {} : { course: course() }) };
	}

	#course(title: string, limit: number, value: (sample: GuardrailSample) => number): TripCourse {
		const points = this.#samples.slice(-COURSE_POINTS_MAX).map((one) => [one.atMs, value(one)] as const);
		return { title, limit, points };
	}

	#forget(atMs: number): void {
		const { starvationMs, timeoutWindowMs } = this.#options;
		const keepFrom = atMs - Math.max(starvationMs, timeoutWindowMs);
		// One sample older than the window is kept: it shows that the window is full.
		while (this.#samples.length > 2 && (this.#samples[1] as GuardrailSample).atMs <= keepFrom) this.#samples.shift();
		if (this.#samples.length > SAMPLES_MAX) this.#samples.shift();
	}
}

/** Of the busiest target's requests in flight to the mean; 0 where nothing is in flight. */
function imbalanceOf(targets: readonly TargetLoad[]): number {
	const sum = targets.reduce((total, one) => total + one.inFlight, 0);
	return sum === 0 ? 0 : (Math.max(...targets.map(({ inFlight }) => inFlight)) * targets.length) / sum;
}

function loadOf(sample: GuardrailSample, id: string): TargetLoad | undefined {
	return sample.targets.find((one) => one.id === id);
}

function isIdle(load: TargetLoad | undefined): boolean {
	return load !== undefined && load.inFlight === 0 && (load.waiting ?? 0) === 0;
}

/** Least squares, per millisecond. */
function slope(samples: readonly GuardrailSample[], values: readonly number[]): number {
	const middle = samples.reduce((sum, one) => sum + one.atMs, 0) / samples.length;
	return samples.reduce((sum, one, index) => sum + (one.atMs - middle) * (values[index] as number), 0);
}

function percent(share: number): string {
	return `${(share * 100).toFixed(1)} %`;
}
