// Owns the shape of a benchmark: what it is called, what it is given, and the tables it returns. Benches measure and say what they aim at;
// they are no part of the test verdict.

/** A figure with an aim beside it. */
export interface Aim {
	readonly what: string;
	readonly figure: number;
	/** The figure should be at most this. */
	readonly atMost: number;
	readonly unit: string;
}

export interface Table {
	readonly title: string;
	readonly columns: readonly string[];
	readonly rows: readonly (readonly (string | number)[])[];
	/** What a reader must know to read the figures. */
	readonly notes: readonly string[];
	readonly aims: readonly Aim[];
}

export interface BenchContext {
	/** Fewer and shorter rounds: to see that it runs, not to quote. */
	readonly quick: boolean;
	/** A trace file to replay, for benches that replay one. */
	readonly trace: string | undefined;
	/** One line of progress for a person; not part of the result. */
	readonly progress: (line: string) => void;
}

export interface Bench {
	readonly name: string;
	readonly summary: string;
	readonly run: (context: BenchContext) => Promise<readonly Table[]>;
}
