// Owns where reports from outside go: the same places as those of this node's own adapters.
import type { DeltaOf, ReportKind } from '@infermesh/adapters';

/** Where a report comes from, and how old it is. */
export interface ReportOrigin {
	/** Who sent it: a SPIFFE id, `token:NAME` or `loopback`. */
	readonly caller: string;
	readonly adapter: string;
	/** Since it was observed. `observedAtMs` of the delta is by this node's monotonic clock. */
	readonly ageMs: number;
}

/** Each throws a MeshError for what it refuses for good. */
export interface ReportSinks {
	readonly model: (target: string, delta: DeltaOf['model'], origin: ReportOrigin) => void;
	readonly gpu: (delta: DeltaOf['gpu'], origin: ReportOrigin) => void;
	readonly comm: (delta: DeltaOf['comm'], origin: ReportOrigin) => void;
	readonly io: (delta: DeltaOf['io'], origin: ReportOrigin) => void;
}

export type ReportResult = 'taken' | 'duplicate' | 'refused';

/** Of the reports at this node. */
export interface ReportMetrics {
	report(kind: ReportKind, result: ReportResult): void;
	/** Reports that adapters had no room for. */
	reportsDropped(kind: ReportKind, count: number): void;
}
