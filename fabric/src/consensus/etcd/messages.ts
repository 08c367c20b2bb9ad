// Owns the translation between the contract's values and etcd's messages.
import {
	type Compare,
	type RequestOp,
	type ResponseOp,
	Compare_CompareResult as Result,
	Compare_CompareTarget as Target,
	type TxnRequest,
	type TxnResponse,
} from '@infermesh/proto/etcd/etcdserverpb/rpc';
import { type KeyValue as EtcdKeyValue, type Event, Event_EventType } from '@infermesh/proto/etcd/mvccpb/kv';
import type {
	Condition,
	KeyValue,
	Operation,
	OperationResult,
	Selection,
	StoreEvent,
	Transaction,
	TransactionResult,
} from '../engine.js';
import { consensusError } from '../errors.js';
import type { EtcdKeys, Range } from './keys.js';

const int64Max = 0x7fff_ffff_ffff_ffffn;

/** etcd's number of a lease, or undefined for text that names none. */
export function leaseNumber(id: string): bigint | undefined {
	if (!/^[1-9][0-9]{0,18}$/.test(id)) return undefined;
	const number = BigInt(id);
	return number <= int64Max ? number : undefined;
}

export function toTxn(keys: EtcdKeys, { when, then, otherwise = [] }: Transaction): TxnRequest {
	return {
		compare: when.map((condition) => toCompare(keys, condition)),
		success: then.map((operation) => toRequest(keys, operation)),
		failure: otherwise.map((operation) => toRequest(keys, operation)),
	};
}

export function fromTxn(keys: EtcdKeys, response: TxnResponse): TransactionResult {
	return {
		held: response.succeeded,
		revision: Number(response.header?.revision ?? 0n),
		results: response.responses.map((one) => fromResponse(keys, one)),
	};
}

export function fromKeyValue(keys: EtcdKeys, item: EtcdKeyValue): KeyValue {
	return {
		key: keys.fromEtcd(item.key),
		value: item.value,
		createRevision: Number(item.createRevision),
		modRevision: Number(item.modRevision),
		version: Number(item.version),
		lease: item.lease === 0n ? undefined : item.lease.toString(),
	};
}

export function fromEvent(keys: EtcdKeys, event: Event): StoreEvent {
	if (event.kv === undefined) throw consensusError('IM_CONSENSUS_INTERNAL', 'etcd sent an event without its key');
	if (event.type === Event_EventType.PUT) return { kind: 'put', current: fromKeyValue(keys, event.kv) };
	return { kind: 'delete', key: keys.fromEtcd(event.kv.key), modRevision: Number(event.kv.modRevision) };
}

function toCompare(keys: EtcdKeys, condition: Condition): Compare {
	const key = keys.toEtcd(condition.key);
	if ('modRevision' in condition)
		return { key, target: Target.MOD, result: Result.EQUAL, modRevision: BigInt(condition.modRevision) };
	if ('version' in condition)
		return { key, target: Target.VERSION, result: Result.EQUAL, version: BigInt(condition.version) };
	if ('value' in condition) return { key, target: Target.VALUE, result: Result.EQUAL, value: condition.value };
	return { key, target: Target.VERSION, result: condition.exists ? Result.GREATER : Result.EQUAL, version: 0n };
}

function toRequest(keys: EtcdKeys, operation: Operation): RequestOp {
	if ('put' in operation) {
		const lease = operation.lease === undefined ? 0n : leaseNumber(operation.lease);
		if (lease === undefined) throw consensusError('IM_CONSENSUS_LEASE_LOST', `there is no lease ${operation.lease}`);
		return { requestPut: { key: keys.toEtcd(operation.put), value: operation.value, lease } };
	}
	if ('delete' in operation) return { requestDeleteRange: wholeRange(keys, operation.delete) };
	const options = { limit: 0n, revision: 0n, serializable: false, keysOnly: false };
	return { requestRange: { ...wholeRange(keys, operation.get), ...options } };
}

function wholeRange(keys: EtcdKeys, selection: Selection): Range {
	return keys.range(selection) as Range;
}

function fromResponse(keys: EtcdKeys, response: ResponseOp): OperationResult {
	if (response.responsePut !== undefined) return { kind: 'put' };
	if (response.responseDeleteRange !== undefined)
		return { kind: 'delete', deleted: Number(response.responseDeleteRange.deleted) };
	return { kind: 'get', items: (response.responseRange?.kvs ?? []).map((item) => fromKeyValue(keys, item)) };
}
