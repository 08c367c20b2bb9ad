// Owns the fleet table in shared memory: one row a target, one 32-bit column a signal, one writer, any number of readers.
// Double-buffered with an epoch: the writer fills the back buffer and makes it the front by one atomic store; a reader copies rows
// and then checks that the epoch has not moved under it. Bulk copies only, never an atomic per cell. Rows that changed are listed
// in a ring, so that a reader which keeps up copies only those. What the columns mean belongs to the SDK's dictionary.
import { columns } from '@infermesh/sdk';

/** Columns the host keeps for itself behind the dictionary's: the base of `load`, which target's row this is, and what keeps it from traffic for a while. */
export const LOAD_BASE_COLUMN = columns.length;
export const GENERATION_COLUMN = columns.length + 1;
/** Requests at once that a target on trial may have; 0 = not on trial. */
export const TRIALS_COLUMN = columns.length + 2;
/** Failed connections of the row that the agent has judged: one more, and the row is avoided. */
export const UNREACHABLE_SEEN_COLUMN = columns.length + 3;
const TABLE_COLUMNS = columns.length + 4;

const EPOCH = 0;
/** Dirty-ring heads as of the two epochs whose buffers exist, indexed by epoch & 1. */
const HEADS = 1;
const CONTROL_WORDS = 16;

const DIRTY_RING_ENTRIES_MIN = 8192;

/**
 * Dirty rows remembered, a power of two; a reader further behind copies everything. At least two whole fleets, so that a publish of every row
 * never overwrites what a reader of the epoch before is still reading.
 */
function ringEntries(rowsMax: number): number {
	return Math.max(DIRTY_RING_ENTRIES_MIN, 2 ** Math.ceil(Math.log2(2 * rowsMax)));
}

/** Attempts a reader makes before it reports a torn read; the writer publishes at most every few milliseconds, so one is the rule. */
const READ_ATTEMPTS_MAX = 64;

/** Everything a thread needs to open the table; passed through `workerData`. */
export interface FleetTableShared {
	readonly rowsMax: number;
	readonly buffer: SharedArrayBuffer;
}

interface Views {
	readonly control: Int32Array;
	readonly ring: Uint32Array;
	readonly u32: readonly [Uint32Array, Uint32Array];
}

function openViews(shared: FleetTableShared): Views {
	const controlBytes = CONTROL_WORDS * 4;
	const entries = ringEntries(shared.rowsMax);
	const ringBytes = entries * 4;
	const cells = TABLE_COLUMNS * shared.rowsMax;
	const at = controlBytes + ringBytes;
	return {
		control: new Int32Array(shared.buffer, 0, CONTROL_WORDS),
		ring: new Uint32Array(shared.buffer, controlBytes, entries),
		u32: [new Uint32Array(shared.buffer, at, cells), new Uint32Array(shared.buffer, at + cells * 4, cells)],
	};
}

export function createFleetTable(rowsMax: number): FleetTableShared {
	if (!Number.isInteger(rowsMax) || rowsMax < 1 || rowsMax > 1 << 20)
		throw new RangeError(`rowsMax ${rowsMax} is not in 1 … 2^20`);
	const bytes = CONTROL_WORDS * 4 + ringEntries(rowsMax) * 4 + 2 * TABLE_COLUMNS * rowsMax * 4;
	return { rowsMax, buffer: new SharedArrayBuffer(bytes) };
}

/** The single writer. Cells are set in a private master copy and reach readers at `publish`. */
export class FleetTableWriter {
	readonly rowsMax: number;
	readonly #views: Views;
	readonly #u32: Uint32Array;
	readonly #f32: Float32Array;
	readonly #dirty: Uint8Array;
	/** Called at the first change after a publish, so that whoever publishes need not look when nothing has changed. */
	onFirstChange: (() => unknown) | undefined;
	#dirtyRows: number[] = [];
	#previousRows: number[] = [];
	#head = 0;

	constructor(shared: FleetTableShared) {
		this.rowsMax = shared.rowsMax;
		this.#views = openViews(shared);
		this.#u32 = new Uint32Array(TABLE_COLUMNS * shared.rowsMax);
		this.#f32 = new Float32Array(this.#u32.buffer);
		this.#dirty = new Uint8Array(shared.rowsMax);
	}

	/** Puts every column of a row back to the dictionary's initial value. */
	resetRow(row: number): void {
		for (const column of columns) {
			if (column.type === 'f32') this.#f32[column.id * this.rowsMax + row] = column.initial;
			else this.#u32[column.id * this.rowsMax + row] = column.initial;
		}
		this.#f32[LOAD_BASE_COLUMN * this.rowsMax + row] = 0;
		this.#u32[GENERATION_COLUMN * this.rowsMax + row] = 0;
		this.#u32[TRIALS_COLUMN * this.rowsMax + row] = 0;
		this.#touch(row);
	}

	setF32(column: number, row: number, value: number): void {
		const at = column * this.rowsMax + row;
		const before = this.#u32[at];
		this.#f32[at] = value;
		if (this.#u32[at] !== before) this.#touch(row);
	}

	setU32(column: number, row: number, value: number): void {
		const at = column * this.rowsMax + row;
		if (this.#u32[at] === value >>> 0) return;
		this.#u32[at] = value;
		this.#touch(row);
	}

	getF32(column: number, row: number): number {
		return this.#f32[column * this.rowsMax + row] as number;
	}

	getU32(column: number, row: number): number {
		return this.#u32[column * this.rowsMax + row] as number;
	}

	#touch(row: number): void {
		if (this.#dirty[row] !== 0) return;
		this.#dirty[row] = 1;
		this.#dirtyRows.push(row);
		if (this.#dirtyRows.length === 1) this.onFirstChange?.();
	}

	/** Makes all changes since the last call visible at once. Returns the number of rows that changed. */
	publish(): number {
		const rows = this.#dirtyRows;
		if (rows.length === 0) return 0;
		const { control, ring, u32 } = this.#views;
		const epoch = Atomics.load(control, EPOCH) + 1;
		const back = u32[(epoch & 1) as 0 | 1];
		// The back buffer is one epoch behind: it lacks this change and the one before.
		for (const row of this.#previousRows) this.#copyRow(back, row);
		for (const row of rows) {
			this.#copyRow(back, row);
			this.#dirty[row] = 0;
			ring[this.#head & (ring.length - 1)] = row;
			this.#head = (this.#head + 1) >>> 0;
		}
		Atomics.store(control, HEADS + (epoch & 1), this.#head | 0);
		Atomics.store(control, EPOCH, epoch);
		this.#previousRows = rows;
		this.#dirtyRows = [];
		return rows.length;
	}

	#copyRow(into: Uint32Array, row: number): void {
		for (let at = row; at < into.length; at += this.rowsMax) into[at] = this.#u32[at] as number;
	}
}

/** One thread's read side. All reads between `begin` and a successful `verify` belong to one epoch. */
export class FleetTableReader {
	readonly rowsMax: number;
	readonly #views: Views;

	constructor(shared: FleetTableShared) {
		this.rowsMax = shared.rowsMax;
		this.#views = openViews(shared);
	}

	epoch(): number {
		return Atomics.load(this.#views.control, EPOCH);
	}

	/** Dirty rows the ring remembers. */
	get ringEntries(): number {
		return this.#views.ring.length;
	}

	/**
	 * The epoch, read so that no earlier read of a cell can be ordered after it: an atomic load alone orders only later reads on weakly
	 * ordered machines, an atomic read-modify-write orders both.
	 */
	epochAfterReads(): number {
		return Atomics.add(this.#views.control, EPOCH, 0);
	}

	/** Position of the dirty ring's head as of `epoch`. Only meaningful while `epoch` is current. */
	head(epoch: number): number {
		return Atomics.load(this.#views.control, HEADS + (epoch & 1)) >>> 0;
	}

	/** The front buffer of `epoch`: cell (column, row) is at `column * rowsMax + row`. */
	cells(epoch: number): Uint32Array {
		return this.#views.u32[(epoch & 1) as 0 | 1];
	}

	/** Row at position `index` (a head value) of the dirty ring. */
	dirtyRow(index: number): number {
		const { ring } = this.#views;
		return ring[index & (ring.length - 1)] as number;
	}

	/** Runs `copy` on the front buffer until it has seen one epoch from beginning to end; returns that epoch. */
	consistently(copy: (cells: Uint32Array, head: number) => void): number {
		for (let attempt = 0; attempt < READ_ATTEMPTS_MAX; attempt++) {
			const epoch = this.epoch();
			const head = this.head(epoch);
			copy(this.cells(epoch), head);
			if (this.epochAfterReads() === epoch) return epoch;
		}
		throw new Error('fleet table read torn on every attempt: its writer publishes faster than a copy takes');
	}
}
