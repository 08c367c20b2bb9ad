// Owns small tables in a terminal: columns aligned, numbers to the right, two spaces apart.

const numeric = /^[-+]?[\d.,]+(?:e[-+]?\d+)?\s?%?$/i;

/** Lines of a table, each indented by two spaces; no trailing line break. */
export function table(heads: readonly string[], rows: readonly (readonly string[])[]): string {
	const right = heads.map((_, column) => rows.length > 0 && rows.every((row) => numeric.test(row[column] ?? '')));
	const widths = heads.map((head, column) => Math.max(head.length, ...rows.map((row) => row[column]?.length ?? 0)));
	const line = (cells: readonly string[]): string => {
		const padded = widths.map((width, column) =>
			right[column] === true ? (cells[column] ?? '').padStart(width) : (cells[column] ?? '').padEnd(width),
		);
		return `  ${padded.join('  ')}`.trimEnd();
	};
	return [line(heads), ...rows.map(line)].join('\n');
}
