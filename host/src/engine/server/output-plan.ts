// Owns deciding, from the seed alone, what an answer will say and how long it is. The plan stays inside the engine: a
// client learns of it token by token, and the step model is told the length only.
import { MeshError, type Random, SeededRandom } from '@infermesh/proto';
import { standardNormal } from '../../statistics/normal.js';
import { engineErrors } from '../errors.js';
import type { GenerationRequest } from './generation-request.js';
import type { OutputLengths } from './options.js';
import { contentSeed, type Prompt } from './prompt.js';
import { schemaValue } from './schema-value.js';
import { generateText, piecesOf } from './text-generator.js';

export type FinishReason = 'stop' | 'length' | 'tool_calls';

export interface OutputPlan {
	/** The text, one piece a token. */
	readonly pieces: readonly string[];
	readonly finishReason: FinishReason;
}

export interface PlanLimits {
	readonly contextTokensMax: number;
	readonly lengths: OutputLengths;
	/** The engine's seed, mixed into answers whose request gives none. */
	readonly seed: number;
}

/** Plans choice number `choice` of `prompt`; throws `IM_ENGINE_CONTEXT_EXCEEDED` when it cannot fit. */
export function planOutput(request: GenerationRequest, prompt: Prompt, choice: number, limits: PlanLimits): OutputPlan {
	const limit = outputLimit(request, prompt, limits.contextTokensMax);
	const seed = request.seed === undefined ? contentSeed(prompt.bytes) ^ limits.seed : request.seed % 2 ** 32;
	const random = new SeededRandom(seed >>> 0, choice);
	if (request.tool !== undefined) {
		const { parameters, named } = request.tool;
		return fixedPlan(JSON.stringify(schemaValue(parameters, random)), limit, named ? 'stop' : 'tool_calls');
	}
	if (request.jsonSchema !== undefined) {
		return fixedPlan(JSON.stringify(schemaValue(request.jsonSchema, random)), limit, 'stop');
	}
	const wanted = request.ignoreEos ? limit : Math.max(request.minTokens, drawLength(limits.lengths, random));
	return {
		pieces: generateText(Math.min(wanted, limit), random),
		finishReason: wanted >= limit ? 'length' : 'stop',
	};
}

function outputLimit(request: GenerationRequest, prompt: Prompt, contextTokensMax: number): number {
	const room = contextTokensMax - prompt.tokens;
	const asked = request.maxTokens ?? room;
	if (room >= 1 && asked <= room) return asked;
	throw new MeshError(
		engineErrors,
		'IM_ENGINE_CONTEXT_EXCEEDED',
		`This model's maximum context length is ${contextTokensMax} tokens. However, you requested ` +
			`${prompt.tokens + Math.max(asked, 1)} tokens (${prompt.tokens} in the messages, ${Math.max(asked, 1)} in the completion).`,
		{ where: 'messages' },
	);
}

function fixedPlan(text: string, limit: number, finishReason: FinishReason): OutputPlan {
	const pieces = piecesOf(text);
	if (pieces.length <= limit) return { pieces, finishReason };
	return { pieces: pieces.slice(0, limit), finishReason: 'length' };
}

/** Log-normal, at least one token. */
function drawLength(lengths: OutputLengths, random: Random): number {
	return Math.max(1, Math.round(lengths.medianTokens * Math.exp(lengths.sigma * standardNormal(random))));
}
