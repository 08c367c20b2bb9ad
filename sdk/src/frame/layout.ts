// Owns where every section of a frame lies, and the header that says so. Pure arithmetic: who allocates the memory and fills the
// sections is the host's (or the test kit's) business. Invariants: sections start at multiples of SECTION_ALIGN_BYTES, never
// overlap, and a section of no size has offset 0.
import { MeshError } from '@infermesh/proto';
import { columns } from '../../abi/columns.js';
import * as abi from '../gen/abi.js';
import { frameErrors } from './errors.js';

export interface FrameOptions {
	readonly kind: abi.StrategyKind;
	/** Rows every column has room for; rounded up to a multiple of 16. */
	readonly rowCapacity: number;
	/** Ids of the columns the manifest declares; others get no room. */
	readonly columnIds: readonly number[];
	readonly hitsCapacity: number;
	readonly configSlots: number;
	readonly stateBytes: number;
	readonly logBytes: number;
	readonly outcomesCapacity: number;
	/** Room for rank assignments; training frames only. */
	readonly planRanksCapacity?: number;
	/** Entries of the links array; training frames only. */
	readonly linksCapacity?: number;
}

/** Byte offsets from the start of the frame; 0 = the section does not exist. */
export interface FrameLayout {
	readonly kind: abi.StrategyKind;
	readonly rowCapacity: number;
	readonly frameBytes: number;
	readonly columnsOffset: number;
	readonly requestOffset: number;
	readonly outputOffset: number;
	readonly eligibilityOffset: number;
	/** Bytes of the eligibility bitmap, whole words. */
	readonly eligibilityBytes: number;
	readonly hitsOffset: number;
	readonly hitsCapacity: number;
	readonly scratchOffset: number;
	readonly scratchBytes: number;
	readonly configOffset: number;
	readonly configSlots: number;
	readonly stateOffset: number;
	readonly stateBytes: number;
	readonly logOffset: number;
	readonly logBytes: number;
	readonly outcomesOffset: number;
	readonly outcomesCapacity: number;
	readonly linksOffset: number;
	readonly linksCapacity: number;
	readonly planRequestOffset: number;
	readonly planOutputOffset: number;
	readonly planRanksCapacity: number;
	/** Column ids in the frame, ascending, without repeats. */
	readonly columnIds: readonly number[];
	/** Indexed by column id, COLUMN_TABLE_ENTRIES long; 0 = not declared. */
	readonly columnOffsets: readonly number[];
}

/** Most rows of one frame: the largest pool that is simulated, with room to spare. */
export const ROW_CAPACITY_MAX = 65_536;
/** Most ranks of one plan. */
export const PLAN_RANKS_MAX = 65_536;
/** Most entries of the links array. */
export const LINKS_MAX = 65_536;

function roundUp(value: number, multiple: number): number {
	return Math.ceil(value / multiple) * multiple;
}

function checkSize(name: string, value: number, min: number, max: number): void {
	if (Number.isInteger(value) && value >= min && value <= max) return;
	throw new MeshError(
		frameErrors,
		'IM_FRAME_LAYOUT',
		`${name} is ${value}; it must be an integer from ${min} to ${max}`,
		{
			where: name,
		},
	);
}

function checkOptions(options: FrameOptions): void {
	checkSize('rowCapacity', options.rowCapacity, 1, ROW_CAPACITY_MAX);
	checkSize('hitsCapacity', options.hitsCapacity, 0, abi.HITS_MAX);
	checkSize('configSlots', options.configSlots, 0, abi.CONFIG_SLOTS_MAX);
	checkSize('stateBytes', options.stateBytes, 0, abi.STATE_BYTES_MAX);
	checkSize('logBytes', options.logBytes, 0, abi.LOG_BYTES_MAX);
	checkSize('outcomesCapacity', options.outcomesCapacity, 0, abi.OUTCOMES_MAX);
	checkSize('planRanksCapacity', options.planRanksCapacity ?? 0, 0, PLAN_RANKS_MAX);
	checkSize('linksCapacity', options.linksCapacity ?? 0, 0, LINKS_MAX);
	for (const id of options.columnIds) checkSize('columnIds', id, 0, columns.length - 1);
}

/** Hands out sections one after another. */
class Allocator {
	#at = 0;

	take(sizeBytes: number): number {
		if (sizeBytes === 0) return 0;
		const offset = this.#at;
		this.#at = roundUp(offset + sizeBytes, abi.SECTION_ALIGN_BYTES);
		return offset;
	}

	/** Leaves one cache line unused. */
	skip(): void {
		this.#at += abi.SECTION_ALIGN_BYTES;
	}

	get usedBytes(): number {
		return this.#at;
	}
}

/** Columns of 4 KiB multiples would all fall into the same cache sets; a cache line between them spreads them out. */
const ALIASING_BYTES = 1024;

function placeColumns(allocator: Allocator, ids: readonly number[], rowCapacity: number): number[] {
	const offsets = Array.from({ length: abi.COLUMN_TABLE_ENTRIES }, () => 0);
	for (const id of ids) {
		offsets[id] = allocator.take(rowCapacity * 4);
		if ((rowCapacity * 4) % ALIASING_BYTES === 0) allocator.skip();
	}
	return offsets;
}

/**
 * Places every section of a frame. What is touched on each decision comes first (header, request, output, eligibility, hits,
 * configuration), then the columns, then what is touched rarely.
 * @throws MeshError IM_FRAME_LAYOUT when a size is out of its limits.
 */
export function layoutFrame(options: FrameOptions): FrameLayout {
	checkOptions(options);
	const rowCapacity = roundUp(options.rowCapacity, 16);
	const training = options.kind === abi.StrategyKind.training;
	const planRanksCapacity = training ? (options.planRanksCapacity ?? 0) : 0;
	const linksCapacity = training ? (options.linksCapacity ?? 0) : 0;
	const columnIds = [...new Set(options.columnIds)].sort((a, b) => a - b);
	const eligibilityBytes = Math.ceil(rowCapacity / 32) * 4;
	const scratchBytes = rowCapacity * abi.SCRATCH_BYTES_PER_ROW;
	const allocator = new Allocator();
	allocator.take(abi.HEADER_BYTES);
	return {
		kind: options.kind,
		rowCapacity,
		requestOffset: allocator.take(abi.REQUEST_BYTES),
		outputOffset: allocator.take(abi.OUTPUT_BYTES),
		columnsOffset: allocator.take(abi.COLUMN_TABLE_ENTRIES * 4),
		configOffset: allocator.take(options.configSlots * 4),
		configSlots: options.configSlots,
		eligibilityOffset: allocator.take(eligibilityBytes),
		eligibilityBytes,
		hitsOffset: allocator.take(options.hitsCapacity * abi.PREFIX_HIT_BYTES),
		hitsCapacity: options.hitsCapacity,
		columnIds,
		columnOffsets: placeColumns(allocator, columnIds, rowCapacity),
		scratchOffset: allocator.take(scratchBytes),
		scratchBytes,
		stateOffset: allocator.take(options.stateBytes),
		stateBytes: options.stateBytes,
		logOffset: allocator.take(options.logBytes),
		logBytes: options.logBytes,
		outcomesOffset: allocator.take(options.outcomesCapacity * abi.OUTCOME_BYTES),
		outcomesCapacity: options.outcomesCapacity,
		linksOffset: allocator.take(linksCapacity * abi.LINK_LEVEL_BYTES),
		linksCapacity,
		planRequestOffset: training ? allocator.take(abi.PLAN_REQUEST_BYTES) : 0,
		planOutputOffset: training ? allocator.take(abi.PLAN_OUTPUT_BYTES + planRanksCapacity * 4) : 0,
		planRanksCapacity,
		frameBytes: allocator.usedBytes,
	};
}

/** Parts of the header that are no offsets. */
export interface HeaderValues {
	readonly rowCount: number;
	readonly meshSeedLow: number;
	readonly meshSeedHigh: number;
	readonly stateEpoch: number;
	readonly tableEpoch: number;
}

/**
 * Writes the header and the column table of a frame at `baseBytes` (a multiple of SECTION_ALIGN_BYTES). Nothing else is touched.
 * @throws MeshError IM_FRAME_LAYOUT when the frame does not fit the memory.
 */
export function writeHeader(
	layout: FrameLayout,
	memory: ArrayBufferLike,
	baseBytes: number,
	values: HeaderValues,
): void {
	checkSize('baseBytes', baseBytes / abi.SECTION_ALIGN_BYTES, 0, 2 ** 26);
	checkSize('frame end', baseBytes + layout.frameBytes, 0, memory.byteLength);
	checkSize('rowCount', values.rowCount, 0, layout.rowCapacity);
	const words = new Uint32Array(memory, baseBytes, abi.HEADER_BYTES / 4);
	words.fill(0);
	words[abi.HEADER_MAGIC_WORD] = abi.FRAME_MAGIC;
	words[abi.HEADER_ABI_VERSION_WORD] = abi.ABI_VERSION;
	words[abi.HEADER_FRAME_BYTES_WORD] = layout.frameBytes;
	words[abi.HEADER_KIND_WORD] = layout.kind;
	words[abi.HEADER_ROW_CAPACITY_WORD] = layout.rowCapacity;
	words[abi.HEADER_ROW_COUNT_WORD] = values.rowCount;
	words[abi.HEADER_COLUMNS_OFFSET_WORD] = layout.columnsOffset;
	words[abi.HEADER_COLUMNS_COUNT_WORD] = abi.COLUMN_TABLE_ENTRIES;
	words[abi.HEADER_REQUEST_OFFSET_WORD] = layout.requestOffset;
	words[abi.HEADER_OUTPUT_OFFSET_WORD] = layout.outputOffset;
	words[abi.HEADER_ELIGIBILITY_OFFSET_WORD] = layout.eligibilityOffset;
	words[abi.HEADER_HITS_OFFSET_WORD] = layout.hitsOffset;
	words[abi.HEADER_HITS_CAPACITY_WORD] = layout.hitsCapacity;
	words[abi.HEADER_SCRATCH_OFFSET_WORD] = layout.scratchOffset;
	words[abi.HEADER_SCRATCH_BYTES_WORD] = layout.scratchBytes;
	words[abi.HEADER_CONFIG_OFFSET_WORD] = layout.configOffset;
	words[abi.HEADER_CONFIG_SLOTS_WORD] = layout.configSlots;
	words[abi.HEADER_STATE_OFFSET_WORD] = layout.stateOffset;
	words[abi.HEADER_STATE_BYTES_WORD] = layout.stateBytes;
	words[abi.HEADER_STATE_EPOCH_WORD] = values.stateEpoch;
	words[abi.HEADER_TABLE_EPOCH_WORD] = values.tableEpoch;
	words[abi.HEADER_LOG_OFFSET_WORD] = layout.logOffset;
	words[abi.HEADER_LOG_BYTES_WORD] = layout.logBytes;
	words[abi.HEADER_OUTCOMES_OFFSET_WORD] = layout.outcomesOffset;
	words[abi.HEADER_OUTCOMES_CAPACITY_WORD] = layout.outcomesCapacity;
	words[abi.HEADER_LINKS_OFFSET_WORD] = layout.linksOffset;
	words[abi.HEADER_LINKS_COUNT_WORD] = layout.linksCapacity;
	words[abi.HEADER_PLAN_REQUEST_OFFSET_WORD] = layout.planRequestOffset;
	words[abi.HEADER_PLAN_OUTPUT_OFFSET_WORD] = layout.planOutputOffset;
	words[abi.HEADER_PLAN_RANKS_CAPACITY_WORD] = layout.planRanksCapacity;
	words[abi.HEADER_MESH_SEED_WORD] = values.meshSeedLow;
	words[abi.HEADER_MESH_SEED_WORD + 1] = values.meshSeedHigh;
	new Uint32Array(memory, baseBytes + layout.columnsOffset, abi.COLUMN_TABLE_ENTRIES).set(layout.columnOffsets);
}

/** Bytes of a WebAssembly page. */
const PAGE_BYTES = 65_536;

/** Where a frame goes in a module's memory, and how many pages the memory needs. `heapBase` is the module's `__heap_base`. */
export function placeFrame(
	layout: FrameLayout,
	heapBase: number,
): { readonly baseBytes: number; readonly pages: number } {
	const baseBytes = roundUp(heapBase, abi.SECTION_ALIGN_BYTES);
	return { baseBytes, pages: Math.ceil((baseBytes + layout.frameBytes) / PAGE_BYTES) };
}
