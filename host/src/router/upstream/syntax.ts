// Owns the characters of HTTP/1.1 fields (RFC 9110 section 5), the same for what is sent and what is read.

/** A method, a field name, the name of a chunk extension. */
export const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
/** What no field value may have: control characters but the tab, and what Latin-1 cannot carry. */
export const BAD_VALUE = /[^\t\x20-\x7e\x80-\xff]/;

/** Names read before, and their lower case. Peers use few; the bound is for those that do not. */
const known = new Map<string, string>();
const KNOWN_MAX = 1024;

/** A field name in lower case, undefined when it is no token. Names come again with every message: each is looked at once. */
export function fieldName(raw: string): string | undefined {
	const lower = known.get(raw);
	if (lower !== undefined) return lower;
	if (!TOKEN.test(raw)) return undefined;
	if (known.size >= KNOWN_MAX) known.clear();
	const name = raw.toLowerCase();
	known.set(raw, name);
	return name;
}
