// Owns the router's options and their defaults. Every bound of the data plane has its name here; the config schema feeds it.

import { type AdmissionOptions, admissionDefaults } from './admission/options.js';
import { type HedgingOptions, hedgingDefaults } from './hedge/options.js';
import type { TlsPair } from './tls.js';
import type { PoolOptions } from './upstream/pools.js';
import { type WebSocketOptions, webSocketDefaults } from './websocket/options.js';

/** Bounds of the HTTP/2 sessions that clients open. */
export interface Http2Options {
	/** Streams of one connection at once. */
	readonly streamsMax: number;
	/** Bytes a client may send on one stream, and on one connection, before they are taken. */
	readonly windowBytes: number;
	readonly connectionWindowBytes: number;
	/** Memory of one session, in MiB: streams, header tables, frames not sent yet. */
	readonly sessionMemoryMib: number;
	/** Streams a client may reset at once, and a second; a connection beyond it is closed. */
	readonly resetBurst: number;
	readonly resetRatePerS: number;
	/** Invalid frames, and streams opened beyond `streamsMax`, after which a connection is closed. */
	readonly invalidFramesMax: number;
	/** A connection is told to go after this, so that clients that keep one for ever spread over workers again. */
	readonly connectionAgeMaxMs: number;
}

/** gRPC calls that pass through. */
export interface GrpcOptions {
	/** Methods that are not passed on: paths, or services with a slash at the end. */
	readonly deny: readonly string[];
	/** Bytes a compressed first message may come to while its model is looked for. */
	readonly inflatedBytesMax: number;
	/** Bytes after the first message that are kept, so that a call without an answer can go to another target. */
	readonly replayBytesMax: number;
	/** HTTP/2 sessions per target, and streams on each. */
	readonly sessionsMax: number;
	readonly streamsMax: number;
	readonly sessionAgeMaxMs: number;
	readonly pingPeriodMs: number;
	readonly pingTimeoutMs: number;
	/** Bytes a target may send on one stream before they are taken. */
	readonly windowBytes: number;
}

export interface UpstreamOptions extends PoolOptions {
	readonly firstByteTimeoutMs: number;
	/** Silence inside a response. */
	readonly idleTimeoutMs: number;
}

export interface RetryOptions {
	/** Attempts per request, the first included. */
	readonly attemptsMax: number;
	/** Retries earned by each request. */
	readonly budgetRatio: number;
	/** Retries a second earned besides. */
	readonly budgetBurst: number;
	/** Wait before all targets of a model are tried once more, where each has failed; grows by half each time, a fifth of it drawn at random. 0 = none is tried twice. */
	readonly backoffMs: number;
	/** Longest such wait; a target that asks for a longer one (Retry-After) is not waited for. */
	readonly backoffMsMax: number;
	/** A connection reset this soon after dispatch, with nothing received, counts as a keep-alive race: the same target may be asked again. */
	readonly staleConnectionMs: number;
}

export interface HoldOptions {
	/** Held requests per worker; 0 = a hold is answered as 429. */
	readonly requestsMax: number;
	readonly waitMaxMs: number;
	/** Taken off a held request's key for each second it waits, so that none starves. */
	readonly ageingPerS: number;
}

export interface PassThroughOptions {
	/** Path prefixes that clients may reach; an entry without a trailing slash matches the whole path only. */
	readonly allow: readonly string[];
	/** Paths refused although a prefix allows them: they change the engine. */
	readonly deny: readonly string[];
}

export interface RouterOptions {
	readonly bodyBytesMax: number;
	/** Bytes of request bodies held at once by all requests of this worker. */
	readonly bodyBytesTotalMax: number;
	/** Bodies larger than this are checked for nesting and object count before they are parsed. */
	readonly jsonUncheckedBytesMax: number;
	readonly jsonDepthMax: number;
	readonly jsonContainersMax: number;
	readonly headerBytesMax: number;
	readonly headerCountMax: number;
	readonly headersTimeoutMs: number;
	readonly requestTimeoutMs: number;
	readonly keepAliveTimeoutMs: number;
	/** A client that takes nothing for this long is cut. */
	readonly clientWriteTimeoutMs: number;
	/** After a refused upload, how long the rest is read and thrown away so that the client can read the answer. */
	readonly lingerMs: number;
	/** Time between the error event of a broken stream and the cut of its connection. */
	readonly cutDelayMs: number;
	readonly connectionsMax: number;
	readonly inflightMax: number;
	readonly saturatedRetryAfterS: number;
	/** What cannot be reached is avoided at once by all workers. */
	readonly avoidUnreachable: boolean;
	/** When every target of a model is out by checks or ejection alone, requests are tried at one of them all the same. */
	readonly failOpen: boolean;
	/** Timeouts are looked at this often; all of them are late by up to this. */
	readonly sweepMs: number;
	/** Whole JSON responses up to this are held until complete, so that a target that dies inside one is retried. */
	readonly heldResponseBytesMax: number;
	/** Largest server-sent event that is looked into; a larger one passes unread. */
	readonly eventBytesMax: number;
	/** Ask engines for `usage` in streams whose client did not, and strip it again. */
	readonly injectUsage: boolean;
	/** Output tokens expected of a model nothing is known of yet. */
	readonly tokensOutExpected: number;
	/** Bytes of prompt text that are hashed and kept per request. */
	readonly promptBytesMax: number;
	/** One in `stageSampleMask + 1` requests has its stages timed; the mask is a power of two less one. */
	readonly stageSampleMask: number;
	/** One log line a request; failures inside the router are logged in any case. */
	readonly logRequests: boolean;
	/** The data port speaks TLS when given. */
	readonly tls: TlsPair | undefined;
	readonly http2: Http2Options;
	readonly grpc: GrpcOptions;
	readonly upstream: UpstreamOptions;
	readonly retry: RetryOptions;
	readonly hedge: HedgingOptions;
	readonly hold: HoldOptions;
	readonly admission: AdmissionOptions;
	readonly passThrough: PassThroughOptions;
	readonly scoring: ScoringOptions;
	readonly webSocket: WebSocketOptions;
}

/** What is admitted for others to dispatch. */
export interface ScoringOptions {
	/** Open at once, a worker. */
	readonly admissionsMax: number;
	/** One that nobody reports on ends by itself after this time. */
	readonly admissionTtlMs: number;
}

export const routerDefaults: RouterOptions = {
	bodyBytesMax: 16 * 1024 * 1024,
	bodyBytesTotalMax: 256 * 1024 * 1024,
	jsonUncheckedBytesMax: 64 * 1024,
	jsonDepthMax: 128,
	jsonContainersMax: 262_144,
	headerBytesMax: 16 * 1024,
	headerCountMax: 100,
	headersTimeoutMs: 10_000,
	requestTimeoutMs: 60_000,
	keepAliveTimeoutMs: 65_000,
	clientWriteTimeoutMs: 30_000,
	lingerMs: 1000,
	cutDelayMs: 50,
	connectionsMax: 16_384,
	inflightMax: 4096,
	saturatedRetryAfterS: 1,
	avoidUnreachable: true,
	failOpen: true,
	sweepMs: 100,
	heldResponseBytesMax: 256 * 1024,
	eventBytesMax: 1024 * 1024,
	injectUsage: true,
	tokensOutExpected: 256,
	promptBytesMax: 512 * 1024,
	stageSampleMask: 15,
	logRequests: true,
	tls: undefined,
	grpc: {
		deny: [],
		inflatedBytesMax: 64 * 1024 * 1024,
		replayBytesMax: 256 * 1024,
		sessionsMax: 8,
		streamsMax: 100,
		sessionAgeMaxMs: 600_000,
		pingPeriodMs: 20_000,
		pingTimeoutMs: 10_000,
		windowBytes: 256 * 1024,
	},
	http2: {
		streamsMax: 256,
		windowBytes: 256 * 1024,
		connectionWindowBytes: 4 * 1024 * 1024,
		sessionMemoryMib: 32,
		resetBurst: 200,
		resetRatePerS: 50,
		invalidFramesMax: 100,
		connectionAgeMaxMs: 1_800_000,
	},
	upstream: {
		connectTimeoutMs: 2000,
		firstByteTimeoutMs: 120_000,
		idleTimeoutMs: 60_000,
		keepAliveTimeoutMs: 4000,
		connectionsMax: 1024,
		poolsMax: 4096,
		poolIdleMs: 60_000,
		headerBytesMax: 32 * 1024,
		tls: {},
	},
	retry: {
		attemptsMax: 3,
		budgetRatio: 0.2,
		budgetBurst: 10,
		backoffMs: 50,
		backoffMsMax: 1000,
		staleConnectionMs: 1000,
	},
	hedge: hedgingDefaults,
	hold: { requestsMax: 1024, waitMaxMs: 30_000, ageingPerS: 1 },
	webSocket: webSocketDefaults,
	admission: admissionDefaults,
	scoring: { admissionsMax: 4096, admissionTtlMs: 600_000 },
	passThrough: {
		allow: [
			'/v1/',
			'/v2/',
			'/v3/',
			'/tokenize',
			'/detokenize',
			'/pooling',
			'/score',
			'/rerank',
			'/classify',
			'/generate',
			'/generate_stream',
			'/encode',
			'/invocations',
		],
		deny: [
			'/v1/load_lora_adapter',
			'/v1/unload_lora_adapter',
			'/v1/config',
			'/v1/chat/ws',
			'/v1/realtime',
			'/v1/config/',
			'/v2/repository/',
			'/v2/logging',
			'/v2/trace/',
			'/v2/systemsharedmemory/',
			'/v2/cudasharedmemory/',
		],
	},
};

/** What a caller may give: any part of the options. */
export type RouterOptionsInput = {
	readonly [K in keyof RouterOptions]?: RouterOptions[K] extends readonly unknown[]
		? RouterOptions[K]
		: RouterOptions[K] extends object
			? Partial<RouterOptions[K]>
			: RouterOptions[K];
};

/** Options with defaults filled in. */
export function resolveRouterOptions(input: RouterOptionsInput): RouterOptions {
	return {
		...routerDefaults,
		...input,
		http2: { ...routerDefaults.http2, ...input.http2 },
		grpc: { ...routerDefaults.grpc, ...input.grpc },
		upstream: { ...routerDefaults.upstream, ...input.upstream },
		retry: { ...routerDefaults.retry, ...input.retry },
		hedge: { ...routerDefaults.hedge, ...input.hedge },
		hold: { ...routerDefaults.hold, ...input.hold },
		admission: { ...routerDefaults.admission, ...input.admission },
		passThrough: { ...routerDefaults.passThrough, ...input.passThrough },
		scoring: { ...routerDefaults.scoring, ...input.scoring },
		webSocket: { ...routerDefaults.webSocket, ...input.webSocket },
	};
}
