// Owns tables in the HTML reports: every cell is escaped.
import { escapeHtml } from './escape.js';

/** A row of a table. */
export function htmlRow(cells: readonly string[]): string {
	return `<tr>${cells.map((cell) => `<td>${escapeHtml(cell)}</td>`).join('')}</tr>`;
}

/** A table of rows that `htmlRow` made. */
export function htmlTable(head: readonly string[], rows: readonly string[], className = ''): string {
	return `<table class="${className}"><tr>${head.map((cell) => `<th>${escapeHtml(cell)}</th>`).join('')}</tr>${rows.join('')}</table>`;
}
