// Owns what is counted of one cohort: decisions and what they cost, requests and how they ended, and a sketch of the time to the first token. A flat block of
// numbers that are only ever added (or, for maxima, raised), so that workers, routers and nodes merge theirs in any order. A few KiB a cohort.
import { type FallbackCause, fallbackCauses } from '../../strategy/runtime/decision.js';

/** Cells of a block, in this order; causes and the two sketches follow. */
const counters = [
	'decisions',
	'decisionNs',
	'decisionNsMax',
	'fuel',
	'fuelMax',
	/** Requests that were decided: each ends in exactly one of the five below. */
	'begun',
	/** Answered, and within its objectives. */
	'good',
	/** Answered, and late. */
	'late',
	/** Not answered: by the engine's fault, or refused for want of room. */
	'failed',
	/** Told that it asked for something wrong: says nothing of either arm. */
	'invalid',
	/** The client left before it could be judged. */
	'left',
	'ttftMs',
	'ttftCount',
	'tokensOut',
	'tokensComputed',
	'tokensWasted',
	'hedged',
	'hedgesWon',
	'retried',
] as const;
export type CountName = (typeof counters)[number];

const maxima: ReadonlySet<CountName> = new Set<CountName>(['decisionNsMax', 'fuelMax']);

/**
 * Buckets of a sketch: bucket i holds values up to LEAST · RATIO^i, and its quantiles are within half a bucket (5 %) of a value. TTFT from 1 ms on reaches 190 s;
 * decisions from 1 µs on reach 190 ms.
 */
const BUCKETS = 128;
const RATIO = 1.1;
const LOG_RATIO = Math.log(RATIO);

const CAUSES_AT = counters.length;
const TTFT_AT = CAUSES_AT + fallbackCauses.length;
const DECISION_AT = TTFT_AT + BUCKETS;
export const COUNT_CELLS = DECISION_AT + BUCKETS;

const indices = new Map<CountName, number>(counters.map((name, at) => [name, at]));
const at = (name: CountName): number => indices.get(name) as number;
/** Cells that are raised rather than added to. */
const raised: ReadonlySet<number> = new Set([...maxima].map(at));

const DECISIONS = at('decisions');
const DECISION_NS = at('decisionNs');
const DECISION_NS_MAX = at('decisionNsMax');
const FUEL = at('fuel');
const FUEL_MAX = at('fuelMax');

/** Index of the bucket that holds `value`, in units of the least. */
function bucketOf(value: number): number {
	if (value <= 1) return 0;
	return Math.min(BUCKETS - 1, Math.ceil(Math.log(value) / LOG_RATIO));
}

export class CohortCounts {
	readonly cells: Float64Array;

	/** `cells`: taken over, not copied; COUNT_CELLS of them. */
	constructor(cells: Float64Array = new Float64Array(COUNT_CELLS)) {
		if (cells.length !== COUNT_CELLS) throw new RangeError(`a cohort has ${COUNT_CELLS} cells, not ${cells.length}`);
		this.cells = cells;
	}

	get(name: CountName): number {
		return this.cells[at(name)] as number;
	}

	add(name: CountName, amount: number): void {
		(this.cells[at(name)] as number) += amount;
	}

	faults(cause: FallbackCause): number {
		return this.cells[CAUSES_AT + fallbackCauses.indexOf(cause)] as number;
	}

	/** One decision. Nothing is allocated. */
	decided(cause: FallbackCause, durationNs: number, fuel: number): void {
		const { cells } = this;
		(cells[DECISIONS] as number) += 1;
		(cells[DECISION_NS] as number) += durationNs;
		if (durationNs > (cells[DECISION_NS_MAX] as number)) cells[DECISION_NS_MAX] = durationNs;
		(cells[FUEL] as number) += fuel;
		if (fuel > (cells[FUEL_MAX] as number)) cells[FUEL_MAX] = fuel;
		(cells[CAUSES_AT + fallbackCauses.indexOf(cause)] as number) += 1;
		(cells[DECISION_AT + bucketOf(durationNs / 1000)] as number) += 1;
	}

	/** A first token reached the client so long after its request came. */
	firstToken(ttftMs: number): void {
		this.add('ttftMs', ttftMs);
		this.add('ttftCount', 1);
		(this.cells[TTFT_AT + bucketOf(ttftMs)] as number) += 1;
	}

	/** Requests that have ended, whichever way. */
	get ended(): number {
		return this.judged + this.get('invalid') + this.get('left');
	}

	/** Requests that say something of the arm. */
	get judged(): number {
		return this.get('good') + this.get('late') + this.get('failed');
	}

	/** Milliseconds, to 5 %; 0 when no token has come. */
	ttftQuantile(q: number): number {
		return this.#quantile(TTFT_AT, q);
	}

	/** Microseconds, to 5 %; 0 when nothing was decided. */
	decisionQuantileUs(q: number): number {
		return this.#quantile(DECISION_AT, q);
	}

	/** Adds what another has counted. */
	merge({ cells }: CohortCounts): void {
		for (let cell = 0; cell < COUNT_CELLS; cell++) {
			const theirs = cells[cell] as number;
			if (raised.has(cell)) this.cells[cell] = Math.max(this.cells[cell] as number, theirs);
			else (this.cells[cell] as number) += theirs;
		}
	}

	/** Takes off what the same counter had counted before; maxima stay. */
	subtract({ cells }: CohortCounts): void {
		for (let cell = 0; cell < COUNT_CELLS; cell++)
			if (!raised.has(cell)) (this.cells[cell] as number) -= cells[cell] as number;
	}

	#quantile(from: number, q: number): number {
		let count = 0;
		for (let bucket = 0; bucket < BUCKETS; bucket++) count += this.cells[from + bucket] as number;
		if (count === 0) return 0;
		const rank = Math.max(1, Math.ceil(q * count));
		let seen = 0;
		for (let bucket = 0; bucket < BUCKETS; bucket++) {
			seen += this.cells[from + bucket] as number;
			if (seen >= rank) return RATIO ** (bucket - (bucket === 0 ? 0 : 0.5));
		}
		return RATIO ** (BUCKETS - 1);
	}
}
