// Owns the bytes of the requests the router benches send: chat completions with prompts of 2 KB that share their first half, as turns of a
// conversation do.
import type { Random } from '@infermesh/proto';
import { KEY, MODEL } from './mesh-process.js';

export const PROMPT_BYTES = 2048;
/** A long document in the prompt. */
export const LONG_PROMPT_BYTES = 400 * 1024;
const VARIANTS = 64;
/** Of long ones: fewer, as they are kept in memory. */
const LONG_VARIANTS = 8;

export function text(bytes: number, random: Random): string {
	let made = '';
	while (made.length < bytes) made += `${random.nextU32().toString(36)} `;
	return made.slice(0, bytes);
}

/** Whole HTTP/1.1 requests. `extra` are header lines, each ended by CRLF. */
export function chatRequests(random: Random, stream: boolean, extra = '', bytes = PROMPT_BYTES): readonly Buffer[] {
	const variants = bytes > PROMPT_BYTES ? LONG_VARIANTS : VARIANTS;
	return conversations(random, stream, bytes / 2, bytes / 2, variants, extra);
}

/** The same of other sizes: what all share, and what is each one's own. */
export function conversations(
	random: Random,
	stream: boolean,
	sharedBytes: number,
	ownBytes: number,
	variants: number,
	extra = '',
): readonly Buffer[] {
	const shared = text(sharedBytes, random);
	return Array.from({ length: variants }, () => {
		const body = JSON.stringify({
			model: MODEL,
			messages: [
				{ role: 'system', content: shared },
				{ role: 'user', content: text(ownBytes, random) },
			],
			max_tokens: 64,
			stream,
		});
		const head = [
			'POST /v1/chat/completions HTTP/1.1',
			'host: 127.0.0.1',
			'content-type: application/json',
			`content-length: ${Buffer.byteLength(body)}`,
			`authorization: Bearer ${KEY}`,
			'user-agent: bench/1',
			'accept: application/json',
		];
		return Buffer.from(`${head.join('\r\n')}\r\n${extra}\r\n${body}`);
	});
}
