// Owns how the parts of a request body that its dialect calls the prompt are laid out: messages with their content parts, tools, texts, token ids, tensors.
// It walks to a fixed depth whatever the body holds. Leaves the bytes to PromptBuffer.
import { byName, isIdsName, isPromptName, type PromptField, passThrough } from '@infermesh/adapters';
import { type RawTensors, rawTexts } from './binary-tensors.js';
import { idForm, rawIds } from './id-bytes.js';
import type { PromptBuffer } from './prompt-buffer.js';

type Json = Readonly<Record<string, unknown>>;

/** Separators in the hashed bytes; none occurs in UTF-8 text. */
const MARK_TOOLS = 0xf8;
const MARK_MESSAGE = 0xf9;
const MARK_PART = 0xfa;

function isObject(value: unknown): value is Json {
	return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/**
 * Lays out the prompt of `body` in `into`, in the order of `fields`: that in which templates place them. Where a field of ids has some, they are what the engine takes,
 * and all there is. `salt` keeps prompts apart that engines are told not to share. `raws`: tensors whose data is not in the JSON.
 */
export function collectPrompt(
	body: Json,
	into: PromptBuffer,
	fields: readonly PromptField[] = passThrough.prompt,
	salt = '',
	raws: RawTensors = NO_RAWS,
): void {
	into.reset();
	for (let at = 0; at < salt.length; at++) into.mark(salt.charCodeAt(at) & 0xff);
	for (const { member, as } of fields)
		if (as === 'ids' && holdsIds(body[member], into)) return collectBatch(body[member], into);
	for (const { member, as } of fields) {
		const value = body[member];
		if (value !== undefined && value !== null) layouts[as](value, into, raws);
	}
}

const NO_RAWS: RawTensors = new Map();

const layouts: Readonly<Record<PromptField['as'], (value: unknown, into: PromptBuffer, raws: RawTensors) => void>> = {
	text: collectText,
	batch: collectBatch,
	// Laid out first, where it holds any.
	ids: () => undefined,
	messages: collectMessages,
	items: (value, into) => (Array.isArray(value) ? collectMessages(value, into) : collectText(value, into)),
	json(value, into) {
		if (!Array.isArray(value) || value.length === 0) return;
		into.mark(MARK_TOOLS);
		into.json(value);
	},
	tensors(value, into, raws) {
		if (Array.isArray(value)) collectTensors(value.filter(isObject), into, raws);
	},
	values: (value, into) => collectValues(value, into, DEPTH_MAX),
};

/** A tensor as KServe's JSON has it; what it says of itself may be anything. */
interface Tensor extends Json {
	readonly name: string;
}

/** The ids of tensors that hold some are the whole prompt; without any the texts are. */
function collectTensors(tensors: readonly Json[], into: PromptBuffer, raws: RawTensors): void {
	const named = tensors.filter((tensor): tensor is Tensor => typeof tensor['name'] === 'string');
	const ids = named.filter(({ name }) => isIdsName(name)).toSorted(byName);
	let found = false;
	for (const tensor of ids) found = collectIds(tensor, into, raws.get(tensor)) || found;
	if (found) return;
	for (const tensor of promptsOf(named.filter(({ datatype }) => datatype === 'BYTES'))) {
		const raw = raws.get(tensor);
		if (raw === undefined) collectValues(tensor['data'], into, DEPTH_MAX);
		else for (const text of rawTexts(raw)) layText([text], into);
	}
}

/** Lays out the ids of a tensor; false when it holds none. A tensor's data may be as nested as its shape is, or flat. */
function collectIds({ datatype, shape, data }: Tensor, into: PromptBuffer, raw: Buffer | undefined): boolean {
	const form = idForm(datatype);
	if (form === undefined) return false;
	const rows = rowsOf(shape);
	if (raw !== undefined) {
		const ids = rawIds(form, raw, rows);
		if (ids !== undefined) into.idBytes(ids);
		return ids !== undefined;
	}
	if (!holdsIds(data, into)) return false;
	collectBatch(data, into);
	if (rows > 1) into.manyLists();
	return true;
}

/** Lists that a tensor of this shape holds: one for every place but in its last dimension. */
function rowsOf(shape: unknown): number {
	if (!Array.isArray(shape)) return 1;
	return shape.slice(0, -1).reduce((rows: number, size) => (typeof size === 'number' ? rows * size : rows), 1);
}

/** Of named inputs those that go by a prompt's name, or all where none does, by name: whatever order they come in, it is the same prompt. */
function promptsOf<T extends { readonly name: string }>(inputs: readonly T[]): readonly T[] {
	const named = inputs.filter(({ name }) => typeof name === 'string' && isPromptName(name));
	return (named.length > 0 ? named : inputs).toSorted(byName);
}

/** How deep texts may lie in the arrays and objects of a tensor. */
const DEPTH_MAX = 4;

/** The texts of a tensor of any shape, or of named ones. Numbers may be anything, a picture as well as token ids. */
function collectValues(value: unknown, into: PromptBuffer, depth: number): void {
	if (typeof value === 'string') {
		into.mark(MARK_PART);
		return into.text(value);
	}
	if (depth === 0) return;
	if (Array.isArray(value)) {
		if (typeof value[0] === 'number') return;
		for (const item of value) collectValues(item, into, depth - 1);
	} else if (isObject(value)) {
		const inputs = Object.entries(value).map(([name, data]) => ({ name, data }));
		for (const { data } of promptsOf(inputs)) collectValues(data, into, depth - 1);
	}
}

/** Texts that came as bytes, each in pieces: laid out as those of tensors in JSON are, so that a prompt is known again over another protocol. */
export function layTexts(texts: readonly (readonly Buffer[])[], into: PromptBuffer): void {
	into.reset();
	for (const pieces of texts) layText(pieces, into);
}

function layText(pieces: readonly Buffer[], into: PromptBuffer): void {
	into.mark(MARK_PART);
	for (const piece of pieces) into.utf8(piece);
}

function collectMessages(value: unknown, into: PromptBuffer): void {
	if (!Array.isArray(value)) return;
	for (const message of value) if (isObject(message)) collectMessage(message, into);
}

function collectText(value: unknown, into: PromptBuffer): void {
	into.mark(MARK_MESSAGE);
	if (typeof value === 'string') into.text(value);
	else if (Array.isArray(value)) for (const part of value) collectPart(part, into);
}

function collectMessage(message: Json, into: PromptBuffer): void {
	const { role, content } = message;
	into.mark(MARK_MESSAGE);
	// The first letter tells the roles apart that templates do.
	into.mark(typeof role === 'string' ? role.charCodeAt(0) & 0x7f : 0);
	if (typeof content === 'string') into.text(content);
	else if (Array.isArray(content)) for (const part of content) collectPart(part, into);
	// What a tool has answered, as OpenAI's responses have it.
	if (typeof message['output'] === 'string') into.text(message['output']);
	const calls = message['tool_calls'];
	if (Array.isArray(calls) && calls.length > 0) into.json(calls);
}

function collectPart(part: unknown, into: PromptBuffer): void {
	into.mark(MARK_PART);
	if (typeof part === 'string') return into.text(part);
	if (!isObject(part)) return;
	if (typeof part['text'] === 'string') return into.text(part['text']);
	// OpenAI's chat has an object there, its responses the URL itself; Anthropic's messages have a source.
	const { image_url: image, source } = part;
	if (typeof image === 'string') collectMedia(image, into);
	else if (isObject(image) && typeof image['url'] === 'string') collectMedia(image['url'], into);
	else if (isObject(source) && typeof source['data'] === 'string') collectMedia(source['data'], into);
}

/** Tokens an image is taken for; its encoded length says nothing of them. */
const IMAGE_TOKENS = 256;
/** A data URL's head is its format's header: identity is in its length and what follows. */
const MEDIA_CHARS_MAX = 4096;

function collectMedia(url: string, into: PromptBuffer): void {
	const head = Buffer.from(into.head(url, MEDIA_CHARS_MAX));
	for (const byte of head) into.mark(byte);
	into.count(IMAGE_TOKENS);
}

/** A text, or an array: a batch of texts, a batch of token lists, or one token list. A batch of one is that one: engines take it for the same prompt. */
function collectBatch(items: unknown, into: PromptBuffer): void {
	if (!Array.isArray(items) || typeof items[0] === 'number') return collectOne(items, into);
	for (const item of items) {
		if (items.length > 1) into.mark(MARK_PART);
		collectOne(item, into);
	}
}

function collectOne(item: unknown, into: PromptBuffer): void {
	if (Array.isArray(item)) into.ids(item);
	else if (typeof item === 'string' && !into.longIds(item)) into.text(item);
}

/** Whether a value is a list of token ids, or a list of such lists. */
function holdsIds(value: unknown, into: PromptBuffer): boolean {
	if (!Array.isArray(value)) return typeof value === 'string' && into.standsForIds(value);
	if (typeof value[0] === 'number') return true;
	return value.length > 0 && value.every((item) => !isNested(item) && holdsIds(item, into));
}

function isNested(item: unknown): boolean {
	return Array.isArray(item) && typeof item[0] !== 'number';
}
