// Owns the one text of a JSON value: what is digested and signed. By RFC 8785: no white space, keys of objects in order of their UTF-16 units, numbers and strings as
// ECMAScript writes them. Equal values give equal text, whoever wrote them and in whichever order.

/** Deeper values are refused: who asks has not made them. */
const DEPTH_MAX = 128;

/** Members that JSON leaves out (undefined) are left out. Throws a RangeError for what is no JSON value, or too deep. */
export function canonicalJson(value: unknown, depth = 0): string {
	if (depth > DEPTH_MAX) throw new RangeError(`a document is nested deeper than ${DEPTH_MAX}`);
	if (Array.isArray(value)) return `[${value.map((one) => canonicalJson(one ?? null, depth + 1)).join(',')}]`;
	if (value === null || typeof value !== 'object') {
		const text = JSON.stringify(value) as string | undefined;
		if (text === undefined) throw new RangeError(`a ${typeof value} is no JSON value`);
		return text;
	}
	const members = Object.entries(value)
		.filter(([, one]) => one !== undefined)
		.sort(([a], [b]) => (a < b ? -1 : 1))
		.map(([key, one]) => `${JSON.stringify(key)}:${canonicalJson(one, depth + 1)}`);
	return `{${members.join(',')}}`;
}
