// Owns the state of one HTTP request while it is in the router: the record every protocol shares, and what only HTTP has.
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { ServerHttp2Stream } from 'node:http2';
import type { Dialect } from '@infermesh/adapters';
import type { PathName } from './accept.js';
import type { Span } from './json-bytes.js';
import type { UpstreamTarget } from './ports.js';
import { type Protocol, RoutedRequest } from './routed-request.js';
import type { ScoringVerb } from './scoring/paths.js';

export const EMPTY = Buffer.alloc(0);

export class Exchange extends RoutedRequest {
	readonly req: IncomingMessage;
	readonly res: ServerResponse;
	/** The stream it came on; undefined for HTTP/1.1. */
	readonly stream2: ServerHttp2Stream | undefined;
	/** Path with the query, as sent upstream. */
	readonly target: string;
	/** The model's name in the path. */
	pathModel: PathName | undefined;
	/** It is not to be served but scored; undefined for a request of our own. */
	scoring: ScoringVerb | undefined;
	/** The id of a stored response in the path. */
	pathId: PathName | undefined;

	// receive
	body: Buffer = EMPTY;
	/** The body has not come yet. */
	receiving = false;

	// parse
	/** The body is JSON and was read. */
	parsed = false;
	/** The model's name is the member `model` of the body. */
	modelInBody = false;
	/** Where the model's name stands in a form. */
	formModel: Span | undefined;
	/** Id of the stored response that the request goes on from. */
	previousId = '';
	/** The router asked for `usage` on the client's behalf, and strips it again. */
	usageInjected = false;
	/** The body's own `stream_options`, where it has some. */
	streamOptions: unknown;

	// dispatch and stream back
	/** Body as last sent, and the target it was made for. */
	sentBody: Buffer | undefined;
	sentTo: UpstreamTarget | undefined;
	/** When a connection that is being drained of a refused upload is cut. */
	lingerUntilMs = 0;
	/** When the connection of a response that cannot be completed is cut; 0 = it can. */
	cutAtMs = 0;

	constructor(
		protocol: Protocol,
		req: IncomingMessage,
		res: ServerResponse,
		dialect: Dialect,
		path: string,
		target: string,
		startMs: number,
		stream2?: ServerHttp2Stream,
	) {
		super(protocol, dialect, req.method ?? 'GET', path, req.headers, stream2?.session ?? req.socket, startMs);
		this.req = req;
		this.res = res;
		this.target = target;
		this.stream2 = stream2;
	}
}
