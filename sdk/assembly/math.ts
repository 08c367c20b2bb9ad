// Owns exp and log made of + − × ÷ and bit moves only, in one fixed order, so that every language and machine computes the same bits.

/** e^x. Relative error below 1.5e-7 for −87 ≤ x ≤ 88; clamped to e^−87 and e^88 beyond. */
export function exp32(x: f32): f32 {
	const bounded: f32 = min<f32>(max<f32>(x, -87.0), 88.0);
	const power: f32 = floor<f32>(bounded * <f32>1.44269504 + <f32>0.5);
	// ln 2 in two parts: the first has few bits, so power × part is exact.
	const rest: f32 = bounded - power * <f32>0.693359375 - power * <f32>-2.12194440e-4;
	let series: f32 = <f32>1.9875691500e-4;
	series = series * rest + <f32>1.3981999507e-3;
	series = series * rest + <f32>8.3334519073e-3;
	series = series * rest + <f32>4.1665795894e-2;
	series = series * rest + <f32>1.6666665459e-1;
	series = series * rest + <f32>5.0000001201e-1;
	series = series * rest * rest + rest + <f32>1.0;
	return series * reinterpret<f32>((<i32>power + 127) << 23);
}

/** Natural logarithm. Relative error below 1.5e-7 (absolute 5e-8 near 1) for normal positive x; −87.34 for anything smaller; NaN for NaN. */
export function log32(x: f32): f32 {
	// Its sign bit, which machines choose freely, would reach the exponent below.
	if (x != x) return x;
	const bounded: f32 = max<f32>(x, <f32>1.17549435e-38);
	const bits: u32 = reinterpret<u32>(bounded);
	let power: f32 = <f32>(<i32>(bits >> 23) - 127);
	let mantissa: f32 = reinterpret<f32>((bits & 0x007fffff) | 0x3f800000);
	if (mantissa > <f32>1.41421354) {
		mantissa = mantissa * <f32>0.5;
		power = power + <f32>1.0;
	}
	const m: f32 = mantissa - <f32>1.0;
	const square: f32 = m * m;
	let series: f32 = <f32>7.0376836292e-2;
	series = series * m + <f32>-1.1514610310e-1;
	series = series * m + <f32>1.1676998740e-1;
	series = series * m + <f32>-1.2420140846e-1;
	series = series * m + <f32>1.4249322787e-1;
	series = series * m + <f32>-1.6668057665e-1;
	series = series * m + <f32>2.0000714765e-1;
	series = series * m + <f32>-2.4999993993e-1;
	series = series * m + <f32>3.3333331174e-1;
	let result: f32 = series * m * square;
	result = result + power * <f32>-2.12194440e-4;
	result = result - <f32>0.5 * square;
	return m + result + power * <f32>0.693359375;
}
