// Owns cutting a byte stream into numbered lines with a bound on their length. Leaves their meaning to the importers.
import { MeshError } from '@infermesh/proto';
import { traceErrors } from './errors.js';

export interface Line {
	/** The text without its line ending. */
	readonly text: string;
	/** Number of the line, from 1. */
	readonly number: number;
}

/**
 * Yields the lines of UTF-8 `chunks`; LF and CRLF both end a line, a byte order mark is dropped.
 * Memory held is one chunk and one line. Throws IM_TRACE_LIMIT when a line is longer than `lineCharsMax` characters.
 */
export async function* readLines(
	chunks: AsyncIterable<Uint8Array>,
	name: string,
	lineCharsMax: number,
): AsyncGenerator<Line> {
	const decoder = new TextDecoder('utf-8');
	let rest = '';
	let number = 0;
	const check = (text: string): void => {
		if (text.length <= lineCharsMax) return;
		throw new MeshError(traceErrors, 'IM_TRACE_LIMIT', `the line is longer than ${lineCharsMax} characters`, {
			where: `${name}:${number + 1}:1`,
			details: { limit: 'lineCharsMax', value: lineCharsMax },
		});
	};
	for await (const chunk of chunks) {
		rest += decoder.decode(chunk, { stream: true });
		let from = 0;
		for (let end = rest.indexOf('\n'); end !== -1; end = rest.indexOf('\n', from)) {
			const text = rest.slice(from, end > from && rest.charCodeAt(end - 1) === 13 ? end - 1 : end);
			check(text);
			number++;
			yield { text, number };
			from = end + 1;
		}
		rest = rest.slice(from);
		check(rest);
	}
	rest += decoder.decode();
	if (rest !== '') yield { text: rest.endsWith('\r') ? rest.slice(0, -1) : rest, number: number + 1 };
}
