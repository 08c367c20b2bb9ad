// Owns the view of all cells, this one first: what each has told of itself, how old that is, and which gateways speak for it.
import type { ModelSummary } from '@infermesh/proto/grpc/cells/v1/cells';
import type { CellsView, MemberView } from '../main/fabric.js';

export interface GatewayRow {
	readonly id: string;
	readonly name: string;
	readonly agent: string;
	readonly state: MemberView['state'];
}

export interface CellRow {
	readonly cell: string;
	readonly own: boolean;
	readonly clusterId: string;
	readonly region: string;
	readonly version: string;
	/** Undefined for a cell of which nothing has been told yet. */
	readonly ageMs: number | undefined;
	readonly stale: boolean;
	/** Between the gateways; undefined while it has not been measured. */
	readonly rttMs: number | undefined;
	readonly routers: readonly string[];
	readonly models: readonly ModelSummary[];
	readonly modelsOmitted: number;
	/** As this node's own pool of gateways sees them; a node that is no gateway sees none. */
	readonly gateways: readonly GatewayRow[];
}

const untold = { clusterId: '', region: '', version: '', routers: [], models: [], modelsOmitted: 0 } as const;

export function cellRows(view: CellsView | undefined): readonly CellRow[] {
	if (view === undefined) return [];
	const gateways = new Map<string, GatewayRow[]>();
	for (const { id, name, state, speaksFor } of view.pool().toSorted((a, b) => (a.name < b.name ? -1 : 1))) {
		const cell = speaksFor?.cell ?? view.name;
		const of = gateways.get(cell) ?? [];
		gateways.set(cell, of);
		of.push({ id, name, agent: speaksFor?.agent ?? '', state });
	}
	const own: CellRow = {
		...untold,
		...view.own(),
		cell: view.name,
		own: true,
		ageMs: view.own() === undefined ? undefined : 0,
		stale: false,
		rttMs: undefined,
		gateways: gateways.get(view.name) ?? [],
	};
	const others = view.others().map(({ summary, ageMs, stale, rttMs }): CellRow => {
		const { cell, clusterId, region, version, routers, models, modelsOmitted } = summary;
		const told = { cell, clusterId, region, version, routers, models, modelsOmitted };
		return Object.assign(told, { own: false, ageMs, stale, rttMs, gateways: gateways.get(cell) ?? [] });
	});
	return [own, ...others];
}
