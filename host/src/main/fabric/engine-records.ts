// Owns identity's records (join tokens, issuances) in replicated state.
import type { ConsensusEngine, RecordStore, Versioned } from '@infermesh/fabric';
import { fromKeyPart, keyPart } from '../../records/kinds.js';

export class EngineRecords<T> implements RecordStore<T> {
	readonly #engine: ConsensusEngine;
	readonly #prefix: string;

	constructor(engine: ConsensusEngine, prefix: string) {
		this.#engine = engine;
		this.#prefix = prefix;
	}

	async get(key: string): Promise<Versioned<T> | undefined> {
		const { items } = await this.#engine.read({ key: this.#prefix + keyPart(key) });
		const found = items[0];
		return found === undefined ? undefined : { value: decode(found.value) as T, revision: BigInt(found.modRevision) };
	}

	async put(key: string, value: T, expected: bigint | undefined): Promise<boolean> {
		const at = this.#prefix + keyPart(key);
		const { held } = await this.#engine.transact({
			when: [expected === undefined ? { key: at, exists: false } : { key: at, modRevision: Number(expected) }],
			then: [{ put: at, value: Buffer.from(JSON.stringify(value), 'utf8') }],
		});
		return held;
	}

	async delete(key: string): Promise<void> {
		await this.#engine.transact({ when: [], then: [{ delete: { key: this.#prefix + keyPart(key) } }] });
	}

	async list(): Promise<readonly (readonly [string, T])[]> {
		const { items } = await this.#engine.read({ prefix: this.#prefix });
		return items.map(({ key, value }) => [fromKeyPart(key.slice(this.#prefix.length)), decode(value) as T] as const);
	}
}

function decode(bytes: Uint8Array): unknown {
	return JSON.parse(Buffer.from(bytes).toString('utf8'));
}
