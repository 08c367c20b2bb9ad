// Owns how figures of experiments are written on the command line.
import type { Dropped } from '../experiments/design/switchback-trial.js';
import { showMs } from './output.js';

export const percent = (share: number | null, digits = 1): string =>
	share === null ? '-' : `${(share * 100).toFixed(digits)} %`;
export const points = (share: number): string => `${share > 0 ? '+' : ''}${(share * 100).toFixed(1)}`;

const DROPPED = {
	gap: 'not counted all through',
	few_requests: 'with too few requests',
	stopped: 'cut short',
} as const;

/** Pairs that were dropped, with the reasons of their blocks. */
export function showDropped({ pairs, blocks }: Dropped): string {
	const reasons = (['gap', 'few_requests', 'stopped'] as const)
		.filter((reason) => blocks[reason] > 0)
		.map((reason) => `${blocks[reason]} ${blocks[reason] === 1 ? 'block' : 'blocks'} ${DROPPED[reason]}`);
	return `${pairs} dropped${pairs === 0 || reasons.length === 0 ? '' : ` (${reasons.join(', ')})`}`;
}

/** A span that may be days. */
export function showSpan(ms: number): string {
	if (ms >= 3_600_000) return `${(ms / 3_600_000).toFixed(1)} h`;
	if (ms >= 60_000) return `${(ms / 60_000).toFixed(1)} min`;
	return ms >= 1000 ? `${(ms / 1000).toFixed(1)} s` : showMs(ms);
}
