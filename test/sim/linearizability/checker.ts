// Owns the search for a linearization of one object's history: Wing and Gong's with Lowe's memory of (operations done, state), as in porcupine. Each
// operation takes effect at one moment between its call and its return; one without an answer may take effect at any time after its call, or never.

/** One call on one object. Times are any increasing numbers; equal ones count as overlapping. */
export interface Operation<I, O> {
	readonly client: number;
	readonly input: I;
	/** Undefined when the caller never learned what came of it. */
	readonly output: O | undefined;
	readonly callAt: number;
	/** Infinite when the caller never learned what came of it. */
	readonly returnAt: number;
}

/** What the object is, one call at a time. States are values: equal keys mean equal states. */
export interface Model<I, O, S> {
	readonly initial: S;
	/** The state after the call, when it can answer `output` in `state`; undefined output means that anything may have been answered. */
	step(state: S, input: I, output: O | undefined): S | undefined;
	key(state: S): string;
}

export type Verdict =
	| { readonly kind: 'linearizable'; readonly explored: number }
	/** `longest` is the longest prefix that could be explained, in order. */
	| { readonly kind: 'not linearizable'; readonly explored: number; readonly longest: readonly number[] }
	/** The search took too long: a failure of the history's size, never a pass. */
	| { readonly kind: 'unknown'; readonly explored: number };

/** States looked at before the search gives up. A bound in states keeps verdicts the same on slow machines. */
export const exploredMax = 2_000_000;
export const operationsMax = 8192;

/** A call or a return in a list from which linearized operations are taken out and put back. */
interface Node {
	readonly op: number;
	/** The return of a call; undefined for a return. */
	readonly match: Node | undefined;
	previous: Node;
	next: Node | undefined;
}

function takeOut(call: Node): void {
	for (const node of [call, call.match as Node]) {
		node.previous.next = node.next;
		if (node.next !== undefined) node.next.previous = node.previous;
	}
}

function putBack(call: Node): void {
	for (const node of [call.match as Node, call]) {
		node.previous.next = node;
		if (node.next !== undefined) node.next.previous = node;
	}
}

/** Calls and returns in time; at one moment calls come first, so that the two operations overlap. */
function listOf(operations: readonly Operation<unknown, unknown>[]): Node {
	const head = { op: -1, match: undefined, next: undefined } as unknown as Node;
	head.previous = head;
	const returns = operations.map((_, op): Node => ({ op, match: undefined, previous: head, next: undefined }));
	const events = operations.flatMap(({ callAt, returnAt }, op) => {
		const end = returns[op] as Node;
		const call: Node = { op, match: end, previous: head, next: undefined };
		return [
			{ at: callAt, order: 0, node: call },
			{ at: returnAt, order: 1, node: end },
		];
	});
	events.sort((a, b) => (a.at === b.at ? a.order - b.order || a.node.op - b.node.op : a.at - b.at));
	let last = head;
	for (const { node } of events) {
		last.next = node;
		node.previous = last;
		last = node;
	}
	return head;
}

/** Which operations are done, as bits, with a key for the memory. */
class Done {
	readonly #words: Uint32Array;

	constructor(size: number) {
		this.#words = new Uint32Array(Math.ceil(size / 32));
	}

	flip(op: number): void {
		this.#words[op >> 5] = (this.#words[op >> 5] ?? 0) ^ (1 << (op & 31));
	}

	/** Words in text, sixteen bits a character. */
	key(): string {
		return String.fromCharCode(...new Uint16Array(this.#words.buffer));
	}
}

export function checkHistory<I, O, S>(model: Model<I, O, S>, operations: readonly Operation<I, O>[]): Verdict {
	if (operations.length > operationsMax) return { kind: 'unknown', explored: 0 };
	const head = listOf(operations);
	const done = new Done(operations.length);
	const seen = new Set<string>();
	const stack: { readonly call: Node; readonly before: S }[] = [];
	let state = model.initial;
	let explored = 0;
	let longest: readonly number[] = [];
	let open = operations.filter(({ returnAt }) => Number.isFinite(returnAt)).length;
	let at = head.next;
	// Once every answered operation is in its place, those without an answer need none.
	while (open > 0) {
		if (at?.match !== undefined) {
			const operation = operations[at.op] as Operation<I, O>;
			const after = model.step(state, operation.input, operation.output);
			if (++explored > exploredMax) return { kind: 'unknown', explored };
			if (after !== undefined && remember(seen, done, at.op, model.key(after))) {
				stack.push({ call: at, before: state });
				state = after;
				takeOut(at);
				if (Number.isFinite(operation.returnAt)) open--;
				at = head.next;
			} else at = at.next;
			continue;
		}
		// An operation returned that found no place before: the last choice was wrong.
		if (stack.length > longest.length) longest = stack.map(({ call }) => call.op);
		const last = stack.pop();
		if (last === undefined) return { kind: 'not linearizable', explored, longest };
		state = last.before;
		done.flip(last.call.op);
		putBack(last.call);
		if (Number.isFinite((operations[last.call.op] as Operation<I, O>).returnAt)) open++;
		at = last.call.next;
	}
	return { kind: 'linearizable', explored };
}

/** Marks `op` done when that leads to something new; else leaves it. */
function remember(seen: Set<string>, done: Done, op: number, stateKey: string): boolean {
	done.flip(op);
	const key = `${done.key()}|${stateKey}`;
	if (seen.has(key)) {
		done.flip(op);
		return false;
	}
	seen.add(key);
	return true;
}
