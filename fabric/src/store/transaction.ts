// Owns transactions: everything is checked before anything is written, so that a refused one leaves no trace.
import { MeshError } from '@infermesh/proto';
import type { Condition, Operation, OperationResult, Selection, Transaction } from '../consensus/engine.js';
import { consensusError } from '../consensus/errors.js';
import type { Result } from './command.js';
import { storeErrors } from './errors.js';
import { answerBytes, storedBytes, toKeyValue, type Version } from './keyspace.js';
import { deletesMax, leaseKeysMax, transactionAnswerBytesMax, versionOverheadBytes } from './limits.js';
import type { State } from './state.js';

/** Throws MeshErrors before it has changed anything. */
export function applyTransaction(state: State, transaction: Transaction): Result {
	checkWrittenOnce(transaction.then);
	checkWrittenOnce(transaction.otherwise ?? []);
	const held = transaction.when.every((condition) => holds(state, condition));
	const operations = held ? transaction.then : (transaction.otherwise ?? []);
	checkLeases(state, operations);
	checkDeletes(state, operations);
	checkAnswer(state, operations);
	checkSpace(state, operations);
	const results = operations.map((operation) => perform(state, operation));
	return { kind: 'transaction', held, revision: state.keys.commit(), results };
}

/** Deletes keys with their ties to leases; the write stays open. */
export function deleteKey(state: State, version: Version): void {
	const { key } = version.entry;
	if (state.keys.delete(key)) state.leases.detach(version.lease, key);
}

function holds(state: State, condition: Condition): boolean {
	const current = state.keys.current(condition.key);
	if ('modRevision' in condition) return (current?.modRevision ?? 0) === condition.modRevision;
	if ('version' in condition) return (current?.version ?? 0) === condition.version;
	if ('exists' in condition) return (current !== undefined) === condition.exists;
	return current?.value !== undefined && Buffer.compare(current.value, condition.value) === 0;
}

function perform(state: State, operation: Operation): OperationResult {
	if ('get' in operation)
		return { kind: 'get', items: state.keys.present(operation.get, Infinity).map((version) => toKeyValue(version)) };
	if ('delete' in operation) {
		const gone = state.keys.present(operation.delete, Infinity);
		for (const version of gone) deleteKey(state, version);
		return { kind: 'delete', deleted: gone.length };
	}
	const { put, value, lease } = operation;
	state.leases.detach(state.keys.current(put)?.lease, put);
	state.keys.put(put, value, lease);
	state.leases.attach(lease, put);
	return { kind: 'put' };
}

/** A branch may write a key once. Throws IM_STORE_REQUEST_INVALID. */
export function checkWrittenOnce(operations: readonly Operation[]): void {
	const put = new Set<string>();
	for (const operation of operations) {
		if (!('put' in operation)) continue;
		if (put.has(operation.put)) throw twice(operation.put);
		put.add(operation.put);
	}
	for (const operation of operations) {
		if (!('delete' in operation)) continue;
		for (const key of put) if (selects(operation.delete, key)) throw twice(key);
	}
}

function twice(key: string): MeshError {
	return new MeshError(storeErrors, 'IM_STORE_REQUEST_INVALID', `the transaction writes ${key} twice`);
}

export function selects(selection: Selection, key: string): boolean {
	return 'key' in selection ? selection.key === key : key.startsWith(selection.prefix);
}

function checkLeases(state: State, operations: readonly Operation[]): void {
	const added = new Map<string, number>();
	for (const operation of operations) {
		if (!('put' in operation) || operation.lease === undefined) continue;
		const lease = state.leases.get(operation.lease);
		if (lease === undefined) throw consensusError('IM_CONSENSUS_LEASE_LOST', `lease ${operation.lease} has ended`);
		const count = (added.get(lease.id) ?? 0) + (lease.keys.has(operation.put) ? 0 : 1);
		added.set(lease.id, count);
		if (lease.keys.size + count > leaseKeysMax)
			throw new MeshError(storeErrors, 'IM_STORE_REQUEST_TOO_LARGE', `a lease holds at most ${leaseKeysMax} keys`);
	}
}

function checkDeletes(state: State, operations: readonly Operation[]): void {
	let left = deletesMax;
	for (const operation of operations) {
		if ('delete' in operation) left -= state.keys.present(operation.delete, left + 1).length;
		if (left < 0)
			throw new MeshError(storeErrors, 'IM_STORE_REQUEST_TOO_LARGE', `it deletes more than ${deletesMax} keys`);
	}
}

/** Gets see the writes before them, so what may be read is bounded by what is there plus what is put. */
function checkAnswer(state: State, operations: readonly Operation[]): void {
	let putBytes = 0;
	let bytes = 0;
	for (const operation of operations) {
		if ('put' in operation) putBytes += operation.put.length + operation.value.length + 32;
		if (!('get' in operation)) continue;
		bytes += putBytes;
		const page = state.keys.page(operation.get, {
			revision: Infinity,
			itemsMax: Infinity,
			bytesMax: transactionAnswerBytesMax,
		});
		for (const version of page.versions) bytes += answerBytes(version);
		if (page.more || bytes > transactionAnswerBytesMax)
			throw new MeshError(
				storeErrors,
				'IM_STORE_ANSWER_TOO_LARGE',
				`the gets of a transaction answer at most ${transactionAnswerBytesMax} bytes`,
			);
	}
}

function checkSpace(state: State, operations: readonly Operation[]): void {
	let growth = 0;
	let puts = false;
	for (const operation of operations) {
		if (!('put' in operation)) continue;
		puts = true;
		const old = state.keys.current(operation.put);
		growth += versionOverheadBytes + operation.put.length + operation.value.length;
		if (old !== undefined) growth -= storedBytes(old);
	}
	if (!puts) return;
	const wanted = state.keys.liveBytes + growth;
	if (growth > 0 && wanted > state.settings.quotaBytes) state.noSpace = true;
	if (state.noSpace)
		throw new MeshError(
			storeErrors,
			'IM_STORE_NO_SPACE',
			`the store holds ${state.keys.liveBytes} of ${state.settings.quotaBytes} bytes`,
		);
}
