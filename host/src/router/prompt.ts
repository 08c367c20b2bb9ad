// Owns which parts of a request body are its prompt: chat messages with their content parts and tools, completion prompts, embedding
// inputs. It walks to a fixed depth whatever the body holds. Leaves the bytes to PromptBuffer.
import type { PromptBuffer } from './prompt-buffer.js';

type Json = Readonly<Record<string, unknown>>;

/** Separators in the hashed bytes; none occurs in UTF-8 text. */
const MARK_TOOLS = 0xf8;
const MARK_MESSAGE = 0xf9;
const MARK_PART = 0xfa;

function isObject(value: unknown): value is Json {
	return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Lays out the prompt of `body` in `into`, in the order in which chat templates place it. */
export function collectPrompt(body: Json, into: PromptBuffer): void {
	into.reset();
	const { messages, prompt, input, tools } = body;
	if (Array.isArray(messages)) {
		if (Array.isArray(tools) && tools.length > 0) {
			into.mark(MARK_TOOLS);
			into.text(JSON.stringify(tools));
		}
		for (const message of messages) if (isObject(message)) collectMessage(message, into);
		return;
	}
	const given = prompt ?? input ?? body['inputs'] ?? body['text'];
	if (typeof given === 'string') into.text(given);
	else if (Array.isArray(given)) collectBatch(given, into);
}

function collectMessage(message: Json, into: PromptBuffer): void {
	const { role, content } = message;
	into.mark(MARK_MESSAGE);
	// The first letter tells the roles apart that templates do.
	into.mark(typeof role === 'string' ? role.charCodeAt(0) & 0x7f : 0);
	if (typeof content === 'string') into.text(content);
	else if (Array.isArray(content)) for (const part of content) collectPart(part, into);
	const calls = message['tool_calls'];
	if (Array.isArray(calls) && calls.length > 0) into.text(JSON.stringify(calls));
}

function collectPart(part: unknown, into: PromptBuffer): void {
	into.mark(MARK_PART);
	if (typeof part === 'string') return into.text(part);
	if (!isObject(part)) return;
	if (typeof part['text'] === 'string') return into.text(part['text']);
	const image = part['image_url'];
	if (isObject(image) && typeof image['url'] === 'string') collectMedia(image['url'], into);
}

/** Tokens an image is taken for; its encoded length says nothing of them. */
const IMAGE_TOKENS = 256;
/** A data URL's head is its format's header: identity is in its length and what follows. */
const MEDIA_CHARS_MAX = 4096;

function collectMedia(url: string, into: PromptBuffer): void {
	const bytes = Buffer.from(`${url.length}:${url.slice(0, MEDIA_CHARS_MAX)}`);
	for (const byte of bytes) into.mark(byte);
	into.count(IMAGE_TOKENS);
}

/** An array is a batch of texts, a batch of token lists, or one token list. */
function collectBatch(items: readonly unknown[], into: PromptBuffer): void {
	if (typeof items[0] === 'number') return into.ids(items);
	for (const item of items) {
		into.mark(MARK_PART);
		if (typeof item === 'string') into.text(item);
		else if (Array.isArray(item)) into.ids(item);
	}
}
