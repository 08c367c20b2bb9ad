// Owns what the agent and its looking thread say to each other. Targets are known by numbers: a number is never used again.
import type { GpuReading, GpuSourceKind } from '@infermesh/adapters';
import type { ModelStateDelta } from '@infermesh/proto';
import type { PolledSpec, PollerOptions, ScrapeResult } from '../../fleet/poller.js';
import type { UpstreamTls } from '../../router/tls.js';

/** A source of GPU state as configured. */
export interface GpuSource {
	readonly kind: GpuSourceKind;
	/** Of an exporter. */
	readonly url: string;
	/** Of a tool, in place of its usual name; of NVML the library. */
	readonly command: string;
	/** Node the devices are on; empty = as the source says, else this one. */
	readonly node: string;
}

export interface GpuLooks {
	readonly sources: readonly GpuSource[];
	readonly node: string;
	readonly periodMs: number;
	readonly timeoutMs: number;
	readonly bodyMaxBytes: number;
}

export interface LooksStart {
	readonly seed: readonly [number, number];
	/** Authorities and certificate for targets behind TLS. */
	readonly tls: UpstreamTls;
	readonly poller: PollerOptions;
	readonly gpus: GpuLooks;
	/** What was seen goes out at most this often. */
	readonly batchMs: number;
}

export type ToLooks =
	| { readonly kind: 'follow'; readonly key: number; readonly spec: PolledSpec }
	| { readonly kind: 'forget'; readonly key: number }
	| { readonly kind: 'tls'; readonly tls: UpstreamTls }
	| { readonly kind: 'gpus' };

/** What was seen since the last batch, each in order. Times are of the mesh clock. */
export interface FromLooks {
	readonly reports: readonly { readonly key: number; readonly delta: ModelStateDelta }[];
	readonly checks: readonly { readonly key: number; readonly ok: boolean; readonly rttMs: number | undefined }[];
	readonly scrapes: readonly { readonly key: number; readonly result: ScrapeResult; readonly durationMs: number }[];
	readonly gpus: readonly {
		readonly source: number;
		readonly reading: GpuReading | undefined;
		readonly result: ScrapeResult;
		readonly durationMs: number;
		readonly error: string;
	}[];
}
