import { once } from 'node:events';
import { type AddressInfo, connect as connectTcp, createServer, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import test, { type ExecutionContext } from 'ava';
import { parseAddress } from './address.js';
import { protocolNames } from './connector.js';
import { TlsExchange } from './exchange.js';
import {
	answering,
	type ExchangeSubject,
	registerExchangeContract,
	reverse,
} from './exchange-contract-test-support.js';
import { ownContext } from './tls-options.js';
import type { TestNode } from './transport-test-support.js';

const tls: ExchangeSubject = {
	name: 'TLS',
	open: (context, options) => new TlsExchange(context, options),
	silent: async (t: ExecutionContext) => {
		const sockets: Socket[] = [];
		const server = createServer((socket) => sockets.push(socket.on('error', () => {})));
		server.listen(0, '127.0.0.1');
		await once(server, 'listening');
		t.teardown(() => {
			server.close();
			for (const socket of sockets) socket.destroy();
		});
		return { address: `127.0.0.1:${(server.address() as AddressInfo).port}`, code: 'IM_TRANSPORT_TIMEOUT' };
	},
	sendRaw: (caller, address, bytes) => sendRaw(caller, address, bytes, protocolNames.exchange),
};

async function sendRaw(caller: TestNode, address: string, bytes: Uint8Array, protocol: string): Promise<void> {
	const socket = connectTls({
		...parseAddress(address),
		...ownContext(caller.holder.current()),
		rejectUnauthorized: false,
		ALPNProtocols: [protocol],
	});
	socket.on('error', () => {});
	socket.resume();
	socket.write(bytes);
	await new Promise((resolve) => socket.once('close', resolve));
}

registerExchangeContract(tls);

test('plaintext is refused, and so is gRPC on this port', async (t) => {
	const { address, server, caller } = await answering(t, tls, reverse);
	const plain = connectTcp(parseAddress(address));
	plain.on('error', () => {});
	plain.write('hello there, friend');
	await new Promise((resolve) => plain.once('close', resolve));
	t.is(server.counters.refused('IM_TRANSPORT_PLAINTEXT'), 1);
	await sendRaw(caller, address, new Uint8Array(0), protocolNames.grpc);
	t.is(server.counters.accepted, 0);
});
