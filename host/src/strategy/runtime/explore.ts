// Owns the draws among ranked rows: exploration, and the spreading of near-equal choices. The host draws, not the strategy, so that the propensity of every
// choice is known.
import type { Decision, DrawMade } from './decision.js';

/**
 * Draws `out.chosen` from softmax(−score / temperature) over the ranked rows and records its probability. `draw` is uniform in [0, 1).
 * Temperature 0 leaves the best row with propensity 1.
 */
export function explore(out: Decision, draw: number): void {
	out.chosen = 0;
	out.propensity = 1;
	if (out.temperature <= 0 || out.count < 2) return;
	let best = out.scores[0] as number;
	for (let i = 1; i < out.count; i++) best = Math.min(best, out.scores[i] as number);
	let total = 0;
	for (let i = 0; i < out.count; i++) total += Math.exp((best - (out.scores[i] as number)) / out.temperature);
	let left = draw * total;
	for (let i = 0; i < out.count; i++) {
		const weight = Math.exp((best - (out.scores[i] as number)) / out.temperature);
		left -= weight;
		if (left >= 0 && i < out.count - 1) continue;
		out.chosen = i;
		out.propensity = weight / total;
		return;
	}
}

/**
 * Draws `out.chosen` evenly from the rows that cost at most `share` more than the best. Routers that share a fleet learn of each other's choices a moment
 * late: each taking the one best row would send them all there.
 */
export function spread(out: Decision, share: number, draw: number): void {
	const best = out.scores[0] as number;
	const most = best + share * Math.abs(best);
	let near = 1;
	while (near < out.count && (out.scores[near] as number) <= most) near++;
	out.chosen = Math.min(near - 1, Math.floor(draw * near));
	out.propensity = 1 / near;
}

/**
 * With probability `share` draws `out.chosen` evenly from all ranked rows, else leaves the best. Whoever asks for it wants to know what each row would have
 * brought: every ranked row has a probability of at least share / count.
 */
export function exploreEvenly(out: Decision, share: number, draw: number): void {
	out.chosen = draw < share ? Math.min(out.count - 1, Math.floor((draw / share) * out.count)) : 0;
	out.propensity = share / out.count + (out.chosen === 0 ? 1 - share : 0);
}

/** Sets `out.chosen` and its propensity by a draw that was made; the same draw gives the same choice on replay. */
export function applyDraw(out: Decision, { mode, value, ratio }: DrawMade): void {
	if (mode === 'spread') spread(out, ratio, value);
	else if (mode === 'even') exploreEvenly(out, ratio, value);
	else explore(out, value);
}
