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
}

export const capacityDefaults: CapacityOptions = { start: 1, tolerance: 0.02, factorMax: 4096 };

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
	const { start, tolerance, factorMax } = { ...capacityDefaults, ...options };
	let tried = 1;
	let holds = 0;
	let breaks = Number.POSITIVE_INFINITY;
	const note = (speed: number, held: boolean): void => {
		if (held) holds = Math.max(holds, speed);
		else breaks = Math.min(breaks, speed);
	};
	note(start, await holdsAt(start));
	const upwards = holds > 0;
	for (let speed = start; upwards ? breaks === Number.POSITIVE_INFINITY : holds === 0; tried++) {
		speed *= upwards ? 2 : 0.5;
		if (speed > start * factorMax || speed < start / factorMax) break;
		note(speed, await holdsAt(speed));
	}
	while (holds > 0 && Number.isFinite(breaks) && breaks / holds > 1 + tolerance) {
		const middle = Math.sqrt(holds * breaks);
		note(middle, await holdsAt(middle));
		tried++;
	}
	return { speed: holds, broken: breaks, tried };
}
