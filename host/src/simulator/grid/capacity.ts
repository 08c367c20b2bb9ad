// Owns the search for capacity: the highest speed at which a condition holds, by doubling to a bracket and bisection in the logarithm of the
// speed. It trusts that more load can only break the condition, which parseUntil has checked for the metric; noise of few seeds is not hidden
// but told by the tolerance.

export interface CapacityOptions {
	/** First speed tried. */
	readonly start: number;
	/** The bracket is narrowed until its ends are within this ratio, above 0: 0.02 = 2 %. */
	readonly tolerance: number;
	/** Speeds searched, as factors of `start`. */
	readonly factorMax: number;
	/** Told after every try what is known: all there is when the search is stopped. */
	readonly onTried: (known: Capacity) => void;
}

export const capacityDefaults: CapacityOptions = {
	start: 1,
	tolerance: 0.02,
	factorMax: 4096,
	onTried: () => {},
};

export interface Capacity {
	/** Highest speed at which the condition was seen to hold; 0 = at none that was tried. */
	readonly speed: number;
	/** Lowest speed at which it was seen not to hold; Infinity = at none. */
	readonly broken: number;
	readonly tried: number;
}

/** Searches; `holdsAt` is asked about one speed at a time. */
export async function findCapacity(
	holdsAt: (speed: number) => Promise<boolean>,
	options: Partial<CapacityOptions> = {},
): Promise<Capacity> {
	const { start, tolerance, factorMax, onTried } = { ...capacityDefaults, ...options };
	const bracket: Bracket = { holds: 0, breaks: Number.POSITIVE_INFINITY, tried: 0 };
	const attempt = async (speed: number): Promise<void> => {
		bracket.tried++;
		if (await holdsAt(speed)) bracket.holds = Math.max(bracket.holds, speed);
		else bracket.breaks = Math.min(bracket.breaks, speed);
		onTried({ speed: bracket.holds, broken: bracket.breaks, tried: bracket.tried });
	};
	await attempt(start);
	const factor = bracket.holds > 0 ? 2 : 0.5;
	for (let speed = start * factor; isOpen(bracket) && isWithin(speed / start, factorMax); speed *= factor)
		await attempt(speed);
	while (!isOpen(bracket) && bracket.breaks / bracket.holds > 1 + tolerance)
		await attempt(Math.sqrt(bracket.holds * bracket.breaks));
	return { speed: bracket.holds, broken: bracket.breaks, tried: bracket.tried };
}

interface Bracket {
	holds: number;
	breaks: number;
	tried: number;
}

/** One end is not known yet. */
function isOpen({ holds, breaks }: Bracket): boolean {
	return holds === 0 || breaks === Number.POSITIVE_INFINITY;
}

function isWithin(factor: number, factorMax: number): boolean {
	return factor <= factorMax && factor >= 1 / factorMax;
}
