// Owns the bytes of commands in the log: version, kind, request id, body. Strict: a command has one encoding, and nothing may follow it.
// A kind that is added later must be refused like an unknown one until a setting in the log turns it on, or members of two versions would differ.
import { MeshError } from '@infermesh/proto';
import { ByteReader, ByteWriter, Malformed } from '../bytes/binary.js';
import type { Condition, Operation, Selection } from '../consensus/engine.js';
import { type Command, type RequestId, requestIdBytes } from './command.js';
import { storeErrors } from './errors.js';
import {
	commandBytesMax,
	conditionsMax,
	isKey,
	isKeyText,
	keyMaxLength,
	leaseIdMaxLength,
	leasesPerCommandMax,
	operationsMax,
} from './limits.js';

const commandVersion = 1;
const kinds = ['found', 'transact', 'grant', 'revoke', 'renew', 'expire', 'compact', 'configure'] as const;
const clusterIdMaxLength = 64;

export interface DecodedCommand {
	readonly requestId: RequestId | undefined;
	readonly command: Command;
}

/** Throws IM_STORE_KEY_INVALID, IM_STORE_REQUEST_TOO_LARGE or IM_STORE_REQUEST_INVALID for what may not be proposed. */
export function encodeCommand(command: Command, requestId?: RequestId): Uint8Array {
	const writer = new ByteWriter();
	writer.u8(commandVersion).u8(kinds.indexOf(command.kind) + 1);
	writer.bytes(requestId ?? new Uint8Array(0));
	writeBody(writer, command);
	if (writer.length > commandBytesMax)
		throw new MeshError(storeErrors, 'IM_STORE_REQUEST_TOO_LARGE', `the request takes ${writer.length} bytes`);
	return writer.finish();
}

/** Throws IM_STORE_COMMAND_UNKNOWN, IM_STORE_COMMAND_CORRUPT, IM_STORE_KEY_INVALID or IM_STORE_REQUEST_TOO_LARGE, and nothing else. */
export function decodeCommand(bytes: Uint8Array): DecodedCommand {
	if (bytes.length > commandBytesMax)
		throw new MeshError(storeErrors, 'IM_STORE_REQUEST_TOO_LARGE', `the request takes ${bytes.length} bytes`);
	try {
		const reader = new ByteReader(bytes);
		const version = reader.u8();
		const kind = reader.u8();
		const name = kinds[kind - 1];
		if (version !== commandVersion || name === undefined)
			throw new MeshError(storeErrors, 'IM_STORE_COMMAND_UNKNOWN', `command version ${version}, kind ${kind}`);
		const requestId = reader.bytes();
		if (requestId.length !== 0 && requestId.length !== requestIdBytes) throw new Malformed('request id');
		const command = readBody(reader, name);
		reader.end();
		return { requestId: requestId.length === 0 ? undefined : requestId, command };
	} catch (error) {
		if (error instanceof Malformed)
			throw new MeshError(storeErrors, 'IM_STORE_COMMAND_CORRUPT', `the bytes are no command: ${error.message}`);
		throw error;
	}
}

function writeBody(writer: ByteWriter, command: Command): void {
	switch (command.kind) {
		case 'found':
			if (!isKey(command.clusterId) || command.clusterId.length > clusterIdMaxLength)
				throw new MeshError(storeErrors, 'IM_STORE_REQUEST_INVALID', 'a cluster id is printable ASCII');
			writer.ascii(command.clusterId);
			break;
		case 'transact': {
			const { when, then, otherwise } = command.transaction;
			atMost('conditions', when.length, conditionsMax);
			writer.varint(when.length);
			for (const condition of when) writeCondition(writer, condition);
			writeOperations(writer, then);
			writeOperations(writer, otherwise ?? []);
			break;
		}
		case 'grant':
			writer.varint(wholeNumber('ttlMs', command.ttlMs));
			break;
		case 'revoke':
			writeLeaseId(writer, command.id);
			break;
		case 'renew':
			atMost('leases', command.ids.length, leasesPerCommandMax);
			writer.varint(command.ids.length);
			for (const id of command.ids) writeLeaseId(writer, id);
			break;
		case 'expire':
			atMost('leases', command.leases.length, leasesPerCommandMax);
			writer.varint(command.leases.length);
			for (const { id, renewals } of command.leases) writeLeaseId(writer, id).varint(renewals);
			break;
		case 'compact':
			writer.varint(wholeNumber('revision', command.revision));
			break;
		case 'configure':
			writer
				.varint(wholeNumber('quotaBytes', command.settings.quotaBytes))
				.varint(wholeNumber('historyRevisionsMax', command.settings.historyRevisionsMax))
				.varint(wholeNumber('historyBytesMax', command.settings.historyBytesMax));
			break;
	}
}

function readBody(reader: ByteReader, kind: Command['kind']): Command {
	switch (kind) {
		case 'found':
			return { kind, clusterId: reader.ascii(clusterIdMaxLength) };
		case 'transact': {
			const when = list(reader, conditionsMax, 3, readCondition);
			const then = list(reader, operationsMax, 2, readOperation);
			const otherwise = list(reader, operationsMax, 2, readOperation);
			return { kind, transaction: { when, then, otherwise } };
		}
		case 'grant':
			return { kind, ttlMs: reader.varint() };
		case 'revoke':
			return { kind, id: readLeaseId(reader) };
		case 'renew':
			return { kind, ids: list(reader, leasesPerCommandMax, 1, () => readLeaseId(reader)) };
		case 'expire': {
			const one = () => ({ id: readLeaseId(reader), renewals: reader.varint() });
			return { kind, leases: list(reader, leasesPerCommandMax, 2, one) };
		}
		case 'compact':
			return { kind, revision: reader.varint() };
		case 'configure':
			return {
				kind,
				settings: {
					quotaBytes: reader.varint(),
					historyRevisionsMax: reader.varint(),
					historyBytesMax: reader.varint(),
				},
			};
	}
}

function writeCondition(writer: ByteWriter, condition: Condition): void {
	const key = checkedKey(condition.key);
	if ('modRevision' in condition) writer.u8(1).ascii(key).varint(wholeNumber('modRevision', condition.modRevision));
	else if ('version' in condition) writer.u8(2).ascii(key).varint(wholeNumber('version', condition.version));
	else if ('value' in condition) writer.u8(3).ascii(key).bytes(condition.value);
	else writer.u8(condition.exists ? 5 : 4).ascii(key);
}

function readCondition(reader: ByteReader): Condition {
	const tag = reader.u8();
	const key = readKey(reader);
	switch (tag) {
		case 1:
			return { key, modRevision: reader.varint() };
		case 2:
			return { key, version: reader.varint() };
		case 3:
			return { key, value: reader.bytes() };
		case 4:
			return { key, exists: false };
		case 5:
			return { key, exists: true };
		default:
			throw new Malformed('condition');
	}
}

function writeOperations(writer: ByteWriter, operations: readonly Operation[]): void {
	atMost('operations', operations.length, operationsMax);
	writer.varint(operations.length);
	for (const operation of operations) {
		if ('put' in operation) {
			writer.u8(1).ascii(checkedKey(operation.put)).bytes(operation.value);
			writeLeaseId(writer, operation.lease ?? '');
		} else if ('delete' in operation) writeSelection(writer.u8(2), operation.delete);
		else writeSelection(writer.u8(3), operation.get);
	}
}

function readOperation(reader: ByteReader): Operation {
	const tag = reader.u8();
	switch (tag) {
		case 1: {
			const put = readKey(reader);
			const value = reader.bytes();
			const lease = readLeaseId(reader);
			return lease === '' ? { put, value } : { put, value, lease };
		}
		case 2:
			return { delete: readSelection(reader) };
		case 3:
			return { get: readSelection(reader) };
		default:
			throw new Malformed('operation');
	}
}

function writeSelection(writer: ByteWriter, selection: Selection): void {
	if ('key' in selection) writer.u8(1).ascii(checkedKey(selection.key));
	else writer.u8(2).ascii(checkedPrefix(selection.prefix));
}

function readSelection(reader: ByteReader): Selection {
	const tag = reader.u8();
	if (tag === 1) return { key: readKey(reader) };
	if (tag === 2) return { prefix: checkedPrefix(reader.ascii(commandBytesMax)) };
	throw new Malformed('selection');
}

/** A lease id of a foreign form names no lease of this store; it travels as one that was never granted, so that it is refused in order. */
function writeLeaseId(writer: ByteWriter, id: string): ByteWriter {
	return writer.ascii(id.length <= leaseIdMaxLength && isKeyText(id) ? id : '?');
}

function readLeaseId(reader: ByteReader): string {
	const id = reader.ascii(leaseIdMaxLength);
	if (!isKeyText(id)) throw new Malformed('lease id');
	return id;
}

function readKey(reader: ByteReader): string {
	return checkedKey(reader.ascii(commandBytesMax));
}

function list<T>(reader: ByteReader, max: number, bytesEach: number, one: (reader: ByteReader) => T): T[] {
	const count = reader.count(max, bytesEach);
	const items: T[] = [];
	for (let i = 0; i < count; i++) items.push(one(reader));
	return items;
}

/** Throws IM_STORE_KEY_INVALID. */
export function checkedKey(key: string): string {
	if (!isKey(key)) throw keyInvalid(key);
	return key;
}

/** Throws IM_STORE_KEY_INVALID. */
export function checkedPrefix(prefix: string): string {
	if (!isKeyText(prefix)) throw keyInvalid(prefix);
	return prefix;
}

function keyInvalid(key: string): MeshError {
	const why =
		key.length > keyMaxLength
			? `has ${key.length} characters`
			: key === ''
				? 'is empty'
				: 'has a character outside ! to ~';
	return new MeshError(storeErrors, 'IM_STORE_KEY_INVALID', `the key ${why}`);
}

function atMost(what: string, count: number, max: number): void {
	if (count > max) throw new MeshError(storeErrors, 'IM_STORE_REQUEST_TOO_LARGE', `${count} ${what}, at most ${max}`);
}

/** Throws IM_STORE_REQUEST_INVALID. */
export function wholeNumber(what: string, value: number): number {
	if (!Number.isSafeInteger(value) || value < 0)
		throw new MeshError(storeErrors, 'IM_STORE_REQUEST_INVALID', `${what} ${value} is no whole number from 0`);
	return value;
}
