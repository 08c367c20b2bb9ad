// Owns what a served engine counts beside the model's own counters: histograms in real seconds and finished requests by
// reason. How it is named on the wire is metrics-dialects.ts.
import type { Sequence } from '../model/sequence.js';
import type { EngineDriver } from './engine-driver.js';
import { Histogram } from './prometheus-text.js';

export type EndReason = 'stop' | 'length' | 'abort' | 'error';

export const END_REASONS: readonly EndReason[] = ['stop', 'length', 'abort', 'error'];

/** vLLM's bucket bounds. */
const TTFT_BOUNDS = [
	0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80, 160, 640, 2560,
];
const TOKEN_BOUNDS = [0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80];
const REQUEST_BOUNDS = [0.3, 0.5, 0.8, 1, 1.5, 2, 2.5, 5, 10, 15, 20, 30, 40, 50, 60, 120, 240, 480, 960, 1920, 7680];

/** The 1-2-5 series up to the context length, as vLLM builds it. */
function lengthBounds(contextTokensMax: number): number[] {
	const bounds: number[] = [];
	for (let decade = 1; ; decade *= 10) {
		for (const step of [1, 2, 5]) {
			if (step * decade > contextTokensMax) return bounds;
			bounds.push(step * decade);
		}
	}
}

/** Adapters an engine has loaded at once. */
export const LORAS_MAX = 4;

export class EngineMetrics {
	readonly timeToFirstToken = new Histogram(TTFT_BOUNDS);
	readonly interTokenLatency = new Histogram(TOKEN_BOUNDS);
	readonly e2eLatency = new Histogram(REQUEST_BOUNDS);
	readonly queueTime = new Histogram(REQUEST_BOUNDS);
	readonly promptTokens: Histogram;
	readonly generationTokens: Histogram;
	readonly endReasons: Record<EndReason, number> = { stop: 0, length: 0, abort: 0, error: 0 };
	/** LoRA adapters loaded, the one least recently asked for first. */
	readonly loras: string[] = [];
	readonly #secondsPerUs: number;
	#windowStartUs = 0;
	#windowTokens = 0;
	#throughput = 0;

	/** `speed` turns model microseconds into the real seconds a client sees. */
	constructor(speed: number, contextTokensMax: number) {
		this.#secondsPerUs = 1e-6 / speed;
		this.promptTokens = new Histogram(lengthBounds(contextTokensMax));
		this.generationTokens = new Histogram(lengthBounds(contextTokensMax));
	}

	/** A request asks for an adapter: it is loaded, in place of the one that has waited longest where there are as many as may be. */
	loraAsked(name: string): void {
		const at = this.loras.indexOf(name);
		if (at >= 0) this.loras.splice(at, 1);
		this.loras.push(name);
		if (this.loras.length > LORAS_MAX) this.loras.shift();
	}

	/** One token is out at model time `nowUs`; `sincePreviousUs` is -1 for the first of a sequence. */
	token(sequence: Sequence, sincePreviousUs: number, nowUs: number): void {
		if (sincePreviousUs >= 0) this.interTokenLatency.observe(sincePreviousUs * this.#secondsPerUs);
		else this.timeToFirstToken.observe((nowUs - sequence.arrivalUs) * this.#secondsPerUs);
		this.#windowTokens++;
		this.#roll(nowUs);
	}

	finished(sequence: Sequence, reason: EndReason): void {
		this.endReasons[reason]++;
		this.promptTokens.observe(sequence.promptTokens);
		this.generationTokens.observe(sequence.generatedTokens);
		this.e2eLatency.observe((sequence.finishedUs - sequence.arrivalUs) * this.#secondsPerUs);
		if (sequence.scheduledUs >= 0) {
			this.queueTime.observe((sequence.scheduledUs - sequence.readyUs) * this.#secondsPerUs);
		}
	}

	/** Tokens a real second over the last whole second; 0 when nothing came out for two. */
	throughput(nowUs: number): number {
		this.#roll(nowUs);
		return this.#throughput;
	}

	#roll(nowUs: number): void {
		const seconds = (nowUs - this.#windowStartUs) * this.#secondsPerUs;
		if (seconds < 1) return;
		this.#throughput = seconds < 2 ? this.#windowTokens / seconds : 0;
		this.#windowTokens = 0;
		this.#windowStartUs = nowUs;
	}
}

/** Numbers a scrape and an ORCA header read from the engine. */
export interface EngineLoad {
	readonly running: number;
	readonly waiting: number;
	/** Share of device KV blocks in use, 0 to 1. */
	readonly kvUse: number;
}

export function engineLoad(driver: EngineDriver): EngineLoad {
	const { model } = driver;
	return { running: model.running, waiting: model.waiting, kvUse: model.kvBlocksUsed / model.config.kvBlocks };
}
