// Owns the replicated state machine: one committed command in, one result out, the same on every member. No clock, no randomness, no I/O; a
// command that makes no sense is refused by name and still counts as applied.
import { MeshError } from '@infermesh/proto';
import type { ReadOptions, ReadResult, Selection } from '../consensus/engine.js';
import { consensusError } from '../consensus/errors.js';
import type { Command, Result } from './command.js';
import { checkedKey, checkedPrefix, decodeCommand, wholeNumber } from './command-codec.js';
import { storeErrors } from './errors.js';
import { toKeyValue, type Version } from './keyspace.js';
import {
	defaultSettings,
	leasesMax,
	leaseTtlMaxMs,
	leaseTtlMinMs,
	readBytesMax,
	readItemsMax,
	type StoreSettings,
	spaceResumeShare,
} from './limits.js';
import type { StoreMutation } from './mutations.js';
import type { StateMachine, StateRestore } from './ports.js';
import { encodeResult } from './result-codec.js';
import { type SnapshotFormat, SnapshotReader, snapshotFormatNewest, snapshotPieces } from './snapshot.js';
import { emptyState, nextHash, type State } from './state.js';
import { applyTransaction, deleteKey } from './transaction.js';

export interface StoredLease {
	readonly id: string;
	readonly ttlMs: number;
	readonly renewals: number;
}

export class Store implements StateMachine {
	/** Form of the snapshots it writes: the oldest, until it is known that all members read a newer one. */
	snapshotFormat: SnapshotFormat = 1;
	readonly #formatMax: SnapshotFormat;
	readonly #mutations: ReadonlySet<StoreMutation>;
	#state: State = emptyState();
	#restores = 0;

	/** `snapshotFormatMax`: newer snapshots are refused. */
	constructor(
		options: { readonly mutations?: ReadonlySet<StoreMutation>; readonly snapshotFormatMax?: SnapshotFormat } = {},
	) {
		this.#formatMax = options.snapshotFormatMax ?? snapshotFormatNewest;
		this.#mutations = options.mutations ?? new Set();
	}

	get appliedIndex(): number {
		return this.#state.appliedIndex;
	}

	get appliedHash(): string {
		return Buffer.from(this.#state.appliedHash).toString('hex');
	}

	get clusterId(): string {
		return this.#state.clusterId;
	}

	get settings(): StoreSettings {
		return this.#state.settings;
	}

	get revision(): number {
		return this.#state.keys.revision;
	}

	get compactedRevision(): number {
		return this.#state.keys.compactedRevision;
	}

	get noSpace(): boolean {
		return this.#state.noSpace;
	}

	/** Bytes of present keys, against `settings.quotaBytes`. */
	get usedBytes(): number {
		return this.#state.keys.liveBytes;
	}

	get historyBytes(): number {
		return this.#state.keys.historyBytes;
	}

	/** Counts restores: the sign for whoever follows the state that it has jumped. */
	get restores(): number {
		return this.#restores;
	}

	apply(bytes: Uint8Array, index: number): Uint8Array {
		const state = this.#state;
		if (!(index > state.appliedIndex)) throw new RangeError(`index ${index} is not after ${state.appliedIndex}`);
		const result = answer(state, bytes, this.#mutations);
		state.appliedIndex = index;
		state.appliedHash = nextHash(state.appliedHash, index, bytes, result);
		return result;
	}

	/**
	 * Reads this member's state. Throws IM_CONSENSUS_COMPACTED, IM_CONSENSUS_FUTURE_REVISION, IM_STORE_KEY_INVALID or
	 * IM_STORE_REQUEST_INVALID.
	 */
	read(selection: Selection, options: Omit<ReadOptions, 'consistency'> = {}): ReadResult {
		const { keys } = this.#state;
		if ('key' in selection) checkedKey(selection.key);
		else checkedPrefix(selection.prefix);
		const revision = checkedRevision(options.revision ?? keys.revision, keys);
		const limit = wholeNumber('limit', options.limit ?? readItemsMax);
		if (limit === 0) throw new MeshError(storeErrors, 'IM_STORE_REQUEST_INVALID', 'limit must be at least 1');
		const page = keys.page(selection, {
			revision,
			after: options.after === undefined ? undefined : checkedPrefix(options.after),
			itemsMax: Math.min(limit, readItemsMax),
			bytesMax: readBytesMax,
		});
		const items = page.versions.map((version) => toKeyValue(version, options.keysOnly));
		return { items, more: page.more, revision: keys.revision };
	}

	/** The changes of a revision after `compactedRevision`. For WatchHub, which copies what it hands on. */
	changes(revision: number): readonly Version[] {
		return this.#state.keys.changes(revision);
	}

	/** Changes when a lease was granted or renewed; a restore is told by `restores`. */
	get leasesLengthened(): number {
		return this.#state.leases.lengthened;
	}

	/** All leases, for the leader's clock. */
	*leases(): IterableIterator<StoredLease> {
		yield* this.#state.leases.all();
	}

	lease(id: string): StoredLease | undefined {
		return this.#state.leases.get(id);
	}

	snapshot(): Iterable<Uint8Array> {
		return snapshotPieces(this.#state, this.snapshotFormat);
	}

	/**
	 * Takes a snapshot. With `newCluster` the state begins a cluster of its own: another id, no history, index 0, revisions and lease numbers
	 * moved on by `restoreRevisionGap`, so that no fencing token of the old cluster is ever reached again.
	 */
	beginRestore(options: { readonly newCluster?: { readonly clusterId: string } } = {}): StateRestore {
		const reader = new SnapshotReader(this.#formatMax, options.newCluster);
		return {
			push: (bytes) => reader.push(bytes),
			finish: () => {
				this.#state = reader.finish();
				if (this.#mutations.has('snapshot-without-requests')) this.#state.requests = emptyState().requests;
				this.#restores++;
			},
		};
	}
}

function answer(state: State, bytes: Uint8Array, mutations: ReadonlySet<StoreMutation>): Uint8Array {
	try {
		const { command, requestId } = decodeCommand(bytes);
		const before = requestId === undefined ? undefined : state.requests.answer(requestId);
		if (before !== undefined && !mutations.has('apply-requests-again')) return before;
		const result = encodeResult(attempt(state, command, mutations));
		settle(state);
		if (requestId !== undefined && before === undefined) state.requests.add(requestId, result);
		return result;
	} catch (error) {
		if (error instanceof MeshError) return encodeResult(refusal(error));
		throw error;
	}
}

/** A refusal of a well-formed command is an answer like another, and is remembered like one. */
function attempt(state: State, command: Command, mutations: ReadonlySet<StoreMutation>): Result {
	try {
		return execute(state, command, mutations);
	} catch (error) {
		if (error instanceof MeshError) return refusal(error);
		throw error;
	}
}

function refusal(error: MeshError): Result {
	return { kind: 'refused', code: error.code, message: error.message };
}

function execute(state: State, command: Command, mutations: ReadonlySet<StoreMutation>): Result {
	switch (command.kind) {
		case 'found':
			if (state.clusterId === '') state.clusterId = command.clusterId;
			return done(state);
		case 'transact':
			return applyTransaction(state, command.transaction);
		case 'grant':
			return grant(state, command.ttlMs);
		case 'revoke':
			endLease(state, command.id);
			return done(state);
		case 'renew':
			return { kind: 'renewed', ttlsMs: command.ids.map((id) => state.leases.renew(id)) };
		case 'expire':
			for (const { id, renewals } of command.leases)
				if (state.leases.get(id)?.renewals === renewals || mutations.has('expire-renewed-leases')) endLease(state, id);
			return done(state);
		case 'compact':
			if (command.revision > state.keys.revision) throw future(command.revision, state.keys.revision);
			state.keys.compact(command.revision);
			return done(state);
		case 'configure':
			state.settings = checkedSettings(command.settings);
			return done(state);
	}
}

function done(state: State): Result {
	return { kind: 'done', revision: state.keys.revision };
}

function grant(state: State, ttlMs: number): Result {
	if (ttlMs < 1 || ttlMs > leaseTtlMaxMs)
		throw new MeshError(storeErrors, 'IM_STORE_REQUEST_INVALID', `a lease lives from 1 to ${leaseTtlMaxMs} ms`);
	if (state.leases.size >= leasesMax) throw new MeshError(storeErrors, 'IM_STORE_LEASES_EXHAUSTED');
	const lease = state.leases.grant(Math.max(ttlMs, leaseTtlMinMs));
	return { kind: 'lease', id: lease.id, ttlMs: lease.ttlMs };
}

/** Ends a lease and deletes its keys in one revision; nothing happens when it is gone. */
function endLease(state: State, id: string): void {
	const lease = state.leases.get(id);
	if (lease === undefined) return;
	for (const key of [...lease.keys].sort()) {
		const version = state.keys.current(key);
		if (version !== undefined) deleteKey(state, version);
	}
	state.leases.remove(id);
	state.keys.commit();
}

/** What follows from every command: bounded history, and whether there is room. */
function settle(state: State): void {
	const { quotaBytes, historyRevisionsMax, historyBytesMax } = state.settings;
	state.keys.trim(historyRevisionsMax, historyBytesMax);
	if (state.keys.liveBytes >= quotaBytes) state.noSpace = true;
	else if (state.noSpace && state.keys.liveBytes < quotaBytes * spaceResumeShare) state.noSpace = false;
}

function checkedSettings(settings: StoreSettings): StoreSettings {
	for (const [name, value] of Object.entries(settings))
		if (value < 1) throw new MeshError(storeErrors, 'IM_STORE_REQUEST_INVALID', `${name} must be at least 1`);
	return { ...defaultSettings, ...settings };
}

function checkedRevision(revision: number, keys: { revision: number; compactedRevision: number }): number {
	if (wholeNumber('revision', revision) === 0)
		throw new MeshError(storeErrors, 'IM_STORE_REQUEST_INVALID', 'revisions begin at 1');
	if (revision < keys.compactedRevision)
		throw consensusError(
			'IM_CONSENSUS_COMPACTED',
			`revision ${revision} is before ${keys.compactedRevision}, the compacted one`,
		);
	if (revision > keys.revision) throw future(revision, keys.revision);
	return revision;
}

function future(revision: number, now: number): MeshError {
	return consensusError('IM_CONSENSUS_FUTURE_REVISION', `revision ${revision} is after ${now}, the present one`);
}
