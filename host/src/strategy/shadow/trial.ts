// Owns what is counted of one shadow over one model in one worker, and the form in which it crosses to the agent.
import { Histogram, type HistogramCounts } from '../../load/histogram.js';
import type { FallbackCause } from '../runtime/decision.js';
import { type QueueCounts, VirtualQueues } from './virtual-queues.js';

const HISTOGRAM_BITS = 5;

/** Plain data: it crosses threads once a second. */
export interface TrialCounts {
	readonly label: string;
	readonly model: string;
	readonly sinceMs: number;
	/** Decisions made for the model while it was a shadow. */
	readonly live: number;
	readonly ran: number;
	/** Not run because its share of the core was used up, or because another of its decisions still waited. */
	readonly skippedCap: number;
	readonly skippedBusy: number;
	readonly faults: Readonly<Record<string, number>>;
	/** First choice and verdict are those of the live decision. */
	readonly agreed: number;
	readonly verdicts: number;
	/** Sum over runs of the share of live ranked rows it ranked too. */
	readonly overlapSum: number;
	readonly reruns: number;
	readonly rerunsDiffered: number;
	readonly cpuMs: number;
	readonly elapsedMs: number;
	readonly fuelSum: number;
	readonly fuelMax: number;
	readonly latencyUs: HistogramCounts;
	/** Common predictor: requests compared, and the milliseconds of both choices. */
	readonly predicted: number;
	readonly predictedLiveMs: number;
	readonly predictedShadowMs: number;
	readonly rows: number;
	/** Virtual queues: the live choices, and the shadow's when it sees the queues its own choices make. */
	readonly liveQueues: QueueCounts;
	readonly shadowQueues: QueueCounts;
	/** The same requests, each sent to a target drawn evenly: what piling up is measured by. */
	readonly evenQueues: QueueCounts;
}

export class ShadowTrial {
	readonly versionId: number;
	readonly label: string;
	readonly model: string;
	readonly sinceMs: number;
	live = 0;
	/** Live decisions since the last one that was run: what that one stands for. */
	unrun = 0;
	ran = 0;
	skippedCap = 0;
	skippedBusy = 0;
	agreed = 0;
	verdicts = 0;
	overlapSum = 0;
	reruns = 0;
	rerunsDiffered = 0;
	cpuMs = 0;
	fuelSum = 0;
	fuelMax = 0;
	predicted = 0;
	predictedLiveMs = 0;
	predictedShadowMs = 0;
	liveQueues: VirtualQueues;
	shadowQueues: VirtualQueues;
	evenQueues: VirtualQueues;
	readonly latencyUs = new Histogram({ bits: HISTOGRAM_BITS });
	readonly #faults = new Map<FallbackCause, number>();
	#rows: number;

	constructor(versionId: number, label: string, model: string, rows: number, nowMs: number) {
		this.versionId = versionId;
		this.label = label;
		this.model = model;
		this.sinceMs = nowMs;
		this.#rows = rows;
		this.liveQueues = new VirtualQueues(rows);
		this.shadowQueues = new VirtualQueues(rows);
		this.evenQueues = new VirtualQueues(rows);
	}

	/** The pool has other rows now: the queues begin anew. */
	resize(rows: number): void {
		if (rows === this.#rows) return;
		this.#rows = rows;
		this.liveQueues = new VirtualQueues(rows);
		this.shadowQueues = new VirtualQueues(rows);
		this.evenQueues = new VirtualQueues(rows);
	}

	fault(cause: FallbackCause): void {
		this.#faults.set(cause, (this.#faults.get(cause) ?? 0) + 1);
	}

	counts(nowMs: number): TrialCounts {
		const { label, model, sinceMs, live, ran, skippedCap, skippedBusy, agreed, verdicts, overlapSum } = this;
		const { reruns, rerunsDiffered, cpuMs, fuelSum, fuelMax, predicted, predictedLiveMs, predictedShadowMs } = this;
		return {
			label,
			model,
			sinceMs,
			live,
			ran,
			skippedCap,
			skippedBusy,
			faults: Object.fromEntries(this.#faults),
			agreed,
			verdicts,
			overlapSum,
			reruns,
			rerunsDiffered,
			cpuMs,
			elapsedMs: nowMs - sinceMs,
			fuelSum,
			fuelMax,
			latencyUs: this.latencyUs.counts(),
			predicted,
			predictedLiveMs,
			predictedShadowMs,
			rows: this.#rows,
			liveQueues: this.liveQueues.counts(),
			shadowQueues: this.shadowQueues.counts(),
			evenQueues: this.evenQueues.counts(),
		};
	}
}
