// Owns what a fault is: how it strikes, how one knows that it did, who must get on meanwhile, and how it is healed.
import type { SeededRandom } from '@infermesh/proto';
import { eventually } from '../../support/mesh.js';
import type { ChaosMesh } from '../nodes/mesh.js';
import type { Namespaces } from '../nodes/namespaces.js';
import type { Configuration } from '../workload/configuration.js';
import type { Streams } from '../workload/streams.js';
import { pick } from '../workload/workload.js';

export interface FaultContext {
	readonly mesh: ChaosMesh;
	readonly random: SeededRandom;
	readonly streams: Streams;
	readonly configuration: Configuration;
	/** Where traces of system calls go. */
	readonly folder: string;
	/** Node whose state lies on a small file system of its own. */
	readonly smallDisk: number | undefined;
	readonly namespaces: Namespaces | undefined;
}

export interface Struck {
	/** On whom, and how. */
	readonly what: string;
	/** How long it lasts once it has shown. */
	readonly holdMs: number;
	/** Whether its effect was seen. */
	readonly fired: () => Promise<boolean> | boolean;
	/** Nodes through which writes must get on while it lasts. */
	readonly able?: readonly number[];
	/** Processes must start before all is well. */
	readonly restarts?: boolean;
	readonly heal: () => Promise<void>;
}

export interface Fault {
	readonly name: string;
	/** Only in runs that give each node a network namespace. */
	readonly inNamespaces?: boolean;
	/** Only in runs of so many nodes. */
	readonly nodesLeast?: number;
	/** Why it cannot be had on this machine; undefined when it can. */
	readonly missing?: (context: FaultContext) => string | undefined;
	readonly strike: (context: FaultContext) => Promise<Struck>;
}

export function between(random: SeededRandom, least: number, most: number): number {
	return least + random.nextFloat() * (most - least);
}

export function anyNode({ mesh, random }: FaultContext): number {
	return pick(
		random,
		mesh.nodes.map((_, at) => at),
	);
}

export function othersThan({ mesh }: FaultContext, ...nodes: readonly number[]): readonly number[] {
	return mesh.nodes.map((_, at) => at).filter((at) => !nodes.includes(at));
}

/** Waits for one. */
export async function leaderOf({ mesh }: FaultContext): Promise<number> {
	let leader: number | undefined;
	await eventually(
		'there is a leader',
		async () => {
			leader = await mesh.leader();
			return leader !== undefined;
		},
		{ withinMs: 30_000, everyMs: 100 },
	);
	return leader ?? 0;
}
