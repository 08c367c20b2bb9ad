// Owns how figures of experiments are written on the command line.
import { showMs } from './output.js';

export const percent = (share: number | null, digits = 1): string =>
	share === null ? '-' : `${(share * 100).toFixed(digits)} %`;
export const points = (share: number): string => `${share > 0 ? '+' : ''}${(share * 100).toFixed(1)}`;

/** A span that may be days. */
export function showSpan(ms: number): string {
	if (ms >= 3_600_000) return `${(ms / 3_600_000).toFixed(1)} h`;
	if (ms >= 60_000) return `${(ms / 60_000).toFixed(1)} min`;
	return ms >= 1000 ? `${(ms / 1000).toFixed(1)} s` : showMs(ms);
}
