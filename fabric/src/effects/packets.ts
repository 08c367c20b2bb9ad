// Owns the interface through which gossip touches the network: datagrams that may be lost, and one-question-one-answer exchanges over a
// reliable connection. UDP with TCP or mTLS stands behind it in a mesh, a simulated network in tests.

/** `host:port`; IPv6 hosts in brackets. */
export type Address = string;

export interface PacketNetwork {
	/** Sends a datagram. Never throws and never tells whether it arrived. */
	send(to: Address, packet: Uint8Array): void;
	/**
	 * Opens a connection, sends `request`, resolves with the whole answer. Rejects when the peer cannot be reached, answers more than
	 * `answerMaxBytes`, or does not finish within `timeoutMs`.
	 */
	exchange(
		to: Address,
		request: Uint8Array,
		options: { readonly timeoutMs: number; readonly answerMaxBytes: number },
	): Promise<Uint8Array>;
	/** Begins to receive. `onExchange` resolves with the answer; a rejection closes the connection without one. */
	listen(handlers: PacketHandlers): Promise<Address>;
	close(): Promise<void>;
}

export interface PacketHandlers {
	readonly onPacket: (from: Address, packet: Uint8Array) => void;
	readonly onExchange: (from: Address, request: Uint8Array) => Promise<Uint8Array>;
}
