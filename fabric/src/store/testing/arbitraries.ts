// Owns random transactions and commands for property tests: few keys, so that they meet.
import * as fc from 'fast-check';
import type { Condition, Operation, Selection, Transaction } from '../../consensus/engine.js';
import type { Command } from '../command.js';

const keys = ['a', 'a/1', 'a/2', 'ab', 'b', 'b/1', 'b/1/x', 'c'];
const leases = ['0000000000000001', '0000000000000002', '0000000000000003', 'foreign'];
const key = fc.constantFrom(...keys);
const lease = fc.constantFrom(...leases);
const value = fc.uint8Array({ maxLength: 3 }).map((bytes) => Uint8Array.from(bytes));
export const selection: fc.Arbitrary<Selection> = fc.oneof(
	fc.record({ key }),
	fc.record({ prefix: fc.constantFrom('', 'a', 'a/', 'b', 'b/1', 'z') }),
);
const condition: fc.Arbitrary<Condition> = fc.oneof(
	fc.record({ key, exists: fc.boolean() }),
	fc.record({ key, version: fc.nat(3) }),
	fc.record({ key, modRevision: fc.nat(20) }),
	fc.record({ key, value }),
);
const operation: fc.Arbitrary<Operation> = fc.oneof(
	{ weight: 6, arbitrary: fc.record({ put: key, value }) },
	{ weight: 1, arbitrary: fc.record({ put: key, value, lease }) },
	{ weight: 2, arbitrary: fc.record({ delete: selection }) },
	{ weight: 1, arbitrary: fc.record({ get: selection }) },
);
export const transaction: fc.Arbitrary<Transaction> = fc.record({
	when: fc.array(condition, { maxLength: 1 }),
	then: fc.array(operation, { maxLength: 3 }),
	otherwise: fc.array(operation, { maxLength: 2 }),
});
const number = fc.nat(1_000_000);
export const command: fc.Arbitrary<Command> = fc.oneof(
	{ weight: 8, arbitrary: transaction.map((transaction) => ({ kind: 'transact' as const, transaction })) },
	fc.record({ kind: fc.constant('grant' as const), ttlMs: fc.integer({ min: 0, max: 90_000_000 }) }),
	fc.record({ kind: fc.constant('revoke' as const), id: lease }),
	fc.record({ kind: fc.constant('renew' as const), ids: fc.array(lease, { maxLength: 3 }) }),
	fc.record({
		kind: fc.constant('expire' as const),
		leases: fc.array(fc.record({ id: lease, renewals: fc.nat(2) }), { maxLength: 3 }),
	}),
	fc.record({ kind: fc.constant('compact' as const), revision: fc.nat(30) }),
	fc.record({ kind: fc.constant('found' as const), clusterId: fc.constantFrom('one', 'two') }),
	fc.record({
		kind: fc.constant('configure' as const),
		settings: fc.record({
			quotaBytes: fc.integer({ min: 500, max: 1_000_000 }),
			historyRevisionsMax: fc.integer({ min: 1, max: 30 }),
			historyBytesMax: number.map((bytes) => bytes + 1),
		}),
	}),
);
