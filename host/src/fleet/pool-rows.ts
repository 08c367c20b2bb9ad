// Owns what a strategy's instance needs of a pool's rows, wherever they come from: the live table (pool-view.ts) or a recording.

export interface PoolRows {
	/** Rows in use, holes included. */
	readonly rowCount: number;
	/** Row of `cells` of each pool row, or HOLE. */
	readonly tableRows: Uint32Array;
	/** One bit a row: 1 = may be chosen now. */
	readonly eligible: Uint32Array;
	readonly eligibleCount: number;
	/** Router columns by pool row. */
	readonly inflight: Float32Array;
	readonly load: Float32Array;
	readonly pendingPrefillTokens: Float32Array;
	readonly pendingPrefillPairs: Float32Array;
	readonly prefillAtMs: Uint32Array;
	readonly activeDecodeTokens: Float32Array;
	readonly activeDecodes: Float32Array;
	/** Epoch of the table that the rows reflect. */
	readonly tableEpoch: number;
	/** Raised by one for every changed row logged. */
	readonly changeHead: number;
	/** Raised when everything must be copied again. */
	readonly fullVersion: number;
	/** Rows a column of `cells` has. */
	readonly rowsMax: number;
	isEligible(row: number): boolean;
	/** Brings the rows up to date. */
	sync(): void;
	/** The changed row at position `index` of the log. */
	changedRow(index: number): number;
	/** Cell (column, row) at `column * rowsMax + tableRows[row]`. */
	cells(): Uint32Array;
	/** One cell as a 32-bit float; 0 where no target stands. Router columns are in the arrays above. */
	cellF32(column: number, row: number): number;
	/** Whether cells copied since `sync` may be torn. */
	moved(): boolean;
}
