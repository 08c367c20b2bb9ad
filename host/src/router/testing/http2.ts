// Owns what tests need of HTTP/2 below an HTTP client: whole answers of a session, and raw frames for clients that misbehave.
import { type ClientHttp2Session, constants, type IncomingHttpHeaders, type OutgoingHttpHeaders } from 'node:http2';

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

export const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
export const frameTypes = { data: 0, headers: 1, reset: 3, settings: 4, ping: 6, continuation: 9 } as const;

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
