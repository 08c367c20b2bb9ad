// Owns comparing two looks at counters that only rise: rates, with counters that wrapped at their width told from those that began anew, and those that
// stand at the end of their width left out.

/** How a counter ends: at 2^32 it may wrap (Ethernet drivers), or stay there (InfiniBand's 32-bit counters saturate). */
export const counterEnds = ['wide', 'wraps32', 'saturates32'] as const;
export type CounterEnd = (typeof counterEnds)[number];

const TWO_32 = 2n ** 32n;
/** A counter that fell from above this share of its width, to below the rest of it, has wrapped. */
const WRAP_FROM = (TWO_32 * 3n) / 4n;
const WRAP_TO = TWO_32 / 4n;

export interface CounterStep {
	readonly by: number;
	/** It fell without having wrapped: what it counted before is not known. */
	readonly restarted: boolean;
}

/** How far a counter rose; undefined when that cannot be told. */
export function stepOf(was: bigint, now: bigint, end: CounterEnd): CounterStep | undefined {
	if (end === 'saturates32' && now === TWO_32 - 1n) return undefined;
	if (now >= was) return { by: Number(now - was), restarted: false };
	if (end === 'wraps32' && was >= WRAP_FROM && was < TWO_32 && now < WRAP_TO)
		return { by: Number(now + TWO_32 - was), restarted: false };
	return { by: Number(now), restarted: true };
}

/** A counter as text: decimal digits only, at most 20 of them. */
export function counterOf(text: string): bigint | undefined {
	const trimmed = text.trim();
	return /^\d{1,20}$/.test(trimmed) ? BigInt(trimmed) : undefined;
}
