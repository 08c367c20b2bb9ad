// Owns least_queue in plain TypeScript over the same frame: the yardstick beside which its WebAssembly and native forms are timed.
import {
	COLUMN_LOAD,
	COLUMN_SLOW_START,
	COLUMN_WEIGHT,
	type FrameLayout,
	OUTPUT_COUNT_WORD,
	OUTPUT_ROWS_WORD,
	OUTPUT_SCORES_WORD,
	REQUEST_SEED_WORD,
} from '@infermesh/sdk';

const TOP_K = 4;

function mix32(value: number): number {
	let mixed = value ^ (value >>> 16);
	mixed = Math.imul(mixed, 0x85eb_ca6b);
	mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2_ae35);
	return (mixed ^ (mixed >>> 16)) >>> 0;
}

/** A function that ranks the frame's request as `least_queue` does, ties by the request's seed. */
export function leastQueueReference(layout: FrameLayout, u32: Uint32Array, f32: Float32Array): () => void {
	const word = (id: number): number => (layout.columnOffsets[id] ?? 0) / 4;
	const [load, weight, slowStart] = [word(COLUMN_LOAD), word(COLUMN_WEIGHT), word(COLUMN_SLOW_START)];
	const eligibility = layout.eligibilityOffset / 4;
	const seedAt = layout.requestOffset / 4 + REQUEST_SEED_WORD;
	const out = layout.outputOffset / 4;
	const rows = layout.rowCapacity;
	const cost = new Float32Array(rows);
	return () => {
		for (let row = 0; row < rows; row++) {
			const isEligible = ((u32[eligibility + (row >>> 5)] as number) >>> (row & 31)) & 1;
			const share = Math.max(Math.fround((f32[weight + row] as number) * (f32[slowStart + row] as number)), 0.01);
			cost[row] = isEligible === 1 ? ((f32[load + row] as number) + 1) / share : Number.POSITIVE_INFINITY;
		}
		let count = 0;
		for (let draws = 0; count < TOP_K; count++) {
			let lowest = Number.POSITIVE_INFINITY;
			let tied = 0;
			for (let row = 0; row < rows; row++) {
				const value = cost[row] as number;
				if (value < lowest) {
					lowest = value;
					tied = 0;
				}
				if (value === lowest) tied++;
			}
			if (lowest === Number.POSITIVE_INFINITY) break;
			let skip = 0;
			if (tied > 1) {
				const inner = mix32((u32[seedAt] as number) ^ Math.imul(++draws, 0x9e37_79b9));
				skip = Math.floor((mix32(inner ^ (u32[seedAt + 1] as number)) * tied) / 2 ** 32);
			}
			let row = 0;
			while (cost[row] !== lowest || skip-- > 0) row++;
			u32[out + OUTPUT_ROWS_WORD + count] = row;
			f32[out + OUTPUT_SCORES_WORD + count] = lowest;
			cost[row] = Number.POSITIVE_INFINITY;
		}
		u32[out + OUTPUT_COUNT_WORD] = count;
	};
}
