// Owns how results are printed: one JSON document with --json, lists as {"items": [...]}, else text; tables for lists.
import type { Listed } from '../admin/mesh-schemas.js';
import type { CliContext } from './context.js';

export interface OutputOptions {
	readonly json?: boolean;
}

/** Prints a result on standard output. `text` ends with a newline. */
export function print(context: CliContext, options: OutputOptions, data: unknown, text: () => string): void {
	context.stdout.write(options.json === true ? `${JSON.stringify(data, null, 2)}\n` : text());
}

/** Prints a list. */
export function printItems<T>(
	context: CliContext,
	options: OutputOptions,
	items: readonly T[],
	columns: readonly Column<T>[],
	empty: string,
): void {
	print(context, options, { items }, () => (items.length === 0 ? `${empty}\n` : renderTable(items, columns)));
}

/** Prints a list that says what state it is from. A stale one is marked, on standard error too. */
export function printListing<T>(
	context: CliContext,
	options: OutputOptions,
	listing: Listed<T>,
	columns: readonly Column<T>[],
	empty: string,
): void {
	if (listing.stale)
		context.stderr.write(`no quorum: this is what the node last heard, revision ${listing.revision}\n`);
	const { items } = listing;
	print(context, options, listing, () => (items.length === 0 ? `${empty}\n` : renderTable(items, columns)));
}

/** A moment, as an operator reads it. */
export function showTime(ms: number | null | undefined): string {
	return ms === null || ms === undefined ? '-' : new Date(ms).toISOString().replace(/\.\d+Z$/, 'Z');
}

export interface Column<T> {
	readonly title: string;
	readonly value: (item: T) => string;
	/** Numbers stand on the right. */
	readonly right?: boolean;
}

export function renderTable<T>(items: readonly T[], columns: readonly Column<T>[]): string {
	const rows = [
		columns.map((column) => column.title),
		...items.map((item) => columns.map((column) => column.value(item))),
	];
	const widths = columns.map((_, index) => Math.max(...rows.map((row) => (row[index] ?? '').length)));
	return rows
		.map((row) =>
			row
				.map((text, index) =>
					columns[index]?.right === true ? text.padStart(widths[index] ?? 0) : text.padEnd(widths[index] ?? 0),
				)
				.join('  ')
				.trimEnd()
				.concat('\n'),
		)
		.join('');
}

export function showMs(ms: number): string {
	if (!Number.isFinite(ms) || ms === 0) return '-';
	if (ms < 10) return `${ms.toFixed(1)} ms`;
	return ms < 10_000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`;
}

export function showNumber(value: number, digits = 0): string {
	return Number.isFinite(value) ? value.toFixed(digits) : '-';
}
