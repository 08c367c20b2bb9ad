// Owns a histogram of bounded memory for positive values over twelve orders of magnitude: buckets are a power of two cut into equal
// parts, found from the bits of the number. Invariants: count, sum, min and max are exact; a quantile is within 1/2^(bits+1) of a value.

export interface HistogramOptions {
	/** Each power of two is cut into 2^bits buckets, 1..12. Default 7: relative error below 0.4 %, 42 KiB. */
	readonly bits?: number;
}

/** A histogram's counts as plain data, to cross threads. */
export interface HistogramCounts {
	readonly bits: number;
	readonly counts: Float64Array;
	readonly count: number;
	readonly sum: number;
	readonly min: number;
	readonly max: number;
}

/** Values outside 2^-11 .. 2^31 (in milliseconds: half a microsecond to 24 days) are counted at the edge. */
const EXPONENT_MIN = -11;
const EXPONENT_MAX = 31;

const bits64 = new Float64Array(1);
const bits32 = new Uint32Array(bits64.buffer);
/** Index of the half with sign, exponent and upper mantissa. */
const HIGH = new Uint8Array(new Uint16Array([1]).buffer)[0] === 1 ? 1 : 0;

/** Counts values in log-spaced buckets; quantiles are nearest-rank. Negative values and NaN count as 0. */
export class Histogram {
	readonly bits: number;
	readonly #counts: Float64Array;
	readonly #shift: number;
	readonly #base: number;
	#count = 0;
	#sum = 0;
	#min = Number.POSITIVE_INFINITY;
	#max = 0;

	constructor(options: HistogramOptions = {}) {
		this.bits = options.bits ?? 7;
		if (!Number.isInteger(this.bits) || this.bits < 1 || this.bits > 12)
			throw new RangeError(`bits must be a whole number from 1 to 12, not ${this.bits}`);
		this.#shift = 20 - this.bits;
		this.#base = (1023 + EXPONENT_MIN) << this.bits;
		// Bucket 0 holds zero and everything below the range.
		this.#counts = new Float64Array(1 + ((EXPONENT_MAX - EXPONENT_MIN) << this.bits));
	}

	get count(): number {
		return this.#count;
	}

	get sum(): number {
		return this.#sum;
	}

	/** Smallest value; 0 when empty. */
	get min(): number {
		return this.#count === 0 ? 0 : this.#min;
	}

	get max(): number {
		return this.#max;
	}

	/** Arithmetic mean; 0 when empty. */
	get mean(): number {
		return this.#count === 0 ? 0 : this.#sum / this.#count;
	}

	record(value: number): void {
		const clean = value > 0 ? value : 0;
		const index = this.#indexOf(clean);
		this.#counts[index] = (this.#counts[index] ?? 0) + 1;
		this.#count++;
		this.#sum += clean;
		if (clean < this.#min) this.#min = clean;
		if (clean > this.#max) this.#max = clean;
	}

	/** The value at nearest rank ceil(q·n), `q` in [0, 1]; 0 when empty. Never outside [min, max]. */
	quantile(q: number): number {
		if (this.#count === 0) return 0;
		const rank = Math.min(this.#count, Math.max(1, Math.ceil(q * this.#count)));
		if (rank === this.#count) return this.#max;
		let seen = 0;
		for (let index = 0; index < this.#counts.length; index++) {
			seen += this.#counts[index] ?? 0;
			if (seen >= rank) return Math.min(this.#max, Math.max(this.#min, this.#middleOf(index)));
		}
		return this.#max;
	}

	/** Adds the counts of `other`, which must have the same `bits`. */
	merge(other: Histogram): void {
		this.add({
			bits: other.bits,
			counts: other.#counts,
			count: other.#count,
			sum: other.#sum,
			min: other.#min,
			max: other.#max,
		});
	}

	/** A copy of the counts as they stand. */
	counts(): HistogramCounts {
		const { bits } = this;
		return {
			bits,
			counts: this.#counts.slice(),
			count: this.#count,
			sum: this.#sum,
			min: this.#min,
			max: this.#max,
		};
	}

	/** Adds counts that another thread made, with the same `bits`. */
	add({ bits, counts, count, sum, min, max }: HistogramCounts): void {
		if (bits !== this.bits) throw new RangeError(`cannot merge a histogram of ${bits} bits into ${this.bits}`);
		for (let index = 0; index < this.#counts.length; index++)
			this.#counts[index] = (this.#counts[index] ?? 0) + (counts[index] ?? 0);
		this.#count += count;
		this.#sum += sum;
		this.#min = Math.min(this.#min, min);
		this.#max = Math.max(this.#max, max);
	}

	/** At most `points` (value, fraction at or below it) pairs of the cumulative distribution, denser towards the tail. */
	cdf(points = 160): { value: number; fraction: number }[] {
		if (this.#count === 0) return [];
		const out: { value: number; fraction: number }[] = [{ value: this.min, fraction: 1 / this.#count }];
		let seen = 0;
		let lastStep = 0;
		for (let index = 0; index < this.#counts.length; index++) {
			const here = this.#counts[index] ?? 0;
			if (here === 0) continue;
			seen += here;
			const step = cdfStep(seen / this.#count, points - 2);
			if (step === lastStep && seen < this.#count) continue;
			lastStep = step;
			const value = seen === this.#count ? this.#max : Math.min(this.#max, Math.max(this.#min, this.#middleOf(index)));
			out.push({ value, fraction: seen / this.#count });
		}
		return out;
	}

	#indexOf(value: number): number {
		bits64[0] = value;
		const index = ((bits32[HIGH] ?? 0) >>> this.#shift) - this.#base;
		if (index < 0) return 0;
		return Math.min(this.#counts.length - 1, index + 1);
	}

	/** Middle of a bucket: at most half a bucket's width from any value in it. */
	#middleOf(index: number): number {
		if (index === 0) return 0;
		const position = index - 1;
		const power = 2 ** (EXPONENT_MIN + (position >>> this.bits));
		const part = (position & ((1 << this.bits) - 1)) + 0.5;
		return power * (1 + part / (1 << this.bits));
	}
}

/** Half the points are even in the fraction, half in the logarithm of the tail (down to 1e-4). */
function cdfStep(fraction: number, points: number): number {
	const even = Math.floor(fraction * (points / 2));
	const tail = Math.floor((-Math.log10(Math.max(1e-4, 1 - fraction)) / 4) * (points / 2));
	return even + tail;
}
