// Owns reading rows of the Azure LLM inference traces (CSV: TIMESTAMP, ContextTokens, GeneratedTokens; 2023 and 2024 releases).
// Leaves line cutting, ordering and bounds on the number of rows to import.ts.
import { MeshError } from '@infermesh/proto';
import type { Defects } from './defects.js';
import { traceErrors } from './errors.js';
import type { Line } from './lines.js';
import { TOKENS_MAX, type TraceRequest } from './types.js';

const TIMESTAMP = /^(\d{4})-(\d\d)-(\d\d)[ T](\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?(?:Z|([+-])(\d\d):?(\d\d))?$/;

/** Whether a first line is the header of an Azure trace. */
export function isAzureHeader(text: string): boolean {
	const columns = new Set(columnNames(text));
	return columns.has('timestamp') && columns.has('contexttokens') && columns.has('generatedtokens');
}

/** Makes a reader of data rows from the header. The first row is time zero; 100 ns ticks survive (kept apart from the seconds). */
export function azureReader(header: string, name: string, defects: Defects): (line: Line) => TraceRequest {
	const columns = columnNames(header);
	const timestampAt = columns.indexOf('timestamp');
	const inputAt = columns.indexOf('contexttokens');
	const outputAt = columns.indexOf('generatedtokens');
	let originSeconds: number | undefined;
	let originFractionMs = 0;

	return (line) => {
		const cells = line.text.split(',');
		if (cells.length !== columns.length) {
			const message = `expected ${columns.length} columns, found ${cells.length}`;
			const column = line.text.length + 1;
			throw new MeshError(traceErrors, 'IM_TRACE_SYNTAX', message, { where: `${name}:${line.number}:${column}` });
		}
		const at = (index: number): string => `${name}:${line.number}:${columnOf(cells, index)}`;
		const { seconds, fractionMs } = parseTimestamp(cells[timestampAt] ?? '', () => at(timestampAt));
		if (originSeconds === undefined) {
			originSeconds = seconds;
			originFractionMs = fractionMs;
		}
		return {
			atMs: defects.time((seconds - originSeconds) * 1000 + (fractionMs - originFractionMs), () => at(timestampAt)),
			inputTokens: defects.prompt(
				parseTokens(cells[inputAt] ?? '', 'ContextTokens', () => at(inputAt)),
				() => at(inputAt),
			),
			outputTokens: Math.max(
				1,
				parseTokens(cells[outputAt] ?? '', 'GeneratedTokens', () => at(outputAt)),
			),
		};
	};
}

function columnNames(header: string): string[] {
	return header.split(',').map((column) => column.trim().toLowerCase());
}

/** Character column (from 1) at which cell `index` starts. */
function columnOf(cells: readonly string[], index: number): number {
	let column = 1;
	for (const cell of cells.slice(0, index)) column += cell.length + 1;
	return column;
}

function parseTimestamp(text: string, where: () => string): { seconds: number; fractionMs: number } {
	const match = TIMESTAMP.exec(text.trim());
	const part = (index: number): number => Number(match?.[index] ?? 0);
	const utcMs = Date.UTC(part(1), part(2) - 1, part(3), part(4), part(5), part(6));
	// Date.UTC rolls impossible dates over (13th month, 25th hour); a round trip shows whether it did.
	const fits =
		match !== null &&
		new Date(utcMs).toISOString().startsWith(`${match[1]}-${match[2]}-${match[3]}T${match[4]}:${match[5]}:${match[6]}`);
	if (!fits) {
		const message = `TIMESTAMP is not a date and time: ${JSON.stringify(text.slice(0, 40))}`;
		throw new MeshError(traceErrors, 'IM_TRACE_FIELD', message, {
			where: where(),
			hint: 'Expected the form 2023-11-16 18:15:46.6805900.',
		});
	}
	const offsetSeconds = (part(9) * 60 + part(10)) * 60 * (match[8] === '-' ? -1 : 1);
	const fractionMs = Number(`0.${match[7] ?? '0'}`) * 1000;
	return { seconds: utcMs / 1000 - offsetSeconds, fractionMs };
}

function parseTokens(text: string, field: string, where: () => string): number {
	const trimmed = text.trim();
	const tokens = /^\d{1,9}$/.test(trimmed) ? Number(trimmed) : Number.NaN;
	if (tokens <= TOKENS_MAX) return tokens;
	const message = `${field} is not a whole number from 0 to ${TOKENS_MAX}: ${JSON.stringify(text.slice(0, 40))}`;
	throw new MeshError(traceErrors, 'IM_TRACE_FIELD', message, { where: where() });
}
