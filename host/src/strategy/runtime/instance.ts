// Owns one instance of one strategy over one pool: the frame, and the call. An instance is used by one thread and never reused after a trap. It brings
// rows up to date as deltas, so that a decision copies only its request. What holds the frame and runs the strategy is its executor; checking
// the answer is read-output.ts's; choosing instances, spares and strikes is the decider's.
import {
	COLUMN_ACTIVE_DECODE_TOKENS,
	COLUMN_ACTIVE_DECODES,
	COLUMN_INFLIGHT,
	COLUMN_LOAD,
	COLUMN_PENDING_PREFILL_PAIRS,
	COLUMN_PENDING_PREFILL_TOKENS,
	COLUMN_PREFILL_AT_MS,
	columns as dictionary,
	type FrameLayout,
	HEADER_ROW_COUNT_WORD,
	HEADER_STATE_EPOCH_WORD,
	HEADER_TABLE_EPOCH_WORD,
	HITS_MAX,
	layoutFrame,
	OUTCOMES_MAX,
	OUTPUT_LOG_BYTES_WORD,
	placeFrame,
	StrategyKind,
	type StrategyManifest,
	writeHeader,
} from '@infermesh/sdk';
import type { PoolRows } from '../../fleet/pool-rows.js';
import { CHANGE_LOG_ENTRIES, HOLE } from '../../fleet/pool-view.js';
import type { WasmModule } from '../admission/engine.js';
import { isNative, type NativeCode } from '../native/code.js';
import { type NativeEvents, nobodyListens } from '../native/events.js';
import { openNative } from '../native/executor.js';
import type { FallbackCause } from './decision.js';
import type { Executor } from './executor.js';
import type { StateBlockReader } from './state-block.js';
import { WasmExecutor } from './wasm-executor.js';

/** A strategy version that has passed admission and is compiled: shareable between threads. */
export interface StrategyModule {
	/** Small number unique in this mesh process, used in counters. */
	readonly versionId: number;
	/** `name@version`. */
	readonly label: string;
	readonly digest: string;
	readonly module: StrategyCode;
	readonly manifest: StrategyManifest;
	/** Value of the module's `__heap_base`: the frame starts at the next multiple of 64. 0 for native code, whose frame stands alone. */
	readonly heapBase: number;
	/** One 32-bit slot for each configuration entry, in manifest order. */
	readonly config: Uint32Array;
}

/** What runs: compiled WebAssembly, or a native library and how to run it. Both can be posted between threads. */
export type StrategyCode = WasmModule | NativeCode;

export interface FuelBudget {
	readonly base: number;
	readonly perTarget: number;
	/** Stack slots before a call chain counts as runaway recursion. */
	readonly stackSlotsMax: number;
}

export const fuelDefaults: FuelBudget = { base: 200_000, perTarget: 400, stackSlotsMax: 16_384 };

const COPY_ATTEMPTS_MAX = 64;

/** Least memory of an instance, 1 MiB: what a module's static data and stack may take. Untouched pages cost nothing. */
export const MEMORY_PAGES_MIN = 16;

/** Fuel as a float is exact below this; far beyond any budget. */
const FUEL_MAX = 2 ** 49;

export class StrategyInstance {
	readonly strategy: StrategyModule;
	readonly view: PoolRows;
	readonly layout: FrameLayout;
	/** The frame as 32-bit words; word 0 is the header's first. */
	readonly u32: Uint32Array;
	readonly f32: Float32Array;
	readonly bytes: Uint8Array;
	/** Word of the request block and of the output block. */
	readonly requestWord: number;
	readonly outputWord: number;
	/** How the last `rank` ended, before its answer was checked. */
	lastCause: FallbackCause = 'none';
	readonly #executor: Executor;
	readonly #budget: number;
	/** `init` did not return ok, or is still to be called: an executor may become ready later. */
	#init: 'due' | 'done' | 'failed' = 'due';
	/** Declared columns that come from the table. */
	readonly #tableColumns: Uint32Array;
	readonly #tableColumnWords: Uint32Array;
	/** Word of each router column, or 0 when not declared. */
	readonly #inflightWord: number;
	readonly #loadWord: number;
	readonly #prefillWord: number;
	readonly #pairsWord: number;
	readonly #prefillAtWord: number;
	readonly #decodeTokensWord: number;
	readonly #decodesWord: number;
	readonly #eligibilityWord: number;
	readonly #state: StateBlockReader | undefined;
	#stateEpoch = 0;
	#changeTail = 0;
	#fullVersion = -1;
	#tableEpoch = -1;
	#running = false;

	/**
	 * Instantiates the strategy over `view`. Throws the engine's own error when it cannot; admission has instantiated the same bytes before, so
	 * here that means memory ran out. `waits` false: native code may become ready later, and is not waited for. `native`: who is told of its sandbox.
	 */
	constructor(
		strategy: StrategyModule,
		view: PoolRows,
		budget: FuelBudget,
		meshSeed: readonly [low: number, high: number],
		options: {
			readonly observes?: boolean;
			readonly state?: StateBlockReader | undefined;
			readonly waits?: boolean;
			readonly native?: NativeEvents;
		} = {},
	) {
		const { manifest } = strategy;
		this.strategy = strategy;
		this.view = view;
		const columnIds = manifest.columns.map((name) => columnIdByName.get(name) ?? -1).filter((id) => id >= 0);
		this.layout = layoutFrame({
			kind: StrategyKind.inference,
			rowCapacity: Math.max(1, view.rowCount),
			columnIds,
			hitsCapacity: manifest.hits ? Math.min(HITS_MAX, Math.max(16, view.rowCount)) : 0,
			configSlots: strategy.config.length,
			stateBytes: manifest.stateBytes,
			logBytes: manifest.logBytes,
			outcomesCapacity: options.observes === true ? OUTCOMES_MAX : 0,
		});
		this.#budget = Math.min(budget.base + budget.perTarget * view.rowCount, FUEL_MAX);
		const native = options.native ?? nobodyListens;
		this.#executor = openExecutor(strategy, this.layout, this.#budget, budget.stackSlotsMax, native);
		const { buffer, base } = this.#executor;
		this.u32 = new Uint32Array(buffer, base, this.layout.frameBytes / 4);
		this.f32 = new Float32Array(buffer, base, this.layout.frameBytes / 4);
		this.bytes = new Uint8Array(buffer, base, this.layout.frameBytes);
		this.requestWord = this.layout.requestOffset / 4;
		this.outputWord = this.layout.outputOffset / 4;
		writeHeader(this.layout, buffer, base, {
			rowCount: view.rowCount,
			meshSeedLow: meshSeed[0],
			meshSeedHigh: meshSeed[1],
			stateEpoch: 0,
			tableEpoch: view.tableEpoch,
		});
		this.u32.set(strategy.config, this.layout.configOffset / 4);
		const word = (id: number): number => (this.layout.columnOffsets[id] ?? 0) / 4;
		const fromTable = columnIds.filter((id) => !isRouterColumn(id));
		this.#tableColumns = Uint32Array.from(fromTable);
		this.#tableColumnWords = Uint32Array.from(fromTable, word);
		this.#inflightWord = word(COLUMN_INFLIGHT);
		this.#loadWord = word(COLUMN_LOAD);
		this.#prefillWord = word(COLUMN_PENDING_PREFILL_TOKENS);
		this.#pairsWord = word(COLUMN_PENDING_PREFILL_PAIRS);
		this.#prefillAtWord = word(COLUMN_PREFILL_AT_MS);
		this.#decodeTokensWord = word(COLUMN_ACTIVE_DECODE_TOKENS);
		this.#decodesWord = word(COLUMN_ACTIVE_DECODES);
		this.#eligibilityWord = this.layout.eligibilityOffset / 4;
		this.#state = options.state;
		if (options.waits !== false) this.#executor.awaitReady();
		this.#initialised();
		this.sync();
	}

	/** Whether it can decide now. */
	get ready(): boolean {
		return this.#initialised() && !this.poisoned;
	}

	/**
	 * Whether it can decide; native code that is still starting is waited for up to `waitMs`. Throws when it never will: its library cannot be loaded, or
	 * `init` failed.
	 */
	isReady(waitMs: number): boolean {
		this.#executor.awaitReady(waitMs);
		if (this.#initialised()) return true;
		if (this.#init === 'failed') throw new Error('`init` failed', { cause: this.lastTrap });
		return false;
	}

	/** Raised when a call ended in a trap: never run again. */
	get poisoned(): boolean {
		return this.#executor.poisoned || this.#init === 'failed';
	}

	/** Fuel used by the last call. */
	get lastFuel(): number {
		return this.#executor.lastFuel;
	}

	/** The trap's error, for mapping to a source line; cleared by the next call. */
	get lastTrap(): unknown {
		return this.#executor.lastTrap;
	}

	/** 'none' when the frame may be written: no call that was given up is still at work on it. See `Executor.settle`. */
	settle(): FallbackCause {
		return this.#executor.settle();
	}

	/** Lets go of what native code holds; the instance is not used any more. */
	close(): void {
		this.#executor.close();
	}

	/** Epoch of the state block in the frame; 0 = never written. */
	get stateEpoch(): number {
		return this.#stateEpoch;
	}

	/** Most fuel one call may use. */
	get fuelBudget(): number {
		return this.#budget;
	}

	/** Copies into the frame what changed since the last call; everything when too far behind. */
	sync(): void {
		const { view } = this;
		for (let attempt = 0; attempt < COPY_ATTEMPTS_MAX; attempt++) {
			view.sync();
			const epoch = view.tableEpoch;
			const behind = view.changeHead - this.#changeTail;
			if (behind === 0 && this.#fullVersion === view.fullVersion && epoch === this.#tableEpoch) break;
			if (this.#fullVersion !== view.fullVersion || behind >= CHANGE_LOG_ENTRIES || behind >= view.rowCount)
				this.#copyAll();
			else for (let at = this.#changeTail; at < view.changeHead; at++) this.#copyRow(view.changedRow(at));
			if (!view.moved()) {
				this.#changeTail = view.changeHead;
				this.#fullVersion = view.fullVersion;
				if (epoch !== this.#tableEpoch) {
					this.#tableEpoch = epoch;
					this.u32[HEADER_TABLE_EPOCH_WORD] = epoch;
				}
				break;
			}
		}
		if (this.#state !== undefined && this.#state.epoch() !== this.#stateEpoch) this.#copyState(this.#state);
	}

	/** Runs `rank`. 'none' means it returned ok; the answer is then in the output block, not yet validated. */
	rank(): FallbackCause {
		// `init` is still to be called because the machine has held it up, or because there is nobody to call yet.
		if (this.#init !== 'done' && !this.#initialised())
			return this.#init === 'due' && this.#executor.ready ? 'host_error' : 'no_instance';
		if (this.#executor.poisoned || this.#running) return 'no_instance';
		this.#running = true;
		this.lastCause = this.#executor.rank();
		this.#running = false;
		return this.lastCause;
	}

	/** Runs another hook under the same budget. 'no_instance' when the strategy has no such hook. */
	call(hook: 'observe' | 'tick', outcomes = 0): FallbackCause {
		return this.poisoned || !this.#initialised() ? 'no_instance' : this.#executor.call(hook, outcomes);
	}

	/** Calls `init` once the executor is ready. False while it is not, and when `init` failed. */
	#initialised(): boolean {
		if (this.#init === 'due' && this.#executor.ready) {
			const cause = this.#executor.call('init', 0);
			// A machine that held it up convicts nobody: it is called again, and may be, since it does nothing that cannot be done twice.
			if (cause !== 'host_error') this.#init = cause === 'none' || cause === 'no_instance' ? 'done' : 'failed';
		}
		return this.#init === 'done';
	}

	#copyState(state: StateBlockReader): void {
		const at = this.layout.stateOffset;
		this.#stateEpoch = state.read(this.bytes.subarray(at, at + this.layout.stateBytes), this.#stateEpoch);
		this.u32[HEADER_STATE_EPOCH_WORD] = this.#stateEpoch;
	}

	#copyRow(row: number): void {
		const tableRow = this.view.tableRows[row] as number;
		if (tableRow === HOLE) return;
		const cells = this.view.cells();
		const { rowsMax } = this.view;
		const { u32 } = this;
		for (let i = 0; i < this.#tableColumns.length; i++) {
			u32[(this.#tableColumnWords[i] as number) + row] = cells[
				(this.#tableColumns[i] as number) * rowsMax + tableRow
			] as number;
		}
		this.#copyRouterCells(row);
		const word = row >>> 5;
		u32[this.#eligibilityWord + word] = this.view.eligible[word] as number;
	}

	#copyRouterCells(row: number): void {
		const { f32, u32, view } = this;
		if (this.#inflightWord !== 0) f32[this.#inflightWord + row] = view.inflight[row] as number;
		if (this.#loadWord !== 0) f32[this.#loadWord + row] = view.load[row] as number;
		if (this.#prefillWord !== 0) f32[this.#prefillWord + row] = view.pendingPrefillTokens[row] as number;
		if (this.#pairsWord !== 0) f32[this.#pairsWord + row] = view.pendingPrefillPairs[row] as number;
		if (this.#prefillAtWord !== 0) u32[this.#prefillAtWord + row] = view.prefillAtMs[row] as number;
		if (this.#decodeTokensWord !== 0) f32[this.#decodeTokensWord + row] = view.activeDecodeTokens[row] as number;
		if (this.#decodesWord !== 0) f32[this.#decodesWord + row] = view.activeDecodes[row] as number;
	}

	#copyAll(): void {
		const { view, u32, f32 } = this;
		const cells = view.cells();
		const { rowsMax, rowCount, tableRows } = view;
		for (let i = 0; i < this.#tableColumns.length; i++) {
			const to = this.#tableColumnWords[i] as number;
			const from = (this.#tableColumns[i] as number) * rowsMax;
			for (let row = 0; row < rowCount; row++) {
				const tableRow = tableRows[row] as number;
				if (tableRow !== HOLE) u32[to + row] = cells[from + tableRow] as number;
			}
		}
		if (this.#inflightWord !== 0) f32.set(view.inflight, this.#inflightWord);
		if (this.#loadWord !== 0) f32.set(view.load, this.#loadWord);
		if (this.#prefillWord !== 0) f32.set(view.pendingPrefillTokens, this.#prefillWord);
		if (this.#pairsWord !== 0) f32.set(view.pendingPrefillPairs, this.#pairsWord);
		if (this.#prefillAtWord !== 0) u32.set(view.prefillAtMs, this.#prefillAtWord);
		if (this.#decodeTokensWord !== 0) f32.set(view.activeDecodeTokens, this.#decodeTokensWord);
		if (this.#decodesWord !== 0) f32.set(view.activeDecodes, this.#decodesWord);
		u32.set(view.eligible, this.#eligibilityWord);
		u32[HEADER_ROW_COUNT_WORD] = rowCount;
	}

	/** True when both were last brought up to date with the same table, counters and state. */
	seesWhat(other: StrategyInstance): boolean {
		return (
			this.#changeTail === other.#changeTail &&
			this.#fullVersion === other.#fullVersion &&
			this.#tableEpoch === other.#tableEpoch &&
			this.#stateEpoch === other.#stateEpoch
		);
	}

	/** Takes over another instance's frame of the same strategy over the same pool, as it stands. What `sync` has to bring up to date stays as it was. */
	copyFrame(other: StrategyInstance): void {
		this.bytes.set(other.bytes);
	}

	/** Shows `rank` other values of the router's columns at a row, where the strategy reads them, until `restore`. */
	overlay(row: number, inflight: number, load: number, pendingPrefillTokens: number): void {
		const { f32 } = this;
		if (this.#inflightWord !== 0) f32[this.#inflightWord + row] = inflight;
		if (this.#loadWord !== 0) f32[this.#loadWord + row] = load;
		if (this.#prefillWord !== 0) f32[this.#prefillWord + row] = pendingPrefillTokens;
	}

	/** The row's router columns as the view has them. */
	restore(row: number): void {
		this.#copyRouterCells(row);
	}

	/** The log text the last call wrote, bounded by the manifest; mostly empty. */
	takeLog(): string {
		const length = Math.min(this.u32[this.outputWord + OUTPUT_LOG_BYTES_WORD] as number, this.layout.logBytes);
		if (length === 0) return '';
		const at = this.layout.logOffset;
		// A copy: a decoder that looks twice must not find other bytes the second time, and what runs in a sandbox could still write there.
		return logDecoder.decode(this.bytes.slice(at, at + length));
	}

	/** Clears or restores the eligibility bit of a row in the frame only, for rows a request has already tried. */
	mask(row: number, eligible: boolean): void {
		const at = this.#eligibilityWord + (row >>> 5);
		const bit = 1 << (row & 31);
		this.u32[at] = eligible ? (this.u32[at] as number) | bit : (this.u32[at] as number) & ~bit;
	}
}

function openExecutor(
	{ versionId, module, digest, heapBase, manifest }: StrategyModule,
	layout: FrameLayout,
	budget: number,
	stackSlotsMax: number,
	native: NativeEvents,
): Executor {
	if (isNative(module)) return openNative(module, { versionId, digest, hooks: manifest.hooks }, layout, native);
	const { baseBytes, pages } = placeFrame(layout, heapBase);
	return new WasmExecutor(module, baseBytes, Math.max(pages, MEMORY_PAGES_MIN), budget, stackSlotsMax);
}

const logDecoder = new TextDecoder('utf-8', { fatal: false });

const columnIdByName: ReadonlyMap<string, number> = new Map(dictionary.map((column) => [column.name, column.id]));

const routerColumnIds: ReadonlySet<number> = new Set([
	COLUMN_INFLIGHT,
	COLUMN_LOAD,
	COLUMN_PENDING_PREFILL_TOKENS,
	COLUMN_PENDING_PREFILL_PAIRS,
	COLUMN_PREFILL_AT_MS,
	COLUMN_ACTIVE_DECODE_TOKENS,
	COLUMN_ACTIVE_DECODES,
]);

function isRouterColumn(id: number): boolean {
	return routerColumnIds.has(id);
}
