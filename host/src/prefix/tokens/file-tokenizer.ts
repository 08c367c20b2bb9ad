// Owns a Hugging Face tokeniser from local files: the chat template that makes one text of a conversation, and the ids of a text. Texts are
// cut at special tokens, which no other token crosses, and each piece is looked up before it is encoded: a conversation costs its last turn.
// Invariant: the ids are those of encoding the whole text at once; where a tokeniser treats the start of a text apart, it is not cut.
import { Template } from '@huggingface/jinja';
import { Tokenizer } from '@huggingface/tokenizers';
import type { SegmentCache } from './segment-cache.js';

type Json = Readonly<Record<string, unknown>>;

/** The files of one model, read. */
export interface TokenizerFiles {
	/** `tokenizer.json`. */
	readonly tokenizer: Json;
	/** `tokenizer_config.json`. */
	readonly config: Json;
	/** `chat_template.jinja`, where the template is a file of its own. */
	readonly template: string | undefined;
}

export class FileTokenizer {
	readonly #tokenizer: Tokenizer;
	readonly #template: Template | undefined;
	readonly #special: RegExp | undefined;
	readonly #names: Readonly<Record<string, string>>;
	readonly #cache: SegmentCache;
	/** What encoding with special tokens puts before and behind a text. */
	readonly #before: Uint32Array;
	readonly #behind: Uint32Array;

	/** Throws what the libraries throw at files they cannot read. */
	constructor(files: TokenizerFiles, cache: SegmentCache) {
		this.#tokenizer = new Tokenizer(files.tokenizer, files.config);
		const template = files.template ?? templateOf(files.config['chat_template']);
		this.#template = template === undefined ? undefined : new Template(template);
		this.#special = startsPlain(files.tokenizer) ? specialTokens(files.tokenizer) : undefined;
		this.#names = Object.fromEntries(
			['bos_token', 'eos_token', 'pad_token', 'unk_token'].flatMap((name) => {
				const text = tokenText(files.config[name]);
				return text === undefined ? [] : [[name, text]];
			}),
		);
		this.#cache = cache;
		const bare: readonly number[] = this.#tokenizer.encode('a', { add_special_tokens: false }).ids;
		const full: readonly number[] = this.#tokenizer.encode('a', { add_special_tokens: true }).ids;
		const at = full.findIndex((_, start) => bare.every((id, i) => full[start + i] === id));
		this.#before = Uint32Array.from(full.slice(0, Math.max(0, at)));
		this.#behind = Uint32Array.from(at < 0 ? [] : full.slice(at + bare.length));
	}

	/** Ids of a conversation as its template renders it; undefined when there is no template or it holds more than text. */
	chat(body: Json): Uint32Array | undefined {
		const messages = textMessages(body['messages']);
		if (this.#template === undefined || messages === undefined) return undefined;
		const kwargs = body['chat_template_kwargs'];
		const text = this.#template.render({
			...this.#names,
			...(isObject(kwargs) ? kwargs : {}),
			messages,
			...(Array.isArray(body['tools']) && body['tools'].length > 0 ? { tools: body['tools'] } : {}),
			add_generation_prompt: body['add_generation_prompt'] !== false,
		});
		return this.#encode(text);
	}

	/** Ids of a completion's prompt, with the special tokens the tokeniser adds. */
	completion(text: string): Uint32Array {
		return joined([this.#before, this.#encode(text), this.#behind]);
	}

	#encode(text: string): Uint32Array {
		if (this.#special === undefined) return this.#piece(text);
		return joined(text.split(this.#special).flatMap((piece) => (piece === '' ? [] : [this.#piece(piece)])));
	}

	#piece(text: string): Uint32Array {
		const known = this.#cache.get(text);
		if (known !== undefined) return known;
		const ids = Uint32Array.from(this.#tokenizer.encode(text, { add_special_tokens: false }).ids);
		this.#cache.set(text, ids);
		return ids;
	}
}

function isObject(value: unknown): value is Json {
	return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function joined(parts: readonly Uint32Array[]): Uint32Array {
	const all = new Uint32Array(parts.reduce((sum, part) => sum + part.length, 0));
	let at = 0;
	for (const part of parts) {
		all.set(part, at);
		at += part.length;
	}
	return all;
}

/** A config names one template, or several of which one is the default. */
function templateOf(given: unknown): string | undefined {
	if (typeof given === 'string') return given;
	if (!Array.isArray(given)) return undefined;
	const named = (given as unknown[]).filter(isObject);
	const chosen = named.find(({ name }) => name === 'default') ?? named[0];
	return typeof chosen?.['template'] === 'string' ? chosen['template'] : undefined;
}

function tokenText(token: unknown): string | undefined {
	if (typeof token === 'string') return token;
	return isObject(token) && typeof token['content'] === 'string' ? token['content'] : undefined;
}

/** Whether a piece encodes the same at the start of a text and inside it. */
function startsPlain(tokenizer: Json): boolean {
	const parts = JSON.stringify([tokenizer['normalizer'] ?? null, tokenizer['pre_tokenizer'] ?? null]);
	return !/"Prepend"|"Metaspace"|"Strip"|"add_prefix_space":true/.test(parts);
}

/** Splits at special tokens and keeps them. Those that take spaces around them with them are no clean edge. */
function specialTokens(tokenizer: Json): RegExp | undefined {
	const added = Array.isArray(tokenizer['added_tokens'])
		? (tokenizer['added_tokens'] as unknown[]).filter(isObject)
		: [];
	if (added.some((token) => token['lstrip'] === true || token['rstrip'] === true || token['normalized'] === true))
		return undefined;
	const texts = added
		.flatMap(({ content }) => (typeof content === 'string' && content !== '' ? [content] : []))
		.sort((a, b) => b.length - a.length);
	return texts.length === 0 ? undefined : new RegExp(`(${texts.map((text) => RegExp.escape(text)).join('|')})`);
}

/** Messages whose contents are texts, parts joined as engines join them; undefined when one holds anything else. */
function textMessages(given: unknown): Json[] | undefined {
	if (!Array.isArray(given)) return undefined;
	const messages: Json[] = [];
	for (const message of given as unknown[]) {
		if (!isObject(message)) return undefined;
		const { content } = message;
		let text = content;
		if (Array.isArray(content)) {
			const parts = (content as unknown[]).map((part) =>
				typeof part === 'string' ? part : isObject(part) ? part['text'] : undefined,
			);
			if (!parts.every((part) => typeof part === 'string')) return undefined;
			text = parts.join('\n');
		}
		messages.push({ ...message, content: text, ...parsedCalls(message['tool_calls']) });
	}
	return messages;
}

/** Templates expect the arguments of calls as objects; on the wire they are text. */
function parsedCalls(calls: unknown): Json {
	if (!Array.isArray(calls)) return {};
	return { tool_calls: (calls as unknown[]).map(parsedCall) };
}

function parsedCall(call: unknown): unknown {
	const made = isObject(call) ? call['function'] : undefined;
	if (!isObject(call) || !isObject(made) || typeof made['arguments'] !== 'string') return call;
	try {
		return { ...call, function: { ...made, arguments: JSON.parse(made['arguments']) as unknown } };
	} catch {
		return call;
	}
}
