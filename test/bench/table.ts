// Owns printing the tables of benches as text.
import type { Aim, Table } from './bench.js';

export function renderTable(table: Table): string {
	const cells = [table.columns, ...table.rows.map((row) => row.map(text))];
	const widths = table.columns.map((_, at) => Math.max(...cells.map((row) => (row[at] ?? '').length)));
	const lines = cells.map((row) =>
		row
			.map((cell, at) => pad(cell, widths[at] ?? 0, at))
			.join('  ')
			.trimEnd(),
	);
	lines.splice(1, 0, widths.map((width) => '-'.repeat(width)).join('  '));
	return [
		table.title,
		...lines.map((line) => `  ${line}`),
		...table.aims.map((aim) => `  ${renderAim(aim)}`),
		...table.notes.map((note) => `  * ${note}`),
		'',
	].join('\n');
}

export function renderAim(aim: Aim): string {
	const met = aim.figure <= aim.atMost ? 'met   ' : 'MISSED';
	return `${met} ${aim.what}: ${text(aim.figure)} ${aim.unit} (aim: at most ${text(aim.atMost)} ${aim.unit})`;
}

/** The first column is words, the others figures. */
function pad(cell: string, width: number, at: number): string {
	return at === 0 ? cell.padEnd(width) : cell.padStart(width);
}

/** Three figures that count, no exponent. */
function text(value: string | number): string {
	if (typeof value === 'string') return value;
	if (!Number.isFinite(value)) return '-';
	const size = Math.abs(value);
	if (size >= 100 || Number.isInteger(value)) return value.toFixed(0);
	return value.toFixed(size >= 10 ? 1 : size >= 1 ? 2 : 3);
}
