// Owns a load run from start to result: it wires pacing, exchanges and statistics around one pool of connections.
// Leaves files, flags, signals and rendering to its caller. Every bound is an option: requests under way, time, size.
import { type Clock, MeshError } from '@infermesh/proto';
import type { Dispatcher, Pool } from 'undici';
import { Collector, type Measured, type ProgressSnapshot } from './collector.js';
import { loadErrors } from './errors.js';
import { Exchange, type ExchangeSink } from './exchange.js';
import { evaluateLoadThresholds, type LoadMeasurements } from './metrics.js';
import { type LoadOptions, type ResolvedLoadOptions, resolveLoadOptions } from './options.js';
import type { Outcome } from './outcome.js';
import { paceClosed, paceOpen } from './pacing.js';
import { createPromptText, type PromptText } from './prompt.js';
import { LOAD_RESULT_SCHEMA, type LoadResult } from './result.js';
import type { TraceRequest, TraceSource } from './trace/types.js';

export interface LoadDeps {
	readonly clock: Clock;
	/** What to send; walked once. */
	readonly source: TraceSource;
	/** Stops the run: what is under way is cancelled and the result is marked partial. */
	readonly signal?: AbortSignal;
	/** Called every `progressPeriodMs`, and once at the end. */
	readonly onProgress?: (snapshot: ProgressSnapshot) => void;
	/** Told of every request when it is over. */
	readonly onOutcome?: (outcome: Outcome) => void;
}

/** How often requests are looked over for their timeout. */
const SWEEP_PERIOD_MS = 100;

/** Send lag at p99 beyond which the result carries a note; a timer's own lag is below 3 ms. */
const SEND_LAG_NOTE_MS = 50;

/**
 * Sends the workload to an OpenAI-compatible server and measures it. Failures of requests are counted, not thrown.
 * Throws IM_LOAD_OPTION, IM_THRESHOLD_*, IM_TRACE_* for bad input, and IM_LOAD_UNREACHABLE when nothing but connections failed.
 */
export async function runLoad(options: LoadOptions, deps: LoadDeps): Promise<LoadResult> {
	const resolved = resolveLoadOptions(options);
	// Whoever else loads this package sends no load.
	const undici = await import('undici');
	const run = new LoadRun(resolved, deps, undici.Pool);
	const startedAt = new Date(deps.clock.wallMs()).toISOString();
	const measured = await run.run();
	return toResult(resolved, deps, startedAt, run.stopped, measured);
}

class LoadRun implements ExchangeSink {
	readonly #options: ResolvedLoadOptions;
	readonly #deps: LoadDeps;
	readonly #pool: Pool;
	readonly #collector: Collector;
	readonly #startMs: number;
	readonly #prompt: PromptText;
	readonly #bodyHead: string;
	readonly #bodyTail: string;
	readonly #headers: Record<string, string>;
	/** In order of sending, so the oldest come first. Holds at most maxInFlight or concurrency. */
	readonly #underWay = new Map<Exchange, () => void>();
	readonly #stop = new AbortController();
	#ordinal = 0;
	#unreachable = false;

	constructor(options: ResolvedLoadOptions, deps: LoadDeps, Connections: typeof Pool) {
		this.#options = options;
		this.#deps = deps;
		this.#pool = new Connections(options.origin, {
			connections: options.concurrency ?? options.maxInFlight,
			pipelining: 1,
			allowH2: false,
			// One timeout covers a request, kept here by sweeping; undici's own would need a timer a request.
			headersTimeout: 0,
			bodyTimeout: 0,
			connect: { timeout: options.connectTimeoutMs },
		});
		this.#prompt = createPromptText({ seed: options.seed, blockTokens: deps.source.blockTokens });
		const [head, tail] = bodyParts(options);
		this.#bodyHead = head;
		this.#bodyTail = tail;
		this.#headers = requestHeaders(options);
		// Last, so that preparing does not count as lag of the first requests.
		this.#startMs = deps.clock.nowMs();
		this.#collector = new Collector({ startMs: this.#startMs, slo: options.slo?.clauses, stream: options.stream });
	}

	/** Stopped from outside before its end. */
	get stopped(): boolean {
		return this.#deps.signal?.aborted === true;
	}

	async run(): Promise<Measured> {
		const { clock, signal, onProgress } = this.#deps;
		const stop = (): void => this.#stopNow();
		if (signal?.aborted === true) stop();
		signal?.addEventListener('abort', stop, { once: true });
		const sweep = clock.every(SWEEP_PERIOD_MS, () => this.#expireLate());
		const report = (): void => onProgress?.(this.#collector.snapshot(clock.nowMs()));
		const progress = clock.every(this.#options.progressPeriodMs, report);
		try {
			await this.#pace();
			await this.#drain();
		} finally {
			sweep.cancel();
			progress.cancel();
			signal?.removeEventListener('abort', stop);
			this.#stopNow();
			await this.#pool.destroy();
		}
		this.#throwIfUnreachable();
		report();
		return this.#collector.summary();
	}

	onHeaders(nowMs: number, target: string | undefined, strategy: string | undefined): void {
		this.#collector.headers(nowMs, target, strategy);
	}

	onToken(nowMs: number, gapMs: number | undefined): void {
		this.#collector.token(nowMs, gapMs);
	}

	onEnd(exchange: Exchange, outcome: Parameters<ExchangeSink['onEnd']>[1]): void {
		const done = this.#underWay.get(exchange);
		this.#underWay.delete(exchange);
		this.#collector.ended(outcome);
		this.#deps.onOutcome?.(outcome);
		if (this.#collector.onlyConnectFailures >= this.#options.connectFailuresMax && !this.#stop.signal.aborted) {
			this.#unreachable = true;
			this.#stopNow();
		}
		done?.();
	}

	async #pace(): Promise<void> {
		const { concurrency, speed, requests, durationMs } = this.#options;
		const { clock, source } = this.#deps;
		const pacing = { clock, startMs: this.#startMs, requests, durationMs, signal: this.#stop.signal };
		if (concurrency !== undefined) {
			const send = (request: TraceRequest, intendedMs: number): Promise<void> =>
				new Promise((resolve) => this.#send(request, intendedMs, resolve));
			await paceClosed(source, { ...pacing, concurrency }, send);
			return;
		}
		await paceOpen(source, { ...pacing, speed }, (request, intendedMs) => {
			if (this.#underWay.size < this.#options.maxInFlight) this.#send(request, intendedMs, () => {});
			else this.#collector.dropped(clock.nowMs());
		});
	}

	#send(request: TraceRequest, intendedMs: number, done: () => void): void {
		const body = this.#body(request);
		const plan = { intendedMs, inputTokens: request.inputTokens, stream: this.#options.stream };
		const exchange = new Exchange(plan, this.#deps.clock, this);
		this.#underWay.set(exchange, done);
		this.#collector.sent(intendedMs, exchange.sentMs);
		try {
			this.#pool.dispatch(this.#dispatchOptions(request, body), exchange);
		} catch (error) {
			exchange.refuse(error);
		}
	}

	#dispatchOptions(request: TraceRequest, body: string): Dispatcher.DispatchOptions {
		const headers =
			request.session === undefined
				? this.#headers
				: { ...this.#headers, [this.#options.sessionHeader]: request.session };
		return { origin: this.#options.origin, path: this.#options.path, method: 'POST', headers, body };
	}

	#body(request: TraceRequest): string {
		// Prompt text needs no escaping (prompt.ts), so a body is three strings joined.
		const prompt = this.#prompt(request, this.#ordinal++);
		return `${this.#bodyHead}${prompt}${this.#bodyTail}${request.outputTokens}}`;
	}

	#drain(): Promise<void> {
		if (this.#underWay.size === 0) return Promise.resolve();
		return new Promise((resolve) => {
			for (const exchange of this.#underWay.keys()) {
				this.#underWay.set(exchange, () => {
					if (this.#underWay.size === 0) resolve();
				});
			}
		});
	}

	#expireLate(): void {
		const sentBeforeMs = this.#deps.clock.nowMs() - this.#options.requestTimeoutMs;
		for (const exchange of this.#underWay.keys()) {
			if (exchange.sentMs > sentBeforeMs) return;
			exchange.expire();
		}
	}

	#stopNow(): void {
		this.#stop.abort();
		for (const exchange of this.#underWay.keys()) exchange.cancel();
	}

	#throwIfUnreachable(): void {
		const failed = this.#collector.onlyConnectFailures;
		if (!this.#unreachable && (failed === 0 || this.stopped)) return;
		const reason = this.#collector.summary().failures[0]?.detail ?? 'unknown';
		const message = `none of ${failed} connections to the server succeeded (${reason})`;
		throw new MeshError(loadErrors, 'IM_LOAD_UNREACHABLE', message, { where: this.#options.url });
	}
}

function requestHeaders(options: ResolvedLoadOptions): Record<string, string> {
	return {
		'content-type': 'application/json',
		accept: options.stream ? 'text/event-stream' : 'application/json',
		'user-agent': 'infermesh-bench',
		...(options.apiKey === undefined ? {} : { authorization: `Bearer ${options.apiKey}` }),
		...options.headers,
	};
}

/** The body before and after the prompt; the number of tokens and a closing brace come last. */
function bodyParts(options: ResolvedLoadOptions): [string, string] {
	const fields = {
		model: options.model,
		stream: options.stream,
		...(options.stream ? { stream_options: { include_usage: true } } : {}),
		...options.extraBody,
	};
	const head = JSON.stringify(fields).slice(0, -1);
	return options.endpoint === 'chat'
		? [`${head},"messages":[{"role":"user","content":"`, '"}],"max_tokens":']
		: [`${head},"prompt":"`, '","max_tokens":'];
}

/** A generator that cannot keep up measures itself: the reader must know. */
function lagNotes(measured: Measured): string[] {
	const lagMs = measured.sendLagMs?.p99 ?? 0;
	if (lagMs <= SEND_LAG_NOTE_MS) return [];
	return [`the generator itself was late: send lag p99 ${Math.round(lagMs)} ms, which every latency contains`];
}

function toResult(
	options: ResolvedLoadOptions,
	deps: LoadDeps,
	startedAt: string,
	partial: boolean,
	measured: Measured,
): LoadResult {
	const { goodRequests, ...rest } = measured;
	const offered = rest.requests.offered;
	const result: LoadMeasurements = {
		schema: LOAD_RESULT_SCHEMA,
		startedAt,
		url: options.url,
		model: options.model,
		streaming: options.stream,
		mode: options.concurrency === undefined ? 'open' : 'closed',
		workload: {
			kind: deps.source.kind,
			name: deps.source.name,
			speed: options.speed,
			notes: [...deps.source.notes(), ...lagNotes(measured)],
		},
		partial,
		...rest,
		goodput:
			options.slo === undefined
				? null
				: {
						slo: options.slo.text,
						requests: goodRequests,
						share: offered === 0 ? 0 : goodRequests / offered,
						requestsPerSecond: goodRequests / Math.max(0.001, rest.elapsedMs / 1000),
					},
	};
	const thresholds = evaluateLoadThresholds(options.thresholds, result);
	return { ...result, thresholds, passed: thresholds.every((threshold) => threshold.passed) };
}
