// Owns the check of what must hold if the code is right. A failure is a bug, never bad input: it throws a plain Error and the node stops.

export function invariant(condition: boolean, what: string): asserts condition {
	if (!condition) throw new Error(`raft invariant broken: ${what}`);
}
