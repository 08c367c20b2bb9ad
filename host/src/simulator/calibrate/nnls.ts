// Owns least squares whose coefficients must not be negative, by the active-set method of Lawson and Hanson (Solving Least Squares Problems, 1974, chapter 23),
// for a few dozen coefficients and many rows: the normal equations are formed once. Columns are scaled to length 1, so that coefficients of
// very different size are found alike.

const ROUNDS_MAX = 500;
/** Relative: below it a gradient counts as 0, and a pivot as none. */
const TOLERANCE = 1e-12;

/** Coefficients x ≥ 0 with least |Ax − b|². `rows` are those of A, each of `columns` numbers. Columns that are all 0 get 0. */
export function nonNegativeLeastSquares(
	rows: readonly (readonly number[])[],
	b: readonly number[],
	columns: number,
): number[] {
	const scale = Array.from({ length: columns }, (_, j) =>
		Math.sqrt(rows.reduce((sum, row) => sum + (row[j] ?? 0) ** 2, 0)),
	);
	const unit = (row: readonly number[], j: number): number => (scale[j] === 0 ? 0 : (row[j] ?? 0) / (scale[j] ?? 1));
	const gram = Array.from({ length: columns }, (_, j) =>
		Array.from({ length: columns }, (__, k) => rows.reduce((sum, row) => sum + unit(row, j) * unit(row, k), 0)),
	);
	const right = Array.from({ length: columns }, (_, j) =>
		rows.reduce((sum, row, i) => sum + unit(row, j) * (b[i] ?? 0), 0),
	);
	return activeSet(gram, right).map((value, j) => (scale[j] === 0 ? 0 : value / (scale[j] ?? 1)));
}

function activeSet(gram: readonly (readonly number[])[], right: readonly number[]): number[] {
	const size = Math.max(...right.map(Math.abs), 0);
	let x = right.map(() => 0);
	const passive = new Set<number>();
	for (let round = 0; round < ROUNDS_MAX; round++) {
		const entering = steepest(gram, right, x, passive, size * TOLERANCE);
		if (entering < 0) return x;
		passive.add(entering);
		for (;;) {
			const solved = solveOn(gram, right, passive);
			// A column that depends on the others brings nothing: it stays out, at 0.
			if (solved === undefined) {
				passive.delete(entering);
				return x;
			}
			const blocking = [...passive].filter((j) => (solved[j] ?? 0) <= 0);
			if (blocking.length === 0) {
				x = solved;
				break;
			}
			const step = Math.min(...blocking.map((j) => (x[j] ?? 0) / ((x[j] ?? 0) - (solved[j] ?? 0))));
			x = x.map((value, j) => (passive.has(j) ? value + step * ((solved[j] ?? 0) - value) : 0));
			for (const j of blocking) {
				if ((x[j] ?? 0) > size * TOLERANCE) continue;
				x[j] = 0;
				passive.delete(j);
			}
			if (passive.size === 0) break;
		}
	}
	return x;
}

/** The column outside `passive` along which the error falls fastest; −1 when it falls along none. */
function steepest(
	gram: readonly (readonly number[])[],
	right: readonly number[],
	x: readonly number[],
	passive: ReadonlySet<number>,
	tolerance: number,
): number {
	let best = -1;
	let most = tolerance;
	for (const [j, target] of right.entries()) {
		if (passive.has(j)) continue;
		const gradient = target - (gram[j] ?? []).reduce((sum, value, k) => sum + value * (x[k] ?? 0), 0);
		if (gradient <= most) continue;
		most = gradient;
		best = j;
	}
	return best;
}

/** Solves the normal equations on the columns of `passive` by Cholesky; others are 0. Undefined when they depend on each other. */
function solveOn(
	gram: readonly (readonly number[])[],
	right: readonly number[],
	passive: ReadonlySet<number>,
): number[] | undefined {
	const at = [...passive];
	const n = at.length;
	const lower: number[][] = [];
	for (let i = 0; i < n; i++) {
		const row: number[] = [];
		for (let k = 0; k <= i; k++) {
			let sum = gram[at[i] as number]?.[at[k] as number] ?? 0;
			for (let m = 0; m < k; m++) sum -= (row[m] ?? 0) * ((k === i ? row : lower[k])?.[m] ?? 0);
			if (k < i) row.push(sum / (lower[k]?.[k] ?? 1));
			else if (sum <= TOLERANCE) return undefined;
			else row.push(Math.sqrt(sum));
		}
		lower.push(row);
	}
	const y: number[] = [];
	for (let i = 0; i < n; i++) {
		let sum = right[at[i] as number] ?? 0;
		for (let k = 0; k < i; k++) sum -= (lower[i]?.[k] ?? 0) * (y[k] ?? 0);
		y.push(sum / (lower[i]?.[i] ?? 1));
	}
	const out = right.map(() => 0);
	for (let i = n - 1; i >= 0; i--) {
		let sum = y[i] ?? 0;
		for (let k = i + 1; k < n; k++) sum -= (lower[k]?.[i] ?? 0) * (out[at[k] as number] ?? 0);
		out[at[i] as number] = sum / (lower[i]?.[i] ?? 1);
	}
	return out;
}
