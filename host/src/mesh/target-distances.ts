// Owns which node of the mesh a target runs on, and with that what the fabric knows of the way there.
import { type LinkEstimate, linkClassOf, type Place } from '@infermesh/fabric';
import { isLoopback } from '../config/rules.js';
import type { TargetSpec } from '../fleet/registry.js';
import type { TopologyView } from '../main/fabric.js';
import type { NodeRecord } from '../records/kinds.js';

export interface KnownNodes {
	readonly byId: ReadonlyMap<string, NodeRecord>;
	readonly byName: ReadonlyMap<string, NodeRecord>;
	/** UUID of the node that announced a target; undefined for one that an operator added. */
	readonly announcedBy: (targetId: string) => string | undefined;
}

/** Where this router stands, and what the fabric knows from there. */
export interface Vantage {
	readonly nodeId: string;
	readonly place: Place;
	readonly links: ReadonlyMap<string, LinkEstimate>;
}

/**
 * The node of a target: the one it names, by name or UUID; else the one that announced it, if the target's URL leads to that node's own machine. Undefined
 * when it runs where no node of the mesh is known to be.
 */
export function nodeOfTarget(spec: TargetSpec, { byId, byName, announcedBy }: KnownNodes): NodeRecord | undefined {
	const named = byName.get(spec.node) ?? byId.get(spec.node);
	if (named !== undefined) return named;
	const node = byId.get(announcedBy(spec.id) ?? '');
	const host = URL.parse(spec.url)?.hostname;
	if (node === undefined || host === undefined) return undefined;
	return isLoopback(host) || hostOf(node.addresses.agent) === host ? node : undefined;
}

/** Nodes as `nodeOfTarget` looks them up. */
export function knownNodes(nodes: readonly NodeRecord[], announcedBy: KnownNodes['announcedBy']): KnownNodes {
	return {
		byId: new Map(nodes.map((node) => [node.id, node])),
		byName: new Map(nodes.map((node) => [node.name, node])),
		announcedBy,
	};
}

/** What the fabric knows of the way to a target. Its class follows from where the target says it stands. */
export function linkToTarget(spec: TargetSpec, node: NodeRecord | undefined, from: Vantage): LinkEstimate {
	const linkClass = node?.id === from.nodeId ? 'same_node' : linkClassOf(from.place, spec);
	if (node?.id === from.nodeId)
		return { ...nothing, basis: 'measured', reach: 'reached', rttMs: 0, ageMs: 0, linkClass };
	return { ...((node === undefined ? undefined : from.links.get(node.id)) ?? nothing), linkClass };
}

const nothing: Omit<LinkEstimate, 'linkClass'> = {
	basis: 'unknown',
	reach: 'untried',
	rttMs: undefined,
	ageMs: undefined,
	error: undefined,
	bandwidthBytesPerS: undefined,
};

function hostOf(address: string): string {
	return address.slice(0, address.lastIndexOf(':'));
}

export interface TargetLinksPorts {
	readonly nodeId: string;
	readonly place: Place;
	readonly nodes: () => { readonly revision: number; readonly all: readonly NodeRecord[] };
	readonly announcedBy: KnownNodes['announcedBy'];
	readonly topology: () => TopologyView;
}

/** The look-up of links by target, made anew only when nodes or links have changed. */
export class TargetLinks {
	readonly #ports: TargetLinksPorts;
	#topology: TopologyView | undefined;
	#revision = -1;
	#linkOf: (spec: TargetSpec) => LinkEstimate = () => ({ ...nothing, linkClass: 'wan' });

	constructor(ports: TargetLinksPorts) {
		this.#ports = ports;
	}

	lookUp(): (spec: TargetSpec) => LinkEstimate {
		const { nodeId, place, announcedBy } = this.#ports;
		const topology = this.#ports.topology();
		const { revision, all } = this.#ports.nodes();
		if (topology === this.#topology && revision === this.#revision) return this.#linkOf;
		this.#topology = topology;
		this.#revision = revision;
		const nodes = knownNodes(all, announcedBy);
		const links = new Map(topology.links.map((link) => [link.nodeId, link.estimate]));
		const from: Vantage = { nodeId, place, links };
		this.#linkOf = (spec) => linkToTarget(spec, nodeOfTarget(spec, nodes), from);
		return this.#linkOf;
	}
}
