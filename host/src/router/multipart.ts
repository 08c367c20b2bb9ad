// Owns the finding of the model in a multipart form (RFC 7578), as bytes: one pass over the body, within bounds on the number of parts and on the head of each.
// What two readers could understand differently is refused: no boundary, a part without an end, two fields of the name.
import type { Span } from './json-bytes.js';

const BOUNDARY = /;\s*boundary=(?:"([^"\\\r\n]{1,70})"|([^\s;,"]{1,70}))\s*(?:;|$)/i;
const NAME = /;\s*name=(?:"((?:[^"\\]|\\.)*)"|([^\s;"]+))/i;
const PARTS_MAX = 256;
const HEAD_BYTES_MAX = 4096;
const HEAD_END = Buffer.from('\r\n\r\n');
const DISPOSITION = 'content-disposition:';
const DASH = 0x2d;
const CR = 0x0d;
const LF = 0x0a;
const FIELD = 'model';

/** The model and where its name stands in the body; or, as text, what is wrong with the form. */
export function formModel(
	body: Buffer,
	contentType: string | undefined,
	charsMax: number,
): { readonly model: string; readonly span: Span } | string {
	const boundary = boundaryOf(contentType);
	if (boundary === undefined) return 'The body must be multipart/form-data with a boundary.';
	const delimiter = Buffer.from(`\r\n--${boundary}`, 'latin1');
	const opening = delimiter.subarray(2);
	if (!body.subarray(0, opening.length).equals(opening)) return 'The form does not begin with its boundary.';
	let found: Span | undefined;
	let at = opening.length;
	for (let parts = 0; !isLast(body, at); parts++) {
		if (parts === PARTS_MAX) return `The form has more than ${PARTS_MAX} parts.`;
		if (body[at] !== CR || body[at + 1] !== LF) return 'A boundary of the form is not a line.';
		const headEnd = body.indexOf(HEAD_END, at);
		const end = headEnd < 0 ? -1 : body.indexOf(delimiter, headEnd + 2);
		if (end < 0) return 'The form has no end.';
		if (headEnd - at > HEAD_BYTES_MAX) return 'A part of the form has too large a head.';
		if (fieldName(body.toString('latin1', at, headEnd)) === FIELD) {
			if (found !== undefined) return '`model` is given twice.';
			found = { start: headEnd + HEAD_END.length, end };
		}
		at = end + delimiter.length;
	}
	if (found === undefined || found.end <= found.start || found.end - found.start > charsMax)
		return '`model` must be the name of a model.';
	return { model: body.toString('utf8', found.start, found.end), span: found };
}

function boundaryOf(contentType: string | undefined): string | undefined {
	if (contentType === undefined || !/^multipart\/form-data\s*;/i.test(contentType)) return undefined;
	if (contentType.split(/boundary=/i).length !== 2) return undefined;
	const match = BOUNDARY.exec(contentType);
	return match?.[1] ?? match?.[2];
}

/** The delimiter before `at` is the closing one. */
function isLast(body: Buffer, at: number): boolean {
	return body[at] === DASH && body[at + 1] === DASH;
}

function fieldName(head: string): string | undefined {
	const line = head.split('\r\n').find((one) => one.toLowerCase().startsWith(DISPOSITION));
	const match = line === undefined ? null : NAME.exec(line);
	return match?.[1] ?? match?.[2];
}
