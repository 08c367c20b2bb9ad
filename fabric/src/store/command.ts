// Owns what a command and its result are. Commands are the only way in which the state changes.
import type { ErrorCode } from '@infermesh/proto';
import type { LeaseId, OperationResult, Transaction } from '../consensus/engine.js';
import type { StoreSettings } from './limits.js';

export type Command =
	/** The first command of a cluster gives it its id; later ones change nothing. */
	| { readonly kind: 'found'; readonly clusterId: string }
	| { readonly kind: 'transact'; readonly transaction: Transaction }
	| { readonly kind: 'grant'; readonly ttlMs: number }
	| { readonly kind: 'revoke'; readonly id: LeaseId }
	| { readonly kind: 'renew'; readonly ids: readonly LeaseId[] }
	/** Ends leases that the leader's clock says are over, unless they were renewed since it looked. */
	| { readonly kind: 'expire'; readonly leases: readonly { readonly id: LeaseId; readonly renewals: number }[] }
	| { readonly kind: 'compact'; readonly revision: number }
	| { readonly kind: 'configure'; readonly settings: StoreSettings };

/** Sixteen bytes that name a request; the same request proposed again has the same. */
export type RequestId = Uint8Array;
export const requestIdBytes = 16;

export type Result =
	| { readonly kind: 'refused'; readonly code: ErrorCode; readonly message: string }
	| {
			readonly kind: 'transaction';
			readonly held: boolean;
			readonly revision: number;
			readonly results: readonly OperationResult[];
	  }
	| { readonly kind: 'lease'; readonly id: LeaseId; readonly ttlMs: number }
	/** One for each id of a `renew`, in milliseconds; 0 when the lease has ended. */
	| { readonly kind: 'renewed'; readonly ttlsMs: readonly number[] }
	| { readonly kind: 'done'; readonly revision: number };
