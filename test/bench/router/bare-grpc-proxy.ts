// The yardstick of the gRPC bench, a process of its own: the least pass-through that `node:http2` makes. One session to the upstream; heads, bytes and trailers
// passed on with backpressure. No choice, no limits, no retries, no metrics: not something to run.
import {
	type ClientHttp2Stream,
	connect,
	constants,
	createServer,
	type IncomingHttpHeaders,
	type ServerHttp2Stream,
} from 'node:http2';
import type { AddressInfo } from 'node:net';

const upstream = connect(process.argv[2] ?? '');
upstream.on('error', () => undefined);

/** What a hop says of itself. */
function passedOn(headers: IncomingHttpHeaders): IncomingHttpHeaders {
	const { date: _date, ':authority': _authority, ':scheme': _scheme, authorization: _authorization, ...rest } = headers;
	return rest;
}

function pass(from: ServerHttp2Stream | ClientHttp2Stream, to: ServerHttp2Stream | ClientHttp2Stream): void {
	from.on('error', () => undefined);
	from.on('data', (bytes: Buffer) => {
		if (to.write(bytes)) return;
		from.pause();
		to.once('drain', () => from.resume());
	});
	from.on('end', () => to.end());
}

const server = createServer({ settings: { maxConcurrentStreams: 1000 } });
server.on('sessionError', () => undefined);
server.on('stream', (client, headers) => {
	const call = upstream.request(passedOn(headers));
	let trailers: IncomingHttpHeaders = {};
	pass(client, call);
	pass(call, client);
	call.on('response', (head) => {
		client.respond(passedOn(head), { waitForTrailers: true });
		client.once('wantTrailers', () => client.sendTrailers(trailers));
	});
	call.on('trailers', (ending: IncomingHttpHeaders) => {
		trailers = passedOn(ending);
	});
	client.on('close', () => {
		if (!call.destroyed) call.close(constants.NGHTTP2_CANCEL);
	});
});
server.listen(0, '127.0.0.1', () => process.send?.({ port: (server.address() as AddressInfo).port }));
process.on('SIGTERM', () => process.exit(0));
