// Owns telling wanted metric names from all others by the characters of a line: a radix tree over the names in a few small arrays, so that a line
// of another metric is given up at the first character in which it differs, without leaving the processor's nearest cache. Made once for a
// list of names and used for any number of bodies.
import { isNameCode } from './label-scanner.js';

/** What `match` answers where there is no wanted name. */
export const OTHER_NAME = -1;
export const NO_NAME = -2;

interface Branch {
	readonly edge: string;
	readonly id: number;
	readonly children: readonly Branch[];
}

export class WantedNames {
	readonly names: readonly string[];
	/** Where the name last matched ends, or the first character by which a name was known for another. */
	end = 0;
	readonly #ids: ReadonlyMap<string, number>;
	/** Of each node: where its edge lies in `#chars`, its first child, its next sibling (0 = none) and the name that ends there. */
	readonly #edges: Int32Array;
	readonly #edgeEnds: Int32Array;
	readonly #children: Int32Array;
	readonly #siblings: Int32Array;
	readonly #accept: Int32Array;
	readonly #chars: Uint8Array;

	/** Names that cannot stand bare in a line are found quoted only. */
	constructor(names: Iterable<string>) {
		this.names = [...new Set(names)];
		this.#ids = new Map(this.names.map((name, id) => [name, id]));
		const bare = this.names.filter((name) => /^[a-zA-Z_:][\w:]*$/.test(name)).sort();
		const root: Branch = { edge: '', id: OTHER_NAME, children: branchesOf(bare, 0, this.#ids) };
		const nodes: Branch[] = [root];
		// Siblings stand side by side: the children of a node are appended together.
		for (let i = 0; i < nodes.length; i++) nodes.push(...(nodes[i] as Branch).children);
		const { length } = nodes;
		this.#edges = new Int32Array(length);
		this.#edgeEnds = new Int32Array(length);
		this.#children = new Int32Array(length);
		this.#siblings = new Int32Array(length);
		this.#accept = Int32Array.from(nodes, ({ id }) => id);
		this.#chars = Buffer.from(nodes.map(({ edge }) => edge).join(''));
		let at = 0;
		let child = 1;
		nodes.forEach(({ edge, children }, i) => {
			this.#edges[i] = at;
			at += edge.length;
			this.#edgeEnds[i] = at;
			if (children.length > 0) this.#children[i] = child;
			for (let c = 1; c < children.length; c++) this.#siblings[child + c - 1] = child + c;
			child += children.length;
		});
	}

	/** Index of `name` in `names`, or OTHER_NAME. */
	idOf(name: string): number {
		return this.#ids.get(name) ?? OTHER_NAME;
	}

	/**
	 * Index of the name that stands at `at` of `[at, end)`, with `end` set; OTHER_NAME, or NO_NAME where none begins. A character of `text` is a
	 * byte of the body.
	 */
	match(text: string, at: number, end: number): number {
		const first = text.charCodeAt(at);
		if (!isNameCode(first, true) || (first >= 48 && first <= 57)) return NO_NAME;
		const chars = this.#chars;
		let node = 0;
		let position = at;
		while (position < end) {
			const code = text.charCodeAt(position);
			let child = this.#children[node] as number;
			while (child !== 0 && chars[this.#edges[child] as number] !== code) child = this.#siblings[child] as number;
			if (child === 0) {
				if (isNameCode(code, true)) return this.#other(position);
				break;
			}
			const edgeEnd = this.#edgeEnds[child] as number;
			position++;
			for (let i = (this.#edges[child] as number) + 1; i < edgeEnd; i++, position++)
				if (position >= end || text.charCodeAt(position) !== chars[i]) return this.#other(position);
			node = child;
		}
		this.end = position;
		return this.#accept[node] as number;
	}

	#other(position: number): number {
		this.end = position;
		return OTHER_NAME;
	}
}

/** The branches of sorted names that agree in their first `depth` characters. */
function branchesOf(names: readonly string[], depth: number, ids: ReadonlyMap<string, number>): readonly Branch[] {
	const branches: Branch[] = [];
	for (const group of Map.groupBy(
		names.filter((name) => name.length > depth),
		(name) => name[depth],
	).values()) {
		const [shortest = '', last = ''] = [group[0], group.at(-1)];
		let shared = depth + 1;
		while (shared < shortest.length && shortest[shared] === last[shared]) shared++;
		const edge = shortest.slice(depth, shared);
		const id = ids.get(shortest.slice(0, shared)) ?? OTHER_NAME;
		branches.push({ edge, id: shortest.length === shared ? id : OTHER_NAME, children: branchesOf(group, shared, ids) });
	}
	return branches;
}
