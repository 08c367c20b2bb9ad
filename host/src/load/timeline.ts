// Owns what happened when: counts, tokens, in-flight and TTFT in equal bins of time, in bounded memory however long the run.
// Invariant: at most `binsMax` bins; when time passes the last, pairs of bins are merged and the width doubles.
import { Histogram } from './histogram.js';
import type { Timeline as TimelineResult } from './result.js';

export interface TimelineOptions {
	/** Width of a bin at the start, milliseconds. Default 100. */
	readonly widthMs?: number;
	/** Even. Default 512. */
	readonly binsMax?: number;
	/** Targets and strategies told apart; the rest are counted as `(other)`. Default 32. */
	readonly labelsMax?: number;
}

/** 1.6 % error and 5 KiB a bin: enough for a curve. */
const TTFT_BITS = 4;
export const OTHER_LABEL = '(other)';

interface Bin {
	sent: number;
	completed: number;
	failed: number;
	dropped: number;
	outputTokens: number;
	/** Highest seen; -1 when not touched, which means as before. */
	inFlight: number;
	ttft: Histogram | undefined;
	readonly targets: Map<string, number>;
	readonly strategies: Map<string, number>;
}

export type CountName = 'sent' | 'completed' | 'failed' | 'dropped' | 'outputTokens';

export class Timeline {
	readonly #binsMax: number;
	readonly #labelsMax: number;
	readonly #targetLabels = new Set<string>();
	readonly #strategyLabels = new Set<string>();
	#widthMs: number;
	#bins: (Bin | undefined)[] = [];
	#lastInFlight = 0;

	constructor(options: TimelineOptions = {}) {
		this.#widthMs = options.widthMs ?? 100;
		this.#binsMax = options.binsMax ?? 512;
		this.#labelsMax = options.labelsMax ?? 32;
	}

	/** Adds to a count at `atMs` since the start. */
	add(atMs: number, name: CountName, amount = 1): void {
		this.#at(atMs)[name] += amount;
	}

	/** Notes the number of requests in flight. */
	inFlight(atMs: number, value: number): void {
		const bin = this.#at(atMs);
		// A bin starts with what was in flight before it, so that a drop within it does not hide the height it began at.
		bin.inFlight = Math.max(bin.inFlight === -1 ? this.#lastInFlight : bin.inFlight, value);
		this.#lastInFlight = value;
	}

	/** Notes a TTFT under the time its request was meant to be sent. */
	ttft(intendedAtMs: number, valueMs: number): void {
		const bin = this.#at(intendedAtMs);
		bin.ttft ??= new Histogram({ bits: TTFT_BITS });
		bin.ttft.record(valueMs);
	}

	/** Notes which target and strategy answered. */
	answered(atMs: number, target: string | undefined, strategy: string | undefined): void {
		const bin = this.#at(atMs);
		if (target !== undefined) count(bin.targets, this.#bounded(this.#targetLabels, target));
		if (strategy !== undefined) count(bin.strategies, this.#bounded(this.#strategyLabels, strategy));
	}

	/** The bins up to `elapsedMs` as columns. */
	result(elapsedMs: number): TimelineResult {
		if (elapsedMs > 0) this.#at(elapsedMs);
		const bins = Array.from(this.#bins, (bin) => bin ?? emptyBin());
		let inFlight = 0;
		const quantile = (q: number): (number | null)[] => bins.map((bin) => bin.ttft?.quantile(q) ?? null);
		return {
			widthMs: this.#widthMs,
			sent: bins.map((bin) => bin.sent),
			completed: bins.map((bin) => bin.completed),
			failed: bins.map((bin) => bin.failed),
			dropped: bins.map((bin) => bin.dropped),
			outputTokens: bins.map((bin) => bin.outputTokens),
			inFlight: bins.map((bin) => {
				inFlight = bin.inFlight === -1 ? inFlight : bin.inFlight;
				return inFlight;
			}),
			ttftP50Ms: quantile(0.5),
			ttftP95Ms: quantile(0.95),
			targets: columns(bins, 'targets'),
			strategies: columns(bins, 'strategies'),
		};
	}

	#at(atMs: number): Bin {
		const timeMs = Math.max(0, atMs);
		while (timeMs >= this.#widthMs * this.#binsMax) this.#double();
		const index = Math.floor(timeMs / this.#widthMs);
		while (this.#bins.length <= index) this.#bins.push(undefined);
		let bin = this.#bins[index];
		if (bin === undefined) {
			bin = emptyBin();
			this.#bins[index] = bin;
		}
		return bin;
	}

	#double(): void {
		const merged: (Bin | undefined)[] = [];
		for (let index = 0; index < this.#bins.length; index += 2) {
			const left = this.#bins[index];
			const right = this.#bins[index + 1];
			merged.push(left !== undefined && right !== undefined ? merge(left, right) : (left ?? right));
		}
		this.#bins = merged;
		this.#widthMs *= 2;
	}

	#bounded(known: Set<string>, label: string): string {
		if (known.has(label)) return label;
		if (known.size >= this.#labelsMax) return OTHER_LABEL;
		known.add(label);
		return label;
	}
}

function emptyBin(): Bin {
	return {
		sent: 0,
		completed: 0,
		failed: 0,
		dropped: 0,
		outputTokens: 0,
		inFlight: -1,
		ttft: undefined,
		targets: new Map(),
		strategies: new Map(),
	};
}

function merge(left: Bin, right: Bin): Bin {
	left.sent += right.sent;
	left.completed += right.completed;
	left.failed += right.failed;
	left.dropped += right.dropped;
	left.outputTokens += right.outputTokens;
	left.inFlight = Math.max(left.inFlight, right.inFlight);
	if (right.ttft !== undefined) {
		if (left.ttft === undefined) left.ttft = right.ttft;
		else left.ttft.merge(right.ttft);
	}
	for (const [label, amount] of right.targets) count(left.targets, label, amount);
	for (const [label, amount] of right.strategies) count(left.strategies, label, amount);
	return left;
}

function count(counts: Map<string, number>, label: string, amount = 1): void {
	counts.set(label, (counts.get(label) ?? 0) + amount);
}

/** One column of counts a label, in order of first appearance. */
function columns(bins: readonly Bin[], name: 'targets' | 'strategies'): Record<string, number[]> {
	const labels = new Set(bins.flatMap((bin) => [...bin[name].keys()]));
	return Object.fromEntries([...labels].map((label) => [label, bins.map((bin) => bin[name].get(label) ?? 0)]));
}
