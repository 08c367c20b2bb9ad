// Owns the interface through which gossip touches the network: datagrams that may be lost, and one-question-one-answer exchanges over a
// reliable connection. UDP with mTLS stands behind it in a mesh, with QUIC first where that is configured, UDP with TCP beside Serf, a simulated network in tests.

/** `host:port`; IPv6 hosts in brackets. */
export type Address = string;

/** A place in the network; IPv6 hosts without brackets. */
export interface HostPort {
	readonly host: string;
	readonly port: number;
}

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

/** The UDP socket of gossip, as a guest sees it. */
export interface DatagramPort extends HostPort {
	/** Sends a datagram. Never throws and never tells whether it arrived. */
	send(to: HostPort, datagram: Uint8Array): void;
}

/** A protocol that shares the UDP socket of gossip. */
export interface DatagramGuest {
	/** The socket is bound, or bound anew. */
	attach(port: DatagramPort): void;
	/** Takes a datagram that is its own by form; false leaves it to gossip. */
	take(from: HostPort, datagram: Uint8Array): boolean;
}

/** The half of a PacketNetwork that has connections. */
export interface ExchangePort {
	/** What it carries over datagrams, where it does. */
	readonly datagrams?: DatagramGuest;
	/** Begins to answer; resolves with the bound address. */
	listen(at: Address, onExchange: OnExchange): Promise<Address>;
	/**
	 * Sends `request` over a connection, new or kept, and resolves with the whole answer. Rejects when the peer cannot be reached, is another than expected, answers
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
