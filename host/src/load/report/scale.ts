// Owns the axes of charts: from values to positions, and which values get a tick.

export interface Axis {
	readonly kind: 'linear' | 'log';
	readonly min: number;
	readonly max: number;
	readonly ticks: readonly number[];
}

const STEPS = [1, 2, 2.5, 5, 10];
/** Steps of a time axis in seconds beyond which multiples of ten read badly. */
const TIME_STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400, 43_200, 86_400];

/** From 0 to just past `max`, about `count` ticks at round values. */
export function linearAxis(max: number, count = 5): Axis {
	const top = max > 0 ? max : 1;
	const raw = top / count;
	const power = 10 ** Math.floor(Math.log10(raw));
	const step = (STEPS.find((it) => it * power >= raw * 0.999) ?? 10) * power;
	const ticks = Array.from({ length: Math.ceil(top / step - 1e-9) + 1 }, (_, index) => index * step);
	return { kind: 'linear', min: 0, max: ticks.at(-1) ?? top, ticks };
}

/** Seconds from 0 to exactly `max`, ticks at times people count in. */
export function timeAxis(maxSeconds: number, count = 7): Axis {
	const max = Math.max(maxSeconds, 1e-3);
	const fine = linearAxis(max, count).ticks[1] ?? max;
	const step = max < count ? fine : (TIME_STEPS.find((it) => it >= max / count) ?? fine);
	const ticks = Array.from({ length: Math.floor(max / step + 1e-9) + 1 }, (_, index) => index * step);
	return { kind: 'linear', min: 0, max, ticks };
}

/** Covers [min, max] with positive bounds; ticks at 1, 2, 5 of each decade when few, else at decades. */
export function logAxis(min: number, max: number): Axis {
	const low = Math.max(min, 1e-3);
	const high = Math.max(max, low * 2);
	const decades = Math.log10(high / low);
	const marks = decades > 3.5 ? [1] : decades > 1.5 ? [1, 3] : [1, 2, 5];
	const ticks: number[] = [];
	for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power++) {
		for (const mark of marks) {
			const tick = mark * 10 ** power;
			if (tick >= low * 0.999 && tick <= high * 1.001) ticks.push(tick);
		}
	}
	return { kind: 'log', min: low, max: high, ticks };
}

/** Position of a value as a fraction of the axis; values outside are put at its ends. */
export function position(axis: Axis, value: number): number {
	const at =
		axis.kind === 'log'
			? Math.log(Math.max(value, axis.min) / axis.min) / Math.log(axis.max / axis.min)
			: (value - axis.min) / (axis.max - axis.min);
	return Math.min(1, Math.max(0, at));
}
