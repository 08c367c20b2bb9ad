// Owns running a strategy in a unit test: the raw module (no metering, no limits), or whatever else runs its hooks over a frame, with a fleet made up by
// name. Whether it would pass admission, and what it costs, is the host's to say.
import { outcomeBlock } from '../../abi/definition.js';
import { type FrameLayout, placeFrame } from '../frame/layout.js';
import * as abi from '../gen/abi.js';
import type { StrategyManifest } from '../manifest/schema.js';
import { readManifest } from '../manifest/section.js';
import {
	FrameView,
	type FrameViewOptions,
	type HitValues,
	layoutFor,
	type RequestValues,
	type RowValues,
} from './frame-view.js';

export interface KitAnswer {
	/** What the hook returned; see Status. */
	readonly status: number;
	readonly verdict: 'route' | 'reject' | 'hold' | 'invalid';
	readonly rows: readonly number[];
	readonly scores: readonly number[];
	/** One object of named factors for each ranked row. */
	readonly factors: ReadonlyArray<Readonly<Record<string, number>>>;
	readonly reason: number;
	readonly retryAfterMs: number;
	readonly holdKey: number;
	readonly predictedTtftMs: number;
	readonly hedgeDelayMs: number;
	readonly hedgeCopies: number;
	/** -1 = none. */
	readonly prefillRow: number;
	readonly fetchFromRow: number;
	readonly log: string;
}

type Hook = (frame: number, count?: number) => number;

/** What runs the hooks: memory with the frame at `baseBytes`, and functions by name. */
export interface KitMachine {
	readonly buffer: ArrayBuffer;
	readonly baseBytes: number;
	readonly exports: WebAssembly.Exports;
}

const verdicts = ['route', 'reject', 'hold'] as const;

/** The text is ASCII or UTF-8; damaged characters are shown as such. */
const utf8 = new TextDecoder();

export class StrategyKit {
	readonly manifest: StrategyManifest;
	readonly frame: FrameView;
	/** Byte address of the frame in the module's memory. */
	readonly baseBytes: number;
	/** Everything the module exports, for tests of single functions. */
	readonly exports: WebAssembly.Exports;

	/** `open` is called once, with the layout of the frame that the machine must have room for. */
	constructor(manifest: StrategyManifest, open: (layout: FrameLayout) => KitMachine, options: FrameViewOptions) {
		this.manifest = manifest;
		const count = typeof options.rows === 'number' ? options.rows : options.rows.length;
		const layout = layoutFor(manifest, Math.max(1, count), options);
		const { buffer, baseBytes, exports } = open(layout);
		this.baseBytes = baseBytes;
		this.exports = exports;
		this.frame = new FrameView(manifest, buffer, baseBytes, layout, options);
		this.#hook('init')?.(baseBytes);
	}

	#hook(name: string): Hook | undefined {
		return this.exports[name] as Hook | undefined;
	}

	set(row: number, values: RowValues): void {
		this.frame.set(row, values);
	}

	setEligible(row: number, eligible: boolean): void {
		this.frame.setEligible(row, eligible);
	}

	/** Decides one request. */
	rank(request: RequestValues = {}, hits: readonly HitValues[] = []): KitAnswer {
		this.frame.request(request, hits);
		return this.answer(this.call('rank'));
	}

	/** Calls a hook on the frame as it stands; returns its status. Throws when the module has no such export. */
	call(name: string, count?: number): number {
		const hook = this.#hook(name);
		if (hook === undefined) throw new RangeError(`the strategy does not export ${name}`);
		return count === undefined ? hook(this.baseBytes) : hook(this.baseBytes, count);
	}

	/** Hands outcomes to observe, fields by name. The kit must have been made with `outcomesCapacity`. */
	observe(outcomes: ReadonlyArray<Readonly<Record<string, number>>>): number {
		const { layout, u32, f32 } = this.frame;
		if (outcomes.length > layout.outcomesCapacity) throw new RangeError(`room for ${layout.outcomesCapacity} outcomes`);
		for (const [index, outcome] of outcomes.entries()) {
			const at = (layout.outcomesOffset + index * abi.OUTCOME_BYTES) / 4;
			u32.fill(0, at, at + abi.OUTCOME_BYTES / 4);
			for (const field of outcomeBlock.fields) {
				const words = field.type === 'f32' ? f32 : u32;
				words[at + field.offsetBytes / 4] = outcome[field.name] ?? 0;
			}
		}
		return this.call('observe', outcomes.length);
	}

	/** The output block as it stands. */
	answer(status: number): KitAnswer {
		const { u32, f32, layout } = this.frame;
		const at = layout.outputOffset / 4;
		const word = (index: number) => u32[at + index] ?? 0;
		const float = (index: number) => f32[at + index] ?? 0;
		const row = (index: number) => (word(index) === abi.NO_ROW ? -1 : word(index));
		const count = status === abi.Status.ok ? Math.min(word(abi.OUTPUT_COUNT_WORD), abi.RANKED_ROWS_MAX) : 0;
		const factorCount = Math.min(word(abi.OUTPUT_FACTOR_COUNT_WORD), this.manifest.factors.length);
		const ranked = Array.from({ length: count }, (_, position) => position);
		return {
			status,
			verdict: verdicts[word(abi.OUTPUT_VERDICT_WORD)] ?? 'invalid',
			rows: ranked.map((position) => word(abi.OUTPUT_ROWS_WORD + position)),
			scores: ranked.map((position) => float(abi.OUTPUT_SCORES_WORD + position)),
			factors: ranked.map((position) =>
				Object.fromEntries(
					this.manifest.factors
						.slice(0, factorCount)
						.map((name, factor) => [name, float(abi.OUTPUT_FACTORS_WORD + position * abi.FACTORS_MAX + factor)]),
				),
			),
			reason: word(abi.OUTPUT_REASON_WORD),
			retryAfterMs: float(abi.OUTPUT_RETRY_AFTER_MS_WORD),
			holdKey: float(abi.OUTPUT_HOLD_KEY_WORD),
			predictedTtftMs: float(abi.OUTPUT_PREDICTED_TTFT_MS_WORD),
			hedgeDelayMs: float(abi.OUTPUT_HEDGE_DELAY_MS_WORD),
			hedgeCopies: word(abi.OUTPUT_HEDGE_COPIES_WORD),
			prefillRow: row(abi.OUTPUT_PREFILL_ROW_WORD),
			fetchFromRow: row(abi.OUTPUT_FETCH_FROM_ROW_WORD),
			log: this.#log(),
		};
	}

	#log(): string {
		const { u32, layout } = this.frame;
		const used = u32[layout.outputOffset / 4 + abi.OUTPUT_LOG_BYTES_WORD] ?? 0;
		const start = u32.byteOffset + layout.logOffset;
		return utf8.decode(new Uint8Array(u32.buffer, start, Math.min(used, layout.logBytes)).slice());
	}
}

/** Where the module's static data ends: its `__heap_base`, read from a throw-away instance (an exported constant, or a computed one). */
function heapBaseOf(module: WebAssembly.Module): number {
	const memory = new WebAssembly.Memory({ initial: 32, maximum: 32 });
	const exported = new WebAssembly.Instance(module, { env: { memory } }).exports['__heap_base'];
	if (!(exported instanceof WebAssembly.Global)) throw new TypeError('the module does not export __heap_base');
	return Number(exported.value);
}

/** An instance of the module with a memory of its own. */
function openModule(wasm: Uint8Array<ArrayBuffer>, layout: FrameLayout): KitMachine {
	const module = new WebAssembly.Module(wasm);
	const { baseBytes, pages } = placeFrame(layout, heapBaseOf(module));
	const memory = new WebAssembly.Memory({ initial: pages, maximum: pages });
	const { exports } = new WebAssembly.Instance(module, { env: { memory } });
	return { buffer: memory.buffer, baseBytes, exports };
}

/** Runs a module over `options.rows`. */
export function createKit(wasm: Uint8Array<ArrayBuffer>, options: FrameViewOptions): StrategyKit {
	return new StrategyKit(readManifest(wasm), (layout) => openModule(wasm, layout), options);
}

/** `count` rows with the same values, or with what `values` says of each. */
export function buildFleet(count: number, values: RowValues | ((row: number) => RowValues) = {}): RowValues[] {
	return Array.from({ length: count }, (_, row) => (typeof values === 'function' ? values(row) : { ...values }));
}
