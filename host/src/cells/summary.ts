// Owns what a cell tells others of itself: its bounds, the check of what comes from outside, and the making of a gateway's own from what it knows of its
// targets. Nothing in it grows with the number of nodes or targets of the cell.
import { isNodeUuid } from '@infermesh/fabric';
import { MeshError } from '@infermesh/proto';
import type { ModelSummary, Summary } from '@infermesh/proto/grpc/cells/v1/cells';
import { cellErrors } from './errors.js';
import { cellNamePattern } from './name.js';

export const cellBounds = Object.freeze({
	/** Other cells a node keeps summaries of. */
	cells: 64,
	models: 256,
	routers: 16,
	nameChars: 128,
	urlChars: 512,
	quarantined: 1024,
});

/** What is asked of one target for a summary. */
export interface SummarisedTarget {
	readonly models: readonly string[];
	readonly zone: string;
	readonly region: string;
	readonly healthy: boolean;
	/** Sequences it runs at once; 0 = it does not say. */
	readonly capacity: number;
	readonly load: number;
	readonly queue: number;
	readonly running: number;
	readonly kvUsage: number;
	readonly ttftMs: number;
	readonly ttftP95Ms: number;
}

export interface SummarySource {
	readonly cell: string;
	readonly clusterId: string;
	readonly nodeId: string;
	readonly version: string;
	readonly region: string;
	readonly routers: readonly string[];
	/** UUIDs. */
	readonly quarantined: readonly string[];
	readonly targets: readonly SummarisedTarget[];
}

export function summarise({ targets, routers, quarantined, ...names }: SummarySource): Summary {
	const byModel = new Map<string, SummarisedTarget[]>();
	for (const target of targets)
		for (const model of target.models) {
			const found = byModel.get(model);
			if (found === undefined) byModel.set(model, [target]);
			else found.push(target);
		}
	const models = [...byModel].sort(([a], [b]) => (a < b ? -1 : 1));
	return {
		...names,
		routers: routers.slice(0, cellBounds.routers),
		models: models.slice(0, cellBounds.models).map(([model, of]) => summariseModel(model, of)),
		modelsOmitted: Math.max(0, models.length - cellBounds.models),
		quarantined: quarantined.slice(0, cellBounds.quarantined),
	};
}

function summariseModel(model: string, targets: readonly SummarisedTarget[]): ModelSummary {
	const healthy = targets.filter((target) => target.healthy);
	const sum = (of: (target: SummarisedTarget) => number): number => healthy.reduce((total, one) => total + of(one), 0);
	const timed = healthy.filter(({ ttftMs }) => ttftMs > 0);
	const mean = (values: readonly number[]): number =>
		values.length === 0 ? 0 : values.reduce((total, value) => total + value, 0) / values.length;
	const only = (values: readonly string[]): string => (new Set(values).size === 1 ? (values[0] ?? '') : '');
	return {
		model,
		targets: targets.length,
		healthy: healthy.length,
		capacity: healthy.every(({ capacity }) => capacity > 0) ? Math.round(sum(({ capacity }) => capacity)) : 0,
		load: sum(({ load }) => load),
		queue: sum(({ queue }) => queue),
		running: sum(({ running }) => running),
		kvUsage: mean(healthy.map(({ kvUsage }) => kvUsage)),
		ttftMs: mean(timed.map(({ ttftMs }) => ttftMs)),
		ttftP95Ms: timed.reduce((worst, { ttftP95Ms }) => Math.max(worst, ttftP95Ms), 0),
		zone: only(healthy.map(({ zone }) => zone)),
		region: only(healthy.map(({ region }) => region)),
	};
}

/** Refuses what no gateway of this software sends. Throws IM_CELL_SUMMARY. */
export function checkSummary(summary: Summary | undefined): asserts summary is Summary {
	const bad = (what: string): never => {
		throw new MeshError(cellErrors, 'IM_CELL_SUMMARY', what);
	};
	if (summary === undefined) return bad('there is none');
	const { cell, clusterId, nodeId, version, region, routers, models } = summary;
	if (!cellNamePattern.test(cell)) bad(`the name of the cell: ${JSON.stringify(cell.slice(0, 80))}`);
	for (const text of [clusterId, nodeId, version, region])
		if (text.length > cellBounds.nameChars) bad('a name of more than 128 characters');
	if (clusterId === '' || nodeId === '') bad('it does not say whose it is');
	if (routers.length > cellBounds.routers) bad(`${routers.length} routers`);
	for (const url of routers) if (url.length > cellBounds.urlChars || !isHttpUrl(url)) bad('a router’s URL');
	if (models.length > cellBounds.models) bad(`${models.length} models`);
	if (new Set(models.map(({ model }) => model)).size !== models.length) bad('a model twice');
	if (summary.quarantined.length > cellBounds.quarantined) bad(`${summary.quarantined.length} quarantined nodes`);
	if (!summary.quarantined.every(isNodeUuid)) bad('a quarantined node that is none');
	for (const model of models) if (!isSound(model)) bad(`model ${JSON.stringify(model.model.slice(0, 80))}`);
}

function isSound({ model, zone, region, ...figures }: ModelSummary): boolean {
	const named = model !== '' && [model, zone, region].every((text) => text.length <= 2 * cellBounds.nameChars);
	return named && Object.values(figures).every((value) => Number.isFinite(value) && value >= 0);
}

function isHttpUrl(text: string): boolean {
	const url = URL.parse(text);
	return url !== null && (url.protocol === 'http:' || url.protocol === 'https:') && url.username === '';
}
