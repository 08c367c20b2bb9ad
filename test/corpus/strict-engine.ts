// Owns an engine that reads as strictly as RFC 9112 lets a server, and keeps what it read: one list of requests, and one of everything that a request
// from a router should never contain. What it answers is the test's; by default it echoes the request's marker.
import { createServer, type Socket } from 'node:net';

export interface SeenRequest {
	/** Which connection it came on, from 0. */
	readonly connection: number;
	readonly method: string;
	readonly path: string;
	readonly headers: ReadonlyMap<string, string>;
	readonly body: string;
}

/** Sends the answer to a request; what it leaves open stays open. */
export type Answer = (socket: Socket, request: SeenRequest) => void;

export interface StrictEngine {
	readonly url: string;
	readonly seen: SeenRequest[];
	/** Bytes that were no request, or one that two readers could understand differently. */
	readonly violations: string[];
	readonly open: () => number;
	answer: Answer;
	/** Sends bytes on every open connection, asked or not. */
	volunteer(bytes: string): void;
	close(): Promise<void>;
}

const LINE = /^([A-Z]+) (\/[\x21-\x7e]*) HTTP\/1\.1$/;
const FIELD = /^([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*([^\0\r\n]*?)[ \t]*$/;

/** The marker of a request: what its body names `marker`. */
export function markerOf({ body }: SeenRequest): string {
	return /"marker":"([\w-]*)"/.exec(body)?.[1] ?? 'none';
}

/** A whole answer that carries the request's marker. */
export const echo: Answer = (socket, request) => {
	const body = JSON.stringify({ choices: [{ message: { content: markerOf(request) } }] });
	socket.write(`HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`);
};

/** Reads requests off the front of `bytes`: what it took, and what is left for more bytes to complete. */
class Reader {
	#bytes = '';
	readonly #take: (request: Omit<SeenRequest, 'connection'>) => void;
	readonly #violate: (what: string) => void;

	constructor(take: (request: Omit<SeenRequest, 'connection'>) => void, violate: (what: string) => void) {
		this.#take = take;
		this.#violate = violate;
	}

	get left(): string {
		return this.#bytes;
	}

	push(bytes: string): void {
		this.#bytes += bytes;
		while (this.#bytes !== '' && this.#one());
	}

	#one(): boolean {
		const end = this.#bytes.indexOf('\r\n\r\n');
		if (end < 0) return false;
		const [line = '', ...fields] = this.#bytes.slice(0, end).split('\r\n');
		const request = LINE.exec(line);
		if (request === null) return this.#fail(`request line ${JSON.stringify(line)}`);
		const headers = new Map<string, string>();
		for (const field of fields) {
			const found = FIELD.exec(field);
			if (found === null) return this.#fail(`field ${JSON.stringify(field)}`);
			const name = (found[1] as string).toLowerCase();
			if (headers.has(name) && (name === 'content-length' || name === 'transfer-encoding' || name === 'host'))
				return this.#fail(`${name} twice`);
			headers.set(name, found[2] as string);
		}
		const length = headers.get('content-length');
		const encoding = headers.get('transfer-encoding');
		if (length !== undefined && encoding !== undefined) return this.#fail('both lengths');
		if (encoding !== undefined) return this.#fail('a chunked request: the router holds whole bodies');
		if (length !== undefined && !/^\d+$/.test(length)) return this.#fail(`length ${length}`);
		const from = end + 4;
		const to = from + Number(length ?? 0);
		if (this.#bytes.length < to) return false;
		const [, method, path] = request as unknown as [string, string, string];
		const body = this.#bytes.slice(from, to);
		this.#bytes = this.#bytes.slice(to);
		this.#take({ method, path, headers, body });
		return true;
	}

	#fail(what: string): false {
		this.#violate(what);
		this.#bytes = '';
		return false;
	}
}

export async function startStrictEngine(): Promise<StrictEngine> {
	const seen: SeenRequest[] = [];
	const violations: string[] = [];
	const sockets = new Set<Socket>();
	let connections = 0;
	const server = createServer((socket) => {
		const connection = connections++;
		sockets.add(socket);
		const reader = new Reader(
			(request) => {
				const one = { connection, ...request };
				seen.push(one);
				engine.answer(socket, one);
			},
			(what) => violations.push(what),
		);
		socket.setEncoding('latin1');
		socket.on('data', (bytes) => reader.push(bytes.toString()));
		socket.on('error', () => undefined);
		socket.on('close', () => {
			sockets.delete(socket);
			// A request whose client left half-way must not have begun here: bodies are held until they are whole.
			if (reader.left !== '') violations.push(`a request cut short: ${JSON.stringify(reader.left.slice(0, 80))}`);
		});
	});
	await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve));
	const address = server.address();
	if (address === null || typeof address === 'string') throw new Error('no port');
	const engine: StrictEngine = {
		url: `http://127.0.0.1:${address.port}`,
		seen,
		violations,
		open: () => sockets.size,
		answer: echo,
		volunteer: (bytes) => {
			for (const socket of sockets) socket.write(bytes);
		},
		close: () =>
			new Promise((resolve) => {
				server.close(() => resolve());
				for (const socket of sockets) socket.destroy();
			}),
	};
	return engine;
}
