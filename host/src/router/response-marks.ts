// Owns the marking of ids in what an engine answers about a stored response. Only the places where an engine itself names a response are touched: the
// object's own `id` and what it goes on from, at its top or under `response`. What a client had an engine repeat (metadata, input items) and what a model
// says may look like such an id, and a mark on it would vouch for what was never checked.
import { eachMember, replaceSpan, type Span } from './json-bytes.js';
import { RESPONSE_PREFIX } from './response-ids.js';

const QUOTED_PREFIX = Buffer.from(`"${RESPONSE_PREFIX}`);
const LF = 0x0a;
const SPACE = 0x20;
const OPEN_BRACE = 0x7b;
const DATA = Buffer.from('data:');

const ids: ReadonlySet<string> = new Set(['id', 'response_id', 'previous_response_id']);

/** What to put behind `resp_` of an id that a target gave. */
export type MarkOf = (id: string) => string;

/** A JSON object, or the beginning of one, with its ids marked; whatever else it is, as it came. */
export function markedBody(bytes: Buffer, mark: MarkOf): Buffer {
	return bytes.includes(QUOTED_PREFIX) ? marked(bytes, 0, bytes.length, mark) : bytes;
}

/** Whole server-sent events with the ids in their data marked. */
export function markedEvents(bytes: Buffer, mark: MarkOf): Buffer {
	if (!bytes.includes(QUOTED_PREFIX)) return bytes;
	const pieces: Buffer[] = [];
	let from = 0;
	for (let line = 0; line < bytes.length; ) {
		const newline = bytes.indexOf(LF, line);
		const end = newline < 0 ? bytes.length : newline;
		if (bytes.subarray(line, line + DATA.length).equals(DATA)) {
			const data = line + DATA.length;
			pieces.push(bytes.subarray(from, data), marked(bytes, data, end, mark));
			from = end;
		}
		line = end + 1;
	}
	pieces.push(bytes.subarray(from));
	return Buffer.concat(pieces);
}

/** The object in `bytes` from `start` to `end`. */
function marked(bytes: Buffer, start: number, end: number, mark: MarkOf): Buffer {
	let text = bytes.subarray(start, end);
	let open = 0;
	while (text[open] === SPACE) open++;
	if (text[open] !== OPEN_BRACE) return text;
	const spans: Span[] = [];
	eachMember(text, open, (name, span) => {
		if (ids.has(name)) spans.push(span);
		if (name !== 'response' || text[span.start] !== OPEN_BRACE) return;
		eachMember(text, span.start, (inner, place) => {
			if (ids.has(inner)) spans.push(place);
		});
	});
	// From the last to the first, so that those before keep their places.
	for (const { start: at, end: until } of spans.sort((a, b) => b.start - a.start)) {
		const value = text.subarray(at, until);
		if (!value.subarray(0, QUOTED_PREFIX.length).equals(QUOTED_PREFIX) || until >= text.length) continue;
		const id = idIn(value);
		if (id === undefined) continue;
		const behind = at + QUOTED_PREFIX.length;
		text = replaceSpan(text, { start: behind, end: behind }, mark(id));
	}
	return text;
}

function idIn(quoted: Buffer): string | undefined {
	try {
		return JSON.parse(quoted.toString('utf8')) as string;
	} catch {
		return undefined;
	}
}
