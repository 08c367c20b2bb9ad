// Owns the numbering of node ids: a small integer per id, so that member tables are arrays. A core has one of its own; a simulation of many
// cores in one process shares one between them, which keeps a table at a few bytes a member.
import type { NodeId } from './messages.js';

/** FNV-1a over UTF-16 units, 32 bits, with a basis of choice. Part of the wire contract: digests are built on it. */
function hashText(text: string, basis: number): number {
	let hash = basis;
	for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
	return hash >>> 0;
}

export class NodeIndex {
	readonly #slots = new Map<NodeId, number>();
	readonly #ids: NodeId[] = [];
	readonly #hashes: number[] = [];
	readonly #free: number[] = [];
	readonly #shared: boolean;

	/** A shared index never gives a slot to another id. */
	constructor(options: { readonly shared: boolean } = { shared: false }) {
		this.#shared = options.shared;
	}

	/** -1 when the id has no slot. */
	find(id: NodeId): number {
		return this.#slots.get(id) ?? -1;
	}

	intern(id: NodeId): number {
		const found = this.#slots.get(id);
		if (found !== undefined) return found;
		const slot = this.#free.pop() ?? this.#ids.length;
		this.#ids[slot] = id;
		this.#hashes[slot * 2] = hashText(id, 0x811c9dc5);
		this.#hashes[slot * 2 + 1] = hashText(id, 0x9747b28c);
		this.#slots.set(id, slot);
		return slot;
	}

	idOf(slot: number): NodeId {
		return this.#ids[slot] ?? '';
	}

	/** Two independent 32-bit hashes of the id, by `which` 0 or 1. */
	hashOf(slot: number, which: 0 | 1): number {
		return this.#hashes[slot * 2 + which] ?? 0;
	}

	/** Gives the slot up, unless the index is shared. */
	release(slot: number): void {
		const id = this.#ids[slot];
		if (this.#shared || id === undefined || !this.#slots.delete(id)) return;
		this.#free.push(slot);
	}
}
