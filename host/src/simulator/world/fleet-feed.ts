// Owns the bringing in of reports to one router's fleet table: before anything that depends on them (a decision, a change of what is in flight, a refresh) each
// target's newest report is put in as of the moment it came. A report that says the same again is put in only when the last one has aged.
import type { ModelStateDelta } from '@infermesh/proto';
import type { FleetFusion } from '../../fleet/fusion.js';
import type { TargetRecord } from '../../fleet/registry.js';
import type { EngineLoad, EngineProbe } from './probe.js';
import { START_MS } from './sim-clock.js';
import type { SimEngine } from './sim-engine.js';

/** A report without news refreshes the age of the row after so long. */
const AGE_STEP_US = 50_000;

export interface FleetFeedOptions {
	readonly periodUs: number;
	readonly delayUs: number;
}

export class FleetFeed {
	readonly #options: FleetFeedOptions;
	readonly #fusion: FleetFusion;
	readonly #records: readonly TargetRecord[];
	readonly #engines: readonly SimEngine[];
	readonly #probes: readonly EngineProbe[];
	/** Of each target's last report put in: the instant of its scrape, and what it said. */
	readonly #scrapedUs: Float64Array;
	readonly #loads: (EngineLoad | undefined)[];
	#broughtUs = Number.NEGATIVE_INFINITY;

	constructor(
		options: FleetFeedOptions,
		fusion: FleetFusion,
		records: readonly TargetRecord[],
		engines: readonly SimEngine[],
		probes: readonly EngineProbe[],
	) {
		this.#options = options;
		this.#fusion = fusion;
		this.#records = records;
		this.#engines = engines;
		this.#probes = probes;
		this.#scrapedUs = new Float64Array(records.length).fill(Number.NEGATIVE_INFINITY);
		this.#loads = records.map(() => undefined);
	}

	/** Puts in what has come by `nowUs`, of all targets. */
	bring(nowUs: number): void {
		const { periodUs, delayUs } = this.#options;
		const count = this.#probes.length;
		const sinceUs = this.#broughtUs;
		this.#broughtUs = nowUs;
		// Phases are spread evenly over the period: between two looks only those of one arc of it come in.
		const turnsPerUs = count / periodUs;
		const from = Math.floor((sinceUs - delayUs) * turnsPerUs) - 1;
		const to = Math.floor((nowUs - delayUs) * turnsPerUs) + 1;
		if (periodUs > 0 && to - from < count)
			for (let turn = from; turn <= to; turn++) this.bringOne(((turn % count) + count) % count, nowUs);
		else for (let target = 0; target < count; target++) this.bringOne(target, nowUs);
	}

	/** Puts in what has come of one target. */
	bringOne(target: number, nowUs: number): void {
		const probe = this.#probes[target] as EngineProbe;
		const newestUs = probe.newestUs(nowUs);
		if (newestUs < 0 || newestUs === this.#scrapedUs[target]) return;
		const report = probe.report(nowUs);
		if (report === undefined || report.scrapedUs === this.#scrapedUs[target]) return;
		const agedUs = report.scrapedUs - (this.#scrapedUs[target] as number);
		if (report.load === this.#loads[target] && agedUs < AGE_STEP_US) return;
		this.#scrapedUs[target] = report.scrapedUs;
		this.#loads[target] = report.load;
		const atMs = START_MS + (report.scrapedUs + this.#options.delayUs) / 1000;
		this.#fusion.report(
			this.#records[target] as TargetRecord,
			deltaOf(this.#engines[target] as SimEngine, report.load, atMs),
			Math.floor(atMs),
		);
	}
}

function deltaOf(
	{ model }: SimEngine,
	{ waiting, running, kvUsed }: EngineLoad,
	observedAtMs: number,
): ModelStateDelta {
	const { kvBlocks, blockTokens, sequencesMax } = model.config;
	return {
		observedAtMs,
		unread: [],
		queueDepth: waiting,
		running,
		kvUsage: kvUsed / kvBlocks,
		kvBlocksTotal: kvBlocks,
		kvBlocksFree: kvBlocks - kvUsed,
		kvBlockTokens: blockTokens,
		maxSequences: sequencesMax,
	};
}
