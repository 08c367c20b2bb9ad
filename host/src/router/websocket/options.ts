// Owns the options of WebSockets on the data port, and their defaults.

export interface WebSocketOptions {
	/** Sockets at once, of this worker; 0 = none are taken. */
	readonly connectionsMax: number;
	/** Largest message, of a client or of a runtime. */
	readonly messageBytesMax: number;
	/** Pieces of one message. */
	readonly fragmentsMax: number;
	/** Chats under way on one socket. */
	readonly requestsMax: number;
	/** Bytes that wait for a reader that is slow; beyond it the sender is held up. */
	readonly sendBufferBytesMax: number;
	/** Each socket is pinged this often; one that has sent nothing since the ping before is gone. */
	readonly pingPeriodMs: number;
	/** Pings and pongs a peer may send in such a period. */
	readonly pingsMax: number;
	/** A peer must answer a close by then. */
	readonly closeTimeoutMs: number;
	/** Offer permessage-deflate. */
	readonly compression: boolean;
	/** Origins of pages that may connect, besides those on this machine; `*` = all. */
	readonly origins: readonly string[];
	/** Paths that are piped to a runtime. */
	readonly pipePaths: readonly string[];
}

export const webSocketDefaults: WebSocketOptions = {
	connectionsMax: 1024,
	messageBytesMax: 4 * 1024 * 1024,
	fragmentsMax: 1024,
	requestsMax: 16,
	sendBufferBytesMax: 256 * 1024,
	pingPeriodMs: 30_000,
	pingsMax: 64,
	closeTimeoutMs: 5000,
	compression: false,
	origins: [],
	pipePaths: ['/v1/realtime'],
};

/** What `ws` is told on both sides of the router. */
export function libraryOptions(options: WebSocketOptions) {
	return {
		maxPayload: options.messageBytesMax,
		maxFragments: options.fragmentsMax,
		maxBufferedChunks: options.fragmentsMax * CHUNKS_PER_FRAGMENT,
		closeTimeout: options.closeTimeoutMs,
		perMessageDeflate: options.compression
			? { serverNoContextTakeover: true, clientNoContextTakeover: true, threshold: DEFLATE_BYTES_MIN }
			: false,
	};
}

/** A frame may come in several reads of the socket. */
const CHUNKS_PER_FRAGMENT = 64;
const DEFLATE_BYTES_MIN = 1024;
