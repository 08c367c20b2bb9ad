import { type AddressInfo, createServer, type Server } from 'node:net';
import test, { type ExecutionContext } from 'ava';
import { checkPort } from './port-check.js';

async function listening(t: ExecutionContext): Promise<Server> {
	const server = createServer();
	await new Promise<void>((resolve) => {
		server.listen({ host: '127.0.0.1', port: 0, reusePort: true }, resolve);
	});
	t.teardown(() => server.close());
	return server;
}

test('a port that another mesh shares among its workers is in use', async (t) => {
	const { port } = (await listening(t)).address() as AddressInfo;
	const error = await t.throwsAsync<NodeJS.ErrnoException>(checkPort('127.0.0.1', port));
	t.is(error?.code, 'EADDRINUSE');
});

test('a free port is free afterwards too, and any free one always is', async (t) => {
	const server = await listening(t);
	const { port } = server.address() as AddressInfo;
	await new Promise<void>((resolve) => {
		server.close(() => resolve());
	});
	await t.notThrowsAsync(checkPort('127.0.0.1', port));
	await t.notThrowsAsync(checkPort('127.0.0.1', port));
	await t.notThrowsAsync(checkPort('127.0.0.1', 0));
});
