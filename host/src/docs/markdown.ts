// Owns the little Markdown the reference pages are made of.

/** Text safe inside a table cell. */
export function cell(text: string): string {
	return text.replaceAll('|', '\\|').replaceAll('\n', ' ');
}

export function code(text: string): string {
	return text === '' ? '' : `\`${text}\``;
}

/** Characters as the formatter counts them: code points. */
function width(text: string): number {
	return Array.from(text).length;
}

/** A table with its columns aligned, as the formatter would write it. */
export function markdownTable(titles: readonly string[], rows: readonly (readonly string[])[]): string {
	const cells = [titles, ...rows].map((row) => row.map(cell));
	const widths = titles.map((_, column) => Math.max(3, ...cells.map((row) => width(row[column] ?? ''))));
	const line = (row: readonly string[], fill: string): string =>
		`| ${row.map((text, column) => text + fill.repeat((widths[column] ?? 0) - width(text))).join(' | ')} |\n`;
	const [head = [], ...body] = cells;
	const rule = line(
		titles.map(() => ''),
		'-',
	);
	return line(head, ' ') + rule + body.map((row) => line(row, ' ')).join('');
}

/** The first lines of every generated page. */
export function header(title: string, source: string, introduction: string): string {
	return `# ${title}\n\n<!-- Generated from ${source} by \`npm run generate\`. Do not edit. -->\n\n${introduction}\n`;
}
