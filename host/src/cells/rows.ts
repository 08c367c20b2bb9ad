// Owns the rows that stand for other cells: one a cell and model, at one of the cell's routers, for as long as the summary is fresh and says that something
// there is healthy. A row's weight is the number of healthy targets behind it, so that its load compares with that of a single target.
import { type LinkEstimate, linkClassOf, type Place } from '@infermesh/fabric';
import { MeshError, type ModelStateDelta } from '@infermesh/proto';
import type { ModelSummary } from '@infermesh/proto/grpc/cells/v1/cells';
import type { TargetSpec } from '../fleet/registry.js';
import { type Hash64, hashText } from '../router/hash.js';
import type { CellView } from './book.js';
import { cellErrors } from './errors.js';

/** What a summary says of a row. */
export interface CellReport {
	readonly delta: ModelStateDelta;
	readonly ageMs: number;
	readonly weight: number;
	readonly link: LinkEstimate;
}

/** What it acts on: the targets of this process. */
export interface CellRowActions {
	/** Rows that stand for other cells, by id. */
	readonly current: () => ReadonlyMap<string, TargetSpec>;
	readonly add: (spec: TargetSpec) => void;
	readonly remove: (id: string) => void;
	readonly report: (id: string, report: CellReport) => void;
}

export interface CellRowOptions {
	/** This router: those of one cell spread over the routers of another. */
	readonly nodeId: string;
	readonly place: Place;
	readonly apiKey: string | undefined;
	/** Most rows that stand for other cells; those of this cell's targets must have room. */
	readonly rowsMax: number;
}

export class CellRows {
	readonly #options: CellRowOptions;
	readonly #actions: CellRowActions;
	readonly #failed: (what: string, error: MeshError) => void;
	/** Rows that were refused, so that each is told once. */
	readonly #refused = new Set<string>();
	#overflows = false;

	constructor(options: CellRowOptions, actions: CellRowActions, failed: (what: string, error: MeshError) => void) {
		this.#options = options;
		this.#actions = actions;
		this.#failed = failed;
	}

	apply(cells: readonly CellView[]): void {
		const wanted = new Map<string, { readonly spec: TargetSpec; readonly report: CellReport }>();
		let omitted = 0;
		for (const cell of cells)
			for (const model of cell.stale ? [] : cell.summary.models) {
				const spec = this.#specOf(cell, model);
				if (spec === undefined) continue;
				if (wanted.size < this.#options.rowsMax) wanted.set(spec.id, { spec, report: this.#reportOf(cell, model) });
				else omitted++;
			}
		this.#tellOverflow(omitted);
		const current = this.#actions.current();
		for (const [id, spec] of current) {
			const next = wanted.get(id)?.spec;
			if (next === undefined || JSON.stringify(next) !== JSON.stringify(spec)) this.#actions.remove(id);
		}
		for (const id of this.#refused) if (!wanted.has(id)) this.#refused.delete(id);
		const present = this.#actions.current();
		for (const [id, { spec, report }] of wanted)
			if (present.has(id) || this.#add(spec)) this.#actions.report(id, report);
	}

	#tellOverflow(omitted: number): void {
		const { rowsMax } = this.#options;
		if (omitted > 0 && !this.#overflows)
			this.#failed(
				'rows of other cells',
				new MeshError(cellErrors, 'IM_CELL_ROWS', `${omitted} more than the ${rowsMax} there is room for`),
			);
		this.#overflows = omitted > 0;
	}

	#add(spec: TargetSpec): boolean {
		try {
			this.#actions.add(spec);
			this.#refused.delete(spec.id);
			return true;
		} catch (error) {
			if (!(error instanceof MeshError)) throw error;
			if (!this.#refused.has(spec.id)) this.#failed(`a row for ${spec.id}`, error);
			this.#refused.add(spec.id);
			return false;
		}
	}

	#specOf({ summary }: CellView, { model, healthy, zone, region }: ModelSummary): TargetSpec | undefined {
		const url = nearest(this.#options.nodeId, summary.routers);
		if (healthy === 0 || url === undefined) return undefined;
		return {
			id: `cell:${summary.cell}/${model}`,
			url,
			models: [model],
			runtime: 'openai',
			apiKey: this.#options.apiKey,
			grpc: 'same',
			upstreamModel: undefined,
			revision: undefined,
			quant: undefined,
			weight: 1,
			role: 'both',
			node: `cell:${summary.cell}`,
			zone,
			region,
			costPerHour: 0,
			metricsPath: '',
			healthPath: '',
			cell: summary.cell,
		};
	}

	#reportOf({ rttMs, ageMs }: CellView, { zone, region, ...model }: ModelSummary): CellReport {
		const known = rttMs !== undefined;
		return {
			delta: {
				observedAtMs: 0,
				queueDepth: model.queue,
				running: model.running,
				kvUsage: model.kvUsage,
				...(model.capacity > 0 ? { maxSequences: model.capacity } : {}),
				unread: [],
			},
			ageMs,
			weight: model.healthy,
			link: {
				basis: known ? 'measured' : 'unknown',
				reach: known ? 'reached' : 'untried',
				rttMs,
				ageMs: known ? ageMs : undefined,
				error: undefined,
				bandwidthBytesPerS: undefined,
				linkClass: linkClassOf(this.#options.place, { zone, region }),
			},
		};
	}
}

/** Rendezvous: each node keeps to its router while that is there, and nodes spread over all of them. */
export function nearest(nodeId: string, routers: readonly string[]): string | undefined {
	let best: string | undefined;
	let most = -1;
	const hash: Hash64 = { low: 0, high: 0 };
	for (const router of routers) {
		hashText(`${nodeId} ${router}`, hash);
		if (hash.low > most) [best, most] = [router, hash.low];
	}
	return best;
}
