// Owns the state of one HTTP request while it is in the router: the record every protocol shares, what its body says, and what only HTTP has.
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { ServerHttp2Stream } from 'node:http2';
import type { Dialect } from '@infermesh/adapters';
import { BodyRequest } from './body-request.js';
import type { UpstreamTarget } from './ports.js';
import type { Protocol } from './routed-request.js';
import type { ScoringVerb } from './scoring/paths.js';

/** What stays open between questions and answers. */
export interface Standing {
	/** Ends it well, when its time is over or the router closes. */
	check(nowMs: number): boolean;
}

export class Exchange extends BodyRequest {
	readonly req: IncomingMessage;
	readonly res: ServerResponse;
	/** The stream it came on; undefined for HTTP/1.1. */
	readonly stream2: ServerHttp2Stream | undefined;
	/** Path with the query, as sent upstream. */
	readonly target: string;
	/** It is not to be served but scored; undefined for a request of our own. */
	scoring: ScoringVerb | undefined;
	/** The body has not come yet. */
	receiving = false;
	/** A stream of questions: its body comes for as long as its client likes. */
	standing: Standing | undefined;

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
