// Owns what a scenario is once it is read: complete, in the terms of SimulationSpec, with the names its author chose left as they are.
import type { EngineGroup, FaultSpec, LatencySpec, NetworkSpec, RouterSpec, SignalSpec, SloSpec } from '../spec.js';

export type Segment = 'all' | 'first_half' | 'second_half';

export interface LengthSpec {
	readonly mean: number;
	readonly cv: number;
	readonly tokensMax: number;
}

export interface GeneratorSpec {
	readonly requests: number;
	readonly ratePerS: number;
	readonly arrivals: 'poisson' | 'constant' | 'gamma' | 'weibull';
	readonly cv: number;
	readonly diurnalAmplitude: number;
	readonly diurnalPeriodS: number;
	readonly input: LengthSpec;
	readonly output: LengthSpec;
	readonly prefixes: number;
	readonly prefixShare: number;
	readonly prefixLevels: number;
	readonly prefixSkew: number;
	readonly sessions: number;
	readonly turns: number;
}

export interface WorkloadSpec {
	/** Resolved against the scenario's file. */
	readonly trace?: string;
	readonly format: 'auto' | 'azure' | 'mooncake';
	readonly dequantise: 'auto' | 'never';
	readonly defects: 'refuse' | 'mend';
	readonly requestsMax: number;
	readonly generator: GeneratorSpec;
	readonly loras: { readonly names: readonly string[]; readonly share: number };
	readonly tenants: number;
	readonly priorities: readonly number[];
}

/** What a variant changes; absent sections and keys stay as they are. */
export interface VariantSpec {
	readonly speed?: number;
	readonly fleet?: Partial<EngineGroup>;
	readonly network?: Partial<NetworkSpec>;
	readonly signals?: Partial<SignalSpec>;
	readonly router?: Partial<RouterSpec>;
	readonly slo?: Partial<SloSpec>;
}

export interface StrategyChoice {
	/** A shipped name, a folder, a `.wasm` or a `.so`. */
	readonly name: string;
	readonly label?: string;
	readonly config: Readonly<Record<string, number | boolean>>;
}

export interface LoadsSpec {
	readonly values: readonly number[];
	readonly of: 'speed' | 'capacity';
	/** Empty = the baseline. */
	readonly capacityOf: string;
	readonly until: string;
}

export interface GridSpec {
	readonly loads: LoadsSpec;
	readonly seeds: number | readonly number[];
	readonly segments: readonly Segment[];
	readonly faults: Readonly<Record<string, readonly FaultSpec[]>>;
	readonly variants: Readonly<Record<string, VariantSpec>>;
	readonly slos: Readonly<Record<string, SloSpec>>;
	readonly strategies: readonly StrategyChoice[];
	readonly baseline: string;
}

export interface AssignmentChoice {
	readonly kind: 'single' | 'request' | 'split' | 'switchback';
	readonly share: number;
	readonly blockMs: number;
}

export interface SimulationScenario {
	readonly name: string;
	readonly description: string;
	readonly model: string;
	readonly seed: number;
	readonly speed: number;
	readonly fleet: readonly EngineGroup[];
	readonly network: NetworkSpec;
	readonly signals: SignalSpec;
	readonly router: RouterSpec;
	readonly faults: readonly FaultSpec[];
	readonly assignment: AssignmentChoice;
	readonly slo: SloSpec;
	readonly workload: WorkloadSpec;
	readonly grid: GridSpec;
	readonly drainMs: number;
	readonly timelineBins: number;
}

/** A latency as written: its form may stand in a file of its own. */
export interface LatencyChoice {
	readonly kind?: LatencySpec['kind'];
	readonly prefill?: unknown;
	readonly decode?: unknown;
	readonly file?: string;
}
