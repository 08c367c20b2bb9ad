// Owns how results of the simulation read: traces, tables, summaries.
import type { SeedResult } from './scenario.js';

export interface RunSummary {
	readonly runs: number;
	readonly failed: readonly {
		readonly scenario: string;
		readonly seed: number;
		readonly message: string | undefined;
	}[];
	readonly seconds: number;
	readonly virtualSeconds: number;
	readonly eventsPerSecond: number;
	readonly seedsPerMinute: number;
	readonly counters: Readonly<Record<string, number>>;
}

/** An error with its cause. */
export function messageOf(error: Error): string {
	const { cause } = error;
	return cause instanceof Error ? `${error.message} (${cause.message})` : error.message;
}

/** Rows in columns, each as wide as its widest cell. */
export function renderColumns(rows: readonly (readonly string[])[]): string {
	const columns = Math.max(0, ...rows.map((row) => row.length));
	const widths = Array.from({ length: columns }, (_, at) => Math.max(...rows.map((row) => (row[at] ?? '').length)));
	const line = (row: readonly string[]): string => row.map((cell, at) => cell.padEnd(widths[at] ?? 0)).join('  ');
	return rows.map((row) => `  ${line(row).trimEnd()}`).join('\n');
}

/** The last lines of a run, what it counted, and what was wrong. */
export function traceText(result: SeedResult, linesMax: number): string {
	const { scenario, seed, events, virtualS, hash, violation } = result;
	return [
		...result.lines.slice(-linesMax),
		'',
		`${scenario} seed ${seed}: ${events} events, ${virtualS.toFixed(1)} virtual seconds, trace ${hash}`,
		renderColumns(result.counters.entries().map(([name, count]) => [name, String(count)])),
		violation === undefined ? 'nothing was wrong' : `VIOLATION: ${messageOf(violation)}`,
	].join('\n');
}
