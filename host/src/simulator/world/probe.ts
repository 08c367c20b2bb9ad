// Owns what scrapes of one engine see, and when. Scrapes happen on a grid of instants; nothing runs at them: the engine's load is noted whenever it changes,
// and whoever needs the report that has come in by now asks for it. The cost follows what is asked, not the scrape period, and the answer is the
// same. A period of 0 stands for a scrape at every instant.
import type { SimEngine } from './sim-engine.js';

/** Load of an engine at one instant. */
export interface EngineLoad {
	readonly waiting: number;
	readonly running: number;
	readonly kvUsed: number;
	/** False while nothing answered. */
	readonly answers: boolean;
}

interface Noted {
	/** From the first scrape at or after this, the load was this, until the next note. */
	readonly fromUs: number;
	readonly load: EngineLoad;
	/** The last report before this. */
	readonly before: Report | undefined;
}

/** A report as it stands in the fleet table. */
export interface Report {
	/** Instant of the scrape. */
	readonly scrapedUs: number;
	readonly load: EngineLoad;
}

export class EngineProbe {
	readonly #engine: SimEngine;
	readonly #phaseUs: number;
	readonly #periodUs: number;
	readonly #delayUs: number;
	/** Oldest first; the last is the load now. */
	readonly #notes: Noted[];
	/** First of `#notes` still needed. */
	#first = 0;

	constructor(engine: SimEngine, phaseUs: number, periodUs: number, delayUs: number) {
		this.#engine = engine;
		this.#phaseUs = phaseUs;
		this.#periodUs = periodUs;
		this.#delayUs = delayUs;
		this.#notes = [{ fromUs: 0, load: loadOf(engine), before: undefined }];
	}

	/** The engine's load may have changed just now. */
	note(nowUs: number): void {
		const engine = this.#engine;
		const notes = this.#notes;
		const last = notes[notes.length - 1] as Noted;
		const { model, life } = engine;
		const { load } = last;
		if (
			load.waiting === model.waiting &&
			load.running === model.running &&
			load.kvUsed === model.kvBlocksUsed &&
			load.answers === (life === 'up')
		)
			return;
		// Nobody has scraped since the last note: it is as if it had never been.
		const unseen = this.#firstScrapeUs(last.fromUs) >= nowUs;
		const before = !unseen && load.answers ? { scrapedUs: this.#lastScrapeUs(nowUs - 1), load } : last.before;
		const now: Noted = { fromUs: nowUs, load: loadOf(engine), before };
		if (unseen) notes[notes.length - 1] = now;
		else notes.push(now);
		this.#forget(nowUs);
	}

	/** The newest report that has come in by `nowUs`; undefined when none has. While the engine does not answer it is the last before. */
	report(nowUs: number): Report | undefined {
		const scrapedUs = this.#lastScrapeUs(nowUs - this.#delayUs);
		if (scrapedUs < 0) return undefined;
		const notes = this.#notes;
		let at = notes.length - 1;
		while (at > this.#first && (notes[at] as Noted).fromUs > scrapedUs) at--;
		const { load, before } = notes[at] as Noted;
		return load.answers ? { scrapedUs, load } : before;
	}

	/** Instant of the scrape whose report is the newest at `nowUs`; negative before the first. */
	newestUs(nowUs: number): number {
		return this.#lastScrapeUs(nowUs - this.#delayUs);
	}

	#firstScrapeUs(fromUs: number): number {
		if (this.#periodUs === 0) return fromUs;
		const turns = Math.max(0, Math.ceil((fromUs - this.#phaseUs) / this.#periodUs));
		return this.#phaseUs + turns * this.#periodUs;
	}

	#lastScrapeUs(toUs: number): number {
		if (this.#periodUs === 0) return toUs;
		const turns = Math.floor((toUs - this.#phaseUs) / this.#periodUs);
		return turns < 0 ? -1 : this.#phaseUs + turns * this.#periodUs;
	}

	/** Lets go of notes that no report asked for from now on can need. */
	#forget(nowUs: number): void {
		const notes = this.#notes;
		const neededUs = this.#lastScrapeUs(nowUs - this.#delayUs);
		while (this.#first + 1 < notes.length && (notes[this.#first + 1] as Noted).fromUs <= neededUs) this.#first++;
		if (this.#first < 64 || this.#first * 2 < notes.length) return;
		notes.splice(0, this.#first);
		this.#first = 0;
	}
}

function loadOf({ model, life }: SimEngine): EngineLoad {
	return {
		waiting: model.waiting,
		running: model.running,
		kvUsed: model.kvBlocksUsed,
		answers: life === 'up',
	};
}
