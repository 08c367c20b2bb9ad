// Owns "did you mean": the nearest of a few known names. Used for configuration keys, commands and names given on the command line.

/** Edit distance with adjacent swaps as one edit (optimal string alignment), cut off above `most`. */
export function editDistance(a: string, b: string, most: number): number {
	if (Math.abs(a.length - b.length) > most) return most + 1;
	let before: number[] = [];
	let previous = Array.from({ length: b.length + 1 }, (_, j) => j);
	for (let i = 1; i <= a.length; i++) {
		const current = [i];
		for (let j = 1; j <= b.length; j++) {
			const same = a[i - 1] === b[j - 1];
			let cost = Math.min(
				(previous[j] as number) + 1,
				(current[j - 1] as number) + 1,
				(previous[j - 1] as number) + (same ? 0 : 1),
			);
			if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1])
				cost = Math.min(cost, (before[j - 2] as number) + 1);
			current.push(cost);
		}
		before = previous;
		previous = current;
	}
	return previous[b.length] as number;
}

/** The nearest known name within a third of the word's length, or undefined. Case and `-`/`_` do not count. */
export function suggest(word: string, known: Iterable<string>): string | undefined {
	const fold = (name: string): string => name.slice(0, 64).toLowerCase().replaceAll('-', '_');
	const folded = fold(word);
	const most = Math.max(1, Math.floor(folded.length / 3));
	let best: string | undefined;
	let bestDistance = most + 1;
	for (const name of known) {
		const distance = editDistance(folded, fold(name), most);
		if (distance >= bestDistance) continue;
		best = name;
		bestDistance = distance;
	}
	return best;
}
