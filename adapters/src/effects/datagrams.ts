// Owns a UDP port on which others send statistics. What comes is handed over as it comes; bounds are the receiver's.
import { createSocket } from 'node:dgram';
import { isIPv6 } from 'node:net';
import type { ListenDatagrams } from './ports.js';

export const listenDatagrams: ListenDatagrams = async (host, port, onDatagram) => {
	const socket = createSocket(isIPv6(host) ? 'udp6' : 'udp4');
	socket.on('message', (bytes) => onDatagram(bytes));
	await new Promise<void>((resolve, reject) => {
		socket.once('error', reject);
		socket.bind(port, host, () => {
			socket.off('error', reject);
			resolve();
		});
	});
	socket.on('error', () => undefined);
	return { port: socket.address().port, close: () => void socket.close() };
};
