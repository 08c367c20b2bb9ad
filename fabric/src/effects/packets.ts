// Owns the interface through which gossip touches the network: datagrams that may be lost, and one-question-one-answer exchanges over a
// reliable connection. UDP with mTLS stands behind it in a mesh, UDP with TCP beside Serf, a simulated network in tests.

/** `host:port`; IPv6 hosts in brackets. */
export type Address = string;

/** The UUID of the node that the certificate of a connection names; undefined where connections carry none. */
export type CertifiedNode = string | undefined;

export interface ExchangeOptions {
	/** From the connection to the last byte of the answer. */
	readonly timeoutMs: number;
	readonly answerMaxBytes: number;
	/** The node that must answer, where certificates tell. Whoever is there, when undefined. */
	readonly expectedNode?: string | undefined;
}

export interface Answer {
	readonly bytes: Uint8Array;
	readonly node: CertifiedNode;
}

/** Resolves with the answer; a rejection closes the connection without one. */
export type OnExchange = (from: Address, request: Uint8Array, node: CertifiedNode) => Promise<Uint8Array>;

/** The half of a PacketNetwork that has connections. */
export interface ExchangePort {
	/** Begins to answer; resolves with the bound address. */
	listen(at: Address, onExchange: OnExchange): Promise<Address>;
	/**
	 * Opens a connection, sends `request`, resolves with the whole answer. Rejects when the peer cannot be reached, is another than expected, answers
	 * more than `answerMaxBytes`, or does not finish in time.
	 */
	exchange(to: Address, request: Uint8Array, options: ExchangeOptions): Promise<Answer>;
	/** Closes the port and what is under way. */
	close(): Promise<void>;
}

export interface PacketNetwork {
	/** Sends a datagram. Never throws and never tells whether it arrived. */
	send(to: Address, packet: Uint8Array): void;
	/** See ExchangePort. */
	exchange(to: Address, request: Uint8Array, options: ExchangeOptions): Promise<Answer>;
	/** Begins to receive. */
	listen(handlers: PacketHandlers): Promise<Address>;
	close(): Promise<void>;
}

export interface PacketHandlers {
	readonly onPacket: (from: Address, packet: Uint8Array) => void;
	readonly onExchange: OnExchange;
}
