// Owns what tests need of HTTP/2 below HTTP: whole answers of a session, an engine whose streams do what a test says, and raw frames for sides that misbehave.
import {
	type ClientHttp2Session,
	constants,
	createSecureServer,
	createServer,
	type Http2SecureServer,
	type Http2Server,
	type IncomingHttpHeaders,
	type OutgoingHttpHeaders,
	type ServerHttp2Session,
	type ServerHttp2Stream,
} from 'node:http2';
import type { AddressInfo, Socket } from 'node:net';
import type { TestCertificate } from './certificate.js';

export interface Answer2 {
	readonly status: number;
	readonly headers: IncomingHttpHeaders;
	readonly text: string;
	/** 0 = ended as it should. */
	readonly rstCode: number;
}

/** One request on a session. Resolves when its stream is closed, however it ended. */
export function ask(
	session: ClientHttp2Session,
	headers: OutgoingHttpHeaders,
	body?: string | Buffer,
): Promise<Answer2> {
	return new Promise((resolve) => {
		const stream = session.request(headers, { endStream: body === undefined });
		let head: IncomingHttpHeaders = {};
		const chunks: Buffer[] = [];
		stream.on('response', (got) => {
			head = got;
		});
		stream.on('data', (chunk: Buffer) => chunks.push(chunk));
		stream.on('error', () => undefined);
		stream.on('close', () =>
			resolve({
				status: Number(head[constants.HTTP2_HEADER_STATUS] ?? 0),
				headers: head,
				text: Buffer.concat(chunks).toString(),
				rstCode: stream.rstCode,
			}),
		);
		if (body !== undefined) stream.end(body);
	});
}

export type StreamHandler = (stream: ServerHttp2Stream, headers: IncomingHttpHeaders, engine: FakeHttp2) => void;

export interface FakeHttp2 {
	readonly origin: string;
	/** Headers of the streams seen, in order. */
	readonly seen: IncomingHttpHeaders[];
	/** Reset codes of the streams that were reset by the router. */
	readonly resets: number[];
	readonly sessions: Set<ServerHttp2Session>;
	/** Breaks its connections, as the end of its process would. */
	kill(): void;
	close(): Promise<void>;
}

/** `tls`: it speaks TLS as `localhost`, and asks for a certificate of the same authority. */
export async function fakeHttp2(handler: StreamHandler, tls?: TestCertificate): Promise<FakeHttp2> {
	const server: Http2Server | Http2SecureServer =
		tls === undefined ? createServer() : createSecureServer({ ...tls, requestCert: true, rejectUnauthorized: true });
	const sockets = new Set<Socket>();
	server.on('connection', (socket: Socket) => {
		sockets.add(socket);
		socket.on('close', () => sockets.delete(socket));
	});
	const engine: FakeHttp2 = {
		origin: '',
		seen: [],
		resets: [],
		sessions: new Set(),
		kill() {
			for (const socket of sockets) socket.destroy();
		},
		close: () =>
			new Promise((resolve) => {
				server.close(() => resolve());
				for (const session of engine.sessions) session.destroy();
			}),
	};
	server.on('session', (session) => {
		engine.sessions.add(session);
		session.on('error', () => undefined);
		session.on('close', () => engine.sessions.delete(session));
	});
	server.on('stream', (stream, headers) => {
		engine.seen.push(headers);
		stream.on('error', () => undefined);
		stream.on('close', () => {
			if (stream.rstCode !== 0) engine.resets.push(stream.rstCode);
		});
		handler(stream, headers, engine);
	});
	await new Promise<void>((resolve) => {
		server.listen(0, '127.0.0.1', resolve);
	});
	return Object.assign(engine, {
		origin: `${tls === undefined ? 'http://127.0.0.1' : 'https://localhost'}:${(server.address() as AddressInfo).port}`,
	});
}

export const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
export const frameTypes = { data: 0, headers: 1, reset: 3, settings: 4, ping: 6, goaway: 7, continuation: 9 } as const;

export function frame(type: number, flags: number, stream: number, payload: Buffer = Buffer.alloc(0)): Buffer {
	const head = Buffer.alloc(9);
	head.writeUIntBE(payload.length, 0, 3);
	head[3] = type;
	head[4] = flags;
	head.writeUInt32BE(stream, 5);
	return Buffer.concat([head, payload]);
}

/** Preface and settings: what a client begins with. */
export const hello = Buffer.concat([PREFACE, frame(frameTypes.settings, 0, 0)]);
/** `GET /` in HPACK's static table, with an authority. */
export const getBlock = Buffer.from([0x82, 0x86, 0x84, 0x41, 0x01, 0x61]);
export const END_STREAM = 1;
export const END_HEADERS = 4;
/** `:status: 200` in HPACK's static table. */
export const okBlock = Buffer.from([0x88]);
/** `:status: 200` with one more field, written out in full. */
export function okWith(name: string, value: string): Buffer {
	const literal = (text: string): Buffer => Buffer.concat([Buffer.from([text.length]), Buffer.from(text, 'latin1')]);
	return Buffer.concat([okBlock, Buffer.from([0]), literal(name), literal(value)]);
}
