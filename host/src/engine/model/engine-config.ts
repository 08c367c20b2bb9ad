// Owns the sizes and limits of one engine model: their defaults, derivation from a profile, and validation.
import { MeshError } from '@infermesh/proto';
import { engineErrors } from '../errors.js';
import type { EngineProfile } from './profiles.js';

export interface EngineModelConfig {
	/** Tokens of one KV block. vLLM's default is 16. */
	readonly blockTokens: number;
	/** Device KV capacity in blocks. */
	readonly kvBlocks: number;
	/** Host KV tier in blocks; 0 for none. */
	readonly hostBlocks: number;
	/** Tokens one step may compute. 2,048 favours inter-token latency, 8,192 throughput. */
	readonly stepTokensMax: number;
	/** Sequences one step may hold. */
	readonly sequencesMax: number;
	/** Sequences that may wait; more are rejected. */
	readonly waitingMax: number;
	/** Whether blocks are shared between sequences with the same prefix. */
	readonly prefixCaching: boolean;
	/** Time from arrival until a sequence may be scheduled. */
	readonly ingestUs: number;
}

export type EngineModelOverrides = Partial<EngineModelConfig>;

/**
 * A configuration for `profile` with vLLM's defaults; `overrides` replace single fields. Throws
 * `IM_ENGINE_OPTIONS_INVALID`.
 */
export function engineModelConfig(profile: EngineProfile, overrides: EngineModelOverrides = {}): EngineModelConfig {
	const blockTokens = overrides.blockTokens ?? 16;
	const config: EngineModelConfig = {
		kvBlocks: Math.floor(profile.kvTokens / blockTokens),
		hostBlocks: 0,
		stepTokensMax: 2048,
		sequencesMax: 256,
		waitingMax: 65_536,
		prefixCaching: true,
		ingestUs: profile.ingestUs,
		...overrides,
		blockTokens,
	};
	validate(config);
	return config;
}

function validate(config: EngineModelConfig): void {
	atLeast('blockTokens', config.blockTokens, 1);
	atLeast('kvBlocks', config.kvBlocks, 1);
	atLeast('hostBlocks', config.hostBlocks, 0);
	atLeast('stepTokensMax', config.stepTokensMax, 1);
	atLeast('sequencesMax', config.sequencesMax, 1);
	atLeast('waitingMax', config.waitingMax, 1);
	atLeast('ingestUs', config.ingestUs, 0);
}

function atLeast(name: string, value: number, minimum: number): void {
	if (Number.isSafeInteger(value) && value >= minimum) return;
	throw new MeshError(
		engineErrors,
		'IM_ENGINE_OPTIONS_INVALID',
		`${name} must be an integer of at least ${minimum}, not ${value}`,
		{ where: name },
	);
}
