// Owns how a conversation becomes one prompt. The rendering of a turn is a prefix of the rendering of every later turn,
// so that prefix caching works for conversations as it does on real engines.
import { textSeed } from './prompt.js';
import { type Body, isObject, refuse } from './request-fields.js';

/** Renders messages (and tools before them) to the text the engine prefills, ready for the assistant to go on. */
export function renderChat(messages: readonly unknown[], tools: readonly unknown[]): string {
	const head = tools.length === 0 ? '' : `<|tools|>\n${JSON.stringify(tools)}<|end|>\n`;
	return `${head}${messages.map(renderMessage).join('')}<|assistant|>\n`;
}

function renderMessage(message: unknown, i: number): string {
	if (!isObject(message) || typeof message['role'] !== 'string') refuse(`messages[${i}]`, 'must have a role');
	const calls = message['tool_calls'];
	const called = Array.isArray(calls) ? JSON.stringify(calls) : '';
	return `<|${message['role']}|>\n${renderContent(message, i)}${called}<|end|>\n`;
}

function renderContent(message: Body, i: number): string {
	const content = message['content'];
	if (content === undefined || content === null) return '';
	if (typeof content === 'string') return content;
	if (!Array.isArray(content)) refuse(`messages[${i}].content`, 'must be a string or a list of parts');
	return content.map((part: unknown) => renderPart(part, i)).join('');
}

/** A text part is its text; any other (an image, audio) is a name for its content, since nobody looks at it. */
function renderPart(part: unknown, i: number): string {
	if (!isObject(part) || typeof part['type'] !== 'string')
		refuse(`messages[${i}].content`, 'has a part without a type');
	if (typeof part['text'] === 'string') return part['text'];
	return `<|${part['type']}:${textSeed(JSON.stringify(part)).toString(16)}|>`;
}
