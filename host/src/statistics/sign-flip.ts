// Owns the sign-flip permutation test of paired differences: at a fixed horizon, no shape assumed.
import type { Random } from '@infermesh/proto';

/** Values up to which all sign patterns are gone through. */
export const EXACT_VALUES_MAX = 20;
/** Differences within this share of Σ|d| count as equal: sums in another order must not decide a tie. */
const TIE = 1e-12;

export interface SignFlipOptions {
	/** `greater`: evidence that differences are above 0. */
	readonly alternative: 'greater' | 'less' | 'two-sided';
	/** Patterns drawn where there are too many to go through. */
	readonly draws: number;
	/** Used only where patterns are drawn. */
	readonly random: Random;
}

export interface SignFlipResult {
	readonly p: number;
	readonly exact: boolean;
	/** Patterns gone through or drawn. */
	readonly patterns: number;
}

/**
 * The p-value of H0: each difference is as likely as its negative (which a seeded AB/BA order makes true when the arms are alike, whatever the queues do), by
 * the sum. Exact up to 20 values: the share of all 2^n patterns whose sum is at least as extreme. Beyond, of B drawn patterns, (1 + as extreme) / (1 + B),
 * which keeps the level for any B (Phipson and Smyth, 2010). 1 for no values. Holds at one look only: stop by the confidence sequence, not by this.
 */
export function signFlipTest(differences: readonly number[], options: SignFlipOptions): SignFlipResult {
	if (!differences.every(Number.isFinite)) throw new RangeError('differences must be finite numbers');
	if (differences.length <= EXACT_VALUES_MAX) return exactTest(differences, options.alternative);
	if (!Number.isInteger(options.draws) || options.draws < 1)
		throw new RangeError(`draws must be a whole number from 1, not ${options.draws}`);
	return drawnTest(differences, options);
}

/** Goes through all patterns in Gray code order: one sign changes a step. */
function exactTest(differences: readonly number[], alternative: SignFlipOptions['alternative']): SignFlipResult {
	const isExtreme = extremeness(differences, alternative);
	const signed = Float64Array.from(differences);
	const patterns = 2 ** differences.length;
	let sum = total(differences);
	let extreme = 0;
	for (let step = 1; step <= patterns; step++) {
		if (isExtreme(sum)) extreme++;
		if (step === patterns) break;
		const flipped = 31 - Math.clz32(step & -step);
		const value = -(signed[flipped] as number);
		signed[flipped] = value;
		sum += 2 * value;
	}
	return { p: extreme / patterns, exact: true, patterns };
}

function drawnTest(differences: readonly number[], { alternative, draws, random }: SignFlipOptions): SignFlipResult {
	const isExtreme = extremeness(differences, alternative);
	let extreme = 0;
	for (let draw = 0; draw < draws; draw++) {
		let sum = 0;
		let bits = 0;
		for (let i = 0; i < differences.length; i++) {
			if ((i & 31) === 0) bits = random.nextU32();
			sum += (bits & 1) === 1 ? (differences[i] as number) : -(differences[i] as number);
			bits >>>= 1;
		}
		if (isExtreme(sum)) extreme++;
	}
	return { p: (1 + extreme) / (1 + draws), exact: false, patterns: draws };
}

function extremeness(
	differences: readonly number[],
	alternative: SignFlipOptions['alternative'],
): (sum: number) => boolean {
	const seen = total(differences);
	const slack = TIE * differences.reduce((sum, one) => sum + Math.abs(one), 0);
	if (alternative === 'greater') return (sum) => sum >= seen - slack;
	if (alternative === 'less') return (sum) => sum <= seen + slack;
	return (sum) => Math.abs(sum) >= Math.abs(seen) - slack;
}

function total(values: readonly number[]): number {
	return values.reduce((sum, one) => sum + one, 0);
}
