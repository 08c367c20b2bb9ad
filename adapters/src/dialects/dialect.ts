// Owns what a request dialect is: a description, as data, of where in its requests and answers the router finds what it needs. Nothing here
// reads bytes; the router does, by these descriptions.

/** How an error looks to the clients of a dialect. */
export type ErrorShape = 'openai' | 'anthropic' | 'text' | 'tgi' | 'torchserve';

/**
 * Where a request names its model: a segment of the path, the member `model` of a JSON body, the field `model` of a multipart form. `none`: it does not,
 * and goes to the header `x-infermesh-model`, or to the only model there is.
 */
export type ModelPlace = 'path' | 'body' | 'form' | 'none';

/** What kind of work a request asks for. `control` asks for none. */
export type Work = 'generation' | 'embedding' | 'control';

/** How one member of a JSON body is laid out as prompt, in the order of the engine's template. */
export interface PromptField {
	readonly member: string;
	/**
	 * `text`: a string or a list of content parts. `batch`: a string, a list of strings, a list of token ids, or a list of these. `messages`: chat messages. `items`: text,
	 * or messages. `ids`: a list of token ids, or a list of these; where it holds any it is the whole prompt. `json`: taken as its JSON text. `tensors`: the token ids of integer tensors
	 * that go by a name of theirs, or else the strings of tensors of type BYTES. `values`: the strings of a value of any shape. Of named texts those with a prompt's name count, where there are any.
	 */
	readonly as: 'text' | 'batch' | 'ids' | 'messages' | 'items' | 'json' | 'tensors' | 'values';
}

/** Path to a member of a JSON body. */
export type MemberPath = readonly string[];

export interface Dialect {
	/** Stable name, for logs. */
	readonly name: string;
	readonly model: ModelPlace;
	/** Without a model the request is refused; otherwise it is treated as one of `none`. */
	readonly modelRequired: boolean;
	readonly work: Work;
	/** `body`: the member `stream` says so. */
	readonly stream: 'never' | 'always' | 'body';
	/** Members that may bound the output, the first one found counts. */
	readonly tokensOutMax: readonly MemberPath[];
	readonly prompt: readonly PromptField[];
	/** Members that tell requests of one session, besides those every dialect has. */
	readonly session: readonly MemberPath[];
	/** Key of the object that counts tokens, in a body or an event. */
	readonly usageKey: string;
	/** Header names of token counts, in and out. */
	readonly usageHeaders: readonly [tokensIn: string, tokensOut: string] | undefined;
	/** The engine sends `usage` in streams only when asked by `stream_options`. */
	readonly usageAskedByStreamOptions: boolean;
	/** Sending it twice does no harm: hedging and retries by strategies may rely on it. */
	readonly idempotent: boolean;
	readonly errors: ErrorShape;
	/** Answers carry ids by which later requests ask for the same target. */
	readonly responseIds: boolean;
	/** `gen_ai.operation.name`. */
	readonly operation: string | undefined;
}

const base: Dialect = {
	name: '',
	model: 'body',
	modelRequired: true,
	work: 'generation',
	stream: 'body',
	tokensOutMax: [],
	prompt: [],
	session: [],
	usageKey: 'usage',
	usageHeaders: undefined,
	usageAskedByStreamOptions: false,
	idempotent: true,
	errors: 'openai',
	responseIds: false,
	operation: undefined,
};

/** A dialect from what sets it apart: by default an OpenAI-like generation that names its model in the body. */
export function dialect(name: string, more: Partial<Dialect>): Dialect {
	return { ...base, ...more, name };
}
