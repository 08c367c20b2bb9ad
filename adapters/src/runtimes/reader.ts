// Owns following one target over time: finds its runtime where none is configured, keeps the scrape before, and turns
// each body into a delta. Leaves fetching, time and the meaning of failures to the host.
import type { ModelStateDelta } from '@infermesh/proto';
import { parseMetrics } from '../prometheus/parser.js';
import type { MetricsLimits } from '../prometheus/samples.js';
import type { RuntimeAdapter, RuntimeName, Scrape } from './adapter.js';
import { detectRuntime, runtimeAdapters } from './detect.js';

export interface RuntimeReaderOptions {
	/** The runtime, where it is known; otherwise the first body that can be told decides. */
	readonly runtime?: RuntimeName;
	readonly limits?: Partial<MetricsLimits>;
}

export class RuntimeReader {
	readonly #limits: Partial<MetricsLimits>;
	#adapter: RuntimeAdapter | undefined;
	#previous: Scrape | undefined;
	#recognised = false;

	constructor(options: RuntimeReaderOptions = {}) {
		this.#limits = options.limits ?? {};
		this.#adapter = options.runtime === undefined ? undefined : runtimeAdapters[options.runtime];
	}

	/** The runtime, once known. */
	get runtime(): RuntimeName | undefined {
		return this.#adapter?.name;
	}

	/**
	 * Reads the metrics text of the target as fetched at `atMs` (monotonic ms). Never throws. A body that cannot be read
	 * gives a delta with nothing but `unread`, and the next one is compared with the last that could.
	 */
	accept(body: string, atMs: number): ModelStateDelta {
		this.#adapter ??= detectRuntime(body);
		const adapter = this.#adapter;
		this.#recognised = false;
		if (adapter === undefined) {
			const names = Object.keys(runtimeAdapters).join(' or ');
			return { observedAtMs: atMs, unread: [`body: no metric of ${names} in ${body.length} characters`] };
		}
		const current: Scrape = { samples: parseMetrics(body, adapter.wantedNames, this.#limits), atMs };
		const delta = adapter.read(current, this.#previous);
		this.#recognised = adapter.recognises(current.samples);
		if (this.#recognised) this.#previous = current;
		return delta;
	}

	/** As `accept`, but `undefined` for a body without a metric of the runtime: then nothing was observed, and nothing is fresh. */
	read(body: string, atMs: number): ModelStateDelta | undefined {
		const delta = this.accept(body, atMs);
		return this.#recognised ? delta : undefined;
	}

	/** Forgets the scrape before, as after a target has moved to another address. */
	reset(): void {
		this.#previous = undefined;
	}
}
