// Owns "did you mean": the nearest known name to one that is not known.

/** Names longer than this are not compared. */
const NAME_LENGTH_MAX = 64;

/** Edits between two names; two neighbours swapped count as one. */
function distance(a: string, b: string): number {
	let before: number[] = [];
	let previous = Array.from({ length: b.length + 1 }, (_, index) => index);
	for (let i = 1; i <= a.length; i++) {
		const current = [i];
		for (let j = 1; j <= b.length; j++) {
			const substitute = (previous[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
			const swapped = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1];
			const swap = swapped ? (before[j - 2] ?? 0) + 1 : Number.POSITIVE_INFINITY;
			current.push(Math.min(substitute, swap, (previous[j] ?? 0) + 1, (current[j - 1] ?? 0) + 1));
		}
		before = previous;
		previous = current;
	}
	return previous[b.length] ?? 0;
}

/** The known name nearest to `name`, when it is near enough to be a slip (a third of its length); else undefined. */
export function nearestName(name: string, known: Iterable<string>): string | undefined {
	let best: string | undefined;
	let bestDistance = Math.max(1, Math.floor(name.length / 3)) + 1;
	for (const candidate of known) {
		if (name.length > NAME_LENGTH_MAX || candidate.length > NAME_LENGTH_MAX) continue;
		const found = distance(name.toLowerCase(), candidate.toLowerCase());
		if (found >= bestDistance) continue;
		best = candidate;
		bestDistance = found;
	}
	return best;
}

/** `; did you mean "x"?`, or nothing. */
export function didYouMean(name: string, known: Iterable<string>): string {
	const nearest = nearestName(name, known);
	return nearest === undefined ? '' : `; did you mean \`${nearest}\`?`;
}
