// Owns the state of one HTTP request while it is in the router: the record every protocol shares, and what only HTTP has.
import type { IncomingMessage, ServerResponse } from 'node:http';
import { type Endpoint, type Protocol, RoutedRequest } from './routed-request.js';

export const EMPTY = Buffer.alloc(0);

export class Exchange extends RoutedRequest {
	readonly req: IncomingMessage;
	readonly res: ServerResponse;
	/** Path with the query, as sent upstream. */
	readonly target: string;

	// receive
	body: Buffer = EMPTY;

	// parse
	/** The router asked for `usage` on the client's behalf, and strips it again. */
	usageInjected = false;
	/** The body's own `stream_options`, where it has some. */
	streamOptions: unknown;

	// dispatch and stream back
	/** Body as last sent, and the model name in it. */
	sentBody: Buffer | undefined;
	sentModel = '';
	/** When a connection that is being drained of a refused upload is cut. */
	lingerUntilMs = 0;
	/** When the connection of a response that cannot be completed is cut; 0 = it can. */
	cutAtMs = 0;

	constructor(
		protocol: Protocol,
		req: IncomingMessage,
		res: ServerResponse,
		endpoint: Endpoint,
		path: string,
		target: string,
		startMs: number,
	) {
		super(protocol, endpoint, req.method ?? 'GET', path, req.headers, req.socket, startMs);
		this.req = req;
		this.res = res;
		this.target = target;
	}
}
