// Owns what a probe needs of a store, whatever it is: write one object durably, read it back, list, remove. Each says how long it took. What a store
// refuses is a StoreFailure with a short code, so that failures can be counted by it.
import type { IoSource } from '@infermesh/proto';

export interface WriteTimes {
	readonly totalMs: number;
	/** Of it, the time nothing could be done but wait for the store. */
	readonly stallMs: number;
}

export interface ReadTimes {
	readonly bytes: number;
	/** Until the first byte. */
	readonly firstMs: number;
	readonly totalMs: number;
	/** What was read; undefined where only its length is kept. */
	readonly body?: Uint8Array;
}

export interface ListTimes {
	readonly totalMs: number;
	/** When the newest object under the prefix was written, probes left out, ms since the Unix epoch; undefined when there is none. */
	readonly newestMs: number | undefined;
	/** Whether all of the prefix was seen: otherwise there may be a newer one. */
	readonly complete: boolean;
}

export interface ObjectStore {
	readonly source: IoSource;
	/** As an operator knows it, without credentials. */
	readonly name: string;
	write(key: string, body: Uint8Array): Promise<WriteTimes>;
	read(key: string, bytesMax: number): Promise<ReadTimes>;
	list(): Promise<ListTimes>;
	remove(key: string): Promise<void>;
}

/** Names of probe objects begin with it; they are removed after each look, and left out where the age of checkpoints is looked for. */
export const PROBE_PREFIX = '.infermesh-probe-';

export class StoreFailure extends Error {
	readonly code: string;

	constructor(code: string, message: string) {
		super(message);
		this.name = 'StoreFailure';
		this.code = code.slice(0, 64);
	}
}

/** The newest of many times. */
export function newest(times: readonly number[]): number | undefined {
	const finite = times.filter((time) => Number.isFinite(time));
	return finite.length === 0 ? undefined : finite.reduce((a, b) => Math.max(a, b));
}
