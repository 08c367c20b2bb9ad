// Owns what the model's tests and its benchmark share: small engines, seeded workloads, and the loop that replays them.
import { SeededRandom } from '@infermesh/proto';
import { BlockRuns } from './block-runs.js';
import type { EngineModelConfig } from './engine-config.js';
import { EngineModel, type StepOutcome } from './engine-model.js';
import type { LatencyModel, StepShape } from './latency.js';
import type { Sequence, SequenceRequest } from './sequence.js';

/** One microsecond a token and 100 a step: durations a reader can add up. */
export const plainLatency: LatencyModel = {
	stepUs: (shape: Readonly<StepShape>): number => 100 + shape.prefillTokens + shape.decodeSequences,
};

export function smallEngine(
	config: Partial<EngineModelConfig> = {},
	latency: LatencyModel = plainLatency,
): EngineModel {
	return new EngineModel({
		config: {
			blockTokens: 4,
			kvBlocks: 64,
			hostBlocks: 0,
			stepTokensMax: 32,
			sequencesMax: 8,
			waitingMax: 1000,
			prefixCaching: true,
			ingestUs: 0,
			...config,
		},
		latency,
	});
}

export interface Arrival {
	readonly atUs: number;
	readonly request: SequenceRequest;
	/** When the sequence is to be cancelled; absent for never. */
	readonly cancelAtUs?: number;
}

/** Submits or throws: for tests in which a refusal would be a mistake of the test. */
export function accept(model: EngineModel, request: SequenceRequest, nowUs: number): Sequence {
	const result = model.submit(request, nowUs);
	if (typeof result === 'string') throw new Error(`refused: ${result}`);
	return result;
}

/** Runs one step from `nowUs` and returns its outcome; throws when there is nothing to do. */
export function runStep(model: EngineModel, nowUs: number): StepOutcome {
	const durationUs = model.beginStep(nowUs);
	if (durationUs === 0) throw new Error('nothing to do');
	return model.endStep(nowUs + durationUs);
}

/**
 * Replays arrivals (sorted by time) and cancellations until the engine is idle. Returns the sequences in arrival order.
 */
export function replay(
	model: EngineModel,
	arrivals: readonly Arrival[],
	onStep: (outcome: StepOutcome) => void = () => undefined,
): Sequence[] {
	const sequences: Sequence[] = [];
	const cancels: { atUs: number; sequence: Sequence }[] = [];
	let nowUs = 0;
	let next = 0;
	for (;;) {
		const arrival = arrivals[next];
		const cancel = cancels[0];
		const stepUs = model.nextStepUs(nowUs);
		const eventUs = Math.min(arrival?.atUs ?? Infinity, cancel?.atUs ?? Infinity);
		if (eventUs === Infinity && stepUs === Infinity) return sequences;
		nowUs = Math.min(eventUs, stepUs);
		if (arrival !== undefined && arrival.atUs === nowUs) {
			const sequence = accept(model, arrival.request, nowUs);
			sequences.push(sequence);
			next++;
			if (arrival.cancelAtUs !== undefined) {
				cancels.push({ atUs: Math.max(arrival.cancelAtUs, nowUs), sequence });
				cancels.sort((a, b) => a.atUs - b.atUs);
			}
		} else if (cancel !== undefined && cancel.atUs === nowUs) {
			cancels.shift();
			model.cancel(cancel.sequence, nowUs);
		} else if (model.stepInFlight) {
			onStep(model.endStep(nowUs));
		} else if (model.beginStep(nowUs) === 0) {
			throw new Error(`nothing to do at ${nowUs} us although ${model.running + model.waiting} sequences are left`);
		}
	}
}

/**
 * A seeded workload: exponential gaps, prompts and outputs around their means, prompts from `families` shared prefixes.
 */
export function seededArrivals(options: {
	readonly seed: number;
	readonly requests: number;
	readonly gapUsMean: number;
	readonly promptTokensMean: number;
	readonly outputTokensMean: number;
	readonly families: number;
	readonly blockTokens: number;
	readonly cancelShare?: number;
}): Arrival[] {
	const random = new SeededRandom(options.seed);
	const exponential = (mean: number): number => -Math.log(1 - random.nextFloat()) * mean;
	let atUs = 0;
	return Array.from({ length: options.requests }, () => {
		atUs += Math.round(exponential(options.gapUsMean));
		const promptTokens = 1 + Math.floor(exponential(options.promptTokensMean));
		const family = Math.floor(random.nextFloat() * options.families);
		const blocks = Math.floor(promptTokens / options.blockTokens);
		const request: SequenceRequest = {
			promptTokens,
			outputTokens: Math.floor(exponential(options.outputTokensMean)),
			...(options.families > 0 ? { blocks: familyBlocks(family, blocks) } : {}),
		};
		const cancelled = random.nextFloat() < (options.cancelShare ?? 0);
		return { atUs, request, ...(cancelled ? { cancelAtUs: atUs + Math.round(exponential(5000)) } : {}) };
	});
}

/** The first `blocks` blocks of an endless text, one text a family. */
export function familyBlocks(family: number, blocks: number): BlockRuns {
	return new BlockRuns().add(family * 1_000_003, blocks);
}
