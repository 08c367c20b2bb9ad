// Owns the regular looks at targets: their metrics and their health checks, the latter with a round of the former, so that both cost one wake
// of the thread. Never two of a kind are under way for one target, and no more than a bound in all. When rounds come is rounds.ts's.
import type { Clock, ModelStateDelta, Random } from '@infermesh/proto';
import type { TargetRecord } from './registry.js';
import { Rounds } from './rounds.js';

/** A GET with a bound on time and size; the composition root gives the real one. */
export type Fetcher = (
	url: string,
	options: { readonly timeoutMs: number; readonly bodyMaxBytes: number; readonly apiKey: string | undefined },
) => Promise<{ readonly status: number; readonly body: string }>;

export interface PollerOptions {
	readonly scrapePeriodMs: number;
	readonly scrapeTimeoutMs: number;
	readonly bodyMaxBytes: number;
	readonly checkPeriodMs: number;
	readonly checkTimeoutMs: number;
	readonly concurrencyMax: number;
}

/** `unreadable`: an answer that is no metrics of a known runtime. */
export type ScrapeResult = 'ok' | 'error' | 'timeout' | 'unreadable';

export interface PollerEvents {
	report(record: TargetRecord, delta: ModelStateDelta): void;
	checked(record: TargetRecord, ok: boolean, rttMs: number | undefined): void;
	scraped(record: TargetRecord, result: ScrapeResult, durationMs: number): void;
}

/** Chooses and drives the adapter of one target: `undefined` = its body is of no known runtime. */
export interface MetricsReader {
	read(body: string, nowMs: number): ModelStateDelta | undefined;
}

interface Follower {
	readonly record: TargetRecord;
	readonly reader: MetricsReader;
	/** Its metrics are read, and with them its health; otherwise its health alone. */
	readonly rounds: Rounds<Follower>;
	scrapeDueMs: number;
	checkDueMs: number;
	scraping: boolean;
	checking: boolean;
}

/** Bytes of a health answer that are read; the status is all that counts. */
const CHECK_BODY_MAX_BYTES = 64 * 1024;

export class TargetPoller {
	readonly #options: PollerOptions;
	readonly #clock: Clock;
	readonly #fetch: Fetcher;
	readonly #events: PollerEvents;
	readonly #makeReader: (runtime: string) => MetricsReader;
	readonly #followers = new Map<TargetRecord, Follower>();
	readonly #scrapeRounds: Rounds<Follower>;
	readonly #checkRounds: Rounds<Follower>;
	#underWay = 0;

	constructor(
		options: PollerOptions,
		ports: {
			readonly clock: Clock;
			readonly random: Random;
			readonly fetch: Fetcher;
			readonly events: PollerEvents;
			readonly makeReader: (runtime: string) => MetricsReader;
		},
	) {
		this.#options = options;
		this.#clock = ports.clock;
		this.#fetch = ports.fetch;
		this.#events = ports.events;
		this.#makeReader = ports.makeReader;
		const { scrapePeriodMs, checkPeriodMs } = options;
		const { clock, random } = ports;
		const visit = (follower: Follower): void => this.#look(follower);
		this.#scrapeRounds = new Rounds(clock, random, Math.min(scrapePeriodMs, checkPeriodMs), visit);
		this.#checkRounds = new Rounds(clock, random, checkPeriodMs, visit);
	}

	/** Looks at the target at once, then regularly. */
	follow(record: TargetRecord): void {
		const { healthPath, metricsPath, runtime } = record.spec;
		const now = this.#clock.nowMs();
		const follower: Follower = {
			record,
			reader: this.#makeReader(runtime),
			rounds: metricsPath === '' ? this.#checkRounds : this.#scrapeRounds,
			scrapeDueMs: metricsPath === '' ? Number.POSITIVE_INFINITY : now,
			checkDueMs: healthPath === '' ? Number.POSITIVE_INFINITY : now,
			scraping: false,
			checking: false,
		};
		this.#followers.set(record, follower);
		this.#look(follower);
		if (metricsPath !== '' || healthPath !== '') follower.rounds.add(follower);
	}

	forget(record: TargetRecord): void {
		const follower = this.#followers.get(record);
		if (follower === undefined) return;
		this.#followers.delete(record);
		follower.rounds.remove(follower);
	}

	close(): void {
		for (const record of this.#followers.keys()) this.forget(record);
	}

	/** Does what is due, or nearer to this round than to the next. */
	#look(follower: Follower): void {
		const now = this.#clock.nowMs();
		const soon = now + follower.rounds.periodMs / 2;
		if (follower.checkDueMs <= soon) {
			follower.checkDueMs = Math.max(now, follower.checkDueMs + this.#options.checkPeriodMs);
			void this.#check(follower);
		}
		if (follower.scrapeDueMs <= soon) {
			follower.scrapeDueMs = Math.max(now, follower.scrapeDueMs + this.#options.scrapePeriodMs);
			void this.#scrape(follower);
		}
	}

	async #scrape(follower: Follower): Promise<void> {
		if (follower.scraping || this.#underWay >= this.#options.concurrencyMax) return;
		const { record } = follower;
		const began = this.#clock.nowMs();
		follower.scraping = true;
		this.#underWay++;
		let result: ScrapeResult = 'error';
		try {
			const { status, body } = await this.#fetch(record.spec.url + record.spec.metricsPath, {
				timeoutMs: this.#options.scrapeTimeoutMs,
				bodyMaxBytes: this.#options.bodyMaxBytes,
				apiKey: record.spec.apiKey,
			});
			if (status === 200 && this.#followers.has(record)) {
				const delta = follower.reader.read(body, this.#clock.nowMs());
				result = delta === undefined ? 'unreadable' : 'ok';
				if (delta !== undefined) this.#events.report(record, delta);
			}
		} catch (error) {
			// An unreachable target is no error of ours: it shows as a failed scrape, and its age grows.
			if (error instanceof Error && error.name === 'TimeoutError') result = 'timeout';
		} finally {
			follower.scraping = false;
			this.#underWay--;
			if (this.#followers.has(record)) this.#events.scraped(record, result, this.#clock.nowMs() - began);
		}
	}

	async #check(follower: Follower): Promise<void> {
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
