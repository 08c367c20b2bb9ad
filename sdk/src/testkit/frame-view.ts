// Owns writing a frame by name, for tests: columns, eligibility, configuration, request and hits. The host has its own, faster way.
import { columns } from '../../abi/columns.js';
import { requestBlock } from '../../abi/definition.js';
import { type FrameLayout, layoutFrame, writeHeader } from '../frame/layout.js';
import * as abi from '../gen/abi.js';
import { type ConfigValues, encodeConfig } from '../manifest/config.js';
import type { StrategyManifest } from '../manifest/schema.js';

/** One row by column name; what is not given has its column's initial value. */
export type RowValues = Partial<Record<abi.ColumnName, number>>;

export interface HitValues {
	readonly row: number;
	readonly tokens: number;
	readonly tier?: abi.CacheTier;
	readonly flags?: number;
}

/** Request fields by name; `u64` fields as bigint. What is not given is 0, with the exceptions in `requestDefaults`. */
export type RequestValues = Readonly<Record<string, number | bigint>>;

export interface FrameViewOptions {
	/** Rows of the fleet, or how many rows with initial values. */
	readonly rows: number | readonly RowValues[];
	readonly config?: ConfigValues;
	readonly outcomesCapacity?: number;
	/** Hits array; default: as many as rows, at most HITS_MAX, 0 when the manifest says it reads none. */
	readonly hitsCapacity?: number;
	readonly planRanksCapacity?: number;
	readonly linksCapacity?: number;
}

export const requestDefaults: RequestValues = {
	now_us: 1_750_000_000_000_000n,
	now_ms: 1_000_000,
	tokens_in: 512,
	tokens_out: 128,
	top_k: abi.RANKED_ROWS_MAX,
	prefill_row: abi.NO_ROW,
};

const columnByName = new Map(columns.map((column) => [column.name, column]));

/** The layout of a frame for `manifest` over `rowCapacity` rows. */
export function layoutFor(manifest: StrategyManifest, rowCapacity: number, options: FrameViewOptions): FrameLayout {
	return layoutFrame({
		kind: manifest.kind === 'training' ? abi.StrategyKind.training : abi.StrategyKind.inference,
		rowCapacity,
		columnIds: manifest.columns.map((name) => columnByName.get(name)?.id ?? 0),
		hitsCapacity: manifest.hits ? (options.hitsCapacity ?? Math.min(rowCapacity, abi.HITS_MAX)) : 0,
		configSlots: manifest.config.length,
		stateBytes: manifest.stateBytes,
		logBytes: manifest.logBytes,
		outcomesCapacity: options.outcomesCapacity ?? 0,
		planRanksCapacity: options.planRanksCapacity ?? 0,
		linksCapacity: options.linksCapacity ?? 0,
	});
}

export class FrameView {
	readonly layout: FrameLayout;
	readonly rowCount: number;
	/** The frame as words; index 0 is the first word of the header. */
	readonly u32: Uint32Array;
	readonly f32: Float32Array;

	/** Writes header, configuration and rows into `memory` at `baseBytes`. All rows are eligible. */
	constructor(
		manifest: StrategyManifest,
		memory: ArrayBufferLike,
		baseBytes: number,
		layout: FrameLayout,
		options: FrameViewOptions,
	) {
		const rows = options.rows;
		this.layout = layout;
		this.rowCount = typeof rows === 'number' ? rows : rows.length;
		this.u32 = new Uint32Array(memory, baseBytes, layout.frameBytes / 4);
		this.f32 = new Float32Array(memory, baseBytes, layout.frameBytes / 4);
		writeHeader(layout, memory, baseBytes, {
			rowCount: this.rowCount,
			meshSeedLow: 1,
			meshSeedHigh: 2,
			stateEpoch: 0,
			tableEpoch: 1,
		});
		this.u32.set(encodeConfig(manifest, options.config), layout.configOffset / 4);
		for (const id of layout.columnIds) this.#fillColumn(id);
		for (let row = 0; row < this.rowCount; row++) this.setEligible(row, true);
		if (typeof rows !== 'number') rows.forEach((values, row) => this.set(row, values));
		this.request({});
	}

	#fillColumn(id: number): void {
		const column = columns[id];
		const at = (this.layout.columnOffsets[id] ?? 0) / 4;
		const words = column?.type === 'f32' ? this.f32 : this.u32;
		words.fill(column?.initial ?? 0, at, at + this.layout.rowCapacity);
	}

	/** Sets cells of a row; columns the manifest does not declare are ignored, unknown names throw. */
	set(row: number, values: RowValues): void {
		if (row < 0 || row >= this.rowCount) throw new RangeError(`row ${row} is not in the fleet`);
		for (const [name, value] of Object.entries(values)) {
			const column = columnByName.get(name);
			if (column === undefined) throw new RangeError(`unknown column ${name}`);
			const offset = this.layout.columnOffsets[column.id] ?? 0;
			if (offset === 0) continue;
			const words = column.type === 'f32' ? this.f32 : this.u32;
			words[offset / 4 + row] = value;
		}
	}

	setEligible(row: number, eligible: boolean): void {
		const at = this.layout.eligibilityOffset / 4 + (row >>> 5);
		const bit = 1 << (row & 31);
		this.u32[at] = eligible ? (this.u32[at] ?? 0) | bit : (this.u32[at] ?? 0) & ~bit;
	}

	isEligible(row: number): boolean {
		return (((this.u32[this.layout.eligibilityOffset / 4 + (row >>> 5)] ?? 0) >>> (row & 31)) & 1) === 1;
	}

	/** Writes the request block (and the hits), clears the output block. */
	request(values: RequestValues, hits: readonly HitValues[] = []): void {
		const at = this.layout.requestOffset / 4;
		this.u32.fill(0, at, at + abi.REQUEST_BYTES / 4);
		const eligible = Array.from({ length: this.rowCount }, (_, row) => this.isEligible(row)).filter(Boolean).length;
		const all: RequestValues = { ...requestDefaults, eligible_count: eligible, hit_count: hits.length, ...values };
		for (const [name, value] of Object.entries(all)) this.#writeRequestField(at, name, value);
		this.#writeHits(hits);
		const output = this.layout.outputOffset / 4;
		this.u32.fill(0, output, output + abi.OUTPUT_BYTES / 4);
		this.u32[output + abi.OUTPUT_PREFILL_ROW_WORD] = abi.NO_ROW;
		this.u32[output + abi.OUTPUT_FETCH_FROM_ROW_WORD] = abi.NO_ROW;
	}

	#writeRequestField(at: number, name: string, value: number | bigint): void {
		const field = requestBlock.fields.find((candidate) => candidate.name === name);
		if (field === undefined) throw new RangeError(`unknown request field ${name}`);
		const word = at + field.offsetBytes / 4;
		if (field.type === 'u64') {
			const bits = BigInt(value);
			this.u32[word] = Number(bits & 0xffffffffn);
			this.u32[word + 1] = Number((bits >> 32n) & 0xffffffffn);
		} else if (field.type === 'f32') this.f32[word] = Number(value);
		else this.u32[word] = Number(value);
	}

	#writeHits(hits: readonly HitValues[]): void {
		if (hits.length > this.layout.hitsCapacity) throw new RangeError(`room for ${this.layout.hitsCapacity} hits`);
		const ordered = [...hits].sort((a, b) => a.row - b.row);
		for (const [index, hit] of ordered.entries()) {
			const word = (this.layout.hitsOffset + index * abi.PREFIX_HIT_BYTES) / 4;
			this.u32[word + abi.PREFIX_HIT_ROW_WORD] = hit.row;
			this.u32[word + abi.PREFIX_HIT_TOKENS_WORD] = hit.tokens;
			this.u32[word + abi.PREFIX_HIT_TIER_WORD] = hit.tier ?? abi.CacheTier.device;
			this.u32[word + abi.PREFIX_HIT_FLAGS_WORD] = hit.flags ?? 0;
		}
	}
}

/** A frame of its own, without a module: what a reference implementation in TypeScript is compared on. */
export function createFrame(manifest: StrategyManifest, options: FrameViewOptions): FrameView {
	const count = typeof options.rows === 'number' ? options.rows : options.rows.length;
	const layout = layoutFor(manifest, Math.max(1, count), options);
	return new FrameView(manifest, new ArrayBuffer(layout.frameBytes), 0, layout, options);
}
