// Owns the options of a served engine: what each means, its default, and the check that it makes sense.
import { type Clock, MeshError } from '@infermesh/proto';
import { engineErrors } from '../errors.js';
import { type EngineModelConfig, type EngineModelOverrides, engineModelConfig } from '../model/engine-config.js';
import type { LatencyModel } from '../model/latency.js';
import { type EngineProfile, engineProfile } from '../model/profiles.js';
import { RooflineLatency } from '../model/roofline.js';
import type { FaultSettings } from './faults.js';
import type { KvPublisherOptions } from './kv-publisher.js';

/** Whose metric names `/metrics` speaks: vLLM's, vLLM's of before mid 2025, or SGLang's. */
export type MetricsDialect = 'vllm' | 'vllm-legacy' | 'sglang';

/** How long answers are when nothing forces a length: log-normal, drawn from the request's seed. */
export interface OutputLengths {
	readonly medianTokens: number;
	/** Standard deviation of the logarithm. */
	readonly sigma: number;
}

/** How KV is handed to other engines: as vLLM's NixlConnector does, or as SGLang's bootstrap. */
export type TransferProtocol = 'none' | 'nixl' | 'bootstrap';

/** Disaggregated prefill, and what a transfer of KV takes. */
export interface TransferOptions {
	readonly protocol: TransferProtocol;
	/** SGLang's engines do one of the two only; to vLLM's it is a name. */
	readonly role: 'both' | 'prefill' | 'decode';
	readonly bytesPerSecond: number;
	/** A prefill nobody has fetched is forgotten after this; a decode waits this long for its prefill. Real milliseconds. */
	readonly waitMs: number;
	/** When KV cannot be loaded: compute it (vLLM's default), or fail the request. */
	readonly onLoadFailure: 'recompute' | 'fail';
}

/** 200 Gb/s, as of one network card. */
export const transferDefaults: TransferOptions = {
	protocol: 'none',
	role: 'both',
	bytesPerSecond: 25e9,
	waitMs: 30_000,
	onLoadFailure: 'recompute',
};

/** What `startEngine` takes. Only `clock` and `models` are required. */
export interface EngineOptions {
	/** Time for steps, time-outs and `created` stamps. */
	readonly clock: Clock;
	/** Names this engine answers to; the first labels its metrics. At least one. */
	readonly models: readonly string[];
	/** A name from `engineProfiles()` or a profile of your own. Default `h100-8b`. */
	readonly profile?: string | EngineProfile;
	/** Replaces single sizes and limits of the profile: blocks, host tier, step budget, sequences, ingest time. */
	readonly model?: EngineModelOverrides;
	/** Replaces the roofline of the profile. */
	readonly latency?: LatencyModel;
	/** Address to listen on. Default `127.0.0.1`. */
	readonly host?: string;
	/** Port to listen on; 0, the default, takes a free one. */
	readonly port?: number;
	/** Model time runs this many times faster than real time; above 0. Default 1. */
	readonly speed?: number;
	/** Seed of texts, lengths, ids and faults, unsigned 32 bits. Default 0. */
	readonly seed?: number;
	/** When set, `/v1/*` and `/tokenize` want `Authorization: Bearer KEY`. */
	readonly apiKey?: string;
	readonly metricsDialect?: MetricsDialect;
	readonly outputLengths?: OutputLengths;
	readonly transfer?: Partial<TransferOptions>;
	/** Publishes KV events over ZeroMQ as vLLM and SGLang do; by default it does not. */
	readonly kvEvents?: KvPublisherOptions;
	/** Length of embedding vectors when the request does not say. Default 1,024. */
	readonly embeddingDimensions?: number;
	/** Fault switches that are on from the start. */
	readonly faults?: FaultSettings;
	/** Largest request body. Default 16 MiB. */
	readonly bodyBytesMax?: number;
	/** Bytes a stream may hold for a slow reader before it is cut off. Default 1 MiB. */
	readonly streamBufferBytesMax?: number;
	/** Most choices (`n` times prompts) of one request. Default 128. */
	readonly choicesMax?: number;
	/** Most open connections. Default 10,000. */
	readonly connectionsMax?: number;
	/** How long an idle kept-alive connection stays open. Default 65,000. */
	readonly keepAliveTimeoutMs?: number;
	/** How long a client may take to send its request. Default 60,000. */
	readonly requestTimeoutMs?: number;
	/** How long `close` waits for requests in flight before it cuts them. Default 10,000. */
	readonly drainTimeoutMs?: number;
	/** How far emulated time may lag behind before the lag is given up and counted. Default 250. */
	readonly lagMsMax?: number;
	/** Told about failures that are bugs of the engine; by default nobody is. */
	readonly onInternalError?: (error: unknown) => void;
}

/** Options with every default filled in. */
export interface ResolvedEngineOptions
	extends Required<Omit<EngineOptions, 'profile' | 'model' | 'apiKey' | 'transfer' | 'kvEvents'>> {
	readonly transfer: TransferOptions;
	readonly profile: EngineProfile;
	readonly config: EngineModelConfig;
	readonly apiKey: string | undefined;
	readonly kvEvents: KvPublisherOptions | undefined;
	/** Longest prompt plus output: the profile's, or what the KV cache holds if that is less. */
	readonly contextTokensMax: number;
}

const DIALECTS: readonly MetricsDialect[] = ['vllm', 'vllm-legacy', 'sglang'];

/** Fills in defaults and checks every option; throws `IM_ENGINE_OPTIONS_INVALID` or `IM_ENGINE_PROFILE_UNKNOWN`. */
export function resolveEngineOptions(options: EngineOptions): ResolvedEngineOptions {
	const profile = typeof options.profile === 'object' ? options.profile : engineProfile(options.profile ?? 'h100-8b');
	const config = engineModelConfig(profile, options.model);
	const resolved: ResolvedEngineOptions = {
		clock: options.clock,
		models: options.models,
		profile,
		config,
		latency: options.latency ?? new RooflineLatency(profile.roofline),
		contextTokensMax: Math.min(profile.contextTokensMax, config.kvBlocks * config.blockTokens),
		host: options.host ?? '127.0.0.1',
		port: options.port ?? 0,
		speed: options.speed ?? 1,
		seed: options.seed ?? 0,
		apiKey: options.apiKey,
		kvEvents: options.kvEvents,
		metricsDialect: options.metricsDialect ?? 'vllm',
		outputLengths: options.outputLengths ?? { medianTokens: 160, sigma: 0.8 },
		transfer: { ...transferDefaults, ...options.transfer },
		embeddingDimensions: options.embeddingDimensions ?? 1024,
		faults: options.faults ?? {},
		bodyBytesMax: options.bodyBytesMax ?? 16 * 2 ** 20,
		streamBufferBytesMax: options.streamBufferBytesMax ?? 2 ** 20,
		choicesMax: options.choicesMax ?? 128,
		connectionsMax: options.connectionsMax ?? 10_000,
		keepAliveTimeoutMs: options.keepAliveTimeoutMs ?? 65_000,
		requestTimeoutMs: options.requestTimeoutMs ?? 60_000,
		drainTimeoutMs: options.drainTimeoutMs ?? 10_000,
		lagMsMax: options.lagMsMax ?? 250,
		onInternalError: options.onInternalError ?? (() => undefined),
	};
	check(resolved);
	return resolved;
}

function check(options: ResolvedEngineOptions): void {
	if (options.models.length === 0 || options.models.some((name) => name === '')) {
		invalid('models', 'must name at least one model');
	}
	if (!(options.speed > 0) || !Number.isFinite(options.speed)) invalid('speed', 'must be a number above 0');
	if (!DIALECTS.includes(options.metricsDialect)) {
		invalid('metricsDialect', `must be one of ${DIALECTS.join(', ')}`);
	}
	const { medianTokens, sigma } = options.outputLengths;
	if (!(medianTokens >= 1) || !(sigma >= 0)) invalid('outputLengths', 'needs medianTokens >= 1 and sigma >= 0');
	if (!(options.transfer.bytesPerSecond > 0)) invalid('transfer.bytesPerSecond', 'must be a number above 0');
	integer('transfer.waitMs', options.transfer.waitMs, 1, 2 ** 31 - 1);
	integer('seed', options.seed, 0, 2 ** 32 - 1);
	integer('port', options.port, 0, 65_535);
	integer('embeddingDimensions', options.embeddingDimensions, 1, 65_536);
	integer('bodyBytesMax', options.bodyBytesMax, 1, 2 ** 30);
	integer('streamBufferBytesMax', options.streamBufferBytesMax, 1, 2 ** 30);
	integer('choicesMax', options.choicesMax, 1, 65_536);
	integer('connectionsMax', options.connectionsMax, 1, 2 ** 20);
	integer('keepAliveTimeoutMs', options.keepAliveTimeoutMs, 1, 2 ** 31 - 1);
	integer('requestTimeoutMs', options.requestTimeoutMs, 1, 2 ** 31 - 1);
	integer('drainTimeoutMs', options.drainTimeoutMs, 0, 2 ** 31 - 1);
	integer('lagMsMax', options.lagMsMax, 1, 2 ** 31 - 1);
}

function integer(name: string, value: number, minimum: number, maximum: number): void {
	if (Number.isSafeInteger(value) && value >= minimum && value <= maximum) return;
	invalid(name, `must be an integer from ${minimum} to ${maximum}, not ${value}`);
}

function invalid(name: string, problem: string): never {
	throw new MeshError(engineErrors, 'IM_ENGINE_OPTIONS_INVALID', `${name} ${problem}`, { where: name });
}
