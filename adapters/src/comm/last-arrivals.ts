// Owns finding the rank that others wait for. In a collective everybody leaves together, so who comes last is in it for the shortest time: the rank that
// is shortest again and again, by a margin, is the slow one. It takes the times of several ranks of one communicator, as of one node or a shared folder.

/** Operations of one communicator that wait for the times of their other ranks. */
const PENDING_MAX = 128;
/** Complete operations that are remembered. */
const WINDOW = 64;
const WINDOW_MIN = 8;
/** Of the median time: by less, ranks are taken to come together. */
const MARGIN = 0.2;
/** Of the operations in the window, from which on a rank is called slow. */
const SHARE_MIN = 0.6;
const COMMUNICATORS_MAX = 256;

interface Arrivals {
	readonly pending: Map<string, Map<number, number>>;
	/** Who came last, by more than the margin; -1 = nobody. */
	readonly lasts: number[];
	readonly ranks: Set<number>;
}

export interface LastArrival {
	readonly communicator: string;
	readonly rank: number;
	readonly share: number;
}

export class LastArrivals {
	readonly #communicators = new Map<string, Arrivals>();

	/** The time one rank spent in one operation. */
	add(communicator: string, operation: string, rank: number, durationUs: number): void {
		const known = this.#arrivalsOf(communicator);
		known.ranks.add(rank);
		let times = known.pending.get(operation);
		if (times === undefined) {
			times = new Map();
			known.pending.set(operation, times);
			const [oldest] = known.pending.keys();
			if (known.pending.size > PENDING_MAX && oldest !== undefined) known.pending.delete(oldest);
		}
		times.set(rank, durationUs);
	}

	/** Closes the operations of which all ranks known here have told, and says who comes last too often. */
	judge(): readonly LastArrival[] {
		const found: LastArrival[] = [];
		for (const [communicator, known] of this.#communicators) {
			for (const [operation, times] of known.pending) {
				if (known.ranks.size < 2 || times.size < known.ranks.size) continue;
				known.pending.delete(operation);
				known.lasts.push(lastOf(times));
				if (known.lasts.length > WINDOW) known.lasts.shift();
			}
			const slow = mostOften(known.lasts);
			if (slow !== undefined) found.push({ communicator, ...slow });
		}
		return found;
	}

	#arrivalsOf(communicator: string): Arrivals {
		const known = this.#communicators.get(communicator);
		if (known !== undefined) return known;
		const [oldest] = this.#communicators.keys();
		if (this.#communicators.size >= COMMUNICATORS_MAX && oldest !== undefined) this.#communicators.delete(oldest);
		const made = { pending: new Map(), lasts: [], ranks: new Set<number>() };
		this.#communicators.set(communicator, made);
		return made;
	}
}

function lastOf(times: ReadonlyMap<number, number>): number {
	const sorted = [...times].sort((a, b) => a[1] - b[1]);
	const median = sorted[Math.floor(sorted.length / 2)]?.[1] ?? 0;
	const [rank, shortest] = sorted[0] ?? [-1, 0];
	return median - shortest > MARGIN * median ? rank : -1;
}

function mostOften(lasts: readonly number[]): { readonly rank: number; readonly share: number } | undefined {
	if (lasts.length < WINDOW_MIN) return undefined;
	const counts = new Map<number, number>();
	for (const rank of lasts) if (rank >= 0) counts.set(rank, (counts.get(rank) ?? 0) + 1);
	const [most] = [...counts].sort((a, b) => b[1] - a[1]);
	if (most === undefined) return undefined;
	const share = most[1] / lasts.length;
	return share >= SHARE_MIN ? { rank: most[0], share } : undefined;
}
