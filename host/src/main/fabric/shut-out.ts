// Owns who is shut out of the mesh, and that every part of this node hears of it: whom this cell has quarantined or removed, and whom the others have. Each
// thread keeps a list of its own, so that a part which is not told goes on letting them in.
import type { RevocationList } from '@infermesh/fabric';
import type { LifecycleRecord } from '../../records/kinds.js';

export type ShutOutMessage =
	/** The whole list of this cell, as of this revision of replicated state. */
	| { readonly kind: 'revoked'; readonly nodeIds: readonly string[]; readonly revision: bigint }
	/** The whole list of the other cells. */
	| { readonly kind: 'revokedElsewhere'; readonly nodeIds: readonly string[] };

/** What a mirror shows. */
interface Shown<Value> {
	readonly revision: number;
	all(): readonly { readonly id: string; readonly value: Value; readonly revision: number }[];
}

export interface Decisions {
	readonly nodeIds: readonly string[];
	/** Of each node `UUID@REVISION`: whoever is released and shut out again is decided about anew. */
	readonly names: readonly string[];
	readonly revision: bigint;
}

/** Whoever is quarantined or removed. A node that joins anew has another UUID. */
export function decisionsOf(lifecycle: Shown<Pick<LifecycleRecord, 'state'>>, removals: Shown<unknown>): Decisions {
	const decided = new Map(removals.all().map(({ id, revision }) => [id, revision]));
	// A quarantine that a removal follows stays the decision: what the node knows was changed by then.
	for (const { id, value, revision } of lifecycle.all()) if (value.state === 'quarantined') decided.set(id, revision);
	const nodeIds = [...decided.keys()].sort();
	return {
		nodeIds,
		names: nodeIds.map((id) => `${id}@${decided.get(id)}`),
		revision: BigInt(Math.max(lifecycle.revision, removals.revision)),
	};
}

export class ShutOut {
	readonly #list: RevocationList;
	readonly #parts: ((message: ShutOutMessage) => void)[] = [];
	#elsewhere: readonly string[] = [];

	/** `list` is the one of the agent's own thread. */
	constructor(list: RevocationList) {
		this.#list = list;
	}

	/** A part with a list of its own: told at once what is known, then each change. */
	addPart(tell: (message: ShutOutMessage) => void): void {
		this.#parts.push(tell);
		tell({ kind: 'revoked', nodeIds: this.#list.list(), revision: this.#list.revision });
		tell({ kind: 'revokedElsewhere', nodeIds: this.#elsewhere });
	}

	decided({ nodeIds, revision }: Decisions): void {
		if (this.#list.update(nodeIds, revision)) this.#tell({ kind: 'revoked', nodeIds, revision });
	}

	elsewhere(nodeIds: readonly string[]): void {
		this.#elsewhere = nodeIds;
		this.#list.updateElsewhere(nodeIds);
		this.#tell({ kind: 'revokedElsewhere', nodeIds });
	}

	#tell(message: ShutOutMessage): void {
		for (const tell of this.#parts) tell(message);
	}
}
