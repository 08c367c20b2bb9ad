// Owns what a member's state is made of. store.ts changes it command by command; snapshot.ts writes it out and reads it in.
import { createHash } from 'node:crypto';
import { Keyspace } from './keyspace.js';
import { LeaseTable } from './lease-table.js';
import { defaultSettings, type StoreSettings } from './limits.js';
import { RequestWindow } from './request-window.js';

export interface State {
	/** Empty until the cluster is founded. */
	clusterId: string;
	settings: StoreSettings;
	noSpace: boolean;
	appliedIndex: number;
	/** SHA-256; see StateMachine.appliedHash. */
	appliedHash: Uint8Array;
	readonly keys: Keyspace;
	readonly leases: LeaseTable;
	requests: RequestWindow;
}

export function emptyState(): State {
	return {
		clusterId: '',
		settings: defaultSettings,
		noSpace: false,
		appliedIndex: 0,
		appliedHash: new Uint8Array(32),
		keys: new Keyspace(),
		leases: new LeaseTable(),
		requests: new RequestWindow(),
	};
}

/** Links one applied command into the running hash. */
export function nextHash(before: Uint8Array, index: number, command: Uint8Array, result: Uint8Array): Uint8Array {
	const numbers = new DataView(new ArrayBuffer(24));
	numbers.setFloat64(0, index);
	numbers.setFloat64(8, command.length);
	numbers.setFloat64(16, result.length);
	const hash = createHash('sha256').update(before).update(numbers).update(command).update(result).digest();
	return new Uint8Array(hash);
}
