// Owns what one router tells another of its own load: which targets changed since the last frame, numbers in place of ids, a full frame now and then.
// What was not sent yet is a set of rows, so a reader that is slow gets fewer frames, never a longer queue: the newest count is the one told. No I/O.
import type { FlowShare, LoadFrame } from '@infermesh/proto/grpc/routing/v1/load';
import { DECODE_TOKENS, DECODES, PREFILL_PAIRS, PREFILL_TOKENS, REQUESTS } from '../fleet/inflight.js';
import { NUMBERS_PER_TARGET } from './book.js';

export interface OwnLoad {
	readonly rowsMax: number;
	/** The target that stands at a row; undefined for none. */
	readonly idOf: (row: number) => string | undefined;
	/** What this router itself has there. */
	readonly own: (counter: number, row: number) => number;
	/** What waits at this router; absent = that is not told. */
	readonly flows?: () => readonly FlowShare[];
}

export interface TellerOptions {
	/** A frame goes out at least this often, an empty one too: silence is a sign of death. */
	readonly heartbeatMs: number;
	/** Everything is told again this often, so that whatever went wrong on the way heals. */
	readonly fullMs: number;
}

export class LoadTeller {
	readonly #own: OwnLoad;
	readonly #options: TellerOptions;
	readonly #numbers = new Map<string, number>();
	readonly #dirty: Uint8Array;
	#rows: number[] = [];
	readonly #flows = new Map<number, FlowShare>();
	#sequence = 0;
	#toldMs = Number.NEGATIVE_INFINITY;
	#fullMs = Number.NEGATIVE_INFINITY;

	constructor(own: OwnLoad, options: TellerOptions) {
		this.#own = own;
		this.#options = options;
		this.#dirty = new Uint8Array(own.rowsMax);
	}

	/** What this router has at a row is no longer what it was. */
	changed(row: number): void {
		if (this.#dirty[row] !== 0) return;
		this.#dirty[row] = 1;
		this.#rows.push(row);
	}

	/** What waits of these flows, or what they were served, is no longer what it was. */
	flowsChanged(flows: readonly FlowShare[]): void {
		for (const flow of flows) this.#flows.set(flow.number, flow);
	}

	/** Everything may have changed, or stands at another row. */
	allChanged(): void {
		this.#fullMs = Number.NEGATIVE_INFINITY;
	}

	/** So many targets came and went that their numbers take too much room: the stream should begin anew. */
	get worn(): boolean {
		return this.#numbers.size > this.#own.rowsMax * (NUMBERS_PER_TARGET - 1);
	}

	/** The next frame; undefined while there is nothing to tell. */
	next(nowMs: number, wallMs: number): LoadFrame | undefined {
		const full = nowMs - this.#fullMs >= this.#options.fullMs;
		const nothing = this.#rows.length === 0 && this.#flows.size === 0;
		if (!full && nothing && nowMs - this.#toldMs < this.#options.heartbeatMs) return undefined;
		const frame = this.#frame(full, wallMs);
		frame.flows = full ? [...(this.#own.flows?.() ?? [])] : [...this.#flows.values()];
		this.#flows.clear();
		if (full) {
			this.#fullMs = nowMs;
			for (let row = 0; row < this.#own.rowsMax; row++) if (this.#own.own(REQUESTS, row) > 0) this.#tell(frame, row);
		} else for (const row of this.#rows) this.#tell(frame, row);
		for (const row of this.#rows) this.#dirty[row] = 0;
		this.#rows = [];
		this.#toldMs = nowMs;
		return frame;
	}

	#frame(full: boolean, madeAtMs: number): LoadFrame {
		this.#sequence++;
		return {
			sequence: this.#sequence,
			full,
			named: [],
			names: [],
			targets: [],
			requests: [],
			prefillTokens: [],
			decodeTokens: [],
			decodes: [],
			prefillPairs: [],
			flows: [],
			madeAtMs,
		};
	}

	#tell(frame: LoadFrame, row: number): void {
		const id = this.#own.idOf(row);
		if (id === undefined) return;
		const known = this.#numbers.get(id);
		const number = known ?? this.#numbers.size;
		if (known === undefined) this.#numbers.set(id, number);
		if (known === undefined || frame.full) {
			frame.named.push(number);
			frame.names.push(id);
		}
		frame.targets.push(number);
		frame.requests.push(this.#own.own(REQUESTS, row));
		frame.prefillTokens.push(this.#own.own(PREFILL_TOKENS, row));
		frame.decodeTokens.push(this.#own.own(DECODE_TOKENS, row));
		frame.decodes.push(this.#own.own(DECODES, row));
		frame.prefillPairs.push(this.#own.own(PREFILL_PAIRS, row));
	}
}
