// What an error of the transport says about a write: that it had no effect, or that nobody knows.

import { once } from 'node:events';
import { createServer, type Http2Server } from 'node:http2';
import { Client, credentials, type ServiceError } from '@grpc/grpc-js';
import test, { type ExecutionContext } from 'ava';
import { judgeTransport } from './status.js';

/** The error of a call to a server that answers every stream by resetting it with an HTTP/2 code. */
async function resetWith(t: ExecutionContext, code: number): Promise<ServiceError> {
	const server: Http2Server = createServer((request) => request.stream.close(code));
	server.listen(0, '127.0.0.1');
	await once(server, 'listening');
	const address = server.address();
	const client = new Client(
		`127.0.0.1:${typeof address === 'object' ? address?.port : ''}`,
		credentials.createInsecure(),
	);
	t.teardown(() => {
		client.close();
		server.close();
	});
	return new Promise((resolve, reject) => {
		const raw = (value: Buffer): Buffer => value;
		client.makeUnaryRequest('/test/Call', raw, raw, Buffer.alloc(0), (error) => {
			if (error === null) reject(new Error('answered'));
			else resolve(error);
		});
	});
}

const REFUSED_STREAM = 7;
const INTERNAL_ERROR = 2;

test('a stream that the server refused unseen had no effect: a connection that is being replaced loses no write', async (t) => {
	const verdict = judgeTransport(await resetWith(t, REFUSED_STREAM));
	t.is(verdict.kind, 'elsewhere');
	t.is(verdict.error.code, 'IM_CONSENSUS_UNAVAILABLE');
});

test('a stream that broke otherwise may have had an effect', async (t) => {
	const verdict = judgeTransport(await resetWith(t, INTERNAL_ERROR));
	t.is(verdict.kind, 'unknown');
	t.is(verdict.error.code, 'IM_CONSENSUS_TIMEOUT');
});
