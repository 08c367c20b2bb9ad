// Owns following one target over time: finds its runtime where none is configured, keeps the scrape before, joins what the runtime's other
// endpoints told, and turns each look into a delta. Leaves fetching, time and the meaning of failures to the host.
import { deltaBounds, type ModelStateDelta } from '@infermesh/proto';
import { parseMetrics } from '../prometheus/parser.js';
import type { MetricsLimits } from '../prometheus/samples.js';
import { type LabelCache, SeriesMemory } from '../prometheus/series-memory.js';
import type { Answer, Companion, RuntimeAdapter, RuntimeName, Scrape } from './adapter.js';
import { detectEndpoint, detectRuntime, endpointHintPaths, runtimeAdapters } from './detect.js';
import { Draft } from './draft.js';

export interface RuntimeReaderOptions {
	/** The runtime, where it is known; otherwise the first body that can be told decides. */
	readonly runtime?: RuntimeName;
	/** Models the target serves, for endpoints that are asked model by model. */
	readonly models?: readonly string[];
	/** Ask endpoints to learn the runtime while the metrics do not tell it. */
	readonly hints?: boolean;
	readonly limits?: Partial<MetricsLimits>;
	/** Labels shared with other readers of the same limits. */
	readonly labels?: LabelCache;
}

/** Runtimes write their metrics by libraries that keep those of one name together. */
const PASSES = { passes: true } as const;
/** Paths of companions asked of one target. */
const COMPANION_PATHS_MAX = 16;
/** Time between two rounds of questions to a target of unknown runtime. */
const HINT_PERIOD_MS = 60_000;
/** What a companion told holds for this many of its periods, and at least so long. */
const FRAGMENT_PERIODS = 3;
const FRAGMENT_MS_MIN = 5000;

interface Asked {
	readonly companion: Companion;
	dueMs: number;
	toldMs: number;
	/** Answers of the look under way, put together in one draft. */
	draft: Draft | undefined;
}

export class RuntimeReader {
	readonly #options: RuntimeReaderOptions;
	#memory: SeriesMemory;
	#adapter: RuntimeAdapter | undefined;
	#companions: readonly Asked[] = [];
	#previous: Scrape | undefined;
	#recognised = false;
	/** The runtime is known by an endpoint alone. */
	#hinted = false;
	#hintsDueMs = Number.NEGATIVE_INFINITY;

	constructor(options: RuntimeReaderOptions = {}) {
		this.#options = options;
		this.#memory = new SeriesMemory(options.labels, PASSES);
		if (options.runtime !== undefined) this.#settle(runtimeAdapters[options.runtime]);
	}

	/** The runtime, once known. */
	get runtime(): RuntimeName | undefined {
		return this.#adapter?.name;
	}

	/** Whether endpoints beside the metrics tell anything of it. */
	get asks(): boolean {
		return this.#companions.some(({ companion }) => companion.aside !== true);
	}

	/**
	 * Reads the metrics text of the target as fetched at `atMs` (monotonic ms). Never throws. A body that cannot be read
	 * gives a delta with nothing but `unread`, and the next one is compared with the last that could.
	 */
	accept(body: string | Uint8Array, atMs: number): ModelStateDelta {
		// What an endpoint has hinted at gives way to what metrics say: a server may speak several protocols.
		if (this.#adapter === undefined || this.#hinted) {
			const told = detectRuntime(typeof body === 'string' ? body : decode(body));
			if (told !== undefined) {
				this.#hinted = false;
				if (told !== this.#adapter) this.#settle(told);
			}
		}
		const adapter = this.#adapter;
		this.#recognised = false;
		if (adapter === undefined) {
			const names = Object.keys(runtimeAdapters).join(', ');
			return { observedAtMs: atMs, unread: [`body: no metric of ${names} in ${body.length} bytes`] };
		}
		const { limits } = this.#options;
		const current: Scrape = { samples: parseMetrics(body, adapter.wanted, limits, this.#memory), atMs };
		const delta = adapter.read(current, this.#previous);
		this.#recognised = adapter.recognises(current.samples);
		if (this.#recognised) this.#previous = current;
		return this.#joined(delta, atMs);
	}

	/** As `accept`, but `undefined` for a body without a metric of the runtime: then nothing was observed, and nothing is fresh. */
	read(body: string | Uint8Array, atMs: number): ModelStateDelta | undefined {
		const delta = this.accept(body, atMs);
		return this.#recognised ? delta : undefined;
	}

	/** What endpoints beside the metrics have told, for a target whose metrics cannot be had; `undefined` when nothing is fresh. */
	readCompanions(atMs: number): ModelStateDelta | undefined {
		const adapter = this.#adapter;
		const told = this.#companions.some((asked) => asked.companion.aside !== true && fresh(asked, atMs));
		if (adapter === undefined || !told) return undefined;
		return this.#joined({ observedAtMs: atMs, runtime: adapter.name, unread: [] }, atMs);
	}

	/** Paths of endpoints that are to be asked now; their answers come back by `answer`. */
	due(atMs: number): readonly string[] {
		const paths: string[] = [];
		if (this.#adapter === undefined && this.#options.hints === true && atMs >= this.#hintsDueMs) {
			this.#hintsDueMs = atMs + HINT_PERIOD_MS;
			paths.push(...endpointHintPaths);
		}
		for (const asked of this.#companions) {
			if (atMs < asked.dueMs) continue;
			asked.dueMs = atMs + asked.companion.periodMs;
			asked.draft = undefined;
			paths.push(...asked.companion.paths(this.#options.models ?? []));
		}
		return paths.slice(0, COMPANION_PATHS_MAX);
	}

	/** Takes the answer to a path that `due` gave. */
	answer(answer: Answer, atMs: number): void {
		if (this.#adapter === undefined) {
			const told = detectEndpoint(answer);
			if (told !== undefined) {
				this.#settle(runtimeAdapters[told]);
				this.#hinted = true;
			}
			return;
		}
		for (const asked of this.#companions) {
			if (!asked.companion.paths(this.#options.models ?? []).includes(answer.path)) continue;
			asked.draft ??= new Draft(atMs, this.#adapter.name);
			asked.companion.read(answer, asked.draft);
			asked.toldMs = atMs;
		}
	}

	/** Forgets the scrape before, as after a target has moved to another address. */
	reset(): void {
		this.#previous = undefined;
	}

	#settle(adapter: RuntimeAdapter | undefined): void {
		this.#adapter = adapter;
		// It is of the adapter's names.
		this.#memory = new SeriesMemory(this.#options.labels, PASSES);
		this.#companions = (adapter?.companions ?? []).map((companion) => ({
			companion,
			dueMs: Number.NEGATIVE_INFINITY,
			toldMs: Number.NEGATIVE_INFINITY,
			draft: undefined,
		}));
	}

	/** The delta of the metrics with what companions told beside it; where both speak, the metrics are right. */
	#joined(delta: ModelStateDelta, atMs: number): ModelStateDelta {
		const told = this.#companions.flatMap((asked) => (fresh(asked, atMs) ? (asked.draft?.finish() ?? []) : []));
		if (told.length === 0) return delta;
		const unread = [delta, ...told].flatMap((part) => part.unread).slice(0, deltaBounds.unreadMax);
		return Object.assign({}, ...told, delta, { unread }) as ModelStateDelta;
	}
}

function fresh({ companion, toldMs }: Asked, atMs: number): boolean {
	return atMs - toldMs <= Math.max(FRAGMENT_MS_MIN, FRAGMENT_PERIODS * companion.periodMs);
}

function decode(body: Uint8Array): string {
	return Buffer.from(body.buffer, body.byteOffset, body.length).toString('utf8');
}
