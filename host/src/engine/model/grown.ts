// Owns the growing of typed arrays that are filled from their start.

/** The same words in an array of twice the length, zeros behind them. */
export function grown(words: Uint32Array): Uint32Array {
	const wider = new Uint32Array(words.length * 2);
	wider.set(words);
	return wider;
}
