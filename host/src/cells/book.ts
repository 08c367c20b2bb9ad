// Owns what a node knows of the other cells: the newest summary of each, how old it is, and which cluster a name belongs to. Bounded; time is an argument.
import { MeshError } from '@infermesh/proto';
import type { KnownSummary, Summary } from '@infermesh/proto/grpc/cells/v1/cells';
import { cellErrors } from './errors.js';
import { cellBounds, checkSummary } from './summary.js';

export interface BookOptions {
	/** Older summaries are shown as stale, and nothing is sent to their cell. */
	readonly staleAfterMs: number;
	/** Older ones are forgotten, and with them which cluster had the name. */
	readonly forgetAfterMs: number;
}

export interface CellView {
	readonly summary: Summary;
	readonly ageMs: number;
	readonly stale: boolean;
	/** From this node's gateway to the cell's; undefined while it has not been measured. */
	readonly rttMs: number | undefined;
}

interface Entry {
	readonly summary: Summary;
	readonly madeAtMs: number;
	readonly rttMs: number | undefined;
}

export class CellBook {
	readonly #own: string;
	readonly #options: BookOptions;
	readonly #entries = new Map<string, Entry>();

	/** `own` is this node's cell: what others say of that is not taken. */
	constructor(own: string, options: BookOptions) {
		this.#own = own;
		this.#options = options;
	}

	/**
	 * Takes a summary, `ageMs` old. False when a newer one is known or it is of this node's own cell. Throws IM_CELL_SUMMARY, IM_CELL_FULL, and
	 * IM_CELL_NAME_TAKEN when the name is another cluster's whose summary is not stale.
	 */
	take({ summary, ageMs, rttMs }: KnownSummary, nowMs: number): boolean {
		checkSummary(summary);
		this.#forget(nowMs);
		if (summary.cell === this.#own) return false;
		const madeAtMs = nowMs - ageMs;
		const known = this.#entries.get(summary.cell);
		if (known !== undefined && known.summary.clusterId !== summary.clusterId && !this.#isStale(known, nowMs))
			throw new MeshError(
				cellErrors,
				'IM_CELL_NAME_TAKEN',
				`cell ${summary.cell}: clusters ${known.summary.clusterId} and ${summary.clusterId}`,
			);
		if (known === undefined && this.#entries.size >= cellBounds.cells)
			throw new MeshError(cellErrors, 'IM_CELL_FULL', `cell ${summary.cell} is one more than ${cellBounds.cells}`);
		if (known !== undefined && known.madeAtMs >= madeAtMs) return false;
		this.#entries.set(summary.cell, { summary, madeAtMs, rttMs: rttMs ?? known?.rttMs });
		return true;
	}

	/** Cells by name. */
	list(nowMs: number): readonly CellView[] {
		this.#forget(nowMs);
		return [...this.#entries.values()]
			.sort((a, b) => (a.summary.cell < b.summary.cell ? -1 : 1))
			.map((entry) => ({
				summary: entry.summary,
				ageMs: Math.max(0, nowMs - entry.madeAtMs),
				stale: this.#isStale(entry, nowMs),
				rttMs: entry.rttMs,
			}));
	}

	/** The same as it is passed on within the cell. */
	known(nowMs: number): KnownSummary[] {
		return this.list(nowMs).map(({ summary, ageMs, rttMs }) => ({ summary, ageMs: Math.round(ageMs), rttMs }));
	}

	#isStale({ madeAtMs }: Entry, nowMs: number): boolean {
		return nowMs - madeAtMs > this.#options.staleAfterMs;
	}

	#forget(nowMs: number): void {
		for (const [cell, { madeAtMs }] of this.#entries)
			if (nowMs - madeAtMs > this.#options.forgetAfterMs) this.#entries.delete(cell);
	}
}
