// Owns what TorchServe's inputs are as a prompt. They are bytes that a model's handler reads as it likes: text, JSON as over HTTP, or a picture. JSON is laid out as the same
// body over HTTP is, so that a prompt is known again; what is no text has no prompt.
import { isUtf8 } from 'node:buffer';
import { torchserve } from '@infermesh/adapters';
import { isTame } from '../json-bytes.js';
import { collectPrompt, layTexts } from '../prompt.js';
import type { PromptBuffer } from '../prompt-buffer.js';
import type { TextPieces } from './tensor-texts.js';

const OPEN_BRACE = 0x7b;
/** A character of UTF-8 that is cut has so many bytes at most. */
const CUT_BYTES_MAX = 3;

/** Lays out a call's prompt; called again for every decision that is made in a later tick. */
export type PromptLayout = (into: PromptBuffer) => void;

export interface JsonBounds {
	readonly jsonDepthMax: number;
	readonly jsonContainersMax: number;
}

/** How inputs are laid out; undefined for those that are no text. */
export function inputsLayout(texts: readonly TextPieces[], bounds: JsonBounds): PromptLayout | undefined {
	const whole = texts.map((pieces) => (pieces.length === 1 ? (pieces[0] as Buffer) : Buffer.concat(pieces)));
	const [first] = whole;
	const body = first !== undefined && whole.length === 1 && first[0] === OPEN_BRACE ? parsed(first, bounds) : undefined;
	if (body !== undefined) return (into) => collectPrompt(body, into, torchserve.prompt);
	return whole.length > 0 && whole.every(isText) ? (into) => layTexts(texts, into) : undefined;
}

function parsed(
	text: Buffer,
	{ jsonDepthMax, jsonContainersMax }: JsonBounds,
): Readonly<Record<string, unknown>> | undefined {
	if (!isUtf8(text) || !isTame(text, jsonDepthMax, jsonContainersMax)) return undefined;
	try {
		return JSON.parse(text.toString()) as Readonly<Record<string, unknown>>;
	} catch {
		return undefined;
	}
}

/** Of a long text only the beginning is kept, and it may end inside a character. */
function isText(bytes: Buffer): boolean {
	for (let cut = 0; cut <= CUT_BYTES_MAX && cut < bytes.length; cut++)
		if (isUtf8(bytes.subarray(0, bytes.length - cut))) return true;
	return false;
}
