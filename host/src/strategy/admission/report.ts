// Owns the shape of an admission verdict: what an author reads of their module. Plain data, JSON-able, without stack traces.

/** One reason a module was refused. */
export interface ReportedRefusal {
	/** `IM_ADMISSION_…`, `IM_MANIFEST_…`. */
	readonly code: string;
	readonly message: string;
	readonly hint: string;
	/** Function, source line or byte offset, as far as known. */
	readonly where: string;
}

/** One finding of the conformance run. */
export interface ConformanceFinding {
	readonly check: string;
	readonly ok: boolean;
	readonly detail: string;
}

export interface SizeFigures {
	readonly targets: number;
	/** Fuel of one decision: median and most over the calibration requests. */
	readonly fuelP50: number;
	readonly fuelMax: number;
	readonly fuelBudget: number;
	/** Wall time of one decision, request written and answer checked, µs. Reported, never judged. */
	readonly timeP50Us: number;
	readonly timeP99Us: number;
}

export interface AdmissionReport {
	readonly admitted: boolean;
	/** `wasm`, or the machine a native library is for: `linux-x64`, `linux-arm64`. */
	readonly platform: string;
	readonly name: string;
	readonly version: string;
	readonly kind: string;
	readonly digest: string;
	readonly abi: string;
	readonly moduleBytes: number;
	readonly meteredBytes: number;
	readonly functions: number;
	readonly hooks: readonly string[];
	readonly columns: readonly string[];
	readonly stateBytes: number;
	/** Per export: none, counted or unbounded. */
	readonly loops: Readonly<Record<string, string>>;
	readonly refusals: readonly ReportedRefusal[];
	readonly conformance: readonly ConformanceFinding[];
	readonly sizes: readonly SizeFigures[];
	/** Nanoseconds a unit of fuel takes on this machine. */
	readonly nsPerFuel: number;
	/** CPU the admission took in its child process, ms. */
	readonly cpuMs: number;
}
