// Owns a made-up fleet: targets as an author writes them, put into a fleet table and in-flight counters of its own, and the names
// behind interned ids. Reading it is the pool view's job, as in a data-plane worker.
import {
	COLUMN_ACTIVE_DECODE_TOKENS,
	COLUMN_ACTIVE_DECODES,
	COLUMN_INFLIGHT,
	COLUMN_LOAD,
	COLUMN_MODEL,
	COLUMN_OBSERVED_AT_MS,
	COLUMN_PENDING_PREFILL_PAIRS,
	COLUMN_PENDING_PREFILL_TOKENS,
	COLUMN_PREFILL_AT_MS,
	COLUMN_QUEUE_DEPTH,
	COLUMN_RUNNING,
	COLUMN_STATE,
	COLUMN_TARGET,
	COLUMN_TARGET_HASH,
	COLUMN_TELEMETRY_AT_MS,
	type ColumnDef,
	columns,
	TargetRole,
	TargetState,
} from '@infermesh/sdk';
import {
	createInflight,
	DECODE_TOKENS,
	DECODES,
	InflightReader,
	InflightWriter,
	PREFILL_PAIRS,
	PREFILL_TOKENS,
	pairsOf,
	REQUESTS,
} from '../fleet/inflight.js';
import { PoolView } from '../fleet/pool-view.js';
import { createFleetTable, FleetTableReader, FleetTableWriter, LOAD_BASE_COLUMN } from '../fleet/table.js';
import { targetHash } from '../fleet/target-hash.js';
import type { Cell, TargetSpec } from './scenario/schema.js';

export interface FleetSpec {
	readonly targets: readonly TargetSpec[];
	/** Column values of every target that does not set its own. */
	readonly defaults?: Readonly<Record<string, Cell>> | undefined;
	/** Zone and region of the deciding router. */
	readonly zone?: string | undefined;
	readonly region?: string | undefined;
}

/** Mesh clock at which a made-up fleet starts: telemetry is fresh, and ages up to a quarter of an hour stay positive. */
export const START_MS = 1_000_000;

const columnByName: ReadonlyMap<string, ColumnDef> = new Map(columns.map((column) => [column.name, column]));

/** Counters behind the router's always-fresh columns. */
const counterByColumn: ReadonlyMap<number, number> = new Map([
	[COLUMN_INFLIGHT, REQUESTS],
	[COLUMN_PENDING_PREFILL_TOKENS, PREFILL_TOKENS],
	[COLUMN_PENDING_PREFILL_PAIRS, PREFILL_PAIRS],
	[COLUMN_ACTIVE_DECODE_TOKENS, DECODE_TOKENS],
	[COLUMN_ACTIVE_DECODES, DECODES],
]);

export class Fleet {
	readonly view: PoolView;
	readonly ids: readonly string[];
	readonly zone: number;
	readonly region: number;
	nowMs = START_MS;
	readonly #table: FleetTableWriter;
	readonly #counters: InflightReader;
	readonly #inflight: InflightWriter;
	readonly #names = new Map<string, number>();
	readonly #rows: ReadonlyMap<string, number>;
	/** Load set by name; without it, load follows queue depth and running. */
	readonly #loads = new Map<number, number>();

	constructor(spec: FleetSpec) {
		const rows = expand(spec.targets);
		const table = createFleetTable(rows.length);
		const inflight = createInflight(rows.length, 1);
		this.#table = new FleetTableWriter(table);
		this.#counters = new InflightReader(inflight);
		this.#inflight = new InflightWriter(inflight, 0);
		this.ids = rows.map((row) => row.id);
		this.#rows = new Map(this.ids.map((id, row) => [id, row]));
		this.zone = this.intern(spec.zone);
		this.region = this.intern(spec.region);
		rows.forEach(({ id, target }, row) => {
			this.#table.resetRow(row);
			this.#table.setU32(COLUMN_TARGET, row, this.intern(id));
			this.#table.setU32(COLUMN_TARGET_HASH, row, targetHash(id));
			this.#table.setU32(COLUMN_MODEL, row, this.intern('model'));
			this.#table.setU32(COLUMN_STATE, row, TargetState.ready);
			this.#table.setU32(COLUMN_TELEMETRY_AT_MS, row, this.nowMs);
			this.#table.setU32(COLUMN_OBSERVED_AT_MS, row, this.nowMs);
			this.#beginPrefill(row, this.nowMs);
			this.#apply(row, { ...spec.defaults, ...target });
		});
		this.#table.publish();
		this.view = new PoolView(
			new FleetTableReader(table),
			this.#counters,
			rows.map((_, row) => row),
		);
	}

	/** Small id of a name; the same name has the same id in every column. 0 stands for none. */
	intern(name: string | undefined): number {
		if (name === undefined || name === '') return 0;
		const known = this.#names.get(name);
		if (known !== undefined) return known;
		const id = this.#names.size + 1;
		this.#names.set(name, id);
		return id;
	}

	/** Row of a target; -1 when there is none of that id. */
	row(id: string): number {
		return this.#rows.get(id) ?? -1;
	}

	/** Changes columns of one target, visible to the next decision. */
	set(id: string, cells: Readonly<Record<string, Cell | undefined>>): void {
		this.#apply(this.row(id), cells);
		this.#table.publish();
	}

	/** Counts a request as sent to `row`, as the router does when it dispatches. */
	dispatch(row: number, promptTokens: number, uncachedTokens: number): void {
		if (this.#counters.total(PREFILL_TOKENS, row) === 0) this.#inflight.beginPrefill(row, this.nowMs);
		this.#inflight.add(REQUESTS, row, 1);
		this.#inflight.add(PREFILL_TOKENS, row, uncachedTokens);
		this.#inflight.add(PREFILL_PAIRS, row, pairsOf(promptTokens, uncachedTokens));
		this.#inflight.changed(row);
	}

	#apply(row: number, cells: Readonly<Record<string, Cell | undefined>>): void {
		for (const [name, value] of Object.entries(cells)) {
			if (value === undefined || name === 'id' || name === 'count') continue;
			if (name === 'telemetry_age_ms') this.#table.setU32(COLUMN_TELEMETRY_AT_MS, row, this.nowMs - Number(value));
			else if (name === 'observed_age_ms') this.#table.setU32(COLUMN_OBSERVED_AT_MS, row, this.nowMs - Number(value));
			else if (name === 'prefill_age_ms') this.#beginPrefill(row, this.nowMs - Number(value));
			else this.#applyColumn(row, columnByName.get(name), value);
		}
		this.#applyLoad(row);
	}

	#applyColumn(row: number, column: ColumnDef | undefined, value: Cell): void {
		if (column === undefined) return;
		const counter = counterByColumn.get(column.id);
		if (counter !== undefined) {
			this.#inflight.add(counter, row, Math.round(Number(value)) - this.#counters.total(counter, row));
			this.#inflight.changed(row);
		} else if (column.id === COLUMN_PREFILL_AT_MS) this.#beginPrefill(row, Number(value));
		else if (column.id === COLUMN_LOAD) this.#loads.set(row, Number(value));
		else if (column.type === 'f32') this.#table.setF32(column.id, row, Number(value));
		else this.#table.setU32(column.id, row, this.#wordOf(column, value));
	}

	#beginPrefill(row: number, atMs: number): void {
		this.#inflight.beginPrefill(row, atMs);
		this.#inflight.changed(row);
	}

	#wordOf(column: ColumnDef, value: Cell): number {
		if (typeof value === 'number') return value;
		if (column.unit === 'TargetState') return TargetState[value as keyof typeof TargetState];
		if (column.unit === 'TargetRole') return TargetRole[value as keyof typeof TargetRole];
		return this.intern(value);
	}

	/** `load` is in-flight plus a base that the last report fixed: the base is what makes the column come out as written. */
	#applyLoad(row: number): void {
		const waiting = this.#table.getF32(COLUMN_QUEUE_DEPTH, row) + this.#table.getF32(COLUMN_RUNNING, row);
		const inflight = this.#counters.total(REQUESTS, row);
		const load = this.#loads.get(row) ?? Math.max(waiting, inflight);
		this.#table.setF32(LOAD_BASE_COLUMN, row, load - inflight);
	}
}

function expand(targets: readonly TargetSpec[]): { readonly id: string; readonly target: TargetSpec }[] {
	return targets.flatMap((target) =>
		target.count === undefined
			? [{ id: target.id, target }]
			: Array.from({ length: target.count }, (_, index) => ({ id: `${target.id}${index}`, target })),
	);
}
