// Owns the timelines of a run: for each target and bin of time the mean of its load, weighted by time, and the mean wait for a first token of the requests that
// came in each bin. How long a run takes is not known before: when it outlasts its bins, two become one.
import type { RequestRows, Timelines } from '../result.js';
import type { SimEngine } from './sim-engine.js';

/** What is summed for each target and bin, times microseconds. */
const INFLIGHT = 0;
const WAITING = 1;
const KV_USED = 2;
const SUMS = 3;

export class TimelineRecorder {
	readonly #bins: number;
	readonly #targets: number;
	readonly #sums: Float64Array;
	/** Of each target: since when its load is what it is, and that load. */
	readonly #sinceUs: Float64Array;
	readonly #loads: Float64Array;
	#binUs: number;

	/** `firstBinUs`: width of a bin for as long as the run fits. */
	constructor(targets: number, bins: number, firstBinUs: number) {
		this.#targets = targets;
		this.#bins = bins;
		this.#binUs = Math.max(1, Math.ceil(firstBinUs));
		this.#sums = new Float64Array(targets * bins * SUMS);
		this.#sinceUs = new Float64Array(targets);
		this.#loads = new Float64Array(targets * SUMS);
	}

	/** The load of an engine is a new one from now on. */
	note({ model, target, sequences }: SimEngine, nowUs: number): void {
		const { index } = target;
		this.#addUntil(index, nowUs);
		this.#loads[index * SUMS + INFLIGHT] = sequences;
		this.#loads[index * SUMS + WAITING] = model.waiting;
		this.#loads[index * SUMS + KV_USED] = model.kvBlocksUsed / model.config.kvBlocks;
	}

	/** Closes all books at `endUs`. */
	result(endUs: number, { arrivalMs, ttftMs }: RequestRows): Timelines {
		for (let target = 0; target < this.#targets; target++) this.#addUntil(target, endUs);
		const bins = Math.min(this.#bins, Math.max(1, Math.ceil(endUs / this.#binUs)));
		const of = (sum: number): Float32Array =>
			Float32Array.from({ length: this.#targets * bins }, (_, at) => {
				const [target, bin] = [Math.floor(at / bins), at % bins];
				const widthUs = Math.min(this.#binUs, endUs - bin * this.#binUs);
				return widthUs <= 0 ? 0 : (this.#sums[this.#at(target, bin) + sum] as number) / widthUs;
			});
		return {
			bins,
			binMs: this.#binUs / 1000,
			inflight: of(INFLIGHT),
			waiting: of(WAITING),
			kvUsage: of(KV_USED),
			ttftMs: meanByBin(bins, this.#binUs / 1000, arrivalMs, ttftMs),
		};
	}

	#addUntil(target: number, nowUs: number): void {
		while (nowUs >= this.#bins * this.#binUs) this.#widen();
		let fromUs = this.#sinceUs[target] as number;
		this.#sinceUs[target] = nowUs;
		while (fromUs < nowUs) {
			const bin = Math.floor(fromUs / this.#binUs);
			const untilUs = Math.min(nowUs, (bin + 1) * this.#binUs);
			const at = this.#at(target, bin);
			for (let sum = 0; sum < SUMS; sum++)
				this.#sums[at + sum] =
					(this.#sums[at + sum] as number) + (this.#loads[target * SUMS + sum] as number) * (untilUs - fromUs);
			fromUs = untilUs;
		}
	}

	#at(target: number, bin: number): number {
		return (target * this.#bins + bin) * SUMS;
	}

	#widen(): void {
		this.#binUs *= 2;
		for (let target = 0; target < this.#targets; target++)
			for (let bin = 0; bin < this.#bins; bin++)
				for (let sum = 0; sum < SUMS; sum++) {
					const from = bin * 2;
					const first = from < this.#bins ? (this.#sums[this.#at(target, from) + sum] as number) : 0;
					const second = from + 1 < this.#bins ? (this.#sums[this.#at(target, from + 1) + sum] as number) : 0;
					this.#sums[this.#at(target, bin) + sum] = first + second;
				}
	}
}

/** −1 where nothing came. */
function meanByBin(bins: number, binMs: number, atMs: Float64Array, values: Float64Array): Float32Array {
	const sums = new Float64Array(bins);
	const counts = new Uint32Array(bins);
	for (let index = 0; index < atMs.length; index++) {
		const value = values[index] as number;
		const bin = Math.floor((atMs[index] as number) / binMs);
		if (value < 0 || bin >= bins) continue;
		sums[bin] = (sums[bin] as number) + value;
		counts[bin] = (counts[bin] as number) + 1;
	}
	return Float32Array.from(sums, (sum, bin) => (counts[bin] === 0 ? -1 : sum / (counts[bin] as number)));
}
