// Owns running one request through the engine: one sequence a choice, text released token by token, stop strings, and
// the end. Knows nothing of HTTP; a sink hears the text.
import { MeshError } from '@infermesh/proto';
import { engineErrors } from '../errors.js';
import type { Sequence } from '../model/sequence.js';
import type { EngineDriver } from './engine-driver.js';
import type { GenerationRequest } from './generation-request.js';
import type { EngineMetrics } from './metrics.js';
import { type FinishReason, type OutputPlan, type PlanLimits, planOutput } from './output-plan.js';
import { type Prompt, sequenceHashes, sequenceTokens } from './prompt.js';
import { StopMatcher } from './stop-matcher.js';

/** What one choice has come to. */
export interface ChoiceState {
	readonly index: number;
	readonly tokens: number;
	readonly text: string;
	readonly finishReason: FinishReason | undefined;
	/** The stop string that ended it, if one did. */
	readonly stop: string | undefined;
}

export interface Usage {
	readonly promptTokens: number;
	readonly cachedTokens: number;
	readonly completionTokens: number;
}

export interface GenerationSink {
	/**
	 * New text of a choice (may be empty while held back for a stop string); `choice.finishReason` is set with its last.
	 */
	onText(choice: ChoiceState, text: string): void;
	/** All choices are done. */
	onDone(): void;
}

interface Choice extends ChoiceState {
	tokens: number;
	text: string;
	finishReason: FinishReason | undefined;
	stop: string | undefined;
	readonly prompt: Prompt;
	readonly plan: OutputPlan;
	readonly matcher: StopMatcher;
	sequence: Sequence | undefined;
}

export interface GenerationContext {
	readonly driver: EngineDriver;
	readonly metrics: EngineMetrics;
	readonly limits: PlanLimits;
	/** Somebody is told what the cache holds. */
	readonly tellsTokens: boolean;
}

export class Generation {
	readonly #context: GenerationContext;
	readonly #choices: Choice[];
	readonly #sink: GenerationSink;
	readonly #cacheSalt: number;
	#unfinished: number;
	#cancelled = false;

	/** Plans all choices; throws when one cannot fit the context. Nothing runs before `start`. */
	constructor(context: GenerationContext, request: GenerationRequest, sink: GenerationSink) {
		this.#context = context;
		this.#sink = sink;
		this.#choices = request.prompts.flatMap((prompt, p) =>
			Array.from({ length: request.choices }, (_, n) => newChoice(context, request, prompt, p * request.choices + n)),
		);
		this.#unfinished = this.#choices.length;
		this.#cacheSalt = request.cacheSalt;
	}

	get choices(): readonly ChoiceState[] {
		return this.#choices;
	}

	get usage(): Usage {
		let promptTokens = 0;
		let cachedTokens = 0;
		let completionTokens = 0;
		let counted: Prompt | undefined;
		for (const choice of this.#choices) {
			completionTokens += choice.tokens;
			// The choices of one prompt follow each other, and the prompt is counted once.
			if (choice.prompt === counted) continue;
			counted = choice.prompt;
			promptTokens += choice.prompt.tokens;
			const { sequence } = choice;
			if (sequence === undefined) continue;
			cachedTokens += Math.max(0, sequence.cachedTokens) + sequence.hostTokens + sequence.transferredTokens;
		}
		return { promptTokens, cachedTokens, completionTokens };
	}

	/**
	 * Queues all choices; throws `IM_ENGINE_QUEUE_FULL` and leaves none queued when there is no room. `transferredTokens` of the first prompt need no
	 * computing: their KV has come from another engine.
	 */
	start(transferredTokens = 0): void {
		const { driver } = this.#context;
		const { blockTokens } = driver.model.config;
		for (const choice of this.#choices) {
			const { prompt, plan } = choice;
			const output = plan.pieces.join('');
			const result = driver.submit(
				{
					promptTokens: prompt.tokens,
					outputTokens: plan.pieces.length,
					blocks: driver.blockNumbers.of(sequenceHashes(prompt, output, blockTokens, this.#cacheSalt)),
					transferredTokens: prompt === this.#choices[0]?.prompt ? transferredTokens : 0,
					// What a salt keeps apart is not to be found by its tokens.
					...(this.#context.tellsTokens && this.#cacheSalt === 0 ? { tokens: sequenceTokens(prompt, output) } : {}),
				},
				{ onToken: () => this.#onToken(choice), onFinish: () => undefined },
			);
			if (typeof result === 'string') {
				this.cancel();
				const code = result === 'too_long' ? 'IM_ENGINE_CONTEXT_EXCEEDED' : 'IM_ENGINE_QUEUE_FULL';
				throw new MeshError(engineErrors, code);
			}
			choice.sequence = result;
		}
	}

	/** Ends whatever still runs and frees its blocks; the sink hears nothing more. */
	cancel(): void {
		if (this.#cancelled || this.#unfinished === 0) return;
		this.#cancelled = true;
		for (const { sequence, finishReason } of this.#choices) {
			if (sequence === undefined || finishReason !== undefined) continue;
			if (this.#context.driver.cancel(sequence)) this.#context.metrics.finished(sequence, 'abort');
		}
	}

	#onToken(choice: Choice): void {
		const piece = choice.plan.pieces[choice.tokens++] ?? '';
		const { text, stop } = choice.matcher.push(piece);
		const last = choice.tokens === choice.plan.pieces.length;
		const released = last && stop === undefined ? text + choice.matcher.flush() : text;
		choice.text += released;
		choice.stop = stop;
		if (stop !== undefined) choice.finishReason = 'stop';
		else if (last) choice.finishReason = choice.plan.finishReason;
		this.#sink.onText(choice, released);
		if (choice.finishReason !== undefined && !this.#cancelled) this.#finish(choice);
	}

	#finish(choice: Choice): void {
		const { sequence } = choice;
		if (sequence !== undefined) {
			this.#context.driver.cancel(sequence);
			this.#context.metrics.finished(sequence, choice.finishReason === 'length' ? 'length' : 'stop');
		}
		this.#unfinished--;
		if (this.#unfinished === 0) this.#sink.onDone();
	}
}

function newChoice(context: GenerationContext, request: GenerationRequest, prompt: Prompt, index: number): Choice {
	return {
		index,
		tokens: 0,
		text: '',
		finishReason: undefined,
		stop: undefined,
		prompt,
		plan: planOutput(request, prompt, index % request.choices, context.limits),
		matcher: new StopMatcher(request.stops, request.includeStop),
		sequence: undefined,
	};
}
