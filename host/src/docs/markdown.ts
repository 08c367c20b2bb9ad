// Owns the little Markdown the reference pages are made of.

/** Text safe inside a table cell. */
export function cell(text: string): string {
	return text.replaceAll('|', '\\|').replaceAll('\n', ' ');
}

export function code(text: string): string {
	return text === '' ? '' : `\`${text}\``;
}

export function markdownTable(titles: readonly string[], rows: readonly (readonly string[])[]): string {
	const line = (cells: readonly string[]): string => `| ${cells.map(cell).join(' | ')} |\n`;
	return line(titles) + line(titles.map(() => '---')) + rows.map(line).join('');
}

/** The first lines of every generated page. */
export function header(title: string, source: string, introduction: string): string {
	return `# ${title}\n\n<!-- Generated from ${source} by \`npm run generate\`. Do not edit. -->\n\n${introduction}\n`;
}
