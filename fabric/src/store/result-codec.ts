// Owns the bytes of results, which travel from the state machine to whoever proposed and are kept to answer a request that is proposed again.
import type { ErrorCode } from '@infermesh/proto';
import { ByteReader, ByteWriter, Malformed } from '../bytes/binary.js';
import type { KeyValue, OperationResult } from '../consensus/engine.js';
import type { Result } from './command.js';
import { keyMaxLength, leaseIdMaxLength, leasesPerCommandMax, operationsMax } from './limits.js';

const messageBytesMax = 4_096;
const codeMaxLength = 64;

export function encodeResult(result: Result): Uint8Array {
	const writer = new ByteWriter(64);
	switch (result.kind) {
		case 'refused':
			return writer.u8(0).ascii(result.code).utf8(result.message).finish();
		case 'transaction':
			writer
				.u8(1)
				.u8(result.held ? 1 : 0)
				.varint(result.revision)
				.varint(result.results.length);
			for (const one of result.results) writeOperationResult(writer, one);
			return writer.finish();
		case 'lease':
			return writer.u8(2).ascii(result.id).varint(result.ttlMs).finish();
		case 'renewed':
			writer.u8(3).varint(result.ttlsMs.length);
			for (const ttlMs of result.ttlsMs) writer.varint(ttlMs);
			return writer.finish();
		case 'done':
			return writer.u8(4).varint(result.revision).finish();
	}
}

/** Throws Malformed for bytes that `encodeResult` did not make: a bug, since results do not come from outside. */
export function decodeResult(bytes: Uint8Array): Result {
	const reader = new ByteReader(bytes);
	const result = readResult(reader);
	reader.end();
	return result;
}

function readResult(reader: ByteReader): Result {
	switch (reader.u8()) {
		case 0:
			return { kind: 'refused', code: reader.ascii(codeMaxLength) as ErrorCode, message: reader.utf8(messageBytesMax) };
		case 1: {
			const held = reader.flag();
			const revision = reader.varint();
			const count = reader.count(operationsMax);
			const results: OperationResult[] = [];
			for (let i = 0; i < count; i++) results.push(readOperationResult(reader));
			return { kind: 'transaction', held, revision, results };
		}
		case 2:
			return { kind: 'lease', id: reader.ascii(leaseIdMaxLength), ttlMs: reader.varint() };
		case 3: {
			const count = reader.count(leasesPerCommandMax);
			const ttlsMs: number[] = [];
			for (let i = 0; i < count; i++) ttlsMs.push(reader.varint());
			return { kind: 'renewed', ttlsMs };
		}
		case 4:
			return { kind: 'done', revision: reader.varint() };
		default:
			throw new Malformed('result');
	}
}

function writeOperationResult(writer: ByteWriter, result: OperationResult): void {
	switch (result.kind) {
		case 'put':
			writer.u8(1);
			break;
		case 'delete':
			writer.u8(2).varint(result.deleted);
			break;
		case 'get':
			writer.u8(3).varint(result.items.length);
			for (const item of result.items) writeKeyValue(writer, item);
			break;
	}
}

function readOperationResult(reader: ByteReader): OperationResult {
	switch (reader.u8()) {
		case 1:
			return { kind: 'put' };
		case 2:
			return { kind: 'delete', deleted: reader.varint() };
		case 3: {
			const count = reader.count(reader.left);
			const items: KeyValue[] = [];
			for (let i = 0; i < count; i++) items.push(readKeyValue(reader));
			return { kind: 'get', items };
		}
		default:
			throw new Malformed('operation result');
	}
}

function writeKeyValue(writer: ByteWriter, item: KeyValue): void {
	writer
		.ascii(item.key)
		.bytes(item.value)
		.varint(item.createRevision)
		.varint(item.modRevision)
		.varint(item.version)
		.ascii(item.lease ?? '');
}

function readKeyValue(reader: ByteReader): KeyValue {
	const key = reader.ascii(keyMaxLength);
	const value = reader.bytes();
	const createRevision = reader.varint();
	const modRevision = reader.varint();
	const version = reader.varint();
	const lease = reader.ascii(leaseIdMaxLength);
	return { key, value, createRevision, modRevision, version, lease: lease === '' ? undefined : lease };
}
