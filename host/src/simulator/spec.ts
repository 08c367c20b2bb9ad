// Owns what one simulation is told: fleet, workload, signals, faults, and which strategy decides what. Plain data, so that it crosses threads and stands
// in a report beside the result. Leaves files and their errors to scenario/, and the meaning of each part to the simulation.
import type { RooflineConstants } from '../engine/model/roofline.js';
import type { TraceRequest } from '../load/trace/types.js';

/** How long a step of an engine takes. `roofline` takes the constants of the profile, but for those given. */
export type LatencySpec =
	| { readonly kind: 'roofline'; readonly constants?: Partial<RooflineConstants> }
	/** Microseconds: a + b·Σn + c·Σn² over prefills of n tokens; a + b·context + c·batch over decodes (DistServe's form). */
	| {
			readonly kind: 'polynomial';
			readonly prefill: readonly [a: number, b: number, c: number];
			readonly decode: readonly [a: number, b: number, c: number];
	  }
	/** Measured points, interpolated linearly: prefill by new tokens; decode by context tokens (rows) and batch (columns); microseconds. */
	| {
			readonly kind: 'table';
			readonly prefill: { readonly tokens: readonly number[]; readonly us: readonly number[] };
			readonly decode: {
				readonly contextTokens: readonly number[];
				readonly batch: readonly number[];
				readonly us: readonly (readonly number[])[];
			};
	  };

/** Engines that are alike. */
export interface EngineGroup {
	/** Targets are named `<id>0`, `<id>1`, …; just `<id>` when `count` is 1. */
	readonly id: string;
	readonly count: number;
	/** Name of an engine profile. */
	readonly profile: string;
	readonly latency: LatencySpec;
	readonly zone: string;
	readonly region: string;
	readonly role: 'both' | 'prefill' | 'decode';
	/** Of the traffic a target should get, to the others'. */
	readonly weight: number;
	/** Multiplies every step's duration; 1 is the profile's speed. */
	readonly slowFactor: number;
	/** Absent: the profile's. */
	readonly kvTokens?: number;
	/** Second KV tier, in tokens; 0 = none. */
	readonly hostKvTokens: number;
	readonly blockTokens: number;
	readonly stepTokensMax: number;
	readonly sequencesMax: number;
	readonly waitingMax: number;
	/** LoRA adapters loaded at the start; empty = none. */
	readonly loras: readonly string[];
	/** Time in which one more is loaded; absent = 250 ms. */
	readonly loraLoadMs?: number;
	/** Whether it can fetch a cached prefix from another target. */
	readonly fetches: boolean;
}

/** One-way delays in milliseconds between the router and a target, by how far apart they are; and what moves KV between targets. */
export interface NetworkSpec {
	readonly sameZoneMs: number;
	readonly sameRegionMs: number;
	readonly otherRegionMs: number;
	/** Bytes a second of one KV transfer between targets. */
	readonly transferBytesPerSecond: number;
}

export interface SignalSpec {
	/** Time from the scrape of an engine until its values stand in the fleet table. */
	readonly delayMs: number;
	/** Time between scrapes; all targets are scraped with one phase each. */
	readonly periodMs: number;
	/** Prefix hits: what the router remembers of its own choices, what engines report of their caches, or the engines' caches themselves. */
	readonly prefix: 'approximate' | 'events' | 'oracle' | 'none';
	/** Delay of the engines' cache events. */
	readonly prefixDelayMs: number;
	/** Error of the output length a router expects: the strategy is told the workload's running mean, never the request's own length. */
	readonly outputEstimate: 'mean' | 'none';
}

export interface RouterSpec {
	/** Routers that share the fleet; requests are dealt by a seeded draw. */
	readonly count: number;
	readonly zone: string;
	readonly region: string;
	/** Time a decision takes in the simulated world. */
	readonly decisionUs: number;
	/** Delay with which routers learn of each other's requests in flight. */
	readonly peerDelayMs: number;
	readonly holdMax: number;
	readonly holdMsMax: number;
	readonly holdAgeingPerS: number;
	readonly hedging: boolean;
	/** Share of tokens that hedges may compute in vain. */
	readonly hedgeBudget: number;
	/** Wait for a first token before a copy is sent, where the strategy names none; absent or 0 = adaptive (p95 of recent ones). */
	readonly hedgeDelayMs?: number;
	readonly retriesMax: number;
	/** Wait for a first token after which an attempt counts as failed; absent = for ever. */
	readonly firstByteTimeoutMs?: number;
	/** Milliseconds from a request's arrival after which it is given up; 0 = never. */
	readonly timeoutMs: number;
	/** Exploration over the ranked rows, logged with propensities: share of requests sent to one drawn evenly. 0 = none. */
	readonly exploration: number;
	/** The first decision that routes this request (its place in the workload) goes to this row of the fleet, if it can take it: a fork of the run. */
	readonly forced?: { readonly request: number; readonly row: number };
	/** Arm that is asked on each decision's frame and decides nothing: what it would have chosen stands in the rows. Absent = none. */
	readonly askedArm?: number;
}

/** What happens to targets. Times are milliseconds from the start of the workload. */
export interface FaultSpec {
	readonly kind: 'slow' | 'lost' | 'hung' | 'flapping' | 'drained';
	/** A target id, or `*` for one drawn by the seed. */
	readonly target: string;
	readonly fromMs: number;
	/** Absent: until the end. */
	readonly toMs?: number;
	/** Of `slow`: how many times slower. */
	readonly factor?: number;
	/** Of `flapping`: time up and time down. */
	readonly periodMs?: number;
}

/** Which arm decides a request. */
export type AssignmentSpec =
	/** One arm alone: the truth. */
	| { readonly kind: 'single'; readonly arm: number }
	/** Each request by a seeded hash of its session, else of itself: arm 1 with probability `share`. */
	| { readonly kind: 'request'; readonly share: number }
	/** Targets split in two halves by seed, each arm has one. */
	| { readonly kind: 'split' }
	/** The whole fleet alternates; the order of each pair of blocks is drawn by the seed. */
	| { readonly kind: 'switchback'; readonly blockMs: number };

/** Objective of a request: it is good when it finished within both. Prompt length counts when `ttftPerTokenMs` is over 0. */
export interface SloSpec {
	readonly ttftMs: number;
	readonly ttftPerTokenMs: number;
	readonly tpotMs: number;
}

export interface SimulationSpec {
	/** What a report calls it. */
	readonly name: string;
	readonly seed: number;
	/** Arrival times are divided by it. */
	readonly speed: number;
	readonly model: string;
	readonly fleet: readonly EngineGroup[];
	readonly network: NetworkSpec;
	readonly signals: SignalSpec;
	readonly router: RouterSpec;
	readonly faults: readonly FaultSpec[];
	readonly assignment: AssignmentSpec;
	readonly slo: SloSpec;
	/** Keep every request's row in the result, not only the summary. */
	readonly keepRequests: boolean;
	/** Bins of the timelines; 0 = none. */
	readonly timelineBins: number;
	/** Simulated time after the last arrival at which whatever is under way is left unfinished; absent = six hours. */
	readonly drainMs?: number;
}

/** A workload in memory, shared by all simulations of a grid. */
export interface Workload {
	readonly name: string;
	readonly blockTokens: number;
	/** Notes a reader must know, such as de-quantised times. */
	readonly notes: readonly string[];
	/** By arrival. */
	readonly requests: readonly (TraceRequest & {
		readonly lora?: string;
		readonly priority?: number;
		readonly tenant?: string;
	})[];
}
