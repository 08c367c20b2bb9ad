// Owns conversations in lines over TCP, bounded in time and bytes.
import { createConnection } from 'node:net';
import type { Clock } from '@infermesh/proto';
import type { ConnectLines, LineConnection } from './ports.js';

export function lineConnector(clock: Clock): ConnectLines {
	return async (host, port, { timeoutMs, bytesMax }) => {
		const socket = createConnection({ host, port });
		let received = '';
		let bytes = 0;
		let closed = false;
		let failure: Error | undefined;
		let wake: () => void = () => undefined;
		const decoder = new TextDecoder();
		const fail = (error: Error): void => {
			failure ??= error;
			socket.destroy();
			wake();
		};
		const timer = clock.after(timeoutMs, () =>
			fail(new Error(`no whole answer of ${host}:${port} in ${timeoutMs} ms`)),
		);
		socket.on('data', (piece: Uint8Array) => {
			bytes += piece.length;
			if (bytes > bytesMax) fail(new RangeError(`the answer of ${host}:${port} exceeds ${bytesMax} bytes`));
			else received += decoder.decode(piece, { stream: true });
			wake();
		});
		socket.on('error', fail);
		socket.on('close', () => {
			closed = true;
			timer.cancel();
			wake();
		});
		/** Resolves with what `take` finds once it finds something; rejects when the conversation has failed. */
		const until = async <T>(take: () => T | undefined): Promise<T | undefined> => {
			for (;;) {
				if (failure !== undefined) throw failure;
				const found = take();
				if (found !== undefined || closed) return found;
				await new Promise<void>((resolve) => {
					wake = resolve;
				});
			}
		};
		const takeLine = (): string | undefined => {
			const end = received.indexOf('\n');
			if (end < 0) return undefined;
			const line = received.slice(0, end).replace(/\r$/, '');
			received = received.slice(end + 1);
			return line;
		};
		const connection: LineConnection = {
			ask: (line) => {
				socket.write(`${line}\n`);
				return until(takeLine);
			},
			askAll: async (line) => {
				socket.write(`${line}\n`);
				await until(() => undefined);
				return received;
			},
			close: () => {
				timer.cancel();
				socket.destroy();
			},
		};
		let connected = false;
		socket.once('connect', () => {
			connected = true;
			wake();
		});
		await until(() => (connected ? true : undefined));
		return connection;
	};
}
