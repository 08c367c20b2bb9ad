// The gRPC upstream of the benches, a process of its own: answers every call at once with one message of a fixed size, so that what is measured is the
// way to it.
import { createServer } from 'node:http2';
import type { AddressInfo } from 'node:net';

const MESSAGE_BYTES = 256;
const message = Buffer.concat([Buffer.from([0, 0, 0, 1, 0]), Buffer.alloc(MESSAGE_BYTES, 0x61)]);
const head = { ':status': 200, 'content-type': 'application/grpc' };

const server = createServer({ settings: { maxConcurrentStreams: 1000 } });
server.on('sessionError', () => undefined);
server.on('stream', (stream) => {
	stream.on('error', () => undefined);
	stream.resume();
	stream.on('end', () => {
		stream.respond(head, { waitForTrailers: true });
		stream.once('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }));
		stream.end(message);
	});
});
server.listen(0, '127.0.0.1', () => process.send?.({ port: (server.address() as AddressInfo).port }));
process.on('SIGTERM', () => process.exit(0));
