// Owns the state of one piped WebSocket while it is in the router: the record every protocol shares, and the client's side of the socket, which is a handshake to
// be answered until a runtime has taken the session.
import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { realtime } from '@infermesh/adapters';
import { type Protocol, RoutedRequest } from '../routed-request.js';
import type { GuardedSocket } from './guarded-socket.js';

export class PipeRequest extends RoutedRequest {
	readonly req: IncomingMessage;
	readonly socket: Duplex;
	/** What came behind the handshake. */
	readonly head: Buffer;
	/** Subprotocols to offer to the runtime. */
	readonly protocols: readonly string[];
	/** Path with the query, as sent upstream; and where the model's name stands in it. */
	readonly target: string;
	modelStart = 0;
	modelEnd = 0;
	/** The client's side, once it is open. */
	client: GuardedSocket | undefined;

	constructor(
		protocol: Protocol,
		req: IncomingMessage,
		socket: Duplex,
		head: Buffer,
		offer: { readonly protocols: readonly string[]; readonly authorization: string | undefined },
		startMs: number,
	) {
		const target = req.url ?? '/';
		const { authorization } = offer;
		const headers = authorization === undefined ? req.headers : { ...req.headers, authorization };
		super(protocol, realtime, 'GET', target.split('?', 1)[0] as string, headers, socket, startMs);
		this.req = req;
		this.socket = socket;
		this.head = head;
		this.protocols = offer.protocols;
		this.target = target;
		this.stream = true;
	}
}

/** Finds the model in the query; or, as text, what is wrong with it. Without one, the header's counts. */
export function readModel(request: PipeRequest): string | undefined {
	const { target } = request;
	request.model = request.modelHeader;
	let at = target.indexOf('?') + 1;
	if (at === 0) return undefined;
	for (; at <= target.length; at = nextParameter(target, at)) {
		if (!target.startsWith('model=', at)) continue;
		if (request.modelEnd !== 0) return '`model` is given twice.';
		request.modelStart = at + 'model='.length;
		request.modelEnd = nextParameter(target, at) - 1;
	}
	if (request.modelEnd === 0) return undefined;
	try {
		request.model = decodeURIComponent(target.slice(request.modelStart, request.modelEnd).replaceAll('+', ' '));
	} catch {
		return '`model` is not valid in a query.';
	}
	return request.model === '' || request.model.length > MODEL_CHARS_MAX
		? '`model` must be the name of a model.'
		: undefined;
}

const MODEL_CHARS_MAX = 512;

/** Offset of the parameter after the one at `at`; one past the end when there is none. */
function nextParameter(target: string, at: number): number {
	const next = target.indexOf('&', at);
	return next < 0 ? target.length + 1 : next + 1;
}

/** The path for a runtime that knows the model as `model`. */
export function upstreamTarget({ target, model: asked, modelStart, modelEnd }: PipeRequest, model: string): string {
	if (modelEnd === 0 || asked === model) return target;
	return `${target.slice(0, modelStart)}${encodeURIComponent(model)}${target.slice(modelEnd)}`;
}
