// Owns how one call of the scoring API goes on: its messages are read and answered in their order. A stream is worked off in slices, so that one caller's questions
// hold up nobody's requests, and is read no further while questions are left or answers are not taken: what it may have here is bounded by one read and one
// message, and is counted with the bodies of requests.
import type { RouterEnv } from '../../env.js';
import type { Refusal } from '../../errors.js';
import type { GrpcCall } from '../call.js';
import { FrameReader } from '../frames.js';
import { awaitTaken, finish, refuse, reply, send } from '../own-replies.js';

/** Answers one question; with a refusal, `message` tells it inside a stream. Undefined for bytes that are no question. */
export type Answerer = (
	call: GrpcCall,
	question: Buffer,
) => { readonly message: Uint8Array; readonly refusal: Refusal | undefined } | undefined;

/** Questions answered before others have their turn: up to some hundred microseconds each, with a long prompt. */
const SLICE = 8;
/** What a message holds besides the body of its request. */
const ENVELOPE_BYTES_MAX = 64 * 1024;

export class Conversation {
	readonly #env: RouterEnv;
	readonly #call: GrpcCall;
	readonly #answer: Answerer;
	readonly #streams: boolean;
	readonly #frames: FrameReader;
	#questions: Buffer[] = [];
	#questionBytes = 0;
	/** The rest of the questions has its turn soon. */
	#waiting = false;

	constructor(env: RouterEnv, call: GrpcCall, answer: Answerer, streams: boolean) {
		this.#env = env;
		this.#call = call;
		this.#answer = answer;
		this.#streams = streams;
		this.#frames = new FrameReader(env.options.bodyBytesMax + ENVELOPE_BYTES_MAX);
	}

	begin(): void {
		const { stream2 } = this.#call;
		this.#call.standing = this.#streams;
		// A single question must have come in the time a request may take.
		this.#call.receiving = !this.#streams;
		stream2.on('data', (chunk: Buffer) => this.#guarded(() => this.#take(chunk)));
		stream2.on('end', () => {
			this.#call.clientEnded = true;
			this.#guarded(() => this.#work());
		});
	}

	#take(chunk: Buffer): void {
		const questions = this.#whole(chunk);
		if (questions === undefined) return this.#unreadable();
		for (const question of questions) this.#questionBytes += question.length;
		this.#questions.push(...questions);
		if (!this.#counted()) return refuse(this.#call, this.#full());
		this.#work();
	}

	/** Answers a slice, and ends the call when all is answered. */
	#work(): void {
		const call = this.#call;
		if (this.#waiting || call.blockedSinceMs !== 0) return;
		for (let n = 0; n < SLICE && call.blockedSinceMs === 0; n++) {
			const question = this.#questions.shift();
			if (question === undefined) break;
			this.#questionBytes -= question.length;
			this.#say(question);
			if (call.finished) return;
		}
		this.#counted();
		if (call.blockedSinceMs !== 0) return;
		if (this.#questions.length > 0) return this.#later();
		call.stream2.resume();
		if (!call.clientEnded) return;
		// A single question that did not come, or only in part.
		if (!this.#streams || this.#frames.partialBytes > 0) return this.#unreadable();
		finish(call);
	}

	#say(question: Buffer): void {
		const call = this.#call;
		const answer = this.#answer(call, question);
		if (answer === undefined) return this.#unreadable();
		const { message, refusal } = answer;
		if (this.#streams) {
			if (!send(call, message))
				awaitTaken(call, this.#env.ports.clock.nowMs(), () => this.#guarded(() => this.#work()));
			return;
		}
		call.receiving = false;
		if (refusal === undefined) reply(call, message);
		else refuse(call, refusal);
	}

	/** The messages that are whole with these bytes; undefined for what is no gRPC. */
	#whole(chunk: Buffer): readonly Buffer[] | undefined {
		try {
			return this.#frames.push(chunk);
		} catch {
			return undefined;
		}
	}

	/** It ends the call: where the next message would begin is not known. */
	#unreadable(): void {
		refuse(this.#call, { code: 'IM_REQUEST_GRPC' });
	}

	#later(): void {
		const { stream2 } = this.#call;
		this.#waiting = true;
		stream2.pause();
		setImmediate(() => {
			this.#waiting = false;
			this.#guarded(() => this.#work());
		});
	}

	/** Counts what is held here; false when there is no room for it. */
	#counted(): boolean {
		const env = this.#env;
		const bytes = this.#questionBytes + this.#frames.partialBytes;
		env.bodyBytes += bytes - this.#call.bodyBytes;
		this.#call.bodyBytes = bytes;
		return env.bodyBytes <= env.options.bodyBytesTotalMax;
	}

	#full(): Refusal {
		return { code: 'IM_ROUTE_SATURATED', retryAfterS: this.#env.options.saturatedRetryAfterS };
	}

	/** A bug costs this call only. */
	#guarded(step: () => void): void {
		if (this.#call.finished) return;
		try {
			step();
		} catch (error) {
			const { requestId } = this.#call;
			this.#env.ports.log.error({ requestId, error: String(error) }, 'a question could not be scored');
			refuse(this.#call, { code: 'IM_ROUTE_INTERNAL' });
		}
	}
}
