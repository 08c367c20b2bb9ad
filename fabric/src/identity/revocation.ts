// Owns what this node knows of revoked identities: the UUIDs that replicated state names, with the revision that says so. It only moves forward: an
// older list never undoes a newer one.

/** Read by handshakes and renewals. */
export interface RevocationView {
	/** Of the replicated state this list is from; 0 before the first. */
	readonly revision: bigint;
	isRevoked(nodeUuid: string): boolean;
	list(): readonly string[];
	/** Calls back after each newer list. Answers how to stop. */
	onChange(listener: () => void): () => void;
}

export class RevocationList implements RevocationView {
	#revision = 0n;
	#revoked: ReadonlySet<string> = new Set();
	#elsewhere: ReadonlySet<string> = new Set();
	readonly #listeners = new Set<() => void>();

	get revision(): bigint {
		return this.#revision;
	}

	isRevoked(nodeUuid: string): boolean {
		return this.#revoked.has(nodeUuid) || this.#elsewhere.has(nodeUuid);
	}

	/** Without those that others have revoked. */
	list(): readonly string[] {
		return [...this.#revoked];
	}

	onChange(listener: () => void): () => void {
		this.#listeners.add(listener);
		return () => this.#listeners.delete(listener);
	}

	/**
	 * Takes the whole list as of `revision`; false when what is known is newer, or the same. Another list of the same revision is taken: who tells it
	 * puts it together from several kinds of records, of which one may have come after the other.
	 */
	update(revoked: Iterable<string>, revision: bigint): boolean {
		if (revision < this.#revision) return false;
		const next = new Set(revoked);
		if (revision === this.#revision && next.symmetricDifference(this.#revoked).size === 0) return false;
		this.#revision = revision;
		this.#revoked = next;
		for (const listener of this.#listeners) listener();
		return true;
	}

	/** Takes the whole list of what others have revoked, who keep a state of their own. */
	updateElsewhere(revoked: Iterable<string>): void {
		this.#elsewhere = new Set(revoked);
		for (const listener of this.#listeners) listener();
	}
}
