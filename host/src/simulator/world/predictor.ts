// Owns the common predictor: what a request's wait for its first token would be at a target, by the simulator's own knowledge of it and by nobody's policy. All
// strategies are measured against the same one, so that regret does not depend on what a strategy thinks of itself.
import type { BlockRuns } from '../../engine/model/block-runs.js';
import { emptyStepShape, type LatencyModel } from '../../engine/model/latency.js';
import type { SimEngine } from './sim-engine.js';

/**
 * Milliseconds: the way there and back, and (tokens of prompts that the engine has not answered yet + own tokens that are not in its caches) × the time of a
 * token in a full prefill step. What decodes take of the steps, memory shortage, and what comes later are left out: it ranks targets, it does not
 * forecast.
 */
export function predictedTtftMs(
	engine: SimEngine,
	blocks: BlockRuns | undefined,
	tokens: number,
	wayUs: number,
): number {
	const cached = blocks === undefined ? 0 : engine.prefixTokens(blocks);
	const ahead = engine.pendingTokens + Math.max(1, tokens - cached);
	return (2 * wayUs + ahead * engine.tokenUs) / 1000;
}

/** Microseconds of one token in a step that does nothing but prefill and has as many as it takes. */
export function prefillTokenUs(latency: LatencyModel, stepTokens: number, kvTokens: number): number {
	const tokens = Math.min(stepTokens, 8192);
	const shape = emptyStepShape(kvTokens);
	shape.prefillSequences = 1;
	shape.prefillTokens = tokens;
	shape.prefillAttentionPairs = (tokens * tokens) / 2;
	return latency.stepUs(shape) / tokens;
}
