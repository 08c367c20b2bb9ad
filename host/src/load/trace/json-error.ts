// Owns finding where a JSON text goes wrong: the engine's own message names the place only for some errors.

/** Offset of the first character that makes `text` invalid JSON; its length when it ends too early. Log2(n) parses: for error paths only. */
export function jsonErrorOffset(text: string): number {
	// A prefix is viable when it parses or fails only for being short; viability is monotone in length, so bisect.
	let viable = 0;
	let broken = text.length + 1;
	while (broken - viable > 1) {
		const middle = (viable + broken) >>> 1;
		if (isViablePrefix(text.slice(0, middle))) viable = middle;
		else broken = middle;
	}
	return viable;
}

function isViablePrefix(prefix: string): boolean {
	try {
		JSON.parse(prefix);
		return true;
	} catch (error) {
		const message = error instanceof Error ? error.message : '';
		if (/end of JSON input|Unterminated string/.test(message)) return true;
		const position = /at position (\d+)/.exec(message)?.[1];
		return position !== undefined && Number(position) >= prefix.length;
	}
}
