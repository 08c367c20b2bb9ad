// Owns the state of one gRPC call while it is in the router: the record every protocol shares, and what only gRPC has. What the client has sent is kept as it
// came while the call may still go to another target, within a bound, and is counted with all bodies held.
import type { IncomingHttpHeaders, OutgoingHttpHeaders, ServerHttp2Stream } from 'node:http2';
import type { IdBytes } from '../id-bytes.js';
import { layTexts } from '../prompt.js';
import type { PromptBuffer } from '../prompt-buffer.js';
import { type Protocol, RoutedRequest } from '../routed-request.js';
import type { FirstMessage } from './first-message.js';
import type { MessageCounter } from './message-counter.js';
import type { GrpcMethod } from './methods.js';
import type { TextPieces } from './tensor-texts.js';
import type { PromptLayout } from './torchserve-inputs.js';

export class GrpcCall extends RoutedRequest {
	readonly stream2: ServerHttp2Stream;
	readonly grpc: GrpcMethod;
	override readonly grpcOnly = true;
	/** The first message, until it has been read. */
	first: FirstMessage | undefined;
	/** Where the first message ends among the bytes sent; 0 = it was not waited for. */
	firstBytes = 0;
	/** It is compressed: nothing can be put behind it. */
	firstCompressed = false;
	/** The message names the model, and not a header. */
	modelInMessage = false;
	/** It stays open between questions and answers: a router that closes ends it well. */
	standing = false;
	/** Waits for its first message. */
	receiving = false;
	/** What the client has sent so far, as it came. Empty once it cannot be sent again. */
	sent: Buffer[] = [];
	sentBytes = 0;
	/** The prompt its first message has: pieces of what was sent, or of what that was inflated to. */
	texts: readonly TextPieces[] = [];
	/** The same where it is token ids. */
	ids: readonly IdBytes[] = [];
	/** How that is laid out where it is no row of texts. */
	layout: PromptLayout | undefined;
	/** Counts what comes after the message it was routed by. */
	counter: MessageCounter | undefined;
	/** The client sends no more. */
	clientEnded = false;
	/** When it said so, on the monotonic clock. */
	clientEndedMs = 0;
	/** What ends the response. */
	trailers: OutgoingHttpHeaders = {};
	/** gRPC's status of the response, once there is one. */
	statusCode = -1;

	constructor(
		protocol: Protocol,
		stream2: ServerHttp2Stream,
		method: GrpcMethod,
		path: string,
		headers: IncomingHttpHeaders,
		startMs: number,
	) {
		super(protocol, method.dialect, 'POST', path, headers, stream2.session ?? stream2, startMs);
		this.stream2 = stream2;
		this.grpc = method;
		this.stream = method.streams;
	}

	override layPrompt(into: PromptBuffer): void {
		if (this.ids.length > 0) for (const ids of this.ids) into.idBytes(ids);
		else if (this.layout === undefined) layTexts(this.texts, into);
		else this.layout(into);
	}
}
