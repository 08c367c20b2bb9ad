// Owns a UDP socket of QUIC's own, where it does not share that of gossip.
import { createSocket } from 'node:dgram';
import { isIPv6 } from 'node:net';
import { MeshError } from '@infermesh/proto';
import type { DatagramPort, HostPort } from '../../effects/packets.js';
import { transportErrors } from '../errors.js';

export interface OwnUdpPort extends DatagramPort {
	/** Resolves when what was sent before has left and the socket is closed. */
	close(): Promise<void>;
}

const RECEIVE_BUFFER_BYTES = 2 * 1024 * 1024;

/** Rejects with IM_TRANSPORT_BIND when it cannot be bound. */
export async function openUdpPort(
	at: HostPort,
	onDatagram: (from: HostPort, datagram: Uint8Array) => void,
): Promise<OwnUdpPort> {
	const socket = createSocket({ type: isIPv6(at.host) ? 'udp6' : 'udp4', recvBufferSize: RECEIVE_BUFFER_BYTES });
	await new Promise<void>((resolve, reject) => {
		socket.once('error', (cause) =>
			reject(new MeshError(transportErrors, 'IM_TRANSPORT_BIND', cause.message, { cause })),
		);
		socket.bind(at.port, at.host, resolve);
	});
	socket.removeAllListeners('error');
	// An ICMP refusal of an earlier datagram; silence is the contract.
	socket.on('error', () => {});
	socket.on('message', (datagram, { address, port }) => onDatagram({ host: address, port }, datagram));
	const { address, port } = socket.address();
	let sending = 0;
	const gone = Promise.withResolvers<void>();
	let closing = false;
	const closeWhenSent = (): void => {
		if (closing && sending === 0) socket.close(gone.resolve);
	};
	return {
		host: address,
		port,
		send(to, datagram) {
			if (closing) return;
			sending++;
			socket.send(datagram, to.port, to.host, () => {
				sending--;
				closeWhenSent();
			});
		},
		close() {
			if (!closing) {
				closing = true;
				closeWhenSent();
			}
			return gone.promise;
		},
	};
}
