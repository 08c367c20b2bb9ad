// Owns how numbers are written for people in the text and HTML reports and on the progress line.

/** A duration with three significant digits: `812 µs`, `12.3 ms`, `1.23 s`, `4m 10s`. */
export function formatMs(ms: number | null | undefined): string {
	if (ms === null || ms === undefined) return '–';
	if (ms === 0) return '0 ms';
	if (ms < 0.9995) return `${significant(ms * 1000)} µs`;
	if (ms < 999.5) return `${significant(ms)} ms`;
	if (ms < 119_500) return `${significant(ms / 1000)} s`;
	const seconds = Math.round(ms / 1000);
	return `${Math.floor(seconds / 60)}m ${String(seconds % 60).padStart(2, '0')}s`;
}

/** A duration as an axis writes it: without zeros that say nothing. */
export function formatMsTick(ms: number): string {
	return formatMs(ms)
		.replace(/(\.\d*?)0+(?= )/, '$1')
		.replace('. ', ' ');
}

/** A number with grouped thousands; three significant digits below 100. */
export function formatNumber(value: number): string {
	if (Number.isInteger(value) || Math.abs(value) >= 99.95) return Math.round(value).toLocaleString('en-US');
	return significant(value);
}

/** A fraction as per cent, never rounded to 0 or 100 unless it is. */
export function formatShare(fraction: number): string {
	const percent = fraction * 100;
	if (percent === 0 || percent === 100) return `${percent} %`;
	if (percent < 0.01) return '<0.01 %';
	if (percent > 99.99) return '>99.99 %';
	return `${percent < 99 ? significant(percent) : percent.toFixed(2)} %`;
}

function significant(value: number): string {
	const digits = Math.max(0, 2 - Math.floor(Math.log10(Math.abs(value) * 1.0005)));
	return value.toFixed(Math.min(6, digits));
}
