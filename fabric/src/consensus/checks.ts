// Owns what a client checks before it asks: the same refusals as the store's, without a round trip, and the same on an etcd that knows none of our
// bounds.
import { MeshError } from '@infermesh/proto';
import { checkedKey, checkedPrefix, encodeCommand, wholeNumber } from '../store/command-codec.js';
import { storeErrors } from '../store/errors.js';
import { leaseTtlMaxMs } from '../store/limits.js';
import { checkWrittenOnce } from '../store/transaction.js';
import type { ReadOptions, Selection, Transaction } from './engine.js';

export function checkSelection(selection: Selection): void {
	if ('key' in selection) checkedKey(selection.key);
	else checkedPrefix(selection.prefix);
}

export function checkRead(selection: Selection, { after, limit, revision }: ReadOptions): void {
	checkSelection(selection);
	if (after !== undefined) checkedPrefix(after);
	for (const [name, value] of Object.entries({ limit, revision })) {
		if (value !== undefined && wholeNumber(name, value) < 1)
			throw new MeshError(storeErrors, 'IM_STORE_REQUEST_INVALID', `${name} must be at least 1`);
	}
}

export function checkTransaction(transaction: Transaction): void {
	encodeCommand({ kind: 'transact', transaction });
	checkWrittenOnce(transaction.then);
	checkWrittenOnce(transaction.otherwise ?? []);
}

export function checkTtl(ttlMs: number): void {
	if (!(ttlMs >= 1 && ttlMs <= leaseTtlMaxMs))
		throw new MeshError(storeErrors, 'IM_STORE_REQUEST_INVALID', `a lease lives from 1 to ${leaseTtlMaxMs} ms`);
}
