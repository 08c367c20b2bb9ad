// Owns translating byte offsets of the rewritten module to the original, as plain data that can cross a process boundary.

export interface OffsetMap {
	/** Start of each run in the rewritten module, ascending. */
	readonly rewritten: Uint32Array<ArrayBuffer>;
	/** Where the run came from in the original module. */
	readonly original: Uint32Array<ArrayBuffer>;
	/** 1 = inserted by the meter on behalf of the original offset; 0 = copied byte by byte. */
	readonly injected: Uint8Array<ArrayBuffer>;
}

export interface OriginalOffset {
	readonly offset: number;
	/** Whether the byte is the meter's own code. */
	readonly injected: boolean;
}

export function buildOffsetMap(runs: {
	readonly at: readonly number[];
	readonly origin: readonly number[];
	readonly injected: readonly number[];
}): OffsetMap {
	return {
		rewritten: Uint32Array.from(runs.at),
		original: Uint32Array.from(runs.origin),
		injected: Uint8Array.from(runs.injected),
	};
}

/** Index of the last entry not above `value`; -1 when all are. */
export function lastAtOrBelow(sorted: Uint32Array, value: number): number {
	let low = 0;
	let high = sorted.length;
	while (low < high) {
		const middle = (low + high) >> 1;
		if ((sorted[middle] as number) <= value) low = middle + 1;
		else high = middle;
	}
	return low - 1;
}

/** Original offset of a byte of the rewritten module. */
export function originalOffset(map: OffsetMap, rewritten: number): OriginalOffset {
	const run = lastAtOrBelow(map.rewritten, rewritten);
	if (run < 0) return { offset: rewritten, injected: false };
	const origin = map.original[run] as number;
	if (map.injected[run] === 1) return { offset: origin, injected: true };
	return { offset: origin + rewritten - (map.rewritten[run] as number), injected: false };
}
