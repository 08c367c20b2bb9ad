// Owns turning the rows of a simulation into what an experiment sees: closed blocks, and samples of the fleet for the guardrails.
import {
	armOfBlock,
	type ClosedBlock,
	type GuardrailSample,
	quantile,
	type RequestRows,
	type TargetLoad,
} from '@infermesh/host';

/** All whole blocks, by the time of arrival. */
export function closedBlocks(rows: RequestRows, blockMs: number, burnInMs: number): ClosedBlock[] {
	const last = rows.arrivalMs.at(-1) ?? 0;
	const count = Math.floor(last / blockMs);
	const blocks = Array.from({ length: count }, () => ({ requests: 0, good: 0, burnIn: 0, ttft: [] as number[] }));
	rows.arrivalMs.forEach((atMs, index) => {
		const block = blocks[Math.floor(atMs / blockMs)];
		if (block === undefined) return;
		if (atMs % blockMs < burnInMs) {
			block.burnIn++;
			return;
		}
		block.requests++;
		block.good += rows.good[index] as number;
		const ttftMs = rows.ttftMs[index] as number;
		if (ttftMs >= 0) block.ttft.push(ttftMs);
	});
	return blocks.map(({ requests, good, burnIn, ttft }, block) => ({
		block,
		requests,
		good,
		burnIn,
		ttftP99Ms: quantile(ttft, 0.99, 0),
	}));
}

/**
 * One sample of the fleet a second, as a controller has it. In flight: arrived and not ended; waiting: no token yet, which counts prompts being computed as well. The
 * simulated decisions neither trap nor run out of budget.
 */
export function* fleetSamples(
	rows: RequestRows,
	targets: number,
	seed: number,
	blockMs: number,
): Generator<GuardrailSample> {
	const SAMPLE_MS = 1000;
	const endMs = rows.arrivalMs.at(-1) ?? 0;
	const steps = Math.floor(endMs / SAMPLE_MS) + 1;
	// Differences at each step, summed up as time goes on.
	const inFlight = Array.from({ length: targets }, () => new Int32Array(steps + 1));
	const waiting = Array.from({ length: targets }, () => new Int32Array(steps + 1));
	const decisions = new Int32Array(steps + 1);
	const span = (counts: Int32Array, fromMs: number, toMs: number): void => {
		const from = Math.min(steps, Math.ceil(fromMs / SAMPLE_MS));
		const to = Math.min(steps, Math.ceil(toMs / SAMPLE_MS));
		counts[from] = (counts[from] as number) + 1;
		counts[to] = (counts[to] as number) - 1;
	};
	rows.arrivalMs.forEach((atMs, index) => {
		const target = rows.target[index] as number;
		const step = Math.min(steps, Math.ceil(atMs / SAMPLE_MS));
		decisions[step] = (decisions[step] as number) + 1;
		if (target < 0) return;
		span(inFlight[target] as Int32Array, atMs, atMs + (rows.e2eMs[index] as number));
		span(waiting[target] as Int32Array, atMs, atMs + (rows.ttftMs[index] as number));
	});
	const loads = Array.from({ length: targets }, () => ({ inFlight: 0, waiting: 0 }));
	for (let step = 0; step < steps; step++) {
		const now: TargetLoad[] = loads.map((load, target) => {
			load.inFlight += (inFlight[target] as Int32Array)[step] as number;
			load.waiting += (waiting[target] as Int32Array)[step] as number;
			return { id: `engine${target}`, inFlight: load.inFlight, waiting: load.waiting };
		});
		yield {
			atMs: step * SAMPLE_MS,
			arm: armOfBlock(seed, Math.floor((step * SAMPLE_MS) / blockMs)),
			decisions: decisions[step] as number,
			decisionTimeouts: 0,
			traps: 0,
			targets: now,
		};
	}
}
