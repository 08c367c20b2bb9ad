// Owns what identity asks of whoever keeps its records: small values with a revision each, replaced only when nobody else has. Replicated state stands
// behind it in a mesh, a map in a development mesh.

export interface Versioned<T> {
	readonly value: T;
	readonly revision: bigint;
}

/** Values are plain data that survives JSON. Every call may reject with whatever the store rejects with; nothing is lost by trying again. */
export interface RecordStore<T> {
	get(key: string): Promise<Versioned<T> | undefined>;
	/** Writes if the record is still at `expected`; undefined: if there is none. Resolves false when it is not. */
	put(key: string, value: T, expected: bigint | undefined): Promise<boolean>;
	delete(key: string): Promise<void>;
	list(): Promise<readonly (readonly [key: string, value: T])[]>;
}

/** A join token, under the SHA-256 of its secret: who reads the store cannot join with what is there. */
export interface JoinTokenRecord {
	readonly label: string;
	readonly createdAtMs: number;
	readonly expiresAtMs: number;
	readonly usesMax: number;
	/** Who joined with it. A key that asks again, because an answer was lost, gets the same node back. */
	readonly uses: readonly { readonly keyHash: string; readonly nodeUuid: string; readonly atMs: number }[];
}

/** The last certificate of a node, under its UUID. */
export interface IssuanceRecord {
	/** SHA-256 of its public key. Only this key may renew. */
	readonly keyHash: string;
	/** The key before: it may ask once more for the same new key, when the answer was lost. */
	readonly previousKeyHash: string | undefined;
	readonly serial: string;
	readonly notAfterMs: number;
}

/** Keeps records in memory: for a development mesh, whose authority ends with its process, and for tests. */
export class MemoryRecordStore<T> implements RecordStore<T> {
	readonly #records = new Map<string, Versioned<T>>();
	#revision = 0n;

	async get(key: string): Promise<Versioned<T> | undefined> {
		return this.#records.get(key);
	}

	async put(key: string, value: T, expected: bigint | undefined): Promise<boolean> {
		if (this.#records.get(key)?.revision !== expected) return false;
		this.#revision++;
		this.#records.set(key, { value, revision: this.#revision });
		return true;
	}

	async delete(key: string): Promise<void> {
		this.#records.delete(key);
	}

	async list(): Promise<readonly (readonly [string, T])[]> {
		return [...this.#records].map(([key, { value }]) => [key, value] as const);
	}
}
