// Owns the question "do many routers decide as well as one?", in virtual time from a seed: engines of the engine model, routers with the fleet, counters and
// strategy of real ones, reports that are late, and frames of load between the routers that take their time.
import { SeededRandom } from '@infermesh/proto';
import { engineModelConfig } from '../engine/model/engine-config.js';
import { EngineModel } from '../engine/model/engine-model.js';
import { engineProfile } from '../engine/model/profiles.js';
import { RooflineLatency } from '../engine/model/roofline.js';
import type { Sequence } from '../engine/model/sequence.js';
import { REQUESTS } from '../fleet/inflight.js';
import { EventClass, EventQueue } from '../simulator/world/event-queue.js';
import { standardNormal } from '../statistics/normal.js';
import type { StrategyModule } from '../strategy/runtime/instance.js';
import { RigRouter } from './rig-router.js';

export interface RoutersRigOptions {
	readonly seed: number;
	readonly routers: number;
	readonly targets: number;
	readonly strategy: StrategyModule;
	readonly profile: string;
	/** Requests a second, over all routers. */
	readonly ratePerS: number;
	readonly durationMs: number;
	/** Engines are asked this often, and what they say arrives so much later. */
	readonly reportPeriodMs: number;
	readonly reportDelayMs: number;
	/** Changes are told this often; 0 = routers tell each other nothing. */
	readonly sharePeriodMs: number;
	/** A frame's way from one router to another. */
	readonly shareDelayMs: number;
}

export interface RoutersRigResult {
	readonly ttftMs: Float64Array;
	/** At each sample: how far a router's count of the mesh's requests at one target was from the truth. */
	readonly errorRequests: Float64Array;
	/** Largest number of requests at one target over the mean of all targets, at each sample. */
	readonly imbalance: Float64Array;
	readonly completed: number;
}

interface Flight {
	readonly router: RigRouter;
	readonly target: number;
	readonly entry: number;
	readonly arrivedMs: number;
	firstMs: number;
}

const US_PER_MS = 1000;
const START_MS = 1_000_000;
/** Between router and engine. */
const HOP_MS = 0.5;
const LEARN_MS = 200;
const SAMPLE_MS = 50;
const PROMPT_TOKENS = { mean: 1200, cv: 1 } as const;
const OUTPUT_TOKENS = { mean: 160, cv: 0.8 } as const;
const LEASE_MS = 2000;

/** Runs until every request sent has ended. The same options give the same result. */
export function runRouters(options: RoutersRigOptions): RoutersRigResult {
	return new RoutersRig(options).run();
}

class RoutersRig {
	readonly #options: RoutersRigOptions;
	readonly #events = new EventQueue();
	readonly #engines: readonly EngineModel[];
	readonly #routers: readonly RigRouter[];
	readonly #traffic: SeededRandom;
	readonly #ttftMs: number[] = [];
	readonly #errors: number[] = [];
	readonly #imbalance: number[] = [];
	#completed = 0;
	#open = 0;

	constructor(options: RoutersRigOptions) {
		this.#options = options;
		const profile = engineProfile(options.profile);
		this.#engines = Array.from(
			{ length: options.targets },
			() => new EngineModel({ config: engineModelConfig(profile), latency: new RooflineLatency(profile.roofline) }),
		);
		// Traffic has a stream of its own: the same requests come at the same times however many routers there are.
		this.#traffic = new SeededRandom(options.seed, 1);
		this.#routers = Array.from(
			{ length: options.routers },
			(_, index) =>
				new RigRouter(
					options.targets,
					options.strategy,
					LEASE_MS,
					new SeededRandom(options.seed, 100 + index),
					START_MS,
				),
		);
	}

	run(): RoutersRigResult {
		const { targets, reportPeriodMs, sharePeriodMs } = this.#options;
		for (let target = 0; target < targets; target++)
			this.#every(reportPeriodMs, (target * reportPeriodMs) / targets, () => this.#scrape(target));
		for (const [index, router] of this.#routers.entries()) {
			this.#every(LEARN_MS, (index * LEARN_MS) / this.#routers.length, () => router.learn(this.#nowMs));
			if (sharePeriodMs > 0) this.#share(router, index);
		}
		this.#every(SAMPLE_MS, 0, () => this.#sample());
		this.#at(START_MS, () => this.#arrive());
		while (this.#events.step());
		return {
			ttftMs: Float64Array.from(this.#ttftMs),
			errorRequests: Float64Array.from(this.#errors),
			imbalance: Float64Array.from(this.#imbalance),
			completed: this.#completed,
		};
	}

	/** At one instant what was asked for first happens first: all of it is of one class. */
	#at(atMs: number, fn: () => void): void {
		this.#events.at(Math.round(atMs * US_PER_MS), EventClass.wire, fn);
	}

	get #nowMs(): number {
		return this.#events.nowUs / US_PER_MS;
	}

	get #sending(): boolean {
		return this.#nowMs < START_MS + this.#options.durationMs;
	}

	/** Goes on while there is something to serve. */
	#every(periodMs: number, firstMs: number, fn: () => void): void {
		const turn = (): void => {
			if (!this.#sending && this.#open === 0) return;
			fn();
			this.#at(this.#nowMs + periodMs, turn);
		};
		this.#at(START_MS + firstMs, turn);
	}

	#share(router: RigRouter, index: number): void {
		const { sharePeriodMs, shareDelayMs } = this.#options;
		const peers = this.#routers.filter((other) => other !== router);
		const tellers = peers.map((peer) => {
			peer.book.begin(String(index), START_MS);
			return { peer, teller: router.addFollower({ heartbeatMs: LEASE_MS / 10, fullMs: LEASE_MS }) };
		});
		this.#every(sharePeriodMs, (index * sharePeriodMs) / this.#routers.length, () => {
			router.noteChanges();
			for (const { peer, teller } of tellers) {
				const frame = teller.next(this.#nowMs, this.#nowMs);
				if (frame === undefined) continue;
				this.#at(this.#nowMs + shareDelayMs, () => peer.hear(String(index), frame, this.#nowMs));
			}
		});
	}

	#scrape(target: number): void {
		const engine = this.#engines[target] as EngineModel;
		const { kvBlocks, blockTokens, sequencesMax } = engine.config;
		const delta = {
			observedAtMs: this.#nowMs,
			unread: [],
			queueDepth: engine.waiting,
			running: engine.running,
			kvUsage: engine.kvBlocksUsed / kvBlocks,
			kvBlocksTotal: kvBlocks,
			kvBlocksFree: kvBlocks - engine.kvBlocksUsed,
			kvBlockTokens: blockTokens,
			maxSequences: sequencesMax,
		};
		this.#at(this.#nowMs + this.#options.reportDelayMs, () => {
			for (const router of this.#routers) router.report(target, delta, this.#nowMs);
		});
	}

	#arrive(): void {
		if (!this.#sending) return;
		const random = this.#traffic;
		const promptTokens = lognormal(random, PROMPT_TOKENS.mean, PROMPT_TOKENS.cv);
		const outputTokens = lognormal(random, OUTPUT_TOKENS.mean, OUTPUT_TOKENS.cv);
		const router = this.#routers[Math.floor(random.nextFloat() * this.#routers.length)] as RigRouter;
		const target = router.decide({ promptTokens, outputTokensExpected: OUTPUT_TOKENS.mean }, this.#nowMs);
		const entry = router.dispatch(target, promptTokens);
		const flight: Flight = { router, target, entry, arrivedMs: this.#nowMs, firstMs: 0 };
		this.#open++;
		this.#at(this.#nowMs + HOP_MS, () => {
			const engine = this.#engines[target] as EngineModel;
			const taken = engine.submit({ promptTokens, outputTokens, tag: flight }, this.#nowUs());
			if (typeof taken === 'string') throw new Error(`an engine of the rig refused: ${taken}`);
			this.#kick(target);
		});
		const gapMs = (-Math.log(1 - random.nextFloat()) / this.#options.ratePerS) * 1000;
		this.#at(this.#nowMs + gapMs, () => this.#arrive());
	}

	#nowUs(): number {
		return Math.round(this.#nowMs * 1000);
	}

	/** Begins the next step of an engine, now or when its next sequence is ready. */
	#kick(target: number): void {
		const engine = this.#engines[target] as EngineModel;
		if (engine.stepInFlight) return;
		const nowUs = Math.max(this.#nowUs(), engine.nowUs);
		const readyUs = engine.nextStepUs(nowUs);
		if (readyUs === Number.POSITIVE_INFINITY) return;
		if (readyUs > nowUs) return this.#at(readyUs / 1000, () => this.#kick(target));
		if (engine.beginStep(nowUs) > 0) this.#at(engine.stepEndUs / 1000, () => this.#endStep(target));
	}

	#endStep(target: number): void {
		const engine = this.#engines[target] as EngineModel;
		const { emitted, finished } = engine.endStep(Math.max(this.#nowUs(), engine.stepEndUs));
		for (const sequence of emitted) if (sequence.generatedTokens === 1) this.#first(sequence.tag as Flight);
		for (const sequence of finished) this.#end(sequence);
		this.#kick(target);
	}

	#first(flight: Flight): void {
		flight.firstMs = this.#nowMs + HOP_MS;
		this.#ttftMs.push(flight.firstMs - flight.arrivedMs);
		this.#at(flight.firstMs, () => flight.router.firstToken(flight.entry));
	}

	#end({ tag, promptTokens, generatedTokens }: Sequence): void {
		const flight = tag as Flight;
		this.#at(this.#nowMs + HOP_MS, () => {
			this.#open--;
			this.#completed++;
			const tpotMs = generatedTokens > 1 ? (this.#nowMs - flight.firstMs) / (generatedTokens - 1) : 0;
			const ttftMs = flight.firstMs - flight.arrivedMs;
			flight.router.ended(flight.entry, flight.target, { ttftMs, tpotMs, uncachedTokens: promptTokens });
		});
	}

	#sample(): void {
		if (!this.#sending) return;
		let most = 0;
		let all = 0;
		for (let target = 0; target < this.#engines.length; target++) {
			const truth = this.#routers.reduce((sum, router) => sum + router.own(REQUESTS, target), 0);
			most = Math.max(most, truth);
			all += truth;
			for (const router of this.#routers) this.#errors.push(Math.abs(router.believed(REQUESTS, target) - truth));
		}
		if (all > 0) this.#imbalance.push((most * this.#engines.length) / all);
	}
}

function lognormal(random: SeededRandom, mean: number, cv: number): number {
	const variance = Math.log(1 + cv * cv);
	const value = Math.exp(Math.log(mean) - variance / 2 + Math.sqrt(variance) * standardNormal(random));
	return Math.min(16_000, Math.max(1, Math.round(value)));
}
