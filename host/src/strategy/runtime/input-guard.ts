// Owns quarantine by input: a request shape on which a strategy has already struck twice is answered by the fallback without asking it
// again, so that one "query of death" retried by a client cannot cost spare after spare.
import type { RequestFeatures } from './decision.js';

/** Inputs remembered; the oldest go first. */
const INPUTS_MAX = 1024;
/** Strikes of one version on one input before the input is kept from it. */
const STRIKES_MAX = 2;

export class InputGuard {
	readonly #strikes = new Map<number, number>();

	/** True when this version has struck on this input too often. Costs nothing while there are no strikes at all. */
	blocked(versionId: number, modelId: number, features: RequestFeatures): boolean {
		if (this.#strikes.size === 0) return false;
		return (this.#strikes.get(keyOf(versionId, modelId, features)) ?? 0) >= STRIKES_MAX;
	}

	struck(versionId: number, modelId: number, features: RequestFeatures): void {
		const key = keyOf(versionId, modelId, features);
		const count = (this.#strikes.get(key) ?? 0) + 1;
		this.#strikes.delete(key);
		this.#strikes.set(key, count);
		if (this.#strikes.size <= INPUTS_MAX) return;
		const oldest = this.#strikes.keys().next();
		if (oldest.done !== true) this.#strikes.delete(oldest.value);
	}
}

/** 53 bits over version, model, prompt and size: what two tries of one request have in common. */
function keyOf(versionId: number, modelId: number, features: RequestFeatures): number {
	let low = Math.imul(features.promptHashLow ^ versionId, 0x9e3779b1) ^ features.tokensIn;
	low = Math.imul(low ^ (low >>> 15), 0x85ebca6b) ^ modelId;
	const high = Math.imul(features.promptHashHigh ^ features.tokensIn, 0xc2b2ae35) ^ features.tokensOutMax;
	return (low >>> 0) + (high & 0x1f_ffff) * 0x1_0000_0000;
}
