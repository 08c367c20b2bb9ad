// Owns typed reads and writes of records over a consensus engine: validation against the schema of the kind, compare-and-set by revision, and
// read-modify-write that tries again when somebody else was faster.
import type { Condition, ConsensusEngine, Key, LeaseId, Operation, ReadOptions } from '@infermesh/fabric';
import { MeshError } from '@infermesh/proto';
import type { Static, TSchema } from 'typebox';
import { validatorOf } from '../schema/validators.js';
import { recordErrors } from './errors.js';
import { fromKeyPart, keyPart, type RecordKind } from './kinds.js';

/** A record as it was read. `revision` is that of its last write: its fencing token. */
export interface Stored<T> {
	readonly id: string;
	readonly value: T;
	readonly revision: number;
}

/** Rounds of read-modify-write before giving up. */
const UPDATE_ROUNDS_MAX = 16;
/** Records read in one call. */
const PAGE = 1000;

/** What is wrong with a value, as `field: message`; undefined when nothing is. */
export function faultOf(schema: TSchema, value: unknown): string | undefined {
	const validate = validatorOf(schema, 'first');
	if (validate(value)) return undefined;
	const first = validate.errors?.[0];
	const extra =
		first?.keyword === 'additionalProperties' ? ` (${JSON.stringify(first.params['additionalProperty'])})` : '';
	return first === undefined
		? 'is not valid'
		: `${first.instancePath || '/'}: ${first.message ?? first.keyword}${extra}`;
}

/** The value of a stored record; undefined when it is not what this version understands. */
export function decodeRecord<S extends TSchema>(kind: RecordKind<S>, bytes: Uint8Array): Static<S> | undefined {
	try {
		const value: unknown = JSON.parse(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8'));
		return faultOf(kind.schema, value) === undefined ? (value as Static<S>) : undefined;
	} catch {
		return undefined;
	}
}

export function encodeRecord(value: unknown): Uint8Array {
	return Buffer.from(JSON.stringify(value), 'utf8');
}

export function keyOf<S extends TSchema>(kind: RecordKind<S>, id: string): Key {
	return kind.prefix + keyPart(id);
}

export function idOf<S extends TSchema>(kind: RecordKind<S>, key: Key): string {
	return fromKeyPart(key.slice(kind.prefix.length));
}

export interface WriteOptions {
	/** Only if the record still has this revision; 0 = only if there is none. */
	readonly ifRevision?: number;
	readonly lease?: LeaseId;
}

export class Records {
	readonly engine: ConsensusEngine;

	constructor(engine: ConsensusEngine) {
		this.engine = engine;
	}

	async get<S extends TSchema>(
		kind: RecordKind<S>,
		id: string,
		options: Pick<ReadOptions, 'consistency'> = {},
	): Promise<Stored<Static<S>> | undefined> {
		const { items } = await this.engine.read({ key: keyOf(kind, id) }, options);
		const found = items[0];
		const value = found === undefined ? undefined : decodeRecord(kind, found.value);
		return found === undefined || value === undefined ? undefined : { id, value, revision: found.modRevision };
	}

	/** All records of a kind in key order, of one revision. Those this version does not understand are left out. */
	async list<S extends TSchema>(
		kind: RecordKind<S>,
		options: Pick<ReadOptions, 'consistency'> = {},
	): Promise<{ readonly items: readonly Stored<Static<S>>[]; readonly revision: number }> {
		const items: Stored<Static<S>>[] = [];
		let after: Key | undefined;
		let revision: number | undefined;
		for (;;) {
			const page = await this.engine.read(
				{ prefix: kind.prefix },
				{
					...options,
					limit: PAGE,
					...(after === undefined ? {} : { after }),
					...(revision === undefined ? {} : { revision }),
				},
			);
			revision ??= page.revision;
			for (const { key, value, modRevision } of page.items) {
				const decoded = decodeRecord(kind, value);
				if (decoded !== undefined) items.push({ id: idOf(kind, key), value: decoded, revision: modRevision });
			}
			after = page.items.at(-1)?.key;
			if (!page.more || after === undefined) return { items, revision };
		}
	}

	/** Writes a record; answers its revision. IM_RECORD_INVALID, IM_RECORD_CONFLICT. */
	async put<S extends TSchema>(
		kind: RecordKind<S>,
		id: string,
		value: Static<S>,
		options: WriteOptions = {},
	): Promise<number> {
		const fault = faultOf(kind.schema, value);
		if (fault !== undefined)
			throw new MeshError(recordErrors, 'IM_RECORD_INVALID', `${kind.prefix}${id}: ${fault}`, { where: fault });
		const key = keyOf(kind, id);
		const { ifRevision, lease } = options;
		const put = { put: key, value: encodeRecord(value), ...(lease === undefined ? {} : { lease }) };
		const done = await this.engine.transact({ when: when(key, ifRevision), then: [put] });
		if (!done.held) throw conflict(key);
		return done.revision;
	}

	/** Writes (or removes, where `value` is undefined) several records of a kind at once; answers the revision. IM_RECORD_INVALID, IM_RECORD_CONFLICT. */
	async putAll<S extends TSchema>(
		kind: RecordKind<S>,
		writes: readonly { readonly id: string; readonly value: Static<S> | undefined; readonly ifRevision: number }[],
	): Promise<number> {
		const then = writes.map(({ id, value }): Operation => {
			const key = keyOf(kind, id);
			if (value === undefined) return { delete: { key } };
			const fault = faultOf(kind.schema, value);
			if (fault !== undefined) throw new MeshError(recordErrors, 'IM_RECORD_INVALID', `${kind.prefix}${id}: ${fault}`);
			return { put: key, value: encodeRecord(value) };
		});
		const conditions = writes.flatMap(({ id, ifRevision }) => when(keyOf(kind, id), ifRevision));
		const done = await this.engine.transact({ when: conditions, then });
		if (!done.held) throw conflict(kind.prefix);
		return done.revision;
	}

	/** Removes a record; false when there was none. */
	async remove<S extends TSchema>(
		kind: RecordKind<S>,
		id: string,
		options: Pick<WriteOptions, 'ifRevision'> = {},
	): Promise<boolean> {
		const key = keyOf(kind, id);
		const done = await this.engine.transact({ when: when(key, options.ifRevision), then: [{ delete: { key } }] });
		if (!done.held) throw conflict(key);
		const [result] = done.results;
		return result?.kind === 'delete' && result.deleted > 0;
	}

	/**
	 * Changes a record by what it holds now; `change` is called again on the newer value when somebody else was faster. Returning undefined
	 * leaves it as it is. Answers what stands afterwards.
	 */
	async update<S extends TSchema>(
		kind: RecordKind<S>,
		id: string,
		change: (present: Static<S> | undefined) => Static<S> | undefined,
	): Promise<Stored<Static<S>> | undefined> {
		for (let round = 0; round < UPDATE_ROUNDS_MAX; round++) {
			const present = await this.get(kind, id);
			const next = change(present?.value);
			if (next === undefined) return present;
			try {
				const revision = await this.put(kind, id, next, { ifRevision: present?.revision ?? 0 });
				return { id, value: next, revision };
			} catch (error) {
				if (!(error instanceof MeshError) || error.code !== 'IM_RECORD_CONFLICT') throw error;
			}
		}
		throw conflict(keyOf(kind, id));
	}
}

function when(key: Key, ifRevision: number | undefined): readonly Condition[] {
	if (ifRevision === undefined) return [];
	return ifRevision === 0 ? [{ key, exists: false }] : [{ key, modRevision: ifRevision }];
}

function conflict(key: Key): MeshError {
	return new MeshError(recordErrors, 'IM_RECORD_CONFLICT', `${key} was changed by somebody else`);
}
