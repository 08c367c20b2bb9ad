// Owns whose word counts about which node: a gateway says itself, in claims that it signs, which cell it is of, and no other cell may shut it out; a node
// of this cell is shut out by this cell alone.
import type { Summary } from '@infermesh/proto/grpc/cells/v1/cells';
import { cellBounds } from './summary.js';

/** Gateways remembered, those that are away included. */
const GATEWAYS_MAX = cellBounds.cells * 16;

/** Which cell each gateway has said it is of; remembered while it is away. */
export class GatewayCells {
	readonly #cells = new Map<string, string>();

	note(nodeId: string, cell: string): void {
		this.#cells.delete(nodeId);
		const [oldest] = this.#cells.keys();
		if (oldest !== undefined && this.#cells.size >= GATEWAYS_MAX) this.#cells.delete(oldest);
		this.#cells.set(nodeId, cell);
	}

	/** The summary without the nodes that are another cell's, and how many those are. */
	ofItsOwn(summary: Summary): { readonly summary: Summary; readonly foreign: number } {
		const quarantined = summary.quarantined.filter((id) => (this.#cells.get(id) ?? summary.cell) === summary.cell);
		return { summary: { ...summary, quarantined }, foreign: summary.quarantined.length - quarantined.length };
	}
}

/** Nodes that other cells have quarantined, sorted, without those that are for this one to decide about. */
export function shutOutBy(summaries: readonly Summary[], isOwn: (nodeId: string) => boolean): readonly string[] {
	return [...new Set(summaries.flatMap(({ quarantined }) => quarantined))].filter((id) => !isOwn(id)).sort();
}

/**
 * Which nodes are of this cell, there or away: those that replicated state has a record of, or gossip. A certificate issued here says nothing: an authority
 * issues for nodes of other cells too.
 */
export function ownNodes(
	records: readonly { readonly get: (id: string) => unknown }[],
	members: () => readonly { readonly id: string }[],
): (nodeId: string) => boolean {
	return (nodeId) =>
		records.some((kind) => kind.get(nodeId) !== undefined) || members().some(({ id }) => id === nodeId);
}
