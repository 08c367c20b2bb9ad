// Owns the regular looks at targets: their metrics (with the endpoints that go with them) and their health checks, the latter with a round of the
// former, so that both cost one wake of the thread. Never two of a kind are under way for one target, and no more than a bound in all. When rounds
// come is rounds.ts's.
import type { Clock, ModelStateDelta, Random } from '@infermesh/proto';
import type { OtherHttpVersion } from '../router/upstream/http-version.js';
import { Rounds } from './rounds.js';

/** A GET with a bound on time and size; the composition root gives the real one. */
export type Fetcher = (
	url: string,
	options: {
		readonly timeoutMs: number;
		readonly bodyMaxBytes: number;
		readonly apiKey: string | undefined;
		/** HTTP's version there; absent = HTTP/1.1. */
		readonly http?: OtherHttpVersion | undefined;
		/** Posted as the body, where there is one. */
		readonly json?: string;
	},
) => Promise<{ readonly status: number; readonly body: Uint8Array }>;

export interface PollerOptions {
	readonly scrapePeriodMs: number;
	readonly scrapeTimeoutMs: number;
	readonly bodyMaxBytes: number;
	readonly checkPeriodMs: number;
	readonly checkTimeoutMs: number;
	readonly concurrencyMax: number;
}

/** What a poller needs to know of a target. */
export interface PolledSpec {
	readonly id: string;
	readonly url: string;
	readonly runtime: string;
	readonly models: readonly string[];
	readonly apiKey: string | undefined;
	readonly http?: OtherHttpVersion;
	/** A path below the URL, a whole URL of another port, or `''` for none. */
	readonly metricsPath: string;
	readonly healthPath: string;
}

/** A target that is followed; the poller hands it back with what it saw. */
export interface Polled {
	readonly spec: PolledSpec;
}

/** `unreadable`: an answer that is no metrics of a known runtime. */
export type ScrapeResult = 'ok' | 'error' | 'timeout' | 'unreadable';

export interface PollerEvents<T extends Polled> {
	report(record: T, delta: ModelStateDelta): void;
	checked(record: T, ok: boolean, rttMs: number | undefined): void;
	scraped(record: T, result: ScrapeResult, durationMs: number): void;
}

/** Chooses and drives the adapter of one target. */
export interface MetricsReader {
	/** `undefined` = the body is of no known runtime. */
	read(body: Uint8Array, nowMs: number): ModelStateDelta | undefined;
	/** Whether endpoints beside the metrics tell anything of the target. */
	readonly asks: boolean;
	/** Paths of further endpoints to ask now, and their answers; `status` 0 = none came. */
	due(nowMs: number): readonly string[];
	answer(answer: { readonly path: string; readonly status: number; readonly body: string }, nowMs: number): void;
	/** What those endpoints told, where the metrics cannot be had. */
	readCompanions(nowMs: number): ModelStateDelta | undefined;
}

interface Follower<T> {
	readonly record: T;
	readonly reader: MetricsReader;
	/** Its signals are read, and with them its health; otherwise its health alone. */
	readonly rounds: Rounds<Follower<T>>;
	scrapeDueMs: number;
	checkDueMs: number;
	/** Its scrape is under way, or waits for its turn. */
	scraping: boolean;
	checking: boolean;
}

/** Bytes of a health answer that are read; the status is all that counts. */
const CHECK_BODY_MAX_BYTES = 64 * 1024;
/** Bytes of the answer of an endpoint beside the metrics. */
const COMPANION_BODY_MAX_BYTES = 1024 * 1024;

export class TargetPoller<T extends Polled> {
	readonly #options: PollerOptions;
	readonly #clock: Clock;
	readonly #fetch: Fetcher;
	readonly #events: PollerEvents<T>;
	readonly #makeReader: (spec: PolledSpec) => MetricsReader;
	readonly #followers = new Map<T, Follower<T>>();
	readonly #scrapeRounds: Rounds<Follower<T>>;
	readonly #checkRounds: Rounds<Follower<T>>;
	#underWay = 0;
	/** Whose scrapes are due while as many as may be are under way, first come first served; each once. */
	readonly #waiting: Follower<T>[] = [];

	constructor(
		options: PollerOptions,
		ports: {
			readonly clock: Clock;
			readonly random: Random;
			readonly fetch: Fetcher;
			readonly events: PollerEvents<T>;
			readonly makeReader: (spec: PolledSpec) => MetricsReader;
		},
	) {
		this.#options = options;
		this.#clock = ports.clock;
		this.#fetch = ports.fetch;
		this.#events = ports.events;
		this.#makeReader = ports.makeReader;
		const { scrapePeriodMs, checkPeriodMs } = options;
		const { clock, random } = ports;
		const visit = (follower: Follower<T>): void => this.#look(follower);
		this.#scrapeRounds = new Rounds(clock, random, Math.min(scrapePeriodMs, checkPeriodMs), visit);
		this.#checkRounds = new Rounds(clock, random, checkPeriodMs, visit);
	}

	/** Looks at the target at once, then regularly. */
	follow(record: T): void {
		const { healthPath, metricsPath } = record.spec;
		const now = this.#clock.nowMs();
		const reader = this.#makeReader(record.spec);
		const scrapes = metricsPath !== '' || reader.asks;
		const follower: Follower<T> = {
			record,
			reader,
			rounds: scrapes ? this.#scrapeRounds : this.#checkRounds,
			scrapeDueMs: scrapes ? now : Number.POSITIVE_INFINITY,
			checkDueMs: healthPath === '' ? Number.POSITIVE_INFINITY : now,
			scraping: false,
			checking: false,
		};
		this.#followers.set(record, follower);
		this.#look(follower);
		if (scrapes || healthPath !== '') follower.rounds.add(follower);
	}

	forget(record: T): void {
		const follower = this.#followers.get(record);
		if (follower === undefined) return;
		this.#followers.delete(record);
		follower.rounds.remove(follower);
	}

	close(): void {
		for (const record of this.#followers.keys()) this.forget(record);
	}

	/** Does what is due, or nearer to this round than to the next. */
	#look(follower: Follower<T>): void {
		const now = this.#clock.nowMs();
		const soon = now + follower.rounds.periodMs / 2;
		if (follower.checkDueMs <= soon) {
			follower.checkDueMs = Math.max(now, follower.checkDueMs + this.#options.checkPeriodMs);
			void this.#check(follower);
		}
		if (follower.scrapeDueMs <= soon) {
			follower.scrapeDueMs = Math.max(now, follower.scrapeDueMs + this.#options.scrapePeriodMs);
			this.#begin(follower);
		}
	}

	/** Begins a scrape, or lets it wait for another to end. */
	#begin(follower: Follower<T>): void {
		if (follower.scraping) return;
		follower.scraping = true;
		if (this.#underWay < this.#options.concurrencyMax) void this.#scrape(follower);
		else this.#waiting.push(follower);
	}

	/** Takes the place of a scrape that has ended. */
	#next(): void {
		for (;;) {
			const follower = this.#waiting.shift();
			if (follower === undefined) return;
			if (this.#followers.get(follower.record) === follower) return void this.#scrape(follower);
		}
	}

	async #scrape(follower: Follower<T>): Promise<void> {
		const { record, reader } = follower;
		const began = this.#clock.nowMs();
		this.#underWay++;
		let result: ScrapeResult = 'error';
		try {
			const metrics = await this.#metrics(record.spec);
			await this.#ask(follower);
			if (!this.#followers.has(record)) return;
			const now = this.#clock.wallMs();
			const delta =
				(metrics instanceof Uint8Array ? reader.read(metrics, now) : undefined) ?? reader.readCompanions(now);
			result = delta !== undefined ? 'ok' : metrics instanceof Uint8Array ? 'unreadable' : metrics;
			if (delta !== undefined) this.#events.report(record, delta);
		} finally {
			follower.scraping = false;
			this.#underWay--;
			this.#next();
			if (this.#followers.has(record)) this.#events.scraped(record, result, this.#clock.nowMs() - began);
		}
	}

	/** The metrics text, or why there is none. An unreachable target is no error of ours: its age grows. */
	async #metrics(spec: PolledSpec): Promise<Uint8Array | 'error' | 'timeout'> {
		if (spec.metricsPath === '') return 'error';
		try {
			const { status, body } = await this.#fetch(metricsUrl(spec), {
				timeoutMs: this.#options.scrapeTimeoutMs,
				bodyMaxBytes: this.#options.bodyMaxBytes,
				apiKey: spec.apiKey,
				// Metrics at a port of their own are an exporter's.
				http: ownUrl(spec.metricsPath) ? undefined : spec.http,
			});
			return status === 200 ? body : 'error';
		} catch (error) {
			return error instanceof Error && error.name === 'TimeoutError' ? 'timeout' : 'error';
		}
	}

	/** Asks the endpoints beside the metrics that are due. */
	async #ask({ record: { spec }, reader }: Follower<T>): Promise<void> {
		const paths = reader.due(this.#clock.wallMs());
		if (paths.length === 0) return;
		const limits = {
			timeoutMs: this.#options.scrapeTimeoutMs,
			bodyMaxBytes: COMPANION_BODY_MAX_BYTES,
			apiKey: spec.apiKey,
			http: spec.http,
		};
		await Promise.all(
			paths.map(async (path) => {
				let answer = { path, status: 0, body: '' };
				try {
					const { status, body } = await this.#fetch(spec.url + path, limits);
					answer = { path, status, body: Buffer.from(body).toString('utf8') };
				} catch {
					// No answer is one too.
				}
				reader.answer(answer, this.#clock.wallMs());
			}),
		);
	}

	async #check(follower: Follower<T>): Promise<void> {
		if (follower.checking) return;
		const { record } = follower;
		const began = this.#clock.nowMs();
		follower.checking = true;
		let rttMs: number | undefined;
		try {
			const { status } = await this.#fetch(record.spec.url + record.spec.healthPath, {
				timeoutMs: this.#options.checkTimeoutMs,
				bodyMaxBytes: CHECK_BODY_MAX_BYTES,
				apiKey: record.spec.apiKey,
				http: record.spec.http,
			});
			if (status >= 200 && status < 300) rttMs = this.#clock.nowMs() - began;
		} catch {
			// As above: a failed check is data.
		} finally {
			follower.checking = false;
			if (this.#followers.has(record)) this.#events.checked(record, rttMs !== undefined, rttMs);
		}
	}
}

function ownUrl(metricsPath: string): boolean {
	return /^https?:\/\//.test(metricsPath);
}

function metricsUrl({ url, metricsPath }: PolledSpec): string {
	return ownUrl(metricsPath) ? metricsPath : url + metricsPath;
}
