// Owns short ways for tests to put commands through a store.
import type { Operation } from '../../consensus/engine.js';
import type { Command, RequestId, Result } from '../command.js';
import { encodeCommand } from '../command-codec.js';
import { decodeResult } from '../result-codec.js';
import { Store } from '../store.js';

export function run(store: Store, command: Command, requestId?: RequestId): Result {
	return decodeResult(store.apply(encodeCommand(command, requestId), store.appliedIndex + 1));
}

export function write(store: Store, ...then: Operation[]): Result {
	return run(store, { kind: 'transact', transaction: { when: [], then } });
}

export function put(store: Store, key: string, text = 'x', lease?: string): Result {
	return write(store, lease === undefined ? { put: key, value: bytes(text) } : { put: key, value: bytes(text), lease });
}

export function bytes(text: string): Uint8Array {
	return new TextEncoder().encode(text);
}

/** A store that took `pieces`, cut anew into parts of `partBytes`. */
export function restored(
	pieces: Iterable<Uint8Array>,
	options: { readonly partBytes?: number; readonly newCluster?: { readonly clusterId: string } } = {},
): Store {
	const whole = Buffer.concat([...pieces]);
	const store = new Store();
	const restore = store.beginRestore(options.newCluster === undefined ? {} : { newCluster: options.newCluster });
	const step = options.partBytes ?? whole.length;
	for (let at = 0; at < whole.length; at += step) restore.push(whole.subarray(at, at + step));
	restore.finish();
	return store;
}
