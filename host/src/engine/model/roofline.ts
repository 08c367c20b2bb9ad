// Owns the roofline latency model: a step costs what its weights, FLOPs, attention, KV reads and collectives cost on
// the hardware, each scaled by a measured efficiency. The constants themselves are data and live in profiles.ts.
import type { LatencyModel, StepShape } from './latency.js';

/** Everything the roofline needs. Rates are per GPU; the model divides work over `tensorParallel` GPUs. */
export interface RooflineConstants {
	/** GPUs one replica is spread over. */
	readonly tensorParallel: number;
	/** Transformer layers (L). */
	readonly layers: number;
	/** Hidden size (d): query heads times head dimension. */
	readonly hiddenSize: number;
	/** Weights of the linear operations of one layer, in parameters; P of the formula is this times `layers`. */
	readonly linearParametersPerLayer: number;
	/** Bytes of weights read by one step (W): linear layers and output head; the embedding table is not read whole. */
	readonly weightBytes: number;
	/** Bytes of KV cache a token takes over all layers and GPUs (KVB). */
	readonly kvBytesPerToken: number;
	/** Bytes of one activation element, for the all-reduce volume. */
	readonly activationBytes: number;
	/** Peak dense FLOP/s of one GPU (F). */
	readonly flopsPerSecond: number;
	/** Peak memory bandwidth of one GPU, bytes/s (BW). */
	readonly memoryBytesPerSecond: number;
	/** Achieved fraction of peak FLOP/s in linear layers (m_lin) and attention (m_att). */
	readonly linearEfficiency: number;
	readonly attentionEfficiency: number;
	/** Achieved fraction of memory bandwidth reading weights (e_w) and KV cache (e_kv). */
	readonly weightReadEfficiency: number;
	readonly kvReadEfficiency: number;
	/** Cost of a step (t0), of each layer (t_L) and of each sequence in the batch (t_req). */
	readonly stepOverheadUs: number;
	readonly layerOverheadUs: number;
	readonly sequenceOverheadUs: number;
	/** Latency of one small all-reduce (t_ar) and its algorithm bandwidth (BW_ar); unused when tensorParallel is 1. */
	readonly allReduceUs: number;
	readonly allReduceBytesPerSecond: number;
	/** Host to device bandwidth of one GPU, for reloads from the host tier (BW_pcie). */
	readonly pcieBytesPerSecond: number;
}

const US_PER_SECOND = 1e6;

/**
 * T_step = t0 + L*t_L + t_req*batch
 *        + max(W / (TP*BW*e_w), 2*P*n / (TP*F*m_lin))
 *        + sum_prefill 4*L*d*c*(s + c/2) / (TP*F*m_att)
 *        + sum_decode ctx*KVB / (TP*BW*e_kv)
 *        + [TP > 1] 2*L*(t_ar + n*d*bytes / BW_ar)
 *        + host_hit_tokens*KVB / (TP*BW_pcie)
 *
 * The form is the roofline of BLIS (inference-sim) with the all-reduce term of Vidur's profiles; the factor 4*L*d
 * counts the two attention products, two FLOPs each. Folded at construction into one multiplication a term.
 */
export class RooflineLatency implements LatencyModel {
	readonly #fixedUs: number;
	readonly #sequenceUs: number;
	readonly #weightsUs: number;
	readonly #linearUsPerToken: number;
	readonly #attentionUsPerPair: number;
	readonly #kvReadUsPerToken: number;
	readonly #allReduceUsPerToken: number;
	readonly #reloadUsPerToken: number;

	constructor(constants: RooflineConstants) {
		const c = constants;
		const bandwidth = c.tensorParallel * c.memoryBytesPerSecond;
		const flops = c.tensorParallel * c.flopsPerSecond;
		const parallel = c.tensorParallel > 1;
		this.#fixedUs = c.stepOverheadUs + c.layers * c.layerOverheadUs + (parallel ? 2 * c.layers * c.allReduceUs : 0);
		this.#sequenceUs = c.sequenceOverheadUs;
		this.#weightsUs = (c.weightBytes / (bandwidth * c.weightReadEfficiency)) * US_PER_SECOND;
		this.#linearUsPerToken =
			((2 * c.linearParametersPerLayer * c.layers) / (flops * c.linearEfficiency)) * US_PER_SECOND;
		this.#attentionUsPerPair = ((4 * c.layers * c.hiddenSize) / (flops * c.attentionEfficiency)) * US_PER_SECOND;
		this.#kvReadUsPerToken = (c.kvBytesPerToken / (bandwidth * c.kvReadEfficiency)) * US_PER_SECOND;
		this.#allReduceUsPerToken = parallel
			? ((2 * c.layers * c.hiddenSize * c.activationBytes) / c.allReduceBytesPerSecond) * US_PER_SECOND
			: 0;
		this.#reloadUsPerToken = (c.kvBytesPerToken / (c.tensorParallel * c.pcieBytesPerSecond)) * US_PER_SECOND;
	}

	stepUs(shape: Readonly<StepShape>): number {
		const tokens = shape.prefillTokens + shape.decodeSequences;
		return (
			this.#fixedUs +
			this.#sequenceUs * (shape.prefillSequences + shape.decodeSequences) +
			Math.max(this.#weightsUs, this.#linearUsPerToken * tokens) +
			this.#attentionUsPerPair * shape.prefillAttentionPairs +
			this.#kvReadUsPerToken * shape.decodeContextTokens +
			this.#allReduceUsPerToken * tokens +
			this.#reloadUsPerToken * shape.hostReloadTokens
		);
	}
}
