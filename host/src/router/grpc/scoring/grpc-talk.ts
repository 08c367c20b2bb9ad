// Owns a call of the scoring API as gRPC has it: messages in frames, answers in messages, and its end in trailers. How it goes on is scoring/conversation.ts's.
import type { RouterEnv } from '../../env.js';
import type { Refusal } from '../../errors.js';
import { Conversation, ENVELOPE_BYTES_MAX, type Talk } from '../../scoring/conversation.js';
import type { GrpcCall } from '../call.js';
import { FrameReader } from '../frames.js';
import { awaitTaken, finish, refuse, reply, send } from '../own-replies.js';

/** Answers one question; with a refusal, `message` tells it inside a stream. Undefined for bytes that are no question. */
export type Answerer = (
	call: GrpcCall,
	question: Buffer,
) => { readonly message: Uint8Array; readonly refusal: Refusal | undefined } | undefined;

/** What it ends with where the next message would begin is not known. */
const unreadable: Refusal = { code: 'IM_REQUEST_GRPC' };

export class GrpcTalk implements Talk {
	readonly request: GrpcCall;
	readonly #env: RouterEnv;
	readonly #answer: Answerer;
	readonly #streams: boolean;
	readonly #frames: FrameReader;
	readonly #conversation: Conversation;

	constructor(env: RouterEnv, call: GrpcCall, answer: Answerer, streams: boolean) {
		this.#env = env;
		this.request = call;
		this.#answer = answer;
		this.#streams = streams;
		this.#frames = new FrameReader(env.options.bodyBytesMax + ENVELOPE_BYTES_MAX);
		this.#conversation = new Conversation(env, this);
	}

	begin(): void {
		const { request } = this;
		const { stream2 } = request;
		request.standing = this.#streams;
		// A single question must have come in the time a request may take.
		request.receiving = !this.#streams;
		stream2.on('data', (chunk: Buffer) => this.#conversation.take(chunk));
		stream2.on('end', () => {
			request.clientEnded = true;
			this.#conversation.end();
		});
	}

	get partialBytes(): number {
		return this.#frames.partialBytes;
	}

	read(chunk: Buffer): readonly Buffer[] | Refusal {
		try {
			return this.#frames.push(chunk);
		} catch {
			return unreadable;
		}
	}

	last(): undefined {
		return undefined;
	}

	say(question: Buffer): void {
		const { request } = this;
		const answer = this.#answer(request, question);
		if (answer === undefined) return this.refuse(unreadable);
		const { message, refusal } = answer;
		if (this.#streams) {
			if (!send(request, message)) awaitTaken(request, this.#env.ports.clock.nowMs(), () => this.#conversation.goOn());
			return;
		}
		request.receiving = false;
		if (refusal === undefined) reply(request, message);
		else refuse(request, refusal);
	}

	pause(): void {
		this.request.stream2.pause();
	}

	resume(): void {
		this.request.stream2.resume();
	}

	/** A single question did not come, or only in part; or a stream ends as it should. */
	over(): void {
		if (!this.#streams || this.#frames.partialBytes > 0) this.refuse(unreadable);
		else finish(this.request);
	}

	refuse(refusal: Refusal): void {
		refuse(this.request, refusal);
	}
}
