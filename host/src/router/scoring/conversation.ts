// Owns how one call of the scoring API goes on, whichever protocol it came by: its questions are read and answered in their order. A stream is worked off in slices, so that
// one caller's questions hold up nobody's requests, and is read no further while questions are left or answers are not taken: what it may have here is bounded by one read and
// one question, and is counted with the bodies of requests.
import type { RouterEnv } from '../env.js';
import type { Refusal } from '../errors.js';
import type { RoutedRequest } from '../routed-request.js';

/** What a question holds besides the body of its request. */
export const ENVELOPE_BYTES_MAX = 64 * 1024;
/** Questions answered before others have their turn: up to some hundred microseconds each, with a long prompt. */
const SLICE = 8;
/** What a question that waits weighs besides its own bytes. */
const VIEW_BYTES = 128;

/** One call, as its protocol has it. */
export interface Talk {
	/** What it counts as while it lasts. `blockedSinceMs` of it is set while answers are not taken. */
	readonly request: RoutedRequest;
	/** Bytes of a question that is not whole. */
	readonly partialBytes: number;
	/** The questions that are whole with these bytes; or why nothing more can be read of it. */
	read(chunk: Buffer): readonly Buffer[] | Refusal;
	/** Nothing more comes: what is left is a question, or none. */
	last(): Buffer | undefined;
	/** Answers a question, or ends the call. */
	say(question: Buffer): void;
	pause(): void;
	resume(): void;
	/** All is answered, and nothing more comes. */
	over(): void;
	/** It goes no further. */
	refuse(refusal: Refusal): void;
}

export class Conversation {
	readonly #env: RouterEnv;
	readonly #talk: Talk;
	#questions: Buffer[] = [];
	#questionBytes = 0;
	/** The rest of the questions has its turn soon. */
	#waiting = false;
	#ended = false;

	constructor(env: RouterEnv, talk: Talk) {
		this.#env = env;
		this.#talk = talk;
	}

	take(chunk: Buffer): void {
		this.#guarded(() => {
			const read = this.#talk.read(chunk);
			if ('code' in read) return this.#talk.refuse(read);
			for (const question of read) this.#add(question);
			if (!this.#counted()) return this.#talk.refuse(this.#full());
			this.#work();
		});
	}

	end(): void {
		this.#guarded(() => {
			this.#ended = true;
			const last = this.#talk.last();
			if (last !== undefined) this.#add(last);
			this.#work();
		});
	}

	/** Answers have been taken. */
	goOn(): void {
		this.#guarded(() => this.#work());
	}

	#add(question: Buffer): void {
		this.#questionBytes += question.length + VIEW_BYTES;
		this.#questions.push(question);
	}

	/** Answers a slice, and ends the call when all is answered. */
	#work(): void {
		const { request } = this.#talk;
		if (this.#waiting || request.blockedSinceMs !== 0) return;
		for (let n = 0; n < SLICE && request.blockedSinceMs === 0; n++) {
			const question = this.#questions.shift();
			if (question === undefined) break;
			this.#questionBytes -= question.length + VIEW_BYTES;
			this.#talk.say(question);
			if (request.finished) return;
		}
		this.#counted();
		if (request.blockedSinceMs !== 0) return;
		if (this.#questions.length > 0) return this.#later();
		if (this.#ended) this.#talk.over();
		else this.#talk.resume();
	}

	#later(): void {
		this.#waiting = true;
		this.#talk.pause();
		setImmediate(() => {
			this.#waiting = false;
			this.goOn();
		});
	}

	/** Counts what is held here; false when there is no room for it. */
	#counted(): boolean {
		const env = this.#env;
		const { request, partialBytes } = this.#talk;
		const bytes = this.#questionBytes + partialBytes;
		env.bodyBytes += bytes - request.bodyBytes;
		request.bodyBytes = bytes;
		return env.bodyBytes <= env.options.bodyBytesTotalMax;
	}

	#full(): Refusal {
		return { code: 'IM_ROUTE_SATURATED', retryAfterS: this.#env.options.saturatedRetryAfterS };
	}

	/** A bug costs this call only. */
	#guarded(step: () => void): void {
		const { request } = this.#talk;
		if (request.finished) return;
		try {
			step();
		} catch (error) {
			const { requestId } = request;
			this.#env.ports.log.error({ requestId, error: String(error) }, 'a question could not be scored');
			this.#talk.refuse({ code: 'IM_ROUTE_INTERNAL' });
		}
	}
}
