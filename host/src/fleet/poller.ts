// Owns the regular looks at targets: their metrics and their health checks. One round per period and target, spread over the period so that
// a thousand targets are not asked at once, never two of a kind under way for one target, and no more than a bound in all.
import type { Clock, ModelStateDelta, Random, Timer } from '@infermesh/proto';
import type { TargetRecord } from './registry.js';

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
	readonly timers: Timer[];
	scraping: boolean;
	checking: boolean;
}

/** Bytes of a health answer that are read; the status is all that counts. */
const CHECK_BODY_MAX_BYTES = 64 * 1024;

export class TargetPoller {
	readonly #options: PollerOptions;
	readonly #clock: Clock;
	readonly #random: Random;
	readonly #fetch: Fetcher;
	readonly #events: PollerEvents;
	readonly #makeReader: (runtime: string) => MetricsReader;
	readonly #followers = new Map<TargetRecord, Follower>();
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
		this.#random = ports.random;
		this.#fetch = ports.fetch;
		this.#events = ports.events;
		this.#makeReader = ports.makeReader;
	}

	/** Looks at the target at once, then regularly. */
	follow(record: TargetRecord): void {
		const follower: Follower = {
			record,
			reader: this.#makeReader(record.spec.runtime),
			timers: [],
			scraping: false,
			checking: false,
		};
		this.#followers.set(record, follower);
		if (record.spec.healthPath !== '') {
			void this.#check(follower);
			this.#regularly(follower, this.#options.checkPeriodMs, () => this.#check(follower));
		}
		if (record.spec.metricsPath !== '') {
			void this.#scrape(follower);
			this.#regularly(follower, this.#options.scrapePeriodMs, () => this.#scrape(follower));
		}
	}

	forget(record: TargetRecord): void {
		const follower = this.#followers.get(record);
		if (follower === undefined) return;
		this.#followers.delete(record);
		for (const timer of follower.timers) timer.cancel();
	}

	close(): void {
		for (const record of this.#followers.keys()) this.forget(record);
	}

	#regularly(follower: Follower, periodMs: number, look: () => Promise<void>): void {
		const first = this.#clock.after(
			this.#random.nextFloat() * periodMs,
			() => {
				if (!this.#followers.has(follower.record)) return;
				follower.timers.push(this.#clock.every(periodMs, () => void look(), { unref: true }));
			},
			{ unref: true },
		);
		follower.timers.push(first);
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
