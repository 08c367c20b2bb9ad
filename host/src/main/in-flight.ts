// Owns the count of what this router has in flight on the targets of one node: those it announced, and those said to run on it.
import { type InflightReader, REQUESTS } from '../fleet/inflight.js';
import type { TargetRecord } from '../fleet/registry.js';
import type { MeshMirrors } from '../mesh/mirrors.js';

export function inFlightOf(
	targets: readonly TargetRecord[],
	{ nodes, targets: stored }: Pick<MeshMirrors, 'nodes' | 'targets'>,
	counters: InflightReader,
	nodeId: string,
): number {
	const name = nodes.get(nodeId)?.value.name;
	return targets
		.filter(({ spec }) => spec.node === name || stored.get(spec.id)?.value.announcedBy === nodeId)
		.reduce((sum, { row }) => sum + counters.own(REQUESTS, row), 0);
}
