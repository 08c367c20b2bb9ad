// Owns exact quantiles over all values of a run: no sketch, no bins.
import { quantileOfSorted } from '../../statistics/quantile.js';
import type { Distribution } from '../result.js';

const none: Distribution = { count: 0, mean: 0, p50: 0, p90: 0, p95: 0, p99: 0, max: 0 };

/** Nearest-rank quantiles of the values that are not negative; negative ones stand for "there was none". */
export function distributionOf(values: Float64Array, wanted?: (index: number) => boolean): Distribution {
	let count = 0;
	let sum = 0;
	const kept = new Float64Array(values.length);
	for (let at = 0; at < values.length; at++) {
		const value = values[at] as number;
		if (value < 0 || wanted?.(at) === false) continue;
		kept[count++] = value;
		sum += value;
	}
	if (count === 0) return none;
	const sorted = kept.subarray(0, count).sort();
	return {
		count,
		mean: sum / count,
		p50: quantileOfSorted(sorted, 0.5),
		p90: quantileOfSorted(sorted, 0.9),
		p95: quantileOfSorted(sorted, 0.95),
		p99: quantileOfSorted(sorted, 0.99),
		max: sorted[count - 1] as number,
	};
}
