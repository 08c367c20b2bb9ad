// Owns what the routes of one served engine share.
import type { SeededRandom } from '@infermesh/proto';
import type { ResponseStore } from './dialects/responses.js';
import type { EngineDriver } from './engine-driver.js';
import type { FaultSwitches } from './faults.js';
import type { KvPublisher } from './kv-publisher.js';
import type { KvTransfer } from './kv-transfer.js';
import type { EngineMetrics } from './metrics.js';
import type { ResolvedEngineOptions } from './options.js';
import type { FlushQueue } from './sse-stream.js';

export interface EngineContext {
	readonly options: ResolvedEngineOptions;
	readonly driver: EngineDriver;
	readonly metrics: EngineMetrics;
	readonly faults: FaultSwitches;
	readonly transfer: KvTransfer;
	/** Undefined when KV events are not published. */
	readonly publisher: KvPublisher | undefined;
	/** Answers that clients can come back to. */
	readonly responses: ResponseStore;
	/** Streams with text from the present turn. */
	readonly queue: FlushQueue;
	/** Randomness of request ids, apart from that of texts. */
	readonly ids: SeededRandom;
	/** Wall time at start, in milliseconds since the Unix epoch. */
	readonly startedWallMs: number;
}

/** 32 hexadecimal digits. */
export function newId(engine: EngineContext): string {
	return Array.from({ length: 4 }, () => engine.ids.nextU32().toString(16).padStart(8, '0')).join('');
}

export function createdSeconds(engine: EngineContext): number {
	return Math.floor(engine.options.clock.wallMs() / 1000);
}
