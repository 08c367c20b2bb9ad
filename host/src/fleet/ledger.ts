// Owns one worker's list of what it has in flight: an entry per dispatched attempt, mirrored into the shared counters. Entries are slots of
// plain arrays, so a dispatch allocates nothing; ending twice is harmless.
import type { InflightLedger, UpstreamTarget } from '../router/ports.js';
import {
	DECODE_TOKENS,
	DECODES,
	type InflightWriter,
	PREFILL_PAIRS,
	PREFILL_TOKENS,
	pairsOf,
	REQUESTS,
} from './inflight.js';

const FREE = 0;
const PREFILLING = 1;
const DECODING = 2;

export class WorkerLedger implements InflightLedger {
	readonly #writer: InflightWriter;
	readonly #phases: Uint8Array;
	readonly #rows: Uint32Array;
	readonly #promptTokens: Uint32Array;
	readonly #uncachedTokens: Uint32Array;
	readonly #pairs: Uint32Array;
	readonly #free: number[];
	#underWay = 0;

	readonly #wallMs: () => number;

	/**
	 * `entriesMax`: attempts at once; beyond it attempts are sent uncounted, which the caller's own in-flight bound rules out. `wallMs`: the mesh
	 * clock.
	 */
	constructor(writer: InflightWriter, entriesMax: number, wallMs: () => number) {
		this.#writer = writer;
		this.#wallMs = wallMs;
		this.#phases = new Uint8Array(entriesMax);
		this.#rows = new Uint32Array(entriesMax);
		this.#promptTokens = new Uint32Array(entriesMax);
		this.#uncachedTokens = new Uint32Array(entriesMax);
		this.#pairs = new Uint32Array(entriesMax);
		this.#free = Array.from({ length: entriesMax }, (_, index) => entriesMax - 1 - index);
	}

	get underWay(): number {
		return this.#underWay;
	}

	inFlight(target: UpstreamTarget): number {
		return this.#writer.total(REQUESTS, target.tableRow);
	}

	unreachable(target: UpstreamTarget): void {
		this.#writer.markUnreachable(target.tableRow);
	}

	dispatch(target: UpstreamTarget, promptTokens: number, uncachedTokens: number): number {
		const entry = this.#free.pop();
		if (entry === undefined) return -1;
		const row = target.tableRow;
		this.#phases[entry] = PREFILLING;
		this.#rows[entry] = row;
		this.#promptTokens[entry] = promptTokens;
		this.#uncachedTokens[entry] = uncachedTokens;
		const pairs = pairsOf(promptTokens, uncachedTokens);
		this.#pairs[entry] = pairs;
		this.#underWay++;
		if (this.#writer.total(PREFILL_TOKENS, row) === 0) this.#begins(row);
		this.#writer.add(REQUESTS, row, 1);
		this.#writer.add(PREFILL_TOKENS, row, uncachedTokens);
		this.#writer.add(PREFILL_PAIRS, row, pairs);
		this.#writer.changed(row);
		return entry;
	}

	firstToken(entry: number): void {
		if (this.#phases[entry] !== PREFILLING) return;
		this.#phases[entry] = DECODING;
		const row = this.#rows[entry] as number;
		this.#prefilled(entry, row);
		this.#writer.add(DECODES, row, 1);
		this.#writer.add(DECODE_TOKENS, row, this.#promptTokens[entry] as number);
		this.#writer.changed(row);
	}

	end(entry: number): void {
		const phase = this.#phases[entry];
		if (phase === undefined || phase === FREE) return;
		const row = this.#rows[entry] as number;
		this.#phases[entry] = FREE;
		this.#writer.add(REQUESTS, row, -1);
		if (phase === PREFILLING) this.#prefilled(entry, row);
		else {
			this.#writer.add(DECODES, row, -1);
			this.#writer.add(DECODE_TOKENS, row, -(this.#promptTokens[entry] as number));
		}
		this.#writer.changed(row);
		this.#underWay--;
		this.#free.push(entry);
	}

	/** One prompt less is pending: the engine goes on to the next. */
	#prefilled(entry: number, row: number): void {
		this.#writer.add(PREFILL_TOKENS, row, -(this.#uncachedTokens[entry] as number));
		this.#writer.add(PREFILL_PAIRS, row, -(this.#pairs[entry] as number));
		this.#begins(row);
	}

	#begins(row: number): void {
		this.#writer.beginPrefill(row, this.#wallMs());
	}
}
