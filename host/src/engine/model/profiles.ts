// Owns the named engine profiles: which model on which GPUs, with the constants of its latency and its KV capacity.
// Profiles are data; a caller may build its own with the same parts. Every number names its source or says
// "assumption".
import { MeshError } from '@infermesh/proto';
import { engineErrors } from '../errors.js';
import type { RooflineConstants } from './roofline.js';

/** An emulated engine's capacity and speed. */
export interface EngineProfile {
	readonly name: string;
	/** One line for listings: model, GPUs, calibration. */
	readonly description: string;
	readonly roofline: RooflineConstants;
	/** Device KV capacity in tokens. */
	readonly kvTokens: number;
	/** Longest prompt plus output, in tokens. */
	readonly contextTokensMax: number;
	/** Time from arrival until a request may be scheduled: tokenising and the front end (BLIS alpha0, 15,563 us). */
	readonly ingestUs: number;
	/**
	 * Once a request, after its last token (BLIS alpha1); for simulation only, since a real server has this cost itself.
	 */
	readonly postDecodeUs: number;
	/**
	 * On the client path of each output token (BLIS alpha2); for simulation only, since a real server has this cost
	 * itself.
	 */
	readonly perOutputTokenUs: number;
}

interface ModelShape {
	readonly title: string;
	readonly layers: number;
	readonly hiddenSize: number;
	readonly linearParametersPerLayer: number;
	readonly parameters: number;
	readonly vocabulary: number;
	readonly kvHeads: number;
	readonly headDimension: number;
	readonly contextTokensMax: number;
}

interface Gpu {
	readonly title: string;
	readonly memoryGib: number;
	readonly flopsPerSecond: number;
	readonly memoryBytesPerSecond: number;
	/** All-reduce algorithm bandwidth by tensor-parallel degree (Vidur's profiles of DGX nodes). */
	readonly allReduceBytesPerSecond: Readonly<Record<number, number>>;
	/** Host to device; an assumption: 50 GB/s of the 64 GB/s of PCIe 5 x16, 25 of the 32 GB/s of PCIe 4. */
	readonly pcieBytesPerSecond: number;
}

interface Calibration {
	readonly title: string;
	readonly linearEfficiency: number;
	readonly attentionEfficiency: number;
	readonly weightReadEfficiency: number;
}

const BF16_BYTES = 2;
const GIB = 2 ** 30;

/** Llama-3.1-8B, from its published config (dimensions; linear weights of one layer: q, k, v, o, gate, up, down). */
const LLAMA_8B: ModelShape = {
	title: 'Llama-3.1-8B BF16',
	layers: 32,
	hiddenSize: 4096,
	linearParametersPerLayer: 218.1e6,
	parameters: 8.03e9,
	vocabulary: 128_256,
	kvHeads: 8,
	headDimension: 128,
	contextTokensMax: 131_072,
};

/** Llama-3.1-70B, from its published config. */
const LLAMA_70B: ModelShape = {
	title: 'Llama-3.1-70B BF16',
	layers: 80,
	hiddenSize: 8192,
	linearParametersPerLayer: 855.6e6,
	parameters: 70.55e9,
	vocabulary: 128_256,
	kvHeads: 8,
	headDimension: 128,
	contextTokensMax: 131_072,
};

/** Peak figures from BLIS's hardware table (dense BF16); all-reduce from Vidur's profiles. */
const H100: Gpu = {
	title: 'H100 SXM 80 GB',
	memoryGib: 80,
	flopsPerSecond: 989.5e12,
	memoryBytesPerSecond: 3.35e12,
	allReduceBytesPerSecond: { 2: 293e9, 4: 229e9, 8: 214e9 },
	pcieBytesPerSecond: 50e9,
};

const A100: Gpu = {
	title: 'A100 SXM 80 GB',
	memoryGib: 80,
	flopsPerSecond: 312e12,
	memoryBytesPerSecond: 2.039e12,
	allReduceBytesPerSecond: { 2: 171e9, 4: 126e9, 8: 109e9 },
	pcieBytesPerSecond: 25e9,
};

const L40S: Gpu = {
	title: 'L40S 48 GB',
	memoryGib: 48,
	flopsPerSecond: 362e12,
	memoryBytesPerSecond: 0.864e12,
	allReduceBytesPerSecond: {},
	pcieBytesPerSecond: 25e9,
};

/** End-to-end fit of SplitwiseSim's measured prefill (m_lin, m_att) and Vidur's floors at small batches (e_w). */
const H100_MEASURED: Calibration = {
	title: 'measured',
	linearEfficiency: 0.52,
	attentionEfficiency: 0.28,
	weightReadEfficiency: 0.69,
};

/** Kernel-bound linear MFU of Vidur's H100 profiles (TP1 0.65, TP4 0.66); m_att 0.45 is an assumption. */
const H100_OPTIMISTIC: Calibration = {
	title: 'kernel-bound',
	linearEfficiency: 0.65,
	attentionEfficiency: 0.45,
	weightReadEfficiency: 0.69,
};

const H100_OPTIMISTIC_TP4: Calibration = { ...H100_OPTIMISTIC, linearEfficiency: 0.66 };

/**
 * Vidur's A100 Llama-3 profiles; SplitwiseSim's end-to-end fit (0.70) agrees. m_att is carried over from H100: an
 * assumption.
 */
const A100_MEASURED: Calibration = {
	title: 'measured',
	linearEfficiency: 0.68,
	attentionEfficiency: 0.28,
	weightReadEfficiency: 0.68,
};

const A100_MEASURED_TP4: Calibration = { ...A100_MEASURED, linearEfficiency: 0.69, weightReadEfficiency: 0.66 };

/** BLIS's MFU of the L40S for prefill (0.32); the rest is carried over from A100: an assumption. */
const L40S_ASSUMED: Calibration = {
	title: 'assumed',
	linearEfficiency: 0.32,
	attentionEfficiency: 0.28,
	weightReadEfficiency: 0.68,
};

/** Read efficiency of the KV cache: an assumption between BLIS's 1/1.95 and the weight floors. */
const KV_READ_EFFICIENCY = 0.75;
/** BLIS trained coefficients beta7, beta5, beta6. */
const STEP_OVERHEAD_US = 130;
const LAYER_OVERHEAD_US = 32;
const SEQUENCE_OVERHEAD_US = 4.4;
/** Small all-reduce on NVLink: the middle of the 23 to 38 us seen in Vidur's profiles. */
const ALL_REDUCE_US = 30;
/** BLIS trained coefficients alpha0, alpha1, alpha2. */
const INGEST_US = 15_563;
const POST_DECODE_US = 777;
const PER_OUTPUT_TOKEN_US = 46;

function kvBytesPerToken(model: ModelShape): number {
	return model.layers * 2 * model.kvHeads * model.headDimension * BF16_BYTES;
}

/**
 * KV capacity in tokens, by BLIS's formula: 90 % of memory, less weights, 5.5 GiB of activations and 0.15 GiB (one GPU)
 * or 0.6 GiB a GPU (tensor parallel) of runtime. Gives 421k for 8B on one H100 and 487k for 70B on four.
 */
function kvCapacityTokens(model: ModelShape, gpu: Gpu, tensorParallel: number): number {
	const runtimeGib = tensorParallel === 1 ? 0.15 : 0.6 * tensorParallel;
	const weightsGib = (model.parameters * BF16_BYTES) / GIB;
	const freeGib = gpu.memoryGib * 0.9 * tensorParallel - weightsGib - 5.5 - runtimeGib;
	return Math.floor((freeGib * GIB) / kvBytesPerToken(model));
}

function profile(
	name: string,
	model: ModelShape,
	gpu: Gpu,
	tensorParallel: number,
	calibration: Calibration,
): EngineProfile {
	const kvTokens = kvCapacityTokens(model, gpu, tensorParallel);
	return Object.freeze({
		name,
		description: `${model.title} on ${tensorParallel} x ${gpu.title}, ${calibration.title} constants`,
		roofline: Object.freeze({
			tensorParallel,
			layers: model.layers,
			hiddenSize: model.hiddenSize,
			linearParametersPerLayer: model.linearParametersPerLayer,
			weightBytes: BF16_BYTES * (model.linearParametersPerLayer * model.layers + model.vocabulary * model.hiddenSize),
			kvBytesPerToken: kvBytesPerToken(model),
			activationBytes: BF16_BYTES,
			flopsPerSecond: gpu.flopsPerSecond,
			memoryBytesPerSecond: gpu.memoryBytesPerSecond,
			linearEfficiency: calibration.linearEfficiency,
			attentionEfficiency: calibration.attentionEfficiency,
			weightReadEfficiency: calibration.weightReadEfficiency,
			kvReadEfficiency: KV_READ_EFFICIENCY,
			stepOverheadUs: STEP_OVERHEAD_US,
			layerOverheadUs: LAYER_OVERHEAD_US,
			sequenceOverheadUs: SEQUENCE_OVERHEAD_US,
			allReduceUs: ALL_REDUCE_US,
			allReduceBytesPerSecond: gpu.allReduceBytesPerSecond[tensorParallel] ?? Number.POSITIVE_INFINITY,
			pcieBytesPerSecond: gpu.pcieBytesPerSecond,
		}),
		kvTokens,
		contextTokensMax: Math.min(model.contextTokensMax, kvTokens),
		ingestUs: INGEST_US,
		postDecodeUs: POST_DECODE_US,
		perOutputTokenUs: PER_OUTPUT_TOKEN_US,
	});
}

const PROFILES: readonly EngineProfile[] = [
	profile('h100-8b', LLAMA_8B, H100, 1, H100_MEASURED),
	profile('h100-8b-optimistic', LLAMA_8B, H100, 1, H100_OPTIMISTIC),
	profile('h100-70b-tp4', LLAMA_70B, H100, 4, H100_MEASURED),
	profile('h100-70b-tp4-optimistic', LLAMA_70B, H100, 4, H100_OPTIMISTIC_TP4),
	profile('h100-70b-tp8', LLAMA_70B, H100, 8, H100_MEASURED),
	profile('a100-8b', LLAMA_8B, A100, 1, A100_MEASURED),
	profile('a100-70b-tp4', LLAMA_70B, A100, 4, A100_MEASURED_TP4),
	profile('l40s-8b', LLAMA_8B, L40S, 1, L40S_ASSUMED),
];

/** All named profiles, in the order they should be listed. */
export function engineProfiles(): readonly EngineProfile[] {
	return PROFILES;
}

/** The profile of this name; throws `IM_ENGINE_PROFILE_UNKNOWN` and lists the names there are. */
export function engineProfile(name: string): EngineProfile {
	const found = PROFILES.find((candidate) => candidate.name === name);
	if (found !== undefined) return found;
	const names = PROFILES.map((candidate) => candidate.name).join(', ');
	throw new MeshError(engineErrors, 'IM_ENGINE_PROFILE_UNKNOWN', `no engine profile '${name}'; there are: ${names}`);
}
