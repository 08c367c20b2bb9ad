// Owns the confidence sequence for the mean of bounded values: an interval that may be looked at after every value, and holds at all of them at once.
// Leaves what the values are (block differences, win indicators) and what is decided from them to the callers.
// Invariants: an update costs O(cells); the interval never grows; a sequence resumed from its state goes on bit for bit.
import { MeshError } from '@infermesh/proto';
import { statisticsErrors } from './errors.js';
import type { Interval } from './interval.js';

export interface BettingOptions {
	/** Range of the values, fixed before the first is seen. Values outside are clipped to it and counted. */
	readonly range: Interval;
	/** Probability that the true mean is ever outside, in (0, 1). */
	readonly alpha: number;
	/** `lower`: only the lower bound, at the whole of alpha (the upper bound stays at the range); `upper` likewise. */
	readonly sides: 'both' | 'lower' | 'upper';
	/** Largest share of the capital that a bet may lose, c in (0, 1). 1/2 is the paper's; more is faster on few values that differ clearly. */
	readonly truncation: number;
	/** Cells into which the range is cut: bounds are multiples of (upper − lower) / cells, rounded outwards. */
	readonly cells: number;
}

export const bettingDefaults = { alpha: 0.05, sides: 'both', truncation: 0.5, cells: 500 } as const;
export const CELLS_MAX = 100_000;

/** Plain data of fixed size for given cells: survives JSON. */
export interface BettingState {
	readonly version: 1;
	readonly options: BettingOptions;
	readonly count: number;
	readonly clipped: number;
	readonly sum: number;
	/** Σ (x_i − μ̂_i)², values scaled to [0, 1]. */
	readonly squares: number;
	readonly lowerCell: number;
	readonly upperCell: number;
	/** Capital against each cell's edge, little-endian float64 in base64. */
	readonly rising: string;
	readonly falling: string;
}

/**
 * The hedged capital process of Waudby-Smith and Ramdas, "Estimating means of bounded random variables by betting", JRSS-B 86 (2024), Theorem 3, with their
 * predictable plug-in bets. Values are scaled to x in [0, 1]. Against every candidate mean m two capitals start at 1 and bet that the
 * mean is higher, or lower:
 *
 *     K⁺_t(m) = Π_{i≤t} (1 + λ⁺_i(m) (x_i − m))        λ⁺_i(m) = min(λ_i, c / m)
 *     K⁻_t(m) = Π_{i≤t} (1 − λ⁻_i(m) (x_i − m))        λ⁻_i(m) = min(λ_i, c / (1 − m))
 *     λ_t = sqrt( 2 log(2/α) / (σ̂²_{t−1} t log(1 + t)) )
 *     σ̂²_t = (1/4 + Σ_{i≤t} (x_i − μ̂_i)²) / (t + 1)     μ̂_t = (1/2 + Σ_{i≤t} x_i) / (t + 1)
 *
 * m is excluded for good once max(K⁺, K⁻)/2 ≥ 1/α. For one side only its capital is kept, with α in the place of α/2.
 *
 * Why it holds: λ_t is known before x_t, and if E[x_t | past] = m then each factor has conditional mean 1 and is not negative (c < 1), so K⁺(m), K⁻(m) and
 * the mean of both are non-negative martingales from 1; by Ville's inequality the mean of both ever reaches 1/α with probability at most α, and max/2 is
 * below it. So the true mean is excluded at some time with probability ≤ α, however often one looks and whenever one stops.
 * What is assumed: one constant conditional mean, values in the range. If the conditional mean moves but stays ≤ m, K⁺(m) is a supermartingale, so a lower
 * bound above m is still false with probability ≤ α/2 (the upper bound likewise): verdicts of sign hold under drift, the width between them may not.
 *
 * K⁺_t(m) falls and K⁻_t(m) rises in m, so what is left is an interval, and capital against cell edges alone bounds it from outside: the reported lower
 * bound is the highest excluded edge. Capital that underflows to 0 can only widen the interval.
 */
export class BettingSequence {
	readonly options: BettingOptions;
	readonly #rising: Float64Array;
	readonly #falling: Float64Array;
	/** Capital at which an edge is excluded. */
	readonly #limit: number;
	#count = 0;
	#clipped = 0;
	#sum = 0;
	#squares = 0;
	#lowerCell = 0;
	#upperCell: number;

	/** Throws a RangeError for options out of their ranges. */
	constructor(options: Pick<BettingOptions, 'range'> & Partial<BettingOptions>) {
		this.options = { ...bettingDefaults, ...options };
		const { range, alpha, truncation, cells } = this.options;
		if (!(Number.isFinite(range.lower) && Number.isFinite(range.upper) && range.lower < range.upper))
			throw new RangeError(`a range needs lower < upper, not ${range.lower} and ${range.upper}`);
		if (!(alpha > 0 && alpha < 1)) throw new RangeError(`alpha must be between 0 and 1, not ${alpha}`);
		if (!(truncation > 0 && truncation < 1))
			throw new RangeError(`truncation must be between 0 and 1, not ${truncation}`);
		if (!Number.isInteger(cells) || cells < 2 || cells > CELLS_MAX)
			throw new RangeError(`cells must be a whole number from 2 to ${CELLS_MAX}, not ${cells}`);
		this.#limit = (this.options.sides === 'both' ? 2 : 1) / alpha;
		this.#rising = new Float64Array(cells + 1).fill(1);
		this.#falling = new Float64Array(cells + 1).fill(1);
		this.#upperCell = cells;
	}

	/** Values seen. */
	get count(): number {
		return this.#count;
	}

	/** Values that lay outside the range: their mean is not what the interval covers. */
	get clipped(): number {
		return this.#clipped;
	}

	/** Mean of the clipped values; the middle of the range before the first. */
	get mean(): number {
		return this.#unscale(this.#count === 0 ? 0.5 : this.#sum / this.#count);
	}

	/** The running intersection of all intervals so far. Its lower bound above its upper one says that the mean was not constant. */
	get interval(): Interval {
		const { cells } = this.options;
		return { lower: this.#unscale(this.#lowerCell / cells), upper: this.#unscale(this.#upperCell / cells) };
	}

	/** Adds one value. Throws a RangeError for a value that is not a finite number. */
	observe(value: number): void {
		if (!Number.isFinite(value)) throw new RangeError(`a value must be a finite number, not ${value}`);
		const { range, sides } = this.options;
		const x = Math.min(1, Math.max(0, (value - range.lower) / (range.upper - range.lower)));
		if (value < range.lower || value > range.upper) this.#clipped++;
		const bet = this.#nextBet();
		if (sides !== 'upper') this.#betOnRising(x, bet);
		if (sides !== 'lower') this.#betOnFalling(x, bet);
		this.#count++;
		this.#sum += x;
		this.#squares += (x - (0.5 + this.#sum) / (this.#count + 1)) ** 2;
	}

	/** All there is to it, as plain data. */
	state(): BettingState {
		return {
			version: 1,
			options: this.options,
			count: this.#count,
			clipped: this.#clipped,
			sum: this.#sum,
			squares: this.#squares,
			lowerCell: this.#lowerCell,
			upperCell: this.#upperCell,
			rising: encode(this.#rising),
			falling: encode(this.#falling),
		};
	}

	/** The sequence whose state it is. Throws `IM_STATISTICS_STATE` when it is none. */
	static resume(state: BettingState): BettingSequence {
		if (state.version !== 1) throw damaged(`version ${String(state.version)} is not known`);
		let sequence: BettingSequence;
		try {
			sequence = new BettingSequence(state.options);
		} catch (cause) {
			throw damaged('its options are out of range', cause);
		}
		const { cells } = sequence.options;
		for (const name of ['count', 'clipped', 'lowerCell', 'upperCell'] as const)
			if (!Number.isSafeInteger(state[name]) || state[name] < 0) throw damaged(`${name} is no count`);
		if (state.lowerCell > cells || state.upperCell > cells || state.clipped > state.count)
			throw damaged('its counts contradict each other');
		if (!(state.sum >= 0 && state.sum <= state.count && state.squares >= 0 && state.squares <= state.count))
			throw damaged('its sums are out of range');
		decode(state.rising, sequence.#rising, 'rising');
		decode(state.falling, sequence.#falling, 'falling');
		sequence.#count = state.count;
		sequence.#clipped = state.clipped;
		sequence.#sum = state.sum;
		sequence.#squares = state.squares;
		sequence.#lowerCell = state.lowerCell;
		sequence.#upperCell = state.upperCell;
		return sequence;
	}

	/** λ_t for the value to come: from what was seen before it only. */
	#nextBet(): number {
		const t = this.#count + 1;
		const spread = (0.25 + this.#squares) / t;
		return Math.sqrt((2 * Math.log(this.#limit)) / (spread * t * Math.log(1 + t)));
	}

	/** Edges that are excluded already stay as they are: they cannot come back. */
	#betOnRising(x: number, bet: number): void {
		const { cells, truncation } = this.options;
		const capital = this.#rising;
		let excluded = this.#lowerCell;
		for (let cell = this.#lowerCell + 1; cell <= cells; cell++) {
			const m = cell / cells;
			const next = (capital[cell] as number) * (1 + Math.min(bet, truncation / m) * (x - m));
			capital[cell] = next;
			if (next >= this.#limit) excluded = cell;
		}
		this.#lowerCell = excluded;
	}

	#betOnFalling(x: number, bet: number): void {
		const { cells, truncation } = this.options;
		const capital = this.#falling;
		let excluded = this.#upperCell;
		for (let cell = this.#upperCell - 1; cell >= 0; cell--) {
			const m = cell / cells;
			const next = (capital[cell] as number) * (1 - Math.min(bet, truncation / (1 - m)) * (x - m));
			capital[cell] = next;
			if (next >= this.#limit) excluded = cell;
		}
		this.#upperCell = excluded;
	}

	#unscale(x: number): number {
		const { lower, upper } = this.options.range;
		return lower + x * (upper - lower);
	}
}

function encode(values: Float64Array): string {
	const bytes = Buffer.alloc(values.length * 8);
	values.forEach((value, index) => bytes.writeDoubleLE(value, index * 8));
	return bytes.toString('base64');
}

function decode(text: string, into: Float64Array, name: string): void {
	const bytes = Buffer.from(typeof text === 'string' ? text : '', 'base64');
	if (bytes.length !== into.length * 8) throw damaged(`${name} has ${bytes.length} bytes, not ${into.length * 8}`);
	for (let index = 0; index < into.length; index++) {
		const value = bytes.readDoubleLE(index * 8);
		if (!(value >= 0 && value < Number.POSITIVE_INFINITY)) throw damaged(`${name} holds what is no capital`);
		into[index] = value;
	}
}

function damaged(why: string, cause?: unknown): MeshError {
	return new MeshError(statisticsErrors, 'IM_STATISTICS_STATE', `a confidence sequence cannot be resumed: ${why}`, {
		cause,
	});
}
