// Owns the messages between a data-plane worker and a tokenising thread, over a port of their own.
import type { OtherHttpVersion } from '../../router/upstream/http-version.js';

export type TokenEndpoint = 'chat' | 'completion';

/** How a model's prompts become token ids. */
export type TokenizerSource =
	/** A folder with `tokenizer.json` and, for chats, `tokenizer_config.json` or `chat_template.jinja`. */
	| { readonly kind: 'file'; readonly path: string }
	/** The engine's own `POST /tokenize`. */
	| { readonly kind: 'engine' };

export interface TokenRequest {
	readonly id: number;
	readonly model: string;
	readonly endpoint: TokenEndpoint;
	/** The request's body as the client sent it. */
	readonly body: Uint8Array;
	/** Wall time after which nobody waits for the answer; it is still made, for the next time, when nothing else waits. */
	readonly untilMs: number;
	/** An engine to ask, where engines are asked. */
	readonly engine: {
		readonly url: string;
		readonly apiKey: string | undefined;
		readonly model: string;
		/** HTTP's version there; absent = HTTP/1.1. */
		readonly http?: OtherHttpVersion | undefined;
	};
}

export interface TokenReply {
	readonly id: number;
	/** Undefined when there are none, with why. */
	readonly ids: Uint32Array | undefined;
	readonly failure: 'unsupported' | 'failed' | 'stale' | undefined;
	readonly tookMs: number;
}
