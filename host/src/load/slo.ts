// Owns per-request service objectives ('ttft<5s,tpot<100ms'): the grammar is that of thresholds, the metrics those of one request.
import { checkThresholds, holds, type MetricKind, parseThresholds, type Threshold } from './threshold.js';

/** What one completed request measured, milliseconds; absent where it has no such value (one token has no TPOT). */
export interface RequestLatencies {
	readonly e2e: number;
	readonly ttft?: number;
	readonly tpot?: number;
}

const KINDS: ReadonlyMap<string, MetricKind> = new Map([
	['ttft', 'time'],
	['tpot', 'time'],
	['e2e', 'time'],
]);

/** The objective of a request: every clause must hold. */
export type Slo = readonly Threshold[];

/** Parses an objective. Throws IM_THRESHOLD_SYNTAX, _METRIC or _UNIT. */
export function parseSlo(text: string): Slo {
	const clauses = parseThresholds(text);
	checkThresholds(clauses, KINDS);
	return clauses;
}

/** Whether a completed request met every clause; one without the value (TPOT of a single token) meets it. */
export function meetsSlo(slo: Slo, latencies: RequestLatencies): boolean {
	for (const clause of slo) {
		const value = clause.metric === 'ttft' ? latencies.ttft : clause.metric === 'tpot' ? latencies.tpot : latencies.e2e;
		if (value !== undefined && !holds(value, clause.operator, clause.limit)) return false;
	}
	return true;
}
