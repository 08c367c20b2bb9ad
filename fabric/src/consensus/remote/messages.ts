// Owns the translation between the contract's values and the messages of proto/infermesh/store/v1, both ways. A message that lacks what it must have
// throws IM_STORE_REQUEST_INVALID.
import { MeshError } from '@infermesh/proto';
import type * as wire from '@infermesh/proto/grpc/store/v1/store';
import { storeErrors } from '../../store/errors.js';
import type {
	Condition,
	EngineStatus,
	KeyValue,
	Operation,
	OperationResult,
	ReadOptions,
	Selection,
	StoreEvent,
	Transaction,
	TransactionResult,
} from '../engine.js';

export function toSelection(selection: Selection): wire.Selection {
	return 'key' in selection ? { key: selection.key } : { prefix: selection.prefix };
}

export function fromSelection(selection: wire.Selection | undefined): Selection {
	if (selection?.key !== undefined) return { key: selection.key };
	if (selection?.prefix !== undefined) return { prefix: selection.prefix };
	throw invalid('selection');
}

export function toKeyValue(item: KeyValue): wire.KeyValue {
	return {
		key: item.key,
		value: item.value,
		createRevision: BigInt(item.createRevision),
		modRevision: BigInt(item.modRevision),
		version: BigInt(item.version),
		lease: item.lease ?? '',
	};
}

export function fromKeyValue(item: wire.KeyValue): KeyValue {
	return {
		key: item.key,
		value: item.value,
		createRevision: Number(item.createRevision),
		modRevision: Number(item.modRevision),
		version: Number(item.version),
		lease: item.lease === '' ? undefined : item.lease,
	};
}

export function toReadRequest(selection: Selection, options: ReadOptions): wire.ReadRequest {
	return {
		selection: toSelection(selection),
		limit: Math.min(options.limit ?? 0, 0xffff_ffff),
		after: options.after ?? '',
		revision: BigInt(options.revision ?? 0),
		keysOnly: options.keysOnly ?? false,
		serializable: options.consistency === 'serializable',
	};
}

export function fromReadRequest(request: wire.ReadRequest): ReadOptions {
	return {
		...(request.limit === 0 ? {} : { limit: request.limit }),
		...(request.after === '' ? {} : { after: request.after }),
		...(request.revision === 0n ? {} : { revision: Number(request.revision) }),
		keysOnly: request.keysOnly,
		consistency: request.serializable ? 'serializable' : 'linearizable',
	};
}

export function toTransactRequest(
	{ when, then, otherwise = [] }: Transaction,
	timeoutMs: number,
): wire.TransactRequest {
	return {
		when: when.map(toCondition),
		then: then.map(toOperation),
		otherwise: otherwise.map(toOperation),
		timeoutMs: Math.ceil(timeoutMs),
	};
}

export function fromTransactRequest({ when, then, otherwise }: wire.TransactRequest): Transaction {
	return { when: when.map(fromCondition), then: then.map(fromOperation), otherwise: otherwise.map(fromOperation) };
}

export function toTransactReply({ held, revision, results }: TransactionResult): wire.TransactReply {
	return { held, revision: BigInt(revision), results: results.map(toResult) };
}

export function fromTransactReply({ held, revision, results }: wire.TransactReply): TransactionResult {
	return { held, revision: Number(revision), results: results.map(fromResult) };
}

export function toEvent(event: StoreEvent): wire.StoreEvent {
	if (event.kind === 'put') return { put: toKeyValue(event.current) };
	const { key, modRevision } = event;
	const gone = {
		key,
		value: new Uint8Array(0),
		createRevision: 0n,
		modRevision: BigInt(modRevision),
		version: 0n,
		lease: '',
	};
	return { delete: gone };
}

export function fromEvent(event: wire.StoreEvent): StoreEvent {
	if (event.put !== undefined) return { kind: 'put', current: fromKeyValue(event.put) };
	if (event.delete === undefined) throw invalid('event');
	return { kind: 'delete', key: event.delete.key, modRevision: Number(event.delete.modRevision) };
}

export function toStatusReply(status: EngineStatus): wire.StatusReply {
	return {
		engine: status.engine,
		clusterId: status.clusterId,
		self: status.self ?? '',
		leader: status.leader ?? '',
		term: BigInt(status.term),
		members: status.members.map(({ id, address, role, matchIndex }) => ({
			id,
			address,
			learner: role === 'learner',
			matchIndex: BigInt(matchIndex ?? 0),
		})),
		revision: BigInt(status.revision),
		compactedRevision: BigInt(status.compactedRevision),
		quorum: status.quorum,
		noSpace: status.noSpace,
	};
}

/** As seen through a member: the client itself is none. */
export function fromStatusReply(reply: wire.StatusReply): EngineStatus {
	return {
		engine: 'remote',
		clusterId: reply.clusterId,
		self: undefined,
		leader: reply.leader === '' ? undefined : reply.leader,
		term: Number(reply.term),
		members: reply.members.map(({ id, address, learner, matchIndex }) => ({
			id,
			address,
			role: learner ? 'learner' : 'voter',
			matchIndex: matchIndex === 0n ? undefined : Number(matchIndex),
		})),
		revision: Number(reply.revision),
		compactedRevision: Number(reply.compactedRevision),
		quorum: reply.quorum,
		noSpace: reply.noSpace,
	};
}

function toCondition(condition: Condition): wire.Condition {
	const { key } = condition;
	if ('modRevision' in condition) return { key, modRevision: BigInt(condition.modRevision) };
	if ('version' in condition) return { key, version: BigInt(condition.version) };
	return 'value' in condition ? { key, value: condition.value } : { key, exists: condition.exists };
}

function fromCondition({ key, modRevision, version, value, exists }: wire.Condition): Condition {
	if (modRevision !== undefined) return { key, modRevision: Number(modRevision) };
	if (version !== undefined) return { key, version: Number(version) };
	if (value !== undefined) return { key, value };
	if (exists !== undefined) return { key, exists };
	throw invalid('condition');
}

function toOperation(operation: Operation): wire.Operation {
	if ('put' in operation) return { put: { key: operation.put, value: operation.value, lease: operation.lease ?? '' } };
	if ('delete' in operation) return { delete: toSelection(operation.delete) };
	return { get: toSelection(operation.get) };
}

function fromOperation(operation: wire.Operation): Operation {
	if (operation.put !== undefined) {
		const { key, value, lease } = operation.put;
		return lease === '' ? { put: key, value } : { put: key, value, lease };
	}
	if (operation.delete !== undefined) return { delete: fromSelection(operation.delete) };
	return { get: fromSelection(operation.get) };
}

function toResult(result: OperationResult): wire.OperationResult {
	if (result.kind === 'put') return { put: true };
	if (result.kind === 'delete') return { deleted: result.deleted };
	return { get: { items: result.items.map(toKeyValue) } };
}

function fromResult(result: wire.OperationResult): OperationResult {
	if (result.put !== undefined) return { kind: 'put' };
	if (result.deleted !== undefined) return { kind: 'delete', deleted: result.deleted };
	return { kind: 'get', items: (result.get?.items ?? []).map(fromKeyValue) };
}

function invalid(what: string): MeshError {
	return new MeshError(storeErrors, 'IM_STORE_REQUEST_INVALID', `the message lacks its ${what}`);
}
